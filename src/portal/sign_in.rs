//! Signing in and out, and the choice of a language.

use super::answer::{Refusal, Said, html, see_other, too_many};
use super::form::{Posted, Sent, back};
use super::page::Page;
use super::person::{LANGUAGE, Person, Visitor, name_of_session};
use super::sessions::{Token, now};
use super::text::fill;
use super::throttle::{Attempt, MEMORY, Peer};
use super::{Options, Shared, password};
use crate::language::Language;
use askama::Template;
use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::net::IpAddr;
use std::time::Duration;

/// How long one waits for that, and for its answer.
const TURN: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(45);

/// Longest address and password, in bytes.
const LONGEST_ADDRESS: usize = 320;
const LONGEST_PASSWORD: usize = 1000;

/// How long a browser remembers the language, in seconds.
const YEAR: u32 = 31_536_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/sign-out-everywhere", post(sign_out_everywhere))
        .route("/language", post(choose_language))
}

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/portal/templates/askama.toml")]
struct SignIn<'a> {
    page: &'a Page,
    notice: &'a str,
    mistake: &'a str,
    address: &'a str,
    back: &'a str,
}

async fn show(visitor: Visitor, person: Option<Person>, uri: Uri) -> Response {
    let fields = super::form::Fields::of(&uri);
    let back = back(&fields);
    if person.is_some() {
        return see_other(back);
    }
    let page = visitor.page();
    let notice = match fields.get("out") {
        "" => "",
        _ => page.text.signed_out,
    };
    html(&SignIn {
        page: &page,
        notice,
        mistake: "",
        address: "",
        back,
    })
}

async fn sign_in(
    State(state): State<Shared>,
    visitor: Visitor,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Sent(fields): Sent,
) -> Result<Response, Refusal> {
    let page = visitor.page();
    let address = fields.get("address").trim().to_owned();
    let password = fields.get("password").to_owned();
    let back = back(&fields);
    let again = |status: StatusCode, mistake: &str| {
        let shown = address.get(..LONGEST_ADDRESS).unwrap_or(&address);
        let form = html(&SignIn {
            page: &page,
            notice: "",
            mistake,
            address: shown,
            back,
        });
        (status, form).into_response()
    };
    if address.len() > LONGEST_ADDRESS || password.len() > LONGEST_PASSWORD {
        return Ok(again(StatusCode::FORBIDDEN, page.text.refused));
    }
    let from = client(&headers, peer);
    let attempt = match state.throttle.begin(&address, from, now()) {
        Ok(attempt) => attempt,
        Err(wait) => return Ok(too_many(&page, wait)),
    };
    keep(&state, attempt).await?;
    match ask(&state, &address, password).await {
        Ok(true) => {}
        Ok(false) => {
            state.metrics.sign_ins.wrong();
            tracing::info!(?address, client = %from, "a sign-in was refused");
            return Ok(again(StatusCode::FORBIDDEN, page.text.refused));
        }
        Err(refusal) => {
            state.throttle.was_nothing(&attempt);
            keep(&state, attempt).await?;
            state.metrics.sign_ins.unknown();
            return match refusal {
                Refusal::Busy => Err(refusal),
                _ => Ok(again(
                    StatusCode::SERVICE_UNAVAILABLE,
                    page.text.server_silent,
                )),
            };
        }
    }
    state.throttle.was_right(&attempt);
    keep(&state, attempt).await?;
    state.metrics.sign_ins.right();
    let asked = address.clone();
    let reader = state.read(move |fs| fs.reader(&asked)).await?;
    let is_admin = state.options.is_admin(&address);
    if reader.is_none() && !is_admin {
        tracing::info!(?address, client = %from, "a sign-in found no mailbox");
        let about = fill(page.text.no_backup_about, &[&address]);
        let said = Said {
            page: &page,
            title: page.text.no_backup,
            about: &about,
        };
        return Ok((StatusCode::FORBIDDEN, html(&said)).into_response());
    }
    // As the mail store has it, whatever the capitals that were typed.
    let address = reader.map_or(address, |reader| reader.address);
    tracing::info!(address, client = %from, "signed in");
    let sessions = state.sessions.clone();
    let token = state.wait(move || sessions.begin(&address)).await??;
    let mut response = see_other(back);
    set_session(&mut response, &state.options, Some(&token));
    Ok(response)
}

