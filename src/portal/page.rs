//! What every page has around it: `templates/layout.html`.

use super::assets;
use super::text::{Shell, fill};
use crate::language::Language;

/// What the layout shows. A page's template has one of these as its field `page`.
#[derive(Clone, Debug)]
pub struct Page {
    pub language: Language,
    pub text: &'static Shell,
    /// `None`: nobody is signed in.
    pub person: Option<Signed>,
    /// The path and query of this page, to come back to.
    pub here: String,
}

/// Who is signed in.
#[derive(Clone, Debug)]
pub struct Signed {
    pub address: String,
    pub is_admin: bool,
    /// For the field `token` of every form.
    pub token: String,
}

impl Page {
    pub fn new(language: Language, person: Option<Signed>, here: String) -> Self {
        Self {
            language,
            text: Shell::of(language),
            person,
            here,
        }
    }

    /// For the field `token` of every form.
    pub fn token(&self) -> &str {
        self.person
            .as_ref()
            .map_or("", |person| person.token.as_str())
    }

    /// Who is signed in, in a sentence; empty if nobody is.
    pub fn signed_in_as(&self) -> String {
        let person = self.person.as_ref();
        person.map_or_else(String::new, |person| {
            fill(self.text.signed_in_as, &[&person.address])
        })
    }

    /// The address of an asset.
    pub fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    /// The language to be switched to.
    pub fn other(&self) -> Language {
        match self.language {
            Language::English => Language::Italian,
            Language::Italian => Language::English,
        }
    }
}
