//! What the strings of a configuration mean: durations, paths, choices, templates, patterns.

use crate::access::OwnerRule;
use crate::error::{Error, Kind, Result};
use crate::snapshot::pattern::Pattern;
use crate::store::Format;
use crate::view::mailbox::hosting;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, PathBuf};
use std::time::Duration;

pub(super) fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Config, message))
}

/// A setting that is one of a few words.
pub trait Choice: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn parse(text: &str) -> Result<Self> {
        let found = Self::WORDS.iter().find(|(word, _)| *word == text);
        let Some((_, value)) = found else {
            let words: Vec<String> = Self::WORDS
                .iter()
                .map(|(w, _)| format!("\"{w}\""))
                .collect();
            return wrong(format!(
                "\"{text}\" is not allowed: write one of {}",
                words.join(", ")
            ));
        };
        Ok(*value)
    }
}

/// The name of a format of mail stores; `auto`, which leaves it to be recognised, is `None`.
pub(super) fn store_format(text: &str) -> Result<Option<Format>> {
    let known = || {
        let names = Format::all().map(|format| format!("\"{}\"", format.name()));
        names.collect::<Vec<_>>().join(", ")
    };
    match (text, Format::named(text)) {
        ("auto", _) => Ok(None),
        (_, Some(format)) => Ok(Some(format)),
        _ => wrong(format!(
            "\"{text}\" is not allowed: write one of \"auto\", {}",
            known()
        )),
    }
}

/// A number with its unit, such as `500ms`, `30s`, `5m`, `1h` or `7d`; at least a tenth of a second, at most a year.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let number: Option<u64> = digits.parse().ok();
    match number.and_then(|n| n.checked_mul(millis)) {
        Some(n) if millis > 0 && (100..=365 * 86_400_000).contains(&n) => {
            Ok(Duration::from_millis(n))
        }
        Some(_) if millis > 0 => wrong(format!(
            "\"{text}\" is out of range: write a duration from \"100ms\" to \"365d\""
        )),
        _ => wrong(format!(
            "\"{text}\" is no duration: write a number and ms, s, m, h or d, such as \"30s\""
        )),
    }
}

/// A path from the root, without `..`.
pub(super) fn absolute_path(text: &str) -> Result<PathBuf> {
    let path = PathBuf::from(text);
    if text.contains('\0') {
        return wrong("contains a NUL character, which no path has");
    }
    if !path.is_absolute() {
        return wrong(format!(
            "\"{text}\" is a relative path: write it from the root, such as \"/srv/…\""
        ));
    }
    if path.components().any(|c| c == Component::ParentDir) {
        return wrong(format!(
            "\"{text}\" contains \"..\": write the path that is meant"
        ));
    }
    Ok(path)
}

/// `store`, or a template for the owner's name.
pub(super) fn owner(text: &str) -> Result<OwnerRule> {
    if text == "store" {
        return Ok(OwnerRule::Store);
    }
    let found = placeholders(text)?;
    if !found.contains(&"user") {
        return wrong(format!(
            "\"{text}\" makes one user the owner of all: write \"store\", or a template such as \
             \"{{user}}\" or \"{{user}}@{{domain}}\"; who may read everything goes into access.admins"
        ));
    }
    Ok(OwnerRule::Template(text.to_owned()))
}

/// Where below a snapshot's root mailboxes are: the name of a hosting system, or `{user}`, `{domain}`, and `*` for any
/// one level.
pub(super) fn mailbox_template(text: &str) -> Result<String> {
    if hosting::names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let found = placeholders(text)?;
    if !found.contains(&"user") {
        let names: Vec<&str> = hosting::names().collect();
        return wrong(format!(
            "\"{text}\" does not say where the user's name is: write {{user}} there, \
             such as \"{{domain}}/{{user}}/Maildir\"; or one of the layouts {}",
            names.join(", ")
        ));
    }
    for name in ["user", "domain"] {
        if found.iter().filter(|f| **f == name).count() > 1 {
            return wrong(format!(
                "\"{text}\" has {{{name}}} twice: write * in the place that does not name the mailbox"
            ));
        }
    }
    if text.contains("}{") {
        return wrong(format!(
            "\"{text}\" does not say where one name ends and the next begins: write something between them"
        ));
    }
    for level in text.split('/') {
        let why = match level {
            "" => "an empty level (is there a \"/\" at its beginning or end, or a double one?)",
            "." | ".." => "a level \".\" or \"..\"",
            _ if level.contains("**") => "\"**\", but \"*\" matches one level",
            _ => continue,
        };
        return wrong(format!(
            "\"{text}\" has {why}: write the path below a snapshot, such as \"*/{{domain}}/{{user}}\""
        ));
    }
    Ok(text.to_owned())
}

