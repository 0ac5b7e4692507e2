//! Text for a terminal: nothing in it moves the cursor, and columns are in line whatever the script.

use std::io::IsTerminal;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

const CUT: &str = "…";

/// Text from outside, fit for a terminal: what would move the cursor or turn the reading direction is escaped.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same in one line: white space is folded.
pub fn printable_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    printable(&words.join(" "))
}

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text in exactly so many columns: cut, or with blanks behind it.
pub fn fit(text: &str, columns: usize) -> String {
    let mut fitted = String::new();
    let mut used = 0;
    if width(text) > columns {
        let room = columns.saturating_sub(width(CUT));
        for grapheme in text.graphemes(true) {
            if used + width(grapheme) > room {
                break;
            }
            used += width(grapheme);
            fitted.push_str(grapheme);
        }
        if columns > 0 {
            fitted.push_str(CUT);
            used += width(CUT);
        }
    } else {
        fitted.push_str(text);
        used = width(text);
    }
    fitted.push_str(&" ".repeat(columns.saturating_sub(used)));
    fitted
}

/// The columns of the terminal that standard output is; `None` if it is none.
pub fn columns() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_move_no_cursor() {
        assert_eq!(
            printable("a\x1b[2J\n\u{202e}é\\"),
            "a\\u{1b}[2J\\n\\u{202e}é\\"
        );
        assert_eq!(printable_line(" a\r\n\t b\u{9b}1m "), "a b\\u{9b}1m");
    }

    #[test]
    fn columns_are_in_line() {
        for text in [
            "",
            "short",
            "会議資料会議資料",
            "e\u{301}e\u{301}e\u{301}",
            "👩‍👩‍👧 family",
            "a\u{300}",
        ] {
            for columns in 0..12 {
                assert_eq!(width(&fit(text, columns)), columns, "{text:?} in {columns}");
            }
        }
        assert_eq!(fit("会議資料", 6), "会議… ");
        assert_eq!(fit("Preventivo", 10), "Preventivo");
        assert_eq!(fit("Preventivo", 5), "Prev…");
    }
}
