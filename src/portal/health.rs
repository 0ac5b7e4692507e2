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
    let databases = state.wait(move || asked.sessions.count()).await;
    match databases {
        Ok(Ok(_)) => "ok\n".into_response(),
        Ok(Err(e)) => {
            tracing::error!("{e}");
            (StatusCode::SERVICE_UNAVAILABLE, "sessions\n").into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "fault\n").into_response(),
    }
}
