//! What administrators write, and what says when a snapshot was taken: the configuration, patterns, names, texts.

use super::{scratch_directory, text, two, with_file};
use chrono::NaiveDate;
use mailtm::access::{Grant, Principal};
use mailtm::config;
use mailtm::language::Language;
use mailtm::snapshot::name as snapshot_name;
use mailtm::snapshot::pattern::Pattern;
use mailtm::snapshot::{self, Catalogue};
use mailtm::template;
use mailtm::time::Zone;
use mailtm::view::about;
use mailtm::view::mailbox::Template;
use tempfile::TempDir;

pub fn snapshot_names(input: &[u8]) {
    let zone = Zone::parse("Europe/Rome").unwrap();
    if let Some((moment, _)) = snapshot_name::recognise(input, &zone) {
        // From the year 0 to the year 10000.
        assert!(
            (-62_200_000_000..253_500_000_000).contains(&moment),
            "{moment}"
        );
    }
    let _ = (
        snapshot_name::set_aside(input),
        snapshot_name::is_rotated(input),
        snapshot_name::is_numbered(input),
    );
    let (pattern, name) = two(input);
    if let Ok(pattern) = Pattern::parse(&text(pattern)) {
        let _ = pattern.moment(name, &zone);
        let _ = pattern.moment(name.get(1..).unwrap_or_default(), &zone);
    }
}

pub fn templates(input: &[u8]) {
    let whole = text(input);
    if let Ok(template) = Template::parse(&whole) {
        assert_eq!(template.text(), whole);
    }
    if let Ok(principal) = Principal::parse(&whole) {
        assert_eq!(Principal::parse(&principal.to_string()).unwrap(), principal);
    }
    let (pattern, name) = two(input);
    if let Ok(grant) = Grant::new(&[text(pattern).into_owned()], Vec::new()) {
        let _ = grant.matching(&text(name));
    }
}

pub fn configuration(input: &[u8]) {
    with_file(input, |file| {
        let (config, mistakes) = config::examine(Some(file)).unwrap();
        let _ = config.policy();
        let lines = input.split(|&b| b == b'\n').count();
        for mistake in mistakes {
            assert!(mistake.line <= lines + 1, "{mistake}");
            assert!(!mistake.message.is_empty());
        }
    });
}

/// An administrator's text about a backup: filled in, it is lines of text.
pub fn about_text(input: &[u8]) {
    let Ok(template) = with_file(input, about::Template::read) else {
        return;
    };
    let day = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
    for expires in [None, Some(day)] {
        let backup = about::Backup {
            mailbox: "{date} of ann@a.example",
            label: "2026-11-20",
            taken_local: day.and_hms_opt(3, 0, 0).unwrap(),
            zone_name: "Europe/Rome",
            expires,
            folders: 3,
        };
        let text = about::text(Language::Italian, Some(&template), &backup);
        assert!(text.ends_with("\r\n"), "{text:?}");
        let lines = text.replace("\r\n", "");
        let control = lines.chars().find(|&c| c.is_control() && c != '\t');
        assert_eq!(control, None, "{text:?}");
    }
}

/// Text with places to be filled in: with the names themselves for values it is what it was, but for empty lines.
pub fn filled_text(input: &[u8]) {
    const NAMES: [&str; 3] = ["a", "link", "user_name"];
    let whole = text(input);
    let Ok(lines) = template::parse(whole.lines(), 1, &NAMES) else {
        return;
    };
    let values = NAMES.map(|name| (name, format!("{{{name}}}")));
    let filled = template::fill(&lines, &values.into(), str::to_owned);
    let said = |lines: &mut dyn Iterator<Item = &str>| -> String {
        lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    let wanted = said(&mut whole.lines());
    assert_eq!(said(&mut filled.split('\n')), wanted.trim_end());
    assert!(!filled.contains("\n\n\n"), "{filled:?}");
    // With nothing to say, no line that has a name in it is left.
    let empty = template::fill(&lines, &template::Values::new(), str::to_owned);
    for name in NAMES {
        assert!(!empty.contains(&format!("{{{name}}}")), "{empty:?}");
    }
}

/// snapper's `info.xml`: the snapshot is shown, with a date that can be.
pub fn snapper_info(input: &[u8]) {
    thread_local! {
        static SNAPSHOTS: TempDir = scratch_directory();
    }
    SNAPSHOTS.with(|dir| {
        std::fs::create_dir_all(dir.path().join("7/snapshot")).unwrap();
        std::fs::write(dir.path().join("7/info.xml"), input).unwrap();
        // A new one would be waited for.
        let directory = std::fs::File::open(dir.path().join("7")).unwrap();
        directory.set_modified(std::time::UNIX_EPOCH).unwrap();
        let catalogue = Catalogue::open(snapshot::Options {
            dirs: vec![dir.path().into()],
            zone: Zone::parse("UTC").unwrap(),
            ..snapshot::Options::default()
        });
        let dates = catalogue.unwrap().dates();
        let shown = dates.newest_first().next().expect("it is shown");
        assert_eq!(shown.label.len(), "2026-11-20".len(), "{shown:?}");
    });
}
