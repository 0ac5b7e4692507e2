//! What people send: fields of forms and of addresses, and whether a form is one of ours.
//!
//! A POST is believed only if the browser says that it comes from a page of ours (`Sec-Fetch-Site`, `Origin`), as far as
//! it says anything; and, of somebody who is signed in, only with the token of his session in the field `token`. It takes up memory
//! as long as it is looked at: a long one counts against the budget of its sender, and visitors send none.

use super::answer::Refusal;
use super::budget::Share;
use super::person::Person;
use super::{Options, Shared};
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, Uri, header};
use hyper::body::Body as HttpBody;
use std::time::Duration;

/// Longest form, in bytes, and most fields of it: ten thousand messages are chosen by their IDs in less.
const LONGEST: usize = 1 << 20;
const MOST: usize = 10_100;

/// Longest form of somebody who need not be signed in.
const LONGEST_OF_VISITORS: usize = 16 << 10;

/// How many times the length of a form is taken up by it.
const TIMES: u64 = 4;

/// A form that takes longer is not waited for.
const SENDING: Duration = Duration::from_secs(20);

/// Fields by name, in the order in which they were sent; the same name may be there several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Those behind the `?` of an address.
    pub fn of(uri: &Uri) -> Self {
        Self::parse(uri.query().unwrap_or_default().as_bytes())
    }

    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// Those of a form; `None` if there are too many: a field takes up far more than the two bytes it is sent in.
    fn of_form(bytes: &[u8]) -> Option<Self> {
        let separators = bytes.iter().filter(|b| **b == b'&').count();
        (separators < MOST).then(|| Self::parse(bytes))
    }

    /// The first field of this name; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// A form from a page of ours, of somebody who need not be signed in.
pub struct Sent(pub Fields);

impl FromRequest<Shared> for Sent {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Refusal> {
        sent(request, state, LONGEST_OF_VISITORS).await.map(Self)
    }
}

/// The fields of a form from a page of ours.
async fn sent(request: Request, state: &Shared, longest: usize) -> Result<Fields, Refusal> {
    if !is_ours(request.headers(), &state.options) {
        return Err(Refusal::Forged);
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(Refusal::Senseless);
    }
    let body = to_bytes(request.into_body(), longest);
    match tokio::time::timeout(SENDING, body).await {
        Ok(Ok(bytes)) => Fields::of_form(&bytes).ok_or(Refusal::Senseless),
        _ => Err(Refusal::Senseless),
    }
}

/// A form from a page of this session.
pub struct Posted {
    pub person: Person,
    pub fields: Fields,
    /// Of the memory that it takes up.
    _share: Share,
}

impl FromRequest<Shared> for Posted {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let person =
            <Person as FromRequestParts<Shared>>::from_request_parts(&mut parts, state).await?;
        // What is not said to be shorter may be as long as a form can be.
        let length = HttpBody::size_hint(&body).exact().unwrap_or(u64::MAX);
        let length = length.min(LONGEST as u64);
        let share = state.budget.take(&person.address, TIMES * length);
        let share = share.ok_or(Refusal::Busy)?;
        let request = Request::from_parts(parts, body);
        let fields = sent(request, state, LONGEST).await?;
        if !same(fields.get("token").as_bytes(), person.token.as_bytes()) {
            return Err(Refusal::Forged);
        }
        Ok(Self {
            person,
            fields,
            _share: share,
        })
    }
}

/// Compares in a time that tells nothing about where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

/// Whether nothing says that this comes from a page of another site.
fn is_ours(headers: &HeaderMap, options: &Options) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin")
    {
        return false;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return true;
    };
    let configured = options.url.as_deref().is_some_and(|url| {
        let rest = url.strip_prefix(origin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let host = text(header::HOST).unwrap_or_default();
    let bare = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    configured || bare.is_some_and(|bare| !bare.is_empty() && bare == host)
}

/// Where to go back to, if it is a page of ours.
pub fn back(fields: &Fields) -> &str {
    let path = fields.get("back");
    let ours = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= 2000
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if ours { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_as_browsers_send_them() {
        let fields = Fields::parse(b"id=a&id=b+c&x=%C3%A4%00&=&y");
        assert_eq!(fields.all("id").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(fields.get("x"), "ä\0");
        assert_eq!(fields.get("none"), "");
    }

    #[test]
    fn a_form_of_too_many_fields_is_none() {
        let of = |fields: usize| Fields::of_form("a&".repeat(fields - 1).as_bytes());
        assert_eq!(of(MOST).map(|fields| fields.0.len()), Some(MOST - 1));
        assert_eq!(of(MOST + 1), None);
    }

    #[test]
    fn back_leads_nowhere_else() {
        let to = |path: &str| back(&Fields(vec![("back".into(), path.into())])).to_owned();
        assert_eq!(to("/a/b?c=%20"), "/a/b?c=%20");
        for elsewhere in [
            "",
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nSet-Cookie: x",
            "javascript:alert(1)",
            "/ä",
        ] {
            assert_eq!(to(elsewhere), "/", "{elsewhere}");
        }
    }

    #[test]
    fn the_same_is_the_same() {
        assert!(same(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(b"abc", other));
        }
    }
}
