//! The languages that mailtm speaks to those whose mail it is, and in letters to administrators; its logs and commands speak
//! English.

use chrono::{Datelike, NaiveDate};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    English,
    Italian,
}

const GIORNI: [&str; 7] = [
    "lunedì",
    "martedì",
    "mercoledì",
    "giovedì",
    "venerdì",
    "sabato",
    "domenica",
];
const MESI: [&str; 12] = [
    "gennaio",
    "febbraio",
    "marzo",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "agosto",
    "settembre",
    "ottobre",
    "novembre",
    "dicembre",
];

impl Language {
    /// As BCP 47 and the configuration call it.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Italian => "it",
        }
    }

    /// The language of such a code.
    pub fn named(code: &str) -> Option<Self> {
        let all = [Self::English, Self::Italian];
        all.into_iter().find(|language| language.code() == code)
    }

    /// Weekday, day, month and year, as a letter has them.
    pub fn day(self, day: NaiveDate) -> String {
        match self {
            Self::English => day.format("%A %-d %B %Y").to_string(),
            Self::Italian => {
                let weekday = GIORNI.get(day.weekday().num_days_from_monday() as usize);
                let month = MESI.get(day.month0() as usize);
                let (weekday, month) = (weekday.unwrap_or(&""), month.unwrap_or(&""));
                format!("{weekday} {} {month} {}", day.day(), day.year())
            }
        }
    }
}
