//! The table `[portal]`.

use super::MAX_DAYS;
use super::document::Section;
use super::value::{self, wrong};
use crate::error::Result;
use crate::restore::imap::transport::Address;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The pages in a browser, and the letters about requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    /// Where the pages are served, unless systemd hands over a socket.
    pub listen: SocketAddr,
    /// Where metrics are served; nowhere if `None`.
    pub metrics: Option<SocketAddr>,
    /// The mail server that knows the passwords.
    pub auth: Option<Address>,
    /// Certificates that are believed instead of the system's, of that server and of the one for `smtp`; PEM.
    pub ca_file: Option<PathBuf>,
    /// Who decides on requests: addresses, in lower case.
    pub admins: Vec<String>,
    /// The server that takes letters, `smtp://` or `smtps://`.
    pub smtp: Option<String>,
    pub smtp_user: Option<String>,
    /// Its first line is the password of `smtp_user`.
    pub smtp_password_file: Option<PathBuf>,
    /// Who letters are from: an address, or `Name <address>`.
    pub from: Option<String>,
    /// What stands in front of the paths of pages in letters; without a `/` at its end.
    pub url: Option<String>,
    /// What a restore costs, as it is shown.
    pub cost: Option<String>,
    /// Requests are kept so many days after their end.
    pub keep_requests: u32,
    /// The directory of sessions, requests and letters; beside the index if `None`.
    pub path: Option<PathBuf>,
    /// A directory of letters in the administrator's words.
    pub templates: Option<PathBuf>,
}

impl Default for Portal {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8025)),
            metrics: None,
            auth: None,
            ca_file: None,
            admins: Vec::new(),
            smtp: None,
            smtp_user: None,
            smtp_password_file: None,
            from: None,
            url: None,
            cost: None,
            keep_requests: 365,
            path: None,
            templates: None,
        }
    }
}

pub(super) fn walk(section: &Section<'_>) -> Portal {
    let defaults = Portal::default();
    let listen = "\"127.0.0.1:8025\"";
    let from = "\"Mail Time Machine <mtm@example.com>\"";
    let (user, password) = ("\"mailtm\"", "\"/etc/mailtm/smtp.password\"");
    section.require_beside("from", "smtp", from);
    section.require_beside("smtp_password_file", "smtp_user", password);
    section.require_beside("smtp_user", "smtp_password_file", user);
    let portal = Portal {
        listen: section
            .string("listen", listen, value::socket)
            .unwrap_or(defaults.listen),
        metrics: section.string("metrics", "\"127.0.0.1:8026\"", value::socket),
        auth: section.string("auth", "\"imaps://mail.example.com\"", Address::parse),
        ca_file: section.string("ca_file", "\"/etc/mailtm/ca.pem\"", value::absolute_path),
        admins: section
            .list("admins", "[\"postmaster@example.com\"]", |text| {
                address(text).map(|a| a.to_lowercase())
            })
            .unwrap_or_default(),
        smtp: section.string("smtp", "\"smtp://localhost:25\"", smtp),
        smtp_user: section.string("smtp_user", user, value::login),
        smtp_password_file: section.string("smtp_password_file", password, value::absolute_path),
        from: section.string("from", from, sender),
        url: section.string("url", "\"https://mtm.example.com\"", url),
        cost: section.string("cost", "\"80 EUR + VAT\"", line),
        keep_requests: section
            .integer("keep_requests", 1..=MAX_DAYS)
            .unwrap_or(defaults.keep_requests),
        path: section.string("path", "\"/var/lib/mailtm/portal\"", value::absolute_path),
        templates: section.string(
            "templates",
            "\"/etc/mailtm/templates\"",
            value::absolute_path,
        ),
    };
    if portal
        .metrics
        .is_some_and(|at| value::clash(at, portal.listen))
    {
        let why = format!(
            "the pages are served at {} already: write another port, such as \"127.0.0.1:8026\"",
            portal.listen
        );
        section.refuse("metrics", why);
    }
    portal
}

/// A text of one line.
fn line(text: &str) -> Result<String> {
    if text.contains(char::is_control) {
        return wrong("contains a control character: write one line of text");
    }
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<String> {
    let is_one = text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let strange = |c: char| c.is_control() || c.is_whitespace() || "<>,;\"".contains(c);
    if !is_one || text.contains(strange) {
        return wrong(format!(
            "\"{text}\" is no address: write such as \"postmaster@example.com\""
        ));
    }
    Ok(text.to_owned())
}

fn sender(text: &str) -> Result<String> {
    let inner = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    address(inner)?;
    line(text)
}

fn smtp(text: &str) -> Result<String> {
    let rest = text
        .strip_prefix("smtp://")
        .or_else(|| text.strip_prefix("smtps://"));
    let has_port = |rest: &str| match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => !host.is_empty() && value::is_port(port),
        _ => true,
    };
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(rest)
            if !rest.is_empty() && !rest.contains(['/', '@', ' ', '?']) && has_port(rest) =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => wrong(format!(
            "\"{text}\" is no address of a server: write \"smtp://localhost:25\" or \"smtps://mail.example.com\""
        )),
    }
}

fn url(text: &str) -> Result<String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let strange = |c: char| c.is_control() || c.is_whitespace() || "\"<>?#".contains(c);
    match rest {
        Some(rest) if rest.trim_end_matches('/').contains('/') => wrong(format!(
            "\"{text}\" has a path, and the pages stand at the top of their web site: write such as \"https://mtm.example.com\""
        )),
        Some(rest) if !rest.is_empty() && !rest.contains(strange) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => wrong(format!(
            "\"{text}\" is no address of a web site: write such as \"https://mtm.example.com\""
        )),
    }
}
