//! Names that are safe on every file server's client, made from text that anybody may have sent.
//!
//! Invariants, for every name made here: NFC; at most [`MAX_UNITS`] UTF-16 units and [`MAX_BYTES`] bytes; none of
//! `< > : " / \ | ? *`, no control character, no mark that changes the direction of text; no dot or space at the
//! end; no device name of Windows. It depends on the thing named alone; whether two names would clash is for
//! the caller to see ([`fold`]), who then asks for a longer ID. The time is linear.
//!
//! The cast: [`message_name`] and [`store_name`] for messages, [`component`] for folders and mailboxes, [`id`] for
//! what tells two of them apart.

use chrono::{Datelike, NaiveDateTime, Timelike};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Longest name, in UTF-16 units: paths on Windows are short.
pub const MAX_UNITS: usize = 120;

/// Longest name, in bytes: what a file system or a copy of it can take, with room for a suffix.
pub const MAX_BYTES: usize = 240;

/// Longest sender in a message's name, in UTF-16 units.
const SENDER_UNITS: usize = 40;

/// Characters of an ID where nothing clashes.
pub const ID_CHARS: usize = 8;

/// Most characters of an ID: those of a whole hash.
pub const MAX_ID_CHARS: usize = 52;

const CUT: &str = "…";

/// What is longer behind a dot is no extension.
const MAX_EXTENSION: usize = 16;

/// A message's name: `YYYY-MM-DD HHMM Sender - Subject (ID).eml`, of its local received time.
///
/// An empty sender is `unknown`, an empty subject `no subject`. `id` is one made by [`id`].
pub fn message_name(local: NaiveDateTime, sender: &str, subject: &str, id: &str) -> String {
    let mut name = format!(
        "{:04}-{:02}-{:02} {:02}{:02} ",
        local.year().clamp(0, 9999),
        local.month(),
        local.day(),
        local.hour(),
        local.minute()
    );
    let or = |text: String, otherwise: &str| match text.is_empty() {
        true => otherwise.to_owned(),
        false => text,
    };
    let sender = or(folded(sender), "unknown");
    name.push_str(&Room::of(SENDER_UNITS, MAX_BYTES).fit(&sender));
    name.push_str(" - ");
    let end = format!(" ({id}).eml");
    let subject = or(folded(subject), "no subject");
    name.push_str(&Room::beside(&[&name, &end]).fit(&subject));
    name + &end
}

/// The ID in a name that [`message_name`] made.
pub fn id_in(name: &str) -> Option<&str> {
    // An ID has no space in it; to look for that one character is what is quick.
    let (_, id) = name.strip_suffix(").eml")?.rsplit_once(' ')?;
    id.strip_prefix('(')
}

/// A message's name with an ID of so many characters, in place of the one it has, if any: for one that would clash.
pub fn with_id(name: &str, identity: &[u8], chars: usize) -> String {
    let stem = name.strip_suffix(".eml").unwrap_or(name);
    let end = format!(" ({}).eml", id(identity, chars));
    let has_id = |id: &str| id.len() >= ID_CHARS && id.len() <= MAX_ID_CHARS;
    let stem = match id_in(name).filter(|id| has_id(id)) {
        Some(id) => stem.get(..stem.len() - id.len() - 3).unwrap_or(stem),
        None => stem,
    };
    Room::beside(&[&end]).fit(stem) + &end
}

/// Name of a message by its store name: `<store name>.eml`; with an ID if the store name can't stand as it is.
pub fn store_name(store: &[u8]) -> String {
    stored(store, None)
}

/// The same with an ID of so many characters, for one that would clash.
pub fn store_name_with_id(store: &[u8], chars: usize) -> String {
    stored(store, Some(chars))
}

fn stored(store: &[u8], chars: Option<usize>) -> String {
    const END: &str = ".eml";
    let text = String::from_utf8_lossy(store).replace(char::REPLACEMENT_CHARACTER, "_");
    let mut safe = clean(text.nfc());
    if safe.is_empty() {
        safe.push('_');
    }
    if is_device(&safe) {
        safe.insert(0, '_');
    }
    let changed = safe.as_bytes() != store || Room::beside(&[END]).fit(&safe) != safe;
    match chars.or(changed.then_some(ID_CHARS)) {
        None => safe + END,
        Some(chars) => {
            let end = format!(" ({}){END}", id(store, chars));
            Room::beside(&[&end]).fit(&safe) + &end
        }
    }
}

/// Name of a folder or a mailbox, with room for the `.mbox` of the file beside it. One that is cut ends in an ID, so
/// that two that start alike stay two.
pub fn component(original: &str) -> String {
    named(original, None)
}

/// The same with an ID of so many characters, for one that would clash.
pub fn component_with_id(original: &str, chars: usize) -> String {
    named(original, Some(chars))
}

/// Name of a file that is given away by itself: as [`component`], and one that is cut keeps its extension.
pub fn file(original: &str) -> String {
    let whole = component(original);
    let Some((stem, extension)) = original.trim_end().rsplit_once('.') else {
        return whole;
    };
    let is_one = (1..=MAX_EXTENSION).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    // One that is cut ends in an ID.
    if !is_one || !whole.ends_with(')') {
        return whole;
    }
    let end = format!(" ({}).{extension}", id(original.as_bytes(), ID_CHARS));
    let mut stem = clean(stem.nfc());
    if is_device(&stem) {
        stem.insert(0, '_');
    }
    Room::beside(&[&end]).fit(&stem) + &end
}