/// Writes down what is known of an account.
async fn keep(state: &Shared, attempt: Attempt) -> Result<(), Refusal> {
    let (guesses, sessions) = (state.throttle.of_account(&attempt), state.sessions.clone());
    let oldest = now() - MEMORY;
    let keep = move || sessions.keep_guesses(&attempt.account, guesses, oldest);
    Ok(state.wait(keep).await??)
}

/// Asks the mail server. Any refusal but [`Refusal::Busy`] means that it could not be asked.
async fn ask(state: &Shared, address: &str, password: String) -> Result<bool, Refusal> {
    let turn = state.asking.clone().acquire_owned();
    let turn = tokio::time::timeout(TURN, turn).await;
    let Ok(Ok(turn)) = turn else {
        return Err(Refusal::Busy);
    };
    let (options, address) = (state.options.clone(), address.to_owned());
    let asked = state.wait(move || {
        let is_right = password::is_right(&options, &address, &password);
        // Not before: nobody takes the turn of one who still waits.
        drop(turn);
        is_right
    });
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answer) => Ok(answer??),
        Err(_) => {
            tracing::error!("signing in: portal.auth: {}: no answer", state.options.auth);
            Err(Refusal::Fault)
        }
    }
}

async fn sign_out(
    State(state): State<Shared>,
    Posted { person, .. }: Posted,
) -> Result<Response, Refusal> {
    let sessions = state.sessions.clone();
    let digest = person.session.digest();
    state.wait(move || sessions.end(&digest)).await??;
    Ok(signed_out(&state.options))
}

async fn sign_out_everywhere(
    State(state): State<Shared>,
    Posted { person, .. }: Posted,
) -> Result<Response, Refusal> {
    let sessions = state.sessions.clone();
    let address = person.address.clone();
    state.wait(move || sessions.end_all(&address)).await??;
    Ok(signed_out(&state.options))
}

fn signed_out(options: &Options) -> Response {
    let mut response = see_other("/sign-in?out=1");
    set_session(&mut response, options, None);
    response
}

fn set_session(response: &mut Response, options: &Options, token: Option<&Token>) {
    let name = name_of_session(options);
    let value = token.map(Token::text).unwrap_or_default();
    let end = match token {
        Some(_) => "",
        None => "; Max-Age=0",
    };
    // Lax, not Strict: who comes from a letter is signed in.
    set_cookie(
        response,
        options,
        &format!("{name}={value}; HttpOnly; SameSite=Lax{end}"),
    );
}

fn set_cookie(response: &mut Response, options: &Options, cookie: &str) {
    let secure = match options.is_https() {
        true => "; Secure",
        false => "",
    };
    if let Ok(value) = HeaderValue::try_from(format!("{cookie}; Path=/{secure}")) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

async fn choose_language(State(state): State<Shared>, Sent(fields): Sent) -> Response {
    let mut response = see_other(back(&fields));
    if let Some(language) = Language::named(fields.get("to")) {
        let code = language.code();
        let cookie = format!("{LANGUAGE}={code}; HttpOnly; SameSite=Lax; Max-Age={YEAR}");
        set_cookie(&mut response, &state.options, &cookie);
    }
    response
}

/// Where a request comes from: what the proxy says, if there is one on this host.
fn client(headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    if !peer.to_canonical().is_loopback() {
        return peer;
    }
    let said = headers.get_all("x-forwarded-for").into_iter().next_back();
    let last = said.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let last = last.and_then(|text| text.trim().parse().ok());
    last.unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_on_this_host_is_believed() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        headers.append(
            "x-forwarded-for",
            HeaderValue::from_static("203.0.113.1, 198.51.100.7"),
        );
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(client(&headers, at("127.0.0.1")), at("198.51.100.7"));
        assert_eq!(client(&headers, at("192.0.2.1")), at("192.0.2.1"));
        assert_eq!(client(&HeaderMap::new(), at("::1")), at("::1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("rubbish"));
        assert_eq!(client(&headers, at("127.0.0.1")), at("127.0.0.1"));
    }
}
