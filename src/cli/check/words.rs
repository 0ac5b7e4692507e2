//! Numbers and lists as people say them.

/// The first of many, and how many more there are.
pub fn list<'a>(items: impl Iterator<Item = &'a str>, most: usize) -> String {
    let items: Vec<&str> = items.collect();
    let shown = items.get(..most).unwrap_or(&items);
    and_more(shown, (items.len() - shown.len()) as u64)
}

/// Some, and how many more there are.
pub fn and_more(items: &[&str], more: u64) -> String {
    match more {
        0 => items.join(", "),
        more => format!("{} and {} more", items.join(", "), number(more)),
    }
}

/// With a comma between thousands.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things, each of which is called `one`.
pub fn things(count: u64, one: &str) -> String {
    let ending = match count {
        1 => "",
        _ if one.ends_with('x') => "es",
        _ => "s",
    };
    format!("{} {one}{ending}", number(count))
}

/// Seconds in the unit that people would say.
pub fn span(secs: i64) -> String {
    let (count, unit) = match secs {
        ..120 => (secs, "second"),
        120..7_200 => (secs / 60, "minute"),
        7_200..172_800 => (secs / 3_600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    things(count.unsigned_abs(), unit)
}

/// In the unit that people would say.
pub fn bytes(count: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..units.len() - 1)
        .find(|&step| count >> (10 * step) < 10_000)
        .unwrap_or(units.len() - 1);
    let unit = units.get(step).unwrap_or(&"bytes");
    format!("{} {unit}", number(count >> (10 * step)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(3_120), "3,120");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(bytes(9_999), "9,999 bytes");
        assert_eq!(bytes(10_000), "9 KiB");
        assert_eq!(bytes(u64::MAX), "16,777,215 TiB");
        assert_eq!(things(1, "date"), "1 date");
        assert_eq!(things(2, "mailbox"), "2 mailboxes");
        assert_eq!(span(1), "1 second");
        assert_eq!(span(7_199), "119 minutes");
        assert_eq!(span(86_400), "24 hours");
        assert_eq!(span(3 * 86_400), "3 days");
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(list(["a", "b"].into_iter(), 2), "a, b");
        assert_eq!(list(["a", "b", "c"].into_iter(), 1), "a and 2 more");
        assert_eq!(list([].into_iter(), 1), "");
    }
}
