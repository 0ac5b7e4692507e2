//! Answers: pages, refusals in people's language, and the headers that every answer has.
//!
//! A handler gives a template to [`html`], or a [`Refusal`], which becomes a page on its way out. What a handler sets itself
//! (`Content-Security-Policy`, `Cache-Control`) stays; everything else gets the strictest there is.

use super::page::{Page, Signed};
use super::person::language_of;
use super::text::{Shell, fill};
use super::{Options, Shared};
use crate::error::{Error, Kind};
use crate::language::Language;
use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Of every page that has none of its own.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; frame-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Why there is no page.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// It does not exist, or not for this person.
    NotFound,
    /// Nobody is signed in; the path to come back to.
    SignIn(String),
    /// A form that is not from a page of this session.
    Forged,
    /// What was sent cannot be understood.
    Senseless,
    /// Come back later.
    Busy,
    /// The store cannot be read, or not this message of it.
    Unreadable,
    /// A fault of the portal or of the machine; the log has it.
    Fault,
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        match e.kind() {
            Kind::NotFound
            | Kind::Stale
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::NoData
            | Kind::TooSmall
            | Kind::Invalid => {
                tracing::debug!("{e}");
                Self::NotFound
            }
            Kind::Unreadable | Kind::Altered | Kind::Undecodable | Kind::NoKey => {
                tracing::warn!("{e}");
                Self::Unreadable
            }
            Kind::WouldBlock => Self::Busy,
            Kind::Config | Kind::Failed => {
                tracing::error!("{e}");
                Self::Fault
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SignIn(back) => {
                let back =
                    percent_encoding::utf8_percent_encode(back, percent_encoding::NON_ALPHANUMERIC);
                return see_other(&format!("/sign-in?back={back}"));
            }
            Self::Forged => StatusCode::FORBIDDEN,
            Self::Senseless => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = status.into_response();
        if matches!(self, Self::Busy | Self::Unreadable) {
            let later = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, later);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl Refusal {
    fn words(&self, text: &'static Shell) -> (&'static str, &'static str) {
        match self {
            Self::NotFound | Self::SignIn(_) => (text.nothing_here, text.nothing_here_about),
            Self::Forged => (text.not_done, text.not_done_about),
            Self::Senseless => (text.not_understood, text.not_understood_about),
            Self::Busy => (text.busy, text.busy_about),
            Self::Unreadable => (text.unreadable, text.unreadable_about),
            Self::Fault => (text.fault, text.fault_about),
        }
    }
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "said.html", config = "src/portal/templates/askama.toml")]
pub(super) struct Said<'a> {
    pub page: &'a Page,
    pub title: &'a str,
    pub about: &'a str,
}

/// A page. One that cannot be made is a fault.
pub fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(e) => {
            tracing::error!("making a page: {e}");
            Refusal::Fault.into_response()
        }
    }
}

/// Sends the browser to another page of ours, to GET it.
pub fn see_other(path: &str) -> Response {
    match HeaderValue::try_from(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => Refusal::NotFound.into_response(),
    }
}

/// Too many attempts, for so long.
pub(super) fn too_many(page: &Page, wait: Duration) -> Response {
    let seconds = wait.as_secs().max(1);
    let about = fill(page.text.too_many, &[&seconds]);
    let said = Said {
        page,
        title: page.text.sign_in,
        about: &about,
    };
    let retry = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, retry, html(&said)).into_response()
}

/// Who was found to be asking, for the page of a refusal.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking(Arc<OnceLock<(Language, Signed)>>);

impl Asking {
    pub fn is(&self, language: Language, signed: &Signed) {
        // The first who was found stays.
        let _ = self.0.set((language, signed.clone()));
    }
}

/// Makes pages of refusals, puts the headers on, and counts.
pub(super) async fn finish(
    State(state): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let asking = Asking::default();
    request.extensions_mut().insert(asking.clone());
    let visitor = language_of(request.headers(), &state.options);
    let here = request.uri().path_and_query().map(ToString::to_string);
    let is_get = request.method() == axum::http::Method::GET;
    let mut response = held(next.run(request).await, &state, &asking);
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let known = asking.0.get();
        let language = known.map_or(visitor, |(language, _)| *language);
        // What was sent by POST is not to be come back to.
        let here = here.filter(|_| is_get).unwrap_or_else(|| "/".into());
        let page = Page::new(language, known.map(|(_, signed)| signed.clone()), here);
        let (title, about) = refusal.words(page.text);
        let (mut parts, _) = response.into_parts();
        let (with_type, body) = html(&Said {
            page: &page,
            title,
            about,
        })
        .into_parts();
        parts.headers.extend(with_type.headers);
        response = Response::from_parts(parts, body);
    }
    state.metrics.answered(response.status());
    dress(&mut response, &state.options);
    response
}

/// An answer that is counted as long as it is being taken; a refusal if that would be too much.
fn held(response: Response, state: &Shared, asking: &Asking) -> Response {
    let known = asking.0.get();
    let who = known.map_or("", |(_, signed)| signed.address.as_str());
    let (parts, body) = response.into_parts();
    match state.budget.hold(who, body) {
        Some(body) => Response::from_parts(parts, body),
        None => {
            tracing::info!(address = who, "too much is being taken at a time");
            Refusal::Busy.into_response()
        }
    }
}

/// The headers that every answer has.
fn dress(response: &mut Response, options: &Options) {
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with that, browsers do not say of our own forms where they come from.
        (header::REFERRER_POLICY, "same-origin"),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if options.is_https() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