fn named(original: &str, chars: Option<usize>) -> String {
    const BESIDE: &str = ".mbox";
    let mut safe = clean(original.nfc());
    if matches!(safe.as_str(), "" | "." | "..") {
        safe = "_".to_owned();
    }
    let kept = safe.trim_end_matches(['.', ' ']).len();
    let marks = "_".repeat(safe.len() - kept);
    safe.replace_range(kept.., &marks);
    if is_device(&safe) {
        safe.insert(0, '_');
    }
    let cut = Room::beside(&[BESIDE]).fit(&safe) != safe;
    match chars.or(cut.then_some(ID_CHARS)) {
        None => safe,
        Some(chars) => {
            let end = format!(" ({})", id(original.as_bytes(), chars));
            Room::beside(&[&end, BESIDE]).fit(&safe) + &end
        }
    }
}

/// The first characters of a hash of an identity, in Crockford's base32; 1 to [`MAX_ID_CHARS`] of them.
pub fn id(identity: &[u8], chars: usize) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let hash = Sha256::digest(identity);
    let (mut bits, mut count) = (0u32, 0);
    let mut bytes = hash.iter().copied().chain([0]);
    (0..chars.clamp(1, MAX_ID_CHARS))
        .map(|_| {
            if count < 5 {
                bits = bits << 8 | u32::from(bytes.next().unwrap_or_default());
                count += 8;
            }
            count -= 5;
            char::from(DIGITS[(bits >> count) as usize % DIGITS.len()])
        })
        .collect()
}

/// What the first [`ID_CHARS`] characters of an ID are made of.
pub fn short_id(identity: &[u8]) -> [u8; 5 * ID_CHARS / 8] {
    let hash = Sha256::digest(identity);
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}

/// The key under which two names are the same to a client that ignores case and ways of writing a character.
pub fn fold(name: &str) -> String {
    name.nfd()
        // A capital sharp s alone is its own capital.
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfc()
        .collect()
}

/// Whether a name keeps all the rules for names.
pub fn is_safe(name: &str) -> bool {
    let forbidden = |c: char| {
        matches!(c,
            '\0'..='\x1f' | '\x7f'..='\u{9f}'
            | '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*'
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end_matches(' ').to_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|device| {
        let number = stem.strip_prefix(device).unwrap_or_default();
        number.chars().count() == 1 && number.chars().all(|c| "0123456789¹²³".contains(c))
    });
    let device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str());
    !name.is_empty()
        && name.encode_utf16().count() <= 120
        && name.len() <= 240
        && !name.contains(forbidden)
        && !name.ends_with(['.', ' '])
        && !numbered
        && !device
        && unicode_normalization::is_nfc(name)
}

/// A name that no file may have on Windows, with or without an extension.
fn is_device(name: &str) -> bool {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let stem = stem.trim_end_matches(' ');
    let is = |device: &str| stem.eq_ignore_ascii_case(device);
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
        .into_iter()
        .any(is)
    {
        return true;
    }
    let numbered = |device: &str| {
        let (start, number) = stem.split_at_checked(device.len())?;
        let mut number = number.chars();
        let digit = matches!(number.next()?, '0'..='9' | '¹' | '²' | '³');
        Some(start.eq_ignore_ascii_case(device) && digit && number.next().is_none())
    };
    numbered("COM") == Some(true) || numbered("LPT") == Some(true)
}

/// So many characters of a text are looked at that what is left off would not have fitted anyway.
const ENOUGH: usize = 2 * MAX_UNITS;

/// Text with its white space folded and trimmed, and everything else that may not stand in a name as `_`; its first
/// [`ENOUGH`] characters.
fn folded(text: &str) -> String {
    let mut blank = false;
    let mut started = false;
    let words = text.nfc().flat_map(|c| {
        if c.is_whitespace() {
            blank = started;
            return [None, None];
        }
        started = true;
        let space = std::mem::take(&mut blank).then_some(' ');
        [space, Some(c)]
    });
    clean(words.flatten())
}

/// The first [`ENOUGH`] characters, with `_` for those that may not stand in a name.
fn clean(text: impl Iterator<Item = char>) -> String {
    text.take(ENOUGH)
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect()
}

fn is_allowed(c: char) -> bool {
    let reserved = r#"<>:"/\|?*"#.contains(c);
    let line_end = matches!(c, '\u{2028}' | '\u{2029}');
    let direction = matches!(
        c,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
    );
    !reserved && !c.is_control() && !line_end && !direction
}

/// Room for a part of a name.
#[derive(Clone, Copy)]
struct Room {
    units: usize,
    bytes: usize,
}

impl Room {
    fn of(units: usize, bytes: usize) -> Self {
        Self { units, bytes }
    }

    /// What the other parts of a name leave.
    fn beside(parts: &[&str]) -> Self {
        let units: usize = parts.iter().map(|part| part.encode_utf16().count()).sum();
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        Self::of(
            MAX_UNITS.saturating_sub(units),
            MAX_BYTES.saturating_sub(bytes),
        )
    }

    fn holds(&self, text: &str) -> bool {
        text.len() <= self.bytes && text.encode_utf16().count() <= self.units
    }

    /// The text if there is room for it, else as many of its graphemes as there is room for, and `…`.
    fn fit(&self, text: &str) -> String {
        if self.holds(text) {
            return text.to_owned();
        }
        let (mut units, mut bytes) = (CUT.encode_utf16().count(), CUT.len());
        let mut end = 0;
        for (at, grapheme) in text.grapheme_indices(true) {
            units += grapheme.encode_utf16().count();
            bytes += grapheme.len();
            if units > self.units || bytes > self.bytes {
                break;
            }
            end = at + grapheme.len();
        }
        format!("{}{CUT}", &text[..end])
    }
}

#[cfg(test)]
mod tests;
