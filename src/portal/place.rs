//! Where in the mail a page is, as its address says.
//!
//! ```text
//! /<page>/<mailbox>/<date or "deleted">[/<message>[/<part>]][/<folder>/<folder below>…]
//! ```
//!
//! Invariants: an address that is not exactly what [`Place::address`] and its like make leads nowhere (404): no `.` or `..`, no slash
//! or NUL hidden in a component, nothing overlong; what a place names need not exist, and may not be for the person, which
//! [`Place::enter`] asks before anything else is done. A handler that takes a [`Visit`] is run only for somebody who was let in.

use super::Shared;
use super::answer::Refusal;
use super::person::Person;
use crate::error::{Error, Kind};
use crate::fs::browse::When;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Longest component, and most components, of an address.
const LONGEST: usize = 1000;
const MOST: usize = 150;

/// What stands for [`When::Deleted`].
const DELETED: &str = "deleted";

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// A mailbox at some time, or a folder of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub mailbox: String,
    pub when: When,
    /// With slashes between the levels; empty: the whole mailbox.
    pub folder: String,
}

impl Place {
    /// Lets somebody into the mailbox.
    pub async fn enter(&self, person: &Person) -> Result<(), Refusal> {
        let date = match &self.when {
            When::Date(label) => Some(label.as_str()),
            When::Deleted => None,
        };
        person.enter(&self.mailbox, date).await
    }

    /// The label of the date, or what stands for what is gone.
    pub fn time(&self) -> &str {
        match &self.when {
            When::Date(label) => label,
            When::Deleted => DELETED,
        }
    }

    pub fn is_deleted(&self) -> bool {
        self.when == When::Deleted
    }

    /// The address of a page about this place.
    pub fn address(&self, page: &str) -> String {
        self.address_with(page, &[])
    }

    /// The address of a page about a message here.
    pub fn message(&self, page: &str, id: &str) -> String {
        self.address_with(page, &[id])
    }

    /// The address of a page about a part of a message here.
    pub fn part(&self, page: &str, id: &str, part: &str) -> String {
        self.address_with(page, &[id, part])
    }

    fn address_with(&self, page: &str, between: &[&str]) -> String {
        let mut address = format!("/{page}");
        let folders = self.folder.split('/').filter(|name| !name.is_empty());
        let place = [self.mailbox.as_str(), self.time()].into_iter();
        for component in place.chain(between.iter().copied()).chain(folders) {
            address.push('/');
            address.extend(utf8_percent_encode(component, PLAIN));
        }
        address
    }

    /// Another folder of the same mailbox at the same time.
    pub fn folder(&self, path: &str) -> Self {
        Self {
            folder: path.to_owned(),
            ..self.clone()
        }
    }

    /// The same folder at another time.
    pub fn at(&self, when: When) -> Self {
        Self {
            when,
            ..self.clone()
        }
    }
}

/// The address of a page about a mailbox.
pub fn of_mailbox(page: &str, mailbox: &str) -> String {
    format!("/{page}/{}", utf8_percent_encode(mailbox, PLAIN))
}

/// What a label in an address or a form means.
pub fn when(time: &str) -> When {
    match time {
        DELETED => When::Deleted,
        label => When::Date(label.to_owned()),
    }
}

/// The components of an address behind the name of the page.
pub struct Trail(Vec<String>);

impl Trail {
    fn of(path: &str) -> Option<Self> {
        let mut components = path.split('/').skip(2);
        let mut trail = Vec::new();
        for component in components.by_ref().take(MOST) {
            let decoded = percent_decode_str(component).decode_utf8().ok()?;
            let strange = |c: char| c == '/' || c.is_control();
            if decoded.len() > LONGEST
                || matches!(&*decoded, "" | "." | "..")
                || decoded.contains(strange)
            {
                return None;
            }
            trail.push(decoded.into_owned());
        }
        components.next().is_none().then_some(Self(trail))
    }

    fn get(&self, at: usize) -> Result<&str, Refusal> {
        self.0.get(at).map(String::as_str).ok_or(Refusal::NotFound)
    }

    /// The mailbox alone.
    pub fn mailbox(&self) -> Result<&str, Refusal> {
        match self.0.as_slice() {
            [mailbox] => Ok(mailbox),
            _ => Err(Refusal::NotFound),
        }
    }

    /// A place, with or without a folder.
    pub fn place(&self) -> Result<Place, Refusal> {
        self.place_behind(2)
    }

    /// A message's ID, and where it is.
    pub fn message(&self) -> Result<(Place, &str), Refusal> {
        Ok((self.folder_behind(3)?, self.get(2)?))
    }

