//! Tests of what the command line means.

use super::*;
use crate::time::Zone;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn request(args: &[&str]) -> Result<Request> {
    let line = Line::try_parse_from([&["find"], args].concat()).unwrap();
    let config = Config {
        timezone: Zone::parse("Europe/Rome").unwrap(),
        ..Config::default()
    };
    line.arguments.request(&config)
}

#[test]
fn dates_are_local_and_both_count() {
    let query = request(&["--since", "2026-11-19", "--until", "2026-11-20"])
        .unwrap()
        .query;
    let moment = |text: &str| {
        let moment: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
        Some(moment.timestamp())
    };
    assert_eq!(query.since, moment("2026-11-18T23:00:00Z"));
    assert_eq!(query.until, moment("2026-11-20T23:00:00Z"));
    // The end of time has no day after it.
    let query = request(&["--until", "+262142-12-31"]).unwrap().query;
    assert_eq!(query.until, None);
}

#[test]
fn words_are_taken_literally() {
    let request = request(&[
        "Città \"OR\"",
        "--from",
        "-x:y*",
        "--attachment=a.pdf",
        "-w",
    ])
    .unwrap();
    let words: Vec<String> = request
        .query
        .terms
        .iter()
        .map(|t| t.words.join(" "))
        .collect();
    assert_eq!(words, ["citta or", "x y", "a pdf"]);
    assert!(request.query.terms.iter().all(|term| !term.begins));
    assert_eq!(request.limit, 100);
}

#[test]
fn mailboxes_by_pattern() {
    let request = request(&["-m", "*@Example.com", "-m", "bob"]).unwrap();
    let wanted = |name: &str| {
        request
            .mailboxes
            .iter()
            .any(|pattern| pattern.is_match(name))
    };
    assert!(wanted("alice@example.com") && wanted("BOB"));
    assert!(!wanted("alice@example.org") && !wanted("bob2"));
}

#[test]
fn nothing_to_look_for_is_wrong_usage() {
    for args in [
        &[][..],
        &["…"],
        &["--subject", ""],
        &["--body", "x"],
        &["-m", "[", "x"],
    ] {
        assert_eq!(request(args).unwrap_err().kind(), Kind::Config, "{args:?}");
    }
    for args in [
        &["--gone"][..],
        &["-m", "x"],
        &["--folder", "x"],
        &["--until", "2026-01-01"],
    ] {
        request(args).unwrap();
    }
}