/// How mailboxes are named, from what their template found.
pub(super) fn mailbox_name(text: &str) -> Result<String> {
    if !placeholders(text)?.contains(&"user") || text.contains('/') {
        return wrong(format!(
            "\"{text}\" cannot name mailboxes: write \"{{user}}@{{domain}}\" or \"{{user}}\""
        ));
    }
    Ok(text.to_owned())
}

/// The names in braces, of which there are two.
fn placeholders(text: &str) -> Result<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (_, from) = rest.split_at(at);
        let name = from.strip_prefix('{').and_then(|f| f.split_once('}'));
        match name {
            Some((name @ ("user" | "domain"), after)) => {
                found.push(name);
                rest = after;
            }
            _ => {
                return wrong(format!(
                    "\"{text}\" has a placeholder that there is not: write {{user}} or {{domain}}"
                ));
            }
        }
    }
    if text.contains(char::is_control) {
        return wrong(format!("{text:?} contains a control character"));
    }
    Ok(found)
}

/// A strftime pattern that names a date.
pub(super) fn snapshot_pattern(text: &str) -> Result<String> {
    Pattern::parse(text)?;
    Ok(text.to_owned())
}

/// A user's name as a server is told it, where a NUL would begin the password.
pub(super) fn login(text: &str) -> Result<String> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return wrong(format!(
            "{text:?} is no user's name: write it as the server knows it"
        ));
    }
    Ok(text.to_owned())
}

/// An address and port to listen on.
pub(super) fn socket(text: &str) -> Result<SocketAddr> {
    let with_host = text
        .strip_prefix("localhost:")
        .map(|p| format!("127.0.0.1:{p}"));
    let text = with_host.as_deref().unwrap_or(text);
    text.parse().or_else(|_| {
        wrong(format!(
            "\"{text}\" is no address and port: write such as \"127.0.0.1:8025\" or \"[::1]:8025\""
        ))
    })
}

/// Whether two of them are one, or one has in it what the other is. Port 0 is a different one each time.
pub(super) fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: SocketAddr, b: SocketAddr| match a.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() && b.is_ipv4(),
        // Those of the older protocol reach it, too.
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

/// Whether this is the number of a port that can be connected to.
pub(super) fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let ms = |text| duration(text).unwrap().as_millis();
        assert_eq!(ms("500ms"), 500);
        assert_eq!(ms("30s"), 30_000);
        assert_eq!(ms("5m"), 300_000);
        assert_eq!(ms("1h"), 3_600_000);
        assert_eq!(ms("7 d"), 604_800_000);
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5h",
            "0s",
            "1w",
            "99999999999999999999s",
            "400d",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn templates() {
        for text in [
            "{domain}/{user}/Maildir",
            "*/{domain}/{user}",
            "{user}",
            "{user}@{domain}",
            "mailcow",
        ] {
            assert!(mailbox_template(text).is_ok(), "{text:?}");
        }
        for text in [
            "",
            "*",
            "{domain}",
            "{mailbox}/{user}",
            "{user",
            "user}",
            "/srv/{user}",
            "{user}/",
            "{user}/../x",
            "**/{user}",
            "{user}{domain}",
            "{user}/{user}",
        ] {
            let e = mailbox_template(text).unwrap_err();
            assert!(e.to_string().contains("write"), "{text:?}: {e}");
        }
    }

    #[test]
    fn owners() {
        assert_eq!(owner("store").unwrap(), OwnerRule::Store);
        let ad = r"{domain}\{user}";
        assert_eq!(owner(ad).unwrap(), OwnerRule::Template(ad.into()));
        for text in ["", "vmail", "{domain}", "{uid}"] {
            assert!(owner(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn patterns() {
        for text in [
            "autosnap_%Y-%m-%d_%H:%M:%S_daily",
            "%Y%m%d",
            "@GMT-%Y.%m.%d-%H.%M.%S",
            "snap-%s",
            "%F",
            "100%%-%Y-%m-%d",
            "%d %b %Y",
            "%Y-%m-%dT%H:%M:%S%z",
        ] {
            assert!(snapshot_pattern(text).is_ok(), "{text:?}");
        }
        for text in [
            "",
            "daily",
            "%H:%M",
            "%Y-%m",
            "%Q%Y-%m-%d",
            "%Y/%m/%d",
            "%Y-%m-%d%",
        ] {
            assert!(snapshot_pattern(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[%a-zA-Z0-9{}*/.: -]{0,20}|\\PC{0,20}") {
            let _ = snapshot_pattern(&text);
            let _ = mailbox_template(&text);
            let _ = duration(&text);
            let _ = owner(&text);
        }
    }
}
