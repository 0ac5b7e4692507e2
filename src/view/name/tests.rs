//! Tests of `name`.

use super::*;
use chrono::NaiveDate;
use proptest::prelude::*;

fn local() -> NaiveDateTime {
    let date = NaiveDate::from_ymd_opt(2026, 11, 19).unwrap();
    date.and_hms_opt(9, 32, 59).unwrap()
}

fn named(sender: &str, subject: &str) -> String {
    message_name(local(), sender, subject, "K7Q2M4XZ")
}

#[test]
fn messages() {
    assert_eq!(
        named("Bob Rossi", "Preventivo"),
        "2026-11-19 0932 Bob Rossi - Preventivo (K7Q2M4XZ).eml"
    );
    assert_eq!(
        named("", " \u{2028}\t"),
        "2026-11-19 0932 unknown - no subject (K7Q2M4XZ).eml"
    );
    assert_eq!(
        named("\tA\u{a0}\r\n B\u{85}C\u{3000}", "x\u{2028}\u{2029}y\u{b}z"),
        "2026-11-19 0932 A B C - x y z (K7Q2M4XZ).eml"
    );
    assert_eq!(
        named(
            "a/b\\c",
            "<>:\"|?*\0\x1b\u{7f}\u{9c}\u{202e}\u{2069}\u{200f}\u{61c}."
        ),
        "2026-11-19 0932 a_b_c - ______________. (K7Q2M4XZ).eml"
            .replace("______________", &"_".repeat(15))
    );
    assert_eq!(
        named("e\u{301}", "fu\u{308}r"),
        "2026-11-19 0932 \u{e9} - f\u{fc}r (K7Q2M4XZ).eml"
    );
}

#[test]
fn a_file_that_is_cut_keeps_its_extension() {
    for kept in [
        "a.pdf",
        "Grüße.tar.gz",
        "no extension",
        "a. b",
        "x.(1)",
        "..",
    ] {
        assert_eq!(file(kept), component(kept), "{kept}");
    }
    for stem in ["a", "ü ", "😀", "CON.a", "e\u{301}", ".", "a. "] {
        let long = format!("{}{}.docx", &stem, stem.repeat(400));
        let name = file(&long);
        assert!(name.ends_with(").docx") && is_safe(&name), "{name}");
        assert_ne!(name, file(&format!("x{long}")));
    }
    let none = format!("{}.{}", "a".repeat(400), "b".repeat(17));
    assert_eq!(file(&none), component(&none));
}

