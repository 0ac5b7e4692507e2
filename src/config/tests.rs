//! Tests of `config`.

use super::read::parse;
use super::*;
use crate::error::Kind;
use proptest::prelude::*;
use std::io::Write as _;

const SAMPLE: &str = include_str!("../../packaging/mailtm.toml");

fn mistakes(text: &str) -> Vec<String> {
    let (_, mistakes) = parse(Path::new("/x.toml"), text.as_bytes());
    mistakes.iter().map(Mistake::to_string).collect()
}

fn right(text: &str) -> Config {
    let (config, mistakes) = parse(Path::new("/x.toml"), text.as_bytes());
    assert_eq!(mistakes, []);
    config
}

/// The one mistake of a text.
fn mistake(text: &str) -> String {
    let mut all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn the_packaged_file_says_the_defaults() {
    right(SAMPLE);
    // A commented setting is `#key`, a remark `# text`.
    let uncommented: String = SAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                setting
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = right(&uncommented);
    assert_eq!(config.mountpoint, Some("/backups".into()));
    assert_eq!(config.keep_days, Some(15));
    assert_eq!(config.source.snapshots.len(), 1);
    assert_eq!(config.source.live, Some("/srv/vmail".into()));
    assert_eq!(config.access.admins.len(), 2);
    assert_eq!(config.access.grants.len(), 1);
    let defaults = Config::default();
    assert_eq!(config.granularity, defaults.granularity);
    assert_eq!(config.refresh, defaults.refresh);
    assert_eq!(config.names, defaults.names);
    assert_eq!(config.hide_unreadable, defaults.hide_unreadable);
    assert_eq!(config.source.timeout, defaults.source.timeout);
    assert_eq!(config.access.owner, defaults.access.owner);
    assert_eq!(config.access.audit, defaults.access.audit);
    assert_eq!(config.mbox.flags, defaults.mbox.flags);
    assert_eq!(config.mbox.listed, defaults.mbox.listed);
    assert_eq!(config.index.path, defaults.index.path);
    assert_eq!(config.index.warm, defaults.index.warm);
    assert_eq!(config.index.bodies, defaults.index.bodies);
}

#[test]
fn every_setting_is_read() {
    let config = right(
        r#"
        mountpoint = "/m"
        timezone = "Asia/Tokyo"
        granularity = "snapshot"
        keep_days = 0x10
        refresh = "5m"
        names = "unique"
        hide_unreadable = false
        [source]
        snapshots = ["/a", "/b"]
        name = "%Y%m%d"
        mailboxes = ["{user}", "x/{user}"]
        mailbox_name = "{user}"
        format = "maildir"
        live = "/l"
        timeout = "500ms"
        [access]
        owner = '{domain}\{user}'
        admins = ["@AD\\domain admins"]
        audit = true
        [[access.grant]]
        mailboxes = ["a*"]
        to = ["b"]
        [[access.grant]]
        mailboxes = ["c?"]
        to = ["@d"]
        [mbox]
        flags = "none"
        listed = "when-sized"
        [index]
        path = "/i"
        warm = "off"
        bodies = true
        [portal]
        listen = "[::1]:80"
        auth = "imaps://mail.example.com"
        admins = ["Postmaster@example.com"]
        smtp = "smtp://localhost:25"
        from = "Mail Time Machine <mtm@example.com>"
        url = "https://mtm.example.com/"
        cost = "80 EUR + VAT"
        [restore]
        method = "maildir"
        "#,
    );
    assert_eq!(config.timezone, Zone::parse("Asia/Tokyo").unwrap());
    assert_eq!(config.granularity, Granularity::Snapshot);
    assert_eq!(config.keep_days, Some(16));
    assert_eq!(config.refresh, Duration::from_secs(300));
    assert_eq!(config.names, Names::Unique);
    assert!(!config.hide_unreadable);
    assert_eq!(config.source.snapshots, [Path::new("/a"), Path::new("/b")]);
    assert_eq!(config.source.name.as_deref(), Some("%Y%m%d"));
    assert_eq!(config.source.mailboxes, ["{user}", "x/{user}"]);
    assert_eq!(config.source.mailbox_name.as_deref(), Some("{user}"));
    assert_eq!(config.source.format, Some(crate::store::Format::MAILDIR));
    assert_eq!(config.source.timeout, Duration::from_millis(500));
    let owner = OwnerRule::Template(r"{domain}\{user}".into());
    assert_eq!(config.access.owner, owner);
    let admin = Principal::Group(r"AD\domain admins".into());
    assert_eq!(config.access.admins, [admin]);
    assert!(config.access.audit);
    assert_eq!(config.access.grants.len(), 2);
    assert_eq!(config.mbox.flags, MboxFlags::None);
    assert_eq!(config.mbox.listed, Listed::WhenSized);
    assert_eq!(config.index.path, Path::new("/i"));
    assert_eq!(config.index.warm, Switch::Off);
    assert!(config.index.bodies);
    assert_eq!(config.restore.method, crate::restore::Method::Maildir);
    assert_eq!(config.portal.listen, "[::1]:80".parse().unwrap());
    assert_eq!(config.portal.admins, ["postmaster@example.com"]);
    assert_eq!(
        config.portal.url.as_deref(),
        Some("https://mtm.example.com")
    );
}

#[test]
fn mistakes_of_the_portal() {
    for (text, start) in [
        (
            "listen = \"80\"",
            "portal.listen: \"80\" is no address and port",
        ),
        (
            "admins = [\"root\"]",
            "portal.admins: \"root\" is no address",
        ),
        ("from = \"a b@c\"", "portal.from: \"a b@c\" is no address"),
        (
            "smtp = \"localhost\"",
            "portal.smtp: \"localhost\" is no address",
        ),
        (
            "url = \"mtm.example.com\"",
            "portal.url: \"mtm.example.com\" is no",
        ),
        (
            "smtp_user = \"a\\u0000b\"",
            "portal.smtp_user: \"a\\0b\" is no user's name",
        ),
        (
            "smtp = \"smtp://localhost:0\"",
            "portal.smtp: \"smtp://localhost:0\" is no address",
        ),
        (
            "smtp = \"smtp://[::1]:x\"",
            "portal.smtp: \"smtp://[::1]:x\" is no address",
        ),
        (
            "auth = \"imap://localhost:0\"",
            "portal.auth: \"imap://localhost:0\" is no address",
        ),
        (
            "metrics = \"127.0.0.1:8025\"",
            "portal.metrics: the pages are served at 127.0.0.1:8025 already: write",
        ),
    ] {
        let beside = "from = \"a@b\"\nsmtp_password_file = \"/p\"\n";
        let beside = match text.split(' ').next().unwrap() {
            "smtp" => &beside[..beside.find('\n').unwrap() + 1],
            "smtp_user" => &beside[beside.find('\n').unwrap() + 1..],
            _ => "",
        };
        let told = mistake(&format!("[portal]\n{text}\n{beside}"));
        assert!(told.starts_with(&format!("/x.toml:2: {start}")), "{told}");
    }
}

#[test]
fn what_goes_together_is_told_at_the_line_of_the_other() {
    let text = "[portal]\nsmtp = \"smtp://localhost\"\nsmtp_user = \"mailtm\"\n\n[restore]\nimap = \"x\"\n";
    let told = mistakes(text);
    let expected = [
        "/x.toml:2: portal.from: missing beside smtp: write from = ",
        "/x.toml:3: portal.smtp_password_file: missing beside smtp_user: write smtp_password_file = ",
        "/x.toml:5: restore.master_user: missing: write ",
        "/x.toml:5: restore.password_file: missing: write ",
        "/x.toml:6: restore.imap: \"x\" is no address of a server: write ",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
    let told = mistake("[portal]\nsmtp_password_file = \"/p\"\n");
    assert!(
        told.contains(":2: portal.smtp_user: missing beside"),
        "{told}"
    );
}

#[test]
fn two_sockets_are_not_at_one_address() {
    for (text, line) in [
        ("[portal]\nlisten = \"[::1]:80\"\nmetrics = \"[::1]:80\"", 3),
        ("[portal]\nmetrics = \"0.0.0.0:8025\"", 2),
        (
            "[metrics]\nlisten = \"127.0.0.1:8025\"\n[portal]\ncost = \"1\"",
            2,
        ),
        (
            "[portal]\nmetrics = \"[::]:9\"\n[metrics]\nlisten = \"127.0.0.1:9\"",
            4,
        ),
    ] {
        let told = mistake(text);
        assert!(told.starts_with(&format!("/x.toml:{line}: ")), "{told}");
        assert!(told.contains("write another port"), "{told}");
    }
    for text in [
        "[portal]\nlisten = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"",
        "[portal]\nlisten = \"127.0.0.1:80\"\nmetrics = \"127.0.0.2:80\"",
        "[metrics]\nlisten = \"127.0.0.1:8025\"",
    ] {
        right(text);
    }
}

#[test]
fn a_key_that_is_not_there_is_told_at_its_table() {
    for (text, line) in [
        ("\n[source]\ntimeout = \"5s\"\n", Some(2)),
        ("mountpoint = \"/m\"\nsource.timeout = \"5s\"\n", Some(2)),
        ("mountpoint = \"/m\"\n", None),
    ] {
        let missing = right(text).no_snapshots().unwrap();
        assert_eq!(missing.line, line.unwrap_or(0), "{text}");
    }
}

#[test]
fn a_mistake_in_a_list_hides_nothing_of_the_others() {
    let text = "[source]\nsnapshots = [\"/a\", \"b\", \"/c\"]\nmail_crypt_keys = [\"/k\", \"l\"]\n";
    let (config, mistakes) = parse(Path::new("/x.toml"), text.as_bytes());
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert_eq!(config.source.snapshots, [Path::new("/a"), Path::new("/c")]);
    assert_eq!(config.source.mail_crypt_keys, [Path::new("/k")]);
}

#[test]
fn snapshots_that_are_missing_for_a_reason_that_was_told() {
    for (text, is_told) in [
        ("[source]\nsnapshot = [\"/a\"]\n", true),
        ("snapshots = [\"/a\"]\n", true),
        ("[source]\nsnapshots = [/a]\n", true),
        ("[source]\nsnapshots = 3\n", true),
        ("# caf\u{e9}", true),
        ("granularity = \"week\"\n", false),
        ("keep_days = = 3\n[source]\n", false),
    ] {
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let (config, mistakes) = parse(Path::new("/x.toml"), &bytes);
        assert!(!mistakes.is_empty(), "{text}");
        assert_eq!(
            config.tells_of_snapshots(&mistakes),
            is_told,
            "{text}: {mistakes:?}"
        );
    }
}

#[test]
fn unknown_keys_are_told_with_line_and_cure() {
    assert_eq!(
        mistake("\n# remark\ngranularty = \"day\"\n"),
        "/x.toml:3: unknown key \"granularty\" in the top level: did you mean \"granularity\"?"
    );
    assert_eq!(
        mistake("[source]\nmountpoint = \"/m\"\n"),
        "/x.toml:2: unknown key \"mountpoint\" in [source]: move it to the top, above the first [table]"
    );
    assert_eq!(
        mistake("snapshots = []\n"),
        "/x.toml:1: unknown key \"snapshots\" in the top level: move it to [source]"
    );
    assert!(
        mistake("[source]\nsnapshots = []\n")
            .starts_with("/x.toml:2: source.snapshots: is empty: write such as"),
    );
    assert_eq!(
        mistake("[mbox]\ncolour = \"red\"\n"),
        "/x.toml:2: unknown key \"colour\" in [mbox]: remove it; the keys there are flags, listed"
    );
    let text = "[[access.grant]]\nmailboxes = [\"a\"]\nto = [\"b\"]\nfrom = 1\n";
    assert!(mistake(text).starts_with("/x.toml:4: unknown key \"from\" in [[access.grant]]: "));
    assert!(mistake("[sources]\n").starts_with("/x.toml:1: unknown key \"sources\""));
}

#[test]
fn wrong_values_are_told_with_what_to_write() {
    for (text, start, cure) in [
        (
            "keep_days = \"15\"",
            "keep_days: this is a string, not a number",
            "keep_days = 15",
        ),
        (
            "keep_days = -1",
            "keep_days: -1 is out of range",
            "from 0 to 36500",
        ),
        (
            "keep_days = 99999999999999999999999",
            "keep_days: ",
            "from 0 to 36500",
        ),
        (
            "refresh = 30",
            "refresh: this is an integer, not a string",
            "refresh = \"30s\"",
        ),
        ("refresh = \"soon\"", "refresh: \"soon\"", "\"30s\""),
        (
            "granularity = \"hour\"",
            "granularity: \"hour\"",
            "\"day\", \"snapshot\"",
        ),
        ("timezone = \"Rome\"", "timezone: ", "\"Europe/Rome\""),
        (
            "hide_unreadable = \"yes\"",
            "hide_unreadable: this is a string",
            "= true",
        ),
        (
            "mountpoint = \"backups\"",
            "mountpoint: \"backups\"",
            "from the root",
        ),
        ("source = 3", "source: this is an integer", "[source]"),
        (
            "source.snapshots = \"/a\"",
            "source.snapshots: this is a string",
            "[\"/srv",
        ),
        (
            "source.snapshots = [\"/a\", 3]",
            "source.snapshots: ",
            "[\"/srv",
        ),
        (
            "source.format = \"exchange\"",
            "source.format: \"exchange\"",
            "\"auto\", \"maildir\"",
        ),
        (
            "source.mailboxes = \"{domain}\"",
            "source.mailboxes: ",
            "{user}",
        ),
        (
            "source.mailboxes = []",
            "source.mailboxes: is empty",
            "leave it out",
        ),
        ("source.name = \"daily\"", "source.name: ", "%Y"),
        (
            "access.admins = [\"@\"]",
            "access.admins: \"@\"",
            "a group's name",
        ),
        ("access.grant = 1", "access.grant: ", "[[access.grant]]"),
        ("mbox.listed = \"no\"", "mbox.listed: ", "\"never\""),
        (
            "restore.master_user = \" \"",
            "restore.master_user: ",
            "as the server knows it",
        ),
        ("index.warm = \"on\"", "index.warm: ", "\"off\""),
    ] {
        let told = mistake(text);
        assert!(told.starts_with(&format!("/x.toml:1: {start}")), "{told}");
        assert!(told.contains(cure), "{told}");
    }
    let told = mistake("[access]\n[access.grant]\nmailboxes = [\"a\"]\nto = [\"b\"]\n");
    assert!(told.contains("[[access.grant]]"), "{told}");
    let told = mistake("\n[[access.grant]]\nmailboxes = [\"a\"]\n");
    assert!(
        told.starts_with("/x.toml:2: access.grant.to: missing"),
        "{told}"
    );
    let told = mistake("[source]\nmailboxes = \"{user}\"\nmailbox_name = \"{user}@{domain}\"\n");
    assert!(
        told.starts_with("/x.toml:3: source.mailbox_name: "),
        "{told}"
    );
}

#[test]
fn all_mistakes_are_told_in_the_order_of_their_lines() {
    let text =
        "names = \"nice\"\nkeep_days = = 3\nrefresh = \"x\"\n[source]\nformat = 1\nsnapshot = []\n";
    let all = mistakes(text);
    let lines: Vec<&str> = all.iter().filter_map(|m| m.split(':').nth(1)).collect();
    assert_eq!(lines, ["1", "2", "3", "5", "6"], "{all:#?}");
}

#[test]
fn broken_syntax_and_bytes_that_are_no_text() {
    for (text, line) in [
        ("a = 1\nkeep_days\n", 2),
        ("keep_days = 1\nkeep_days = 2\n", 2),
        ("[source\n", 1),
        ("names = \"readable\n", 1),
        ("\n\n]", 3),
    ] {
        let all = mistakes(text);
        assert!(
            all.iter()
                .any(|m| m.starts_with(&format!("/x.toml:{line}: "))),
            "{all:?}"
        );
    }
    let (_, all) = parse(Path::new("/x.toml"), b"names = \"readable\"\n# caf\xe9\n");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].line, 2);
}

