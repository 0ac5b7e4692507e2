//! `/health`: whether the portal can do its work, for those who watch it. It tells nothing else, so anybody may ask.

use super::Shared;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/health", get(health))
}

async fn health(State(state): State<Shared>) -> Response {
    let asked = state.clone();
    let databases = state.wait(move || {
        asked.sessions.count()?;
        asked.requests.letters_waiting()
    });
    match databases.await {
        // The catalogue is in memory; that it answers is that this does.
        Ok(Ok(_)) => {
            format!("ok: {} dates\n", state.fs.catalogue().dates().shown.len()).into_response()
        }
        Ok(Err(e)) => {
            tracing::error!("{e}");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "a database does not answer\n",
            )
                .into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "fault\n").into_response(),
    }
}
