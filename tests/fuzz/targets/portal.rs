//! What the portal shows of mail.

use super::text;
use mailtm::portal::letter::{Letter, Parts, html};

/// Elements that would run something, fetch it, or send something away.
const HARMFUL: [&str; 8] = [
    "script", "iframe", "object", "embed", "form", "meta", "link", "base",
];

pub fn letter(input: &[u8]) {
    let letter = Letter::of(input);
    assert!(
        letter
            .attachments
            .iter()
            .all(|a| mailtm::view::name::is_safe(&a.name)),
        "{letter:?}"
    );
    let Some(parts) = Parts::of(input) else {
        return;
    };
    for attachment in &letter.attachments {
        let _ = parts.take(attachment.number);
    }
    if let Some(clean) = parts.clean_html(false) {
        assert_harmless(&clean, false);
    }
}

/// Fails if a cleaned document has an element or an attribute that does anything, but for pictures if those may come from
/// elsewhere.
fn assert_harmless(clean: &str, remote: bool) {
    // The head is ours. In text and in attributes `<` and `>` are written otherwise.
    let body = clean.split_once("<body").map_or("", |(_, body)| body);
    for tag in body
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
    {
        let mut pieces = tag.split('"');
        let mut name = pieces.next().unwrap();
        let element = name.split(' ').next().unwrap();
        assert!(!HARMFUL.contains(&element), "{clean}");
        // What is between quotes is a value, and what is before it the name of the attribute.
        while let (Some(value), Some(next)) = (pieces.next(), pieces.next()) {
            let attribute = name.rsplit(' ').next().unwrap().trim_end_matches('=');
            let value = value.to_ascii_lowercase();
            let begins = |schemes: &[&str]| schemes.iter().any(|scheme| value.starts_with(scheme));
            match attribute {
                "src" => assert!(
                    begins(&["data:image/"]) || remote && begins(&["http"]),
                    "{clean}"
                ),
                "href" => assert!(
                    begins(&["http", "mailto"]) || !value.contains(':'),
                    "{clean}"
                ),
                "style" => assert!(
                    !value.contains("url(") && !value.contains("expression"),
                    "{clean}"
                ),
                _ => assert!(!attribute.starts_with("on"), "{clean}"),
            }
            name = next;
        }
    }
}

pub fn letter_html(input: &[u8]) {
    let whole = text(input);
    let clean = html::clean(&whole, false, html::Pictures::default());
    assert_harmless(&clean, false);
    assert_harmless(&html::clean(&whole, true, html::Pictures::default()), true);
    let _ = html::as_text(&whole);
}