#[test]
fn files() {
    let missing = load(Some(Path::new("/nonexistent/mailtm.toml"))).unwrap_err();
    assert_eq!(missing.kind(), Kind::Config);
    assert!(missing.to_string().contains("/nonexistent/mailtm.toml"));
    assert!(load(Some(Path::new("/"))).is_err());
    assert!(load(Some(Path::new("/dev/zero"))).is_err());

    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "keep_days = 3\n[source]\nsnapshots = [\"/s\"]\n").unwrap();
    let config = load(Some(file.path())).unwrap();
    assert_eq!(config.file.as_deref(), Some(file.path()));
    assert!(config.require_snapshots().is_ok());
    write!(file, "bogus = 1\nformat = 2\n").unwrap();
    let told = load(Some(file.path())).unwrap_err().to_string();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(Config::default().require_snapshots().is_err());
}

#[test]
fn mount_options_set_keys() {
    let mut config = Config::default();
    assert!(config.set("keep_days", "7").unwrap());
    assert!(config.set("hide_unreadable", "false").unwrap());
    assert!(config.set("granularity", "snapshot").unwrap());
    assert!(!config.set("mountpoint", "/x").unwrap());
    assert!(config.set("keep_days", "many").is_err());
    assert_eq!(config.keep_days, Some(7));
    assert_eq!(config.granularity, Granularity::Snapshot);
    assert!(!config.hide_unreadable);
}

proptest! {
    #[test]
    fn nothing_panics(text in "([a-z_.\\[\\]]{0,12}( = |\n)?[\"'0-9a-z\\[\\]{}]{0,8}\n?){0,8}") {
        let _ = mistakes(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Path::new("/x.toml"), &bytes);
    }
}
