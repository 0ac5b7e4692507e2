//! The words that a text is searched by.
//!
//! People do not remember capitals, accents or how a name was spelt in full width; so text is reduced to words of plain
//! letters and digits, and what is searched for is reduced in the same way. White space and punctuation end a word. Scripts
//! that are written without spaces (Chinese, Japanese, Thai, …) and pictographs give a word for each character, so that
//! any part of a sentence is found as a sequence of words.
//!
//! Invariants: a word has letters, digits or pictographs alone, so it means nothing to a query language; at most
//! [`WORD_CAP`] characters; the time is linear.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest word, in characters; the rest is left off.
pub const WORD_CAP: usize = 64;

/// Appends the words of a text, each behind a space unless `out` is empty.
pub fn append(text: &str, out: &mut String) {
    let mut length = 0;
    let letters = text
        .nfkd()
        .filter(|&c| !is_combining_mark(c) || stands_alone(c))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfc();
    for letter in letters {
        if !(letter.is_alphanumeric() || stands_alone(letter)) {
            length = 0;
            continue;
        }
        if stands_alone(letter) {
            length = 0;
        }
        if length == 0 && !out.is_empty() {
            out.push(' ');
        }
        if length < WORD_CAP {
            plain(letter, out);
        }
        length = if stands_alone(letter) { 0 } else { length + 1 };
    }
}

/// The words of a text.
pub fn of(text: &str) -> Vec<String> {
    let mut words = String::new();
    append(text, &mut words);
    words.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Letters that have no decomposition and that people type without their stroke.
fn plain(letter: char, out: &mut String) {
    match letter {
        'ø' => out.push('o'),
        'đ' | 'ð' => out.push('d'),
        'ł' => out.push('l'),
        'ħ' => out.push('h'),
        'ı' => out.push('i'),
        'æ' => out.push_str("ae"),
        'œ' => out.push_str("oe"),
        'þ' => out.push_str("th"),
        'ς' => out.push('σ'),
        letter => out.push(letter),
    }
}

/// Whether a character is a word by itself.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' // Burmese, Khmer
        | '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}' // pictographs
        | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        of(text).join("|")
    }

    #[test]
    fn capitals_accents_and_punctuation_do_not_matter() {
        assert_eq!(joined("  Città: È QUI!  "), "citta|e|qui");
        assert_eq!(joined("Straße STRASSE"), "strasse|strasse");
        assert_eq!(joined("Łódź Ærø Ｆｕｌｌ ﬁne"), "lodz|aero|full|fine");
        assert_eq!(joined("bob.rossi@example.com"), "bob|rossi|example|com");
        assert_eq!(joined("ΟΔΥΣΣΕΥΣ Ὀδυσσεύς"), "οδυσσευσ|οδυσσευσ");
        assert_eq!(joined("İstanbul Diyarbakır"), "istanbul|diyarbakir");
        assert_eq!(joined("e\u{301}te\u{301} été"), "ete|ete");
    }

    #[test]
    fn scripts_without_spaces_give_a_word_for_each_character() {
        assert_eq!(joined("会議の資料2026"), "会|議|の|資|料|2026");
        assert_eq!(joined("ガイド"), "ガ|イ|ド");
        assert_eq!(joined("회의 자료"), "회의|자료");
        assert_eq!(joined("party🎉now"), "party|🎉|now");
    }

    #[test]
    fn nothing_of_a_query_language_is_left() {
        let text = "\" OR * NEAR(a b) -c ^d {e f}:g 'h' ; \0 \u{1b}[31m\u{202e}";
        for word in of(text) {
            assert!(word.chars().all(char::is_alphanumeric), "{word:?}");
        }
        assert!(of("--- \"*\" …").is_empty());
    }

    #[test]
    fn long_words_are_cut() {
        let words = of(&"x".repeat(1_000_000));
        assert_eq!(words, ["x".repeat(WORD_CAP)]);
    }
}
