//! Every word that people read, in every language, side by side. No page has words of its own.
//!
//! One table for each group of pages. A text with something to be filled in has `{}` there, in order; [`fill`] does that.

mod reading;
mod requests;
mod shell;

pub use reading::Reading;
pub use requests::Requests;
pub use shell::Shell;

use crate::language::Language;

/// A table of texts: `name: "English", "italiano";` makes a struct with these names, and one of it in each language.
macro_rules! texts {
    ($(#[$doc:meta])* $table:ident { $($name:ident: $english:expr, $italian:expr;)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $table {
            $(pub $name: &'static str,)*
        }

        impl $table {
            pub fn of(language: $crate::language::Language) -> &'static Self {
                static ENGLISH: $table = $table { $($name: $english,)* };
                static ITALIAN: $table = $table { $($name: $italian,)* };
                match language {
                    $crate::language::Language::English => &ENGLISH,
                    $crate::language::Language::Italian => &ITALIAN,
                }
            }

            /// All texts of a language, each with its name.
            #[cfg(test)]
            pub fn all(language: $crate::language::Language) -> Vec<(&'static str, &'static str)> {
                let table = Self::of(language);
                vec![$((stringify!($name), table.$name),)*]
            }
        }
    };
}
pub(crate) use texts;

/// Puts values where a text has `{}`.
pub fn fill(text: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        if let Some(value) = values.next() {
            filled.push_str(&value.to_string());
        }
        filled.push_str(part);
    }
    filled
}

/// The language that a browser asks for (`Accept-Language`), among those there are.
pub fn accepted(header: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for item in header.split(',').take(50) {
        let mut parts = item.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let quality = parts
            .find_map(|part| part.trim().strip_prefix("q="))
            .map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        let main = tag.split('-').next().unwrap_or_default();
        let language = Language::named(&main.to_ascii_lowercase());
        if let Some(language) = language
            && quality > 0.0
            && best.is_none_or(|(before, _)| quality > before)
        {
            best = Some((quality, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_as_browsers_ask() {
        for (header, language) in [
            ("it-IT,it;q=0.9,en;q=0.8", Some(Language::Italian)),
            ("de,en-GB;q=0.7,it;q=0.3", Some(Language::English)),
            ("IT", Some(Language::Italian)),
            ("en;q=0,it;q=0.1", Some(Language::Italian)),
            ("de, *", None),
            ("", None),
            (";;q=,,=", None),
        ] {
            assert_eq!(accepted(header), language, "{header}");
        }
    }

    #[test]
    fn filled_in_order() {
        assert_eq!(fill("{} of {}", &[&1, &"{}"]), "1 of {}");
        assert_eq!(fill("{}{}", &[&1]), "1");
        assert_eq!(fill("none", &[&1]), "none");
    }

    #[test]
    fn both_languages_leave_the_same_room() {
        let places = |text: &str| text.matches("{}").count();
        let tables = [Shell::all, Reading::all, Requests::all];
        let both = tables.iter().flat_map(|all| {
            let both = all(Language::English).into_iter();
            both.zip(all(Language::Italian))
        });
        for ((name, english), (_, italian)) in both {
            assert_eq!(places(english), places(italian), "{name}");
            assert!(!english.is_empty() && !italian.is_empty(), "{name}");
        }
    }
}
