//! Names that are shown, and names of folders as stores keep them.

use super::{text, two};
use mailtm::store::folder_name;
use mailtm::time::Zone;
use mailtm::view::name;

pub fn names(input: &[u8]) {
    let (sender, subject) = two(input);
    let id = name::id(input, name::ID_CHARS);
    let time = Zone::parse("Europe/Rome")
        .unwrap()
        .local(input.len() as i64 * 12_345_678);
    let message = name::message_name(time, &text(sender), &text(subject), &id);
    assert_eq!(name::id_in(&message), Some(id.as_str()), "{message:?}");
    let whole = text(input);
    for made in [
        message,
        name::store_name(input),
        name::store_name_with_id(input, 16),
        name::component(&whole),
        name::component_with_id(&whole, 16),
        name::component(&whole) + ".mbox",
    ] {
        assert!(name::is_safe(&made), "{made:?}");
        assert!(
            made.len() <= 240 && made.encode_utf16().count() <= 120,
            "{made:?}"
        );
    }
    // One safe name leaves another one as it is.
    let once = name::component(&whole);
    assert_eq!(name::component(&once), once);
    let _ = name::fold(&whole);
}

pub fn folder_names(input: &[u8]) {
    let decoded = folder_name::decode(input);
    if input.is_ascii() && folder_name::encode(&decoded) != input {
        // Not modified UTF-7: shown as it stands.
        assert_eq!(decoded.as_bytes(), input);
    }
    let whole = text(input);
    assert_eq!(folder_name::decode(&folder_name::encode(&whole)), whole);
}