    /// A message's ID, a part of it, and where it is.
    pub fn part(&self) -> Result<(Place, &str, &str), Refusal> {
        Ok((self.folder_behind(4)?, self.get(2)?, self.get(3)?))
    }

    fn folder_behind(&self, start: usize) -> Result<Place, Refusal> {
        let place = self.place_behind(start)?;
        match place.folder.is_empty() {
            true => Err(Refusal::NotFound),
            false => Ok(place),
        }
    }

    fn place_behind(&self, start: usize) -> Result<Place, Refusal> {
        Ok(Place {
            mailbox: self.get(0)?.to_owned(),
            when: when(self.get(1)?),
            folder: self.0.get(start..).ok_or(Refusal::NotFound)?.join("/"),
        })
    }
}

impl FromRequestParts<Shared> for Trail {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        Self::of(parts.uri.path()).ok_or(Refusal::NotFound)
    }
}

/// Somebody who was let in at what the address says: a [`Place`], a message, or a part of one.
pub struct Visit<At> {
    pub person: Person,
    pub at: At,
}

/// A message, by its ID.
pub struct Message {
    pub place: Place,
    pub id: String,
}

/// A part of a message, by its numbers.
pub struct Part {
    pub place: Place,
    pub id: String,
    pub part: String,
}

/// What an address can say that lies in a mailbox.
pub trait Spot: Sized {
    fn of(trail: &Trail) -> Result<Self, Refusal>;
    fn place(&self) -> &Place;
}

impl Spot for Place {
    fn of(trail: &Trail) -> Result<Self, Refusal> {
        trail.place()
    }

    fn place(&self) -> &Place {
        self
    }
}

impl Spot for Message {
    fn of(trail: &Trail) -> Result<Self, Refusal> {
        let (place, id) = trail.message()?;
        Ok(Self {
            place,
            id: id.to_owned(),
        })
    }

    fn place(&self) -> &Place {
        &self.place
    }
}

impl Spot for Part {
    fn of(trail: &Trail) -> Result<Self, Refusal> {
        let (place, id, part) = trail.part()?;
        Ok(Self {
            place,
            id: id.to_owned(),
            part: part.to_owned(),
        })
    }

    fn place(&self) -> &Place {
        &self.place
    }
}

impl<At: Spot + Send> FromRequestParts<Shared> for Visit<At> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let person = <Person as FromRequestParts<Shared>>::from_request_parts(parts, state).await?;
        let at = At::of(&Trail::from_request_parts(parts, state).await?)?;
        at.place().enter(&person).await?;
        Ok(Self { person, at })
    }
}

/// What a place names need not be there.
pub(super) fn gone() -> Error {
    Error::new(Kind::NotFound, "no such folder or message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back() {
        let place = Place {
            mailbox: "ann+x@a.example".into(),
            when: When::Date("2026-11-20".into()),
            folder: "Entwürfe & 100%/?#<script>".into(),
        };
        let address = place.address("list");
        assert_eq!(
            address,
            "/list/ann%2Bx@a.example/2026-11-20/Entw%C3%BCrfe%20%26%20100%25/%3F%23%3Cscript%3E"
        );
        assert_eq!(Trail::of(&address).unwrap().place().unwrap(), place);
        let trail = Trail::of(&place.part("attachment", "K7Q2M4XZ", "2.1")).unwrap();
        assert_eq!(trail.part().unwrap(), (place.clone(), "K7Q2M4XZ", "2.1"));
        let whole = place.folder("").at(When::Deleted);
        assert_eq!(
            Trail::of(&whole.address("folders"))
                .unwrap()
                .place()
                .unwrap(),
            whole
        );
        assert!(
            Trail::of(&whole.message("message", "X"))
                .unwrap()
                .message()
                .is_err()
        );
        assert_eq!(
            Trail::of("/calendar/ann").unwrap().mailbox().unwrap(),
            "ann"
        );
    }

    #[test]
    fn tricks_lead_nowhere() {
        for path in [
            "/list/a/../b",
            "/list/a/./b",
            "/list/a/%2e%2e/b",
            "/list/a/b%2fc",
            "/list/a/b%00",
            "/list/a//b",
            "/list/a/",
            "/list/",
            "/list/a/%ff",
            "/list/a/%0a",
            &format!("/list/{}", "a".repeat(1001)),
            &format!("/list{}", "/a".repeat(151)),
        ] {
            assert!(Trail::of(path).is_none(), "{path}");
        }
        assert!(Trail::of("/calendar/a/b").unwrap().mailbox().is_err());
        assert!(Trail::of("/list/a").unwrap().place().is_err());
    }
}