#[test]
fn a_sender_is_cut_at_40_units() {
    let sender = |text: &str| {
        let name = named(text, "x");
        name["2026-11-19 0932 ".len()..]
            .split(" - ")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(sender(&"s".repeat(40)), "s".repeat(40));
    assert_eq!(sender(&"s".repeat(41)), "s".repeat(39) + "…");
    // Two units each.
    assert_eq!(sender(&"😀".repeat(20)), "😀".repeat(20));
    assert_eq!(sender(&"😀".repeat(21)), "😀".repeat(19) + "…");
    // A family of 11 units is one grapheme.
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    assert_eq!(sender(&family.repeat(4)), family.repeat(3) + "…");
}

#[test]
fn a_subject_is_cut_where_the_name_gets_too_long() {
    let name = named("Bob", &"x".repeat(200));
    assert_eq!(name.len() - "…".len() + 1, MAX_UNITS);
    assert!(name.ends_with("xx… (K7Q2M4XZ).eml"));
    let room = MAX_UNITS - "2026-11-19 0932 Bob -  (K7Q2M4XZ).eml".len();
    assert!(named("Bob", &"x".repeat(room)).ends_with("xx (K7Q2M4XZ).eml"));
    // Here the bytes are what counts.
    let name = named(&"漢".repeat(50), &"字".repeat(50));
    assert!(name.len() <= MAX_BYTES && name.len() > MAX_BYTES - 3 && is_safe(&name));
}

#[test]
fn an_id_of_any_length_leaves_room() {
    let long = id(b"x", MAX_ID_CHARS);
    for text in ["漢", "x", "😀"] {
        let text = text.repeat(500);
        let name = message_name(local(), &text, &text, &long);
        assert!(
            is_safe(&name) && name.contains("… (") && name.ends_with(&format!(" ({long}).eml"))
        );
        assert!(is_safe(&component_with_id(&text, MAX_ID_CHARS)));
        assert!(is_safe(&store_name_with_id(text.as_bytes(), MAX_ID_CHARS)));
    }
}

#[test]
fn monstrous_texts_take_no_monstrous_time() {
    let zalgo = format!("e{}", "\u{301}\u{328}".repeat(500_000));
    for text in [
        &zalgo,
        &" ".repeat(1 << 20),
        &"\u{1f468}\u{200d}".repeat(1 << 18),
        &"x".repeat(1 << 20),
    ] {
        let started = std::time::Instant::now();
        assert!(is_safe(&named(text, text)));
        assert!(is_safe(&component(text)));
        assert!(is_safe(&store_name(text.as_bytes())));
        assert!(started.elapsed().as_secs() < 5);
    }
    assert!(named("x", &zalgo).contains("x - … ("));
}

#[test]
fn components() {
    for same in [
        "INBOX",
        "Entwürfe",
        "a  b",
        " x",
        ".hidden",
        "alice@example.com",
        "COM10",
        "console",
        "a.con",
    ] {
        assert_eq!(component(same), same);
    }
    for (original, safe) in [
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("...", "___"),
        ("a. .", "a___"),
        ("a ", "a_"),
        ("a/b:c", "a_b_c"),
        ("a\tb\u{2028}c", "a_b_c"),
        ("con", "_con"),
        ("Aux.old", "_Aux.old"),
        ("NUL .x", "_NUL .x"),
        ("lpt\u{b9}", "_lpt\u{b9}"),
        ("COM0", "_COM0"),
        ("conin$", "_conin$"),
        ("e\u{301}", "\u{e9}"),
    ] {
        assert_eq!(component(original), safe);
    }
}

#[test]
fn long_components_stay_apart() {
    let (a, b) = ("x".repeat(200) + "a", "x".repeat(200) + "b");
    assert_ne!(component(&a), component(&b));
    assert_eq!(
        component(&a).encode_utf16().count() + ".mbox".len(),
        MAX_UNITS
    );
    assert!(component(&a).contains("x… ("));
    assert_eq!(component(&"x".repeat(115)), "x".repeat(115));
    assert_ne!(component(&"x".repeat(116)), "x".repeat(116));
}

#[test]
fn store_names() {
    assert_eq!(
        store_name(b"1795080720.M1P2.host,S=12,W=13"),
        "1795080720.M1P2.host,S=12,W=13.eml"
    );
    for changed in [
        &b"a\xff"[..],
        b"a:b",
        b"con",
        b"",
        b"e\xcc\x81",
        b"a\tb",
        &[b'x'; 117],
    ] {
        let name = store_name(changed);
        assert!(
            name.ends_with(&format!(" ({}).eml", id(changed, 8))),
            "{name}"
        );
    }
    assert_ne!(store_name(b"a\xff"), store_name(b"a\xfe"));
    // The replacement character itself is a character like any other, but is not told from a bad byte.
    assert_ne!(store_name("a\u{fffd}".as_bytes()), store_name(b"a\xff"));
    assert_eq!(store_name(&[b'x'; 116]), "x".repeat(116) + ".eml");
    assert!(store_name_with_id(b"a", 12).starts_with("a ("));
}

#[test]
fn ids() {
    // SHA-256 of nothing: e3b0c44298 ... 55.
    assert_eq!(id(b"", 8), "WERC8GMR");
    assert_eq!(id(b"", 16)[..8], *"WERC8GMR");
    let whole = id(b"", 99);
    assert_eq!(whole.len(), MAX_ID_CHARS);
    assert!(
        whole
            .bytes()
            .all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b))
    );
    // The last character has the hash's last bit, and nothing after it.
    assert!(whole.ends_with(['0', 'G']));
    assert_eq!(id(b"", 0).len(), 1);
}

