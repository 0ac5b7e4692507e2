//! What administrators write: the configuration, and patterns and templates in it.

use super::{text, two, with_file};
use mailtm::access::{Grant, Principal};
use mailtm::config;
use mailtm::snapshot::name as snapshot_name;
use mailtm::snapshot::pattern::Pattern;
use mailtm::time::Zone;
use mailtm::view::mailbox::Template;

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
