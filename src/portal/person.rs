//! Who asks: [`Person`] for everybody who is signed in, [`Visitor`] for the pages before that.
//!
//! A handler that takes a [`Person`] is only run for somebody who is signed in; others are sent to sign in, and back. What he may
//! read is not part of that: a handler asks for the mailbox at hand with [`Person::enter`], before anything else.

use super::answer::{Asking, Refusal};
use super::page::{Page, Signed};
use super::sessions::Token;
use super::{Options, Shared, text};
use crate::fs::browse::Date;
use crate::fs::reader::Reader;
use crate::language::Language;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use std::convert::Infallible;
use std::sync::Arc;

/// Name of the cookie with the language that was chosen.
pub(super) const LANGUAGE: &str = "mailtm-language";

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Person {
    pub address: String,
    /// He decides on requests. That gives him nobody's mail.
    pub is_admin: bool,
    pub language: Language,
    /// For the field `token` of every form.
    pub token: String,
    pub(super) session: Token,
    reader: Option<Arc<Reader>>,
    state: Shared,
    here: String,
    path: String,
}

impl Person {
    /// His own mailbox; an administrator need not have one.
    pub fn own_mailbox(&self) -> Option<&str> {
        self.reader.as_deref().map(|reader| reader.mailbox.as_str())
    }

    /// What is around his pages.
    pub fn page(&self) -> Page {
        Page::new(self.language, Some(self.signed()), self.here.clone())
    }

    fn signed(&self) -> Signed {
        Signed {
            address: self.address.clone(),
            is_admin: self.is_admin,
            token: self.token.clone(),
        }
    }

    /// The mailboxes that he may read on a date, on the newest one if none is named: his own one first.
    pub async fn mailboxes(&self, date: Option<&str>) -> Result<Vec<String>, Refusal> {
        let Some(reader) = self.reader.clone() else {
            return Ok(Vec::new());
        };
        let date = date.map(str::to_owned);
        let readable = self
            .state
            .read(move |fs| fs.readable(&reader, date.as_deref()));
        readable.await
    }

    /// The dates on which he may read the mailbox of a name, the oldest first. One that cannot be looked into now is among
    /// them, and opens when it can.
    pub async fn dates(&self, mailbox: &str) -> Result<Vec<Date>, Refusal> {
        let reader = self.reader.clone().ok_or(Refusal::NotFound)?;
        let all = self.state.fs.dates();
        let dark = self.state.dark.labels();
        let (asked, (name, of)) = (all.clone(), (mailbox.to_owned(), reader.clone()));
        let together = self.state.read(move |fs| {
            let mut dates = Vec::new();
            for date in &asked {
                if dark.contains(&date.label) || fs.may_read(&of, &name, Some(&date.label))? {
                    dates.push(date.clone());
                }
            }
            Ok(dates)
        });
        match together.await {
            Err(Refusal::Unreadable) => self.dates_apart(reader, mailbox, all).await,
            dates => dates,
        }
    }

    /// The same where a store does not answer: each date is waited for by itself, all at the same time.
    async fn dates_apart(
        &self,
        reader: Arc<Reader>,
        mailbox: &str,
        all: Vec<Date>,
    ) -> Result<Vec<Date>, Refusal> {
        let looking = all.into_iter().map(|date| {
            let (state, reader, name) = (self.state.clone(), reader.clone(), mailbox.to_owned());
            tokio::spawn(async move {
                let label = date.label.clone();
                let allowed = state.read(move |fs| fs.may_read(&reader, &name, Some(&label)));
                let allowed = match allowed.await {
                    Err(Refusal::Unreadable) => {
                        state.dark.add(date.label.clone());
                        true
                    }
                    other => other?,
                };
                Ok::<_, Refusal>(allowed.then_some(date))
            })
        });
        let looking: Vec<_> = looking.collect();
        let mut dates = Vec::new();
        for date in looking {
            dates.extend(date.await.map_err(|_| Refusal::Fault)??);
        }
        Ok(dates)
    }

    /// Lets him into the mailbox that has this name on a date; with no date, on all that have one of that name. If it is
    /// somebody else's and that is to be logged, it is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if it is not for him.
    pub async fn enter(&self, mailbox: &str, date: Option<&str>) -> Result<(), Refusal> {
        let reader = self.reader.clone().ok_or(Refusal::NotFound)?;
        let (name, date) = (mailbox.to_owned(), date.map(str::to_owned));
        let own = reader.mailbox == mailbox;
        let audited = self.state.fs.policy().audit;
        let allowed = self
            .state
            .read(move |fs| fs.may_read(&reader, &name, date.as_deref()));
        if !allowed.await? {
            return Err(Refusal::NotFound);
        }
        if audited && !own {
            tracing::info!(target: "audit", address = self.address, mailbox, path = self.path,
                "opened by another than the mailbox's owner");
        }
        Ok(())
    }
}

impl FromRequestParts<Shared> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let here = parts.uri.path_and_query().map(ToString::to_string);
        let here = here.filter(|_| parts.method == Method::GET);
        let back = || Refusal::SignIn(here.clone().unwrap_or_else(|| "/".to_owned()));
        let token = cookie(&parts.headers, name_of_session(&state.options)).and_then(Token::parse);
        let session = token.ok_or_else(back)?;
        let (sessions, digest) = (state.sessions.clone(), session.digest());
        let address = state.wait(move || sessions.address(&digest)).await??;
        let address = address.ok_or_else(back)?;
        let asked = address.clone();
        let reader = state.read(move |fs| fs.reader(&asked)).await?;
        let person = Self {
            is_admin: state.options.is_admin(&address),
            address,
            language: language_of(&parts.headers, &state.options),
            token: session.of_forms(),
            session,
            reader: reader.map(Arc::new),
            state: state.clone(),
            here: here.unwrap_or_else(|| "/".to_owned()),
            path: parts.uri.path().to_owned(),
        };
        if let Some(asking) = parts.extensions.get::<Asking>() {
            asking.is(person.language, &person.signed());
        }
        Ok(person)
    }
}

impl OptionalFromRequestParts<Shared> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Shared,
    ) -> Result<Option<Self>, Refusal> {
        match <Self as FromRequestParts<Shared>>::from_request_parts(parts, state).await {
            Ok(person) => Ok(Some(person)),
            Err(Refusal::SignIn(_)) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

/// Somebody who need not be signed in.
pub struct Visitor {
    pub language: Language,
    here: String,
}

impl Visitor {
    /// What is around pages for everybody.
    pub fn page(&self) -> Page {
        Page::new(self.language, None, self.here.clone())
    }
}

impl FromRequestParts<Shared> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Infallible> {
        let here = parts.uri.path_and_query().map(ToString::to_string);
        let here = here.filter(|_| parts.method == Method::GET);
        Ok(Self {
            language: language_of(&parts.headers, &state.options),
            here: here.unwrap_or_else(|| "/sign-in".to_owned()),
        })
    }
}

/// The name of the session's cookie: over TLS one that nobody but this very host can set.
pub(super) fn name_of_session(options: &Options) -> &'static str {
    match options.is_https() {
        true => "__Host-mailtm",
        false => "mailtm",
    }
}

/// The language that was chosen, else asked for by the browser, else configured.
pub(super) fn language_of(headers: &HeaderMap, options: &Options) -> Language {
    let chosen = cookie(headers, LANGUAGE).and_then(Language::named);
    let asked = || {
        let header = headers.get(header::ACCEPT_LANGUAGE)?;
        text::accepted(header.to_str().ok()?)
    };
    chosen.or_else(asked).unwrap_or(options.language)
}

/// A cookie of the request.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let all = all.filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}