#[test]
fn folding() {
    assert_eq!(fold("Entwürfe"), fold("ENTWU\u{308}RFE"));
    assert_eq!(fold("ΣΑΣ"), fold("σας"));
    assert_eq!(fold("Straße"), fold("STRASSE"));
    assert_ne!(fold("a"), fold("b"));
}

#[test]
fn unsafe_names() {
    for name in [
        "",
        ".",
        "..",
        "a.",
        "a ",
        "a/b",
        "a\0",
        "nul",
        "NUL.txt",
        "com1",
        "LPT\u{b2}.x",
        "a\u{202e}b",
        "e\u{301}",
        &"x".repeat(121),
        &"漢".repeat(81),
        "CONOUT$",
    ] {
        assert!(!is_safe(name), "{name:?}");
    }
    for name in [
        "a",
        "NUL_",
        "COM10",
        "COM",
        "漢字",
        &"x".repeat(120),
        "_nul",
    ] {
        assert!(is_safe(name), "{name:?}");
    }
}

/// Text of what makes names difficult.
fn text() -> impl Strategy<Value = String> {
    let difficult = prop::sample::select(
        &[
            " ",
            ".",
            "\t",
            "\u{a0}",
            "\u{2028}",
            "\u{202e}",
            "/",
            ":",
            "<",
            "<\u{338}",
            "\u{301}",
            "e\u{301}",
            "e",
            "漢",
            "😀",
            "👨\u{200d}👩",
            "\u{200d}",
            "\u{1100}\u{1161}",
            "\u{fb1d}",
            "\u{340}",
            "CON",
            "com1",
            "\0",
            "\u{85}",
            "xxxxxxxxxxxxxxxxxxxx",
            "🇮🇹",
            "\u{fffd}",
        ][..],
    );
    prop_oneof![
        any::<String>(),
        prop::collection::vec(difficult, 0..80).prop_map(|parts| parts.concat()),
    ]
}

#[test]
fn a_sharp_s_is_the_same_as_a_capital() {
    for other in ["\u{1e9e}", "\u{df}", "SS", "Ss"] {
        assert_eq!(fold(other), "ss", "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn message_names_are_safe(sender in text(), subject in text(), identity: [u8; 4], chars in 8usize..=52) {
        let id = id(&identity, chars);
        let name = message_name(local(), &sender, &subject, &id);
        prop_assert!(is_safe(&name), "{name:?}");
        let end = format!(" ({id}).eml");
        prop_assert!(name.ends_with(&end));
        prop_assert!(name.starts_with("2026-11-19 0932 "));
        prop_assert!(!name.contains("  "));
        let other = message_name(local(), &sender, &subject, "00000000");
        prop_assert_ne!(fold(&name), fold(&other));
    }

    /// The same text written otherwise has the same name.
    #[test]
    fn ways_of_writing_do_not_matter(subject in text()) {
        let decomposed: String = subject.nfd().collect();
        prop_assert_eq!(named("x", &subject), named("x", &decomposed));
    }

    #[test]
    fn components_are_safe(text in text()) {
        let name = component(&text);
        prop_assert!(is_safe(&name) && is_safe(&format!("{name}.mbox")), "{name:?}");
        prop_assert_eq!(&component(&name), &name);
        prop_assert!(is_safe(&file(&text)));
    }

    #[test]
    fn store_names_are_safe(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..250),
        text().prop_map(String::into_bytes),
    ], other in prop::collection::vec(any::<u8>(), 0..3)) {
        let name = store_name(&bytes);
        prop_assert!(is_safe(&name), "{name:?}");
        prop_assert!(name.ends_with(".eml"));
        prop_assert_eq!(name == store_name(&other), bytes == other);
    }

    #[test]
    fn folding_ignores_case(text in text()) {
        prop_assert_eq!(fold(&text), fold(&fold(&text)));
        // Composed, an iota below a letter would come before marks that it goes behind.
        let upper: String = text.nfd().flat_map(char::to_uppercase).collect();
        prop_assert_eq!(fold(&text), fold(&upper));
    }
}
