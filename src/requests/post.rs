//! The post: takes letters out of the outbox to a mail server.
//!
//! A letter that could not be sent is tried again, later and later, for five days from the first time on; then it is given
//! up, with an error in the log. It does not hold up others.
//!
//! What goes to another host goes over TLS with a certificate that is good for its name, or not at all. On this host, where
//! nobody listens in, TLS is used when offered, and its certificate is looked at only if `ca_file` says by what.

use super::letter::{self, Style, Writer};
use super::outbox::Due;
use super::store::{Store, now};
use super::turn::Turn;
use crate::error::{Error, Kind, Result};
use lettre::Transport;
use lettre::transport::smtp::SmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The mail server says nothing for so long only if it hangs.
const SILENCE: Duration = Duration::from_secs(30);

/// The first wait after a failure, and the longest, in seconds; each is twice the one before.
const FIRST_WAIT: i64 = 2;
const LONGEST_WAIT: i64 = 3600;

/// A letter that cannot be sent for so many seconds is given up.
const PATIENCE: i64 = 5 * 86_400;

/// The server that takes letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smtp {
    /// `smtp://host[:port]` (STARTTLS) or `smtps://host[:port]`.
    pub server: String,
    pub user: Option<String>,
    /// Its first line is the user's password.
    pub password_file: Option<PathBuf>,
    /// Certificates that are believed instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
}

/// What writes letters and sends them.
#[derive(Debug)]
pub struct Post {
    writer: Writer,
    smtp: Option<Smtp>,
    /// It was said that there is no server.
    said: AtomicBool,
}

/// Where a server is, and whether TLS comes first.
#[derive(Debug, PartialEq, Eq)]
struct Server<'a> {
    host: &'a str,
    port: u16,
    is_tls: bool,
}

impl Post {
    /// Reads templates and looks at the settings; asks no server. Without one, letters wait.
    ///
    /// # Errors
    /// All that is wrong with templates and settings, of [`Kind::Config`], with the key in front.
    pub fn new(style: &Style, smtp: Option<Smtp>) -> Result<Self, Vec<Error>> {
        let mut wrong = smtp.as_ref().map_or_else(Vec::new, Smtp::mistakes);
        if smtp.is_some() && style.from.is_none() {
            let cure = "write from = \"Mail Time Machine <mtm@example.com>\" under [portal]";
            let message = format!("portal.from: missing beside smtp: {cure}");
            wrong.push(Error::new(Kind::Config, message));
        }
        match Writer::new(style) {
            Ok(writer) if wrong.is_empty() => Ok(Self {
                writer,
                smtp,
                said: AtomicBool::new(false),
            }),
            Ok(_) => Err(wrong),
            Err(of_letters) => Err([wrong, of_letters].concat()),
        }
    }

    /// Sends the letters that are due, until there are none or `stop` says so; how many. What could not be sent is warned
    /// of, and due again later.
    ///
    /// # Errors
    /// Those of the database.
    pub fn deliver(&self, store: &Store, _turn: &Turn, stop: impl Fn() -> bool) -> Result<u64> {
        let Some(smtp) = &self.smtp else {
            let waiting = store.letters_waiting()?;
            if waiting > 0 && !self.said.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "{waiting} letters about requests wait: write smtp = \"smtp://localhost:25\" under [portal]"
                );
            }
            return Ok(0);
        };
        let mut sent = 0;
        while !stop() {
            let Some(due) = store.due_letter(now())? else {
                break;
            };
            match self.send(store, smtp, &due) {
                Ok(()) => {
                    store.letter_sent(&due, now())?;
                    tracing::info!("{} was sent", letter::about(&due));
                    sent += 1;
                }
                Err(e) => self.refused(store, &due, &e)?,
            }
        }
        Ok(sent)
    }

    fn send(&self, store: &Store, smtp: &Smtp, due: &Due) -> Result<()> {
        let details = store.get(due.request)?;
        let message = self.writer.write(due, &details, &store.installation()?)?;
        smtp.transport()?.send(&message).map_err(|e| {
            let mut why = e.to_string();
            let mut cause = std::error::Error::source(&e);
            while let Some(inner) = cause {
                let inner_text = inner.to_string();
                if !why.contains(&inner_text) {
                    why = format!("{why}: {inner_text}");
                }
                cause = inner.source();
            }
            Error::new(Kind::Failed, format!("{}: {why}", smtp.server))
        })?;
        Ok(())
    }

    fn refused(&self, store: &Store, due: &Due, e: &Error) -> Result<()> {
        let now = now();
        let about = letter::about(due);
        let tried_for = now.saturating_sub(due.tried.unwrap_or(now));
        // What is no address never will be.
        let is_hopeless = e.kind() == Kind::Invalid;
        let Some(wait) = wait(due.attempts, tried_for).filter(|_| !is_hopeless) else {
            tracing::error!("{about} is given up: {e}: tell its recipient in another way");
            return store.letter_refused(due, &e.to_string(), now, None);
        };
        tracing::warn!("{about} could not be sent, and is tried again in {wait} s: {e}");
        store.letter_refused(due, &e.to_string(), now, Some(now.saturating_add(wait)))
    }
}

/// After how many seconds a letter is tried again that was refused so many times before, for so many seconds; `None`: no more.
fn wait(attempts: u32, tried_for: i64) -> Option<i64> {
    let wait = (FIRST_WAIT << attempts.min(20)).min(LONGEST_WAIT);
    (tried_for <= PATIENCE).then_some(wait)
}

impl Smtp {
    fn wrong<T>(key: &str, why: &dyn std::fmt::Display) -> Result<T> {
        Err(Error::new(Kind::Config, format!("portal.{key}: {why}")))
    }

    fn server(&self) -> Result<Server<'_>> {
        let wrong = || {
            let cure = "write such as \"smtp://localhost:25\" or \"smtps://mail.example.com\"";
            Self::wrong("smtp", &format!("\"{}\": {cure}", self.server))
        };
        let (is_tls, rest) = match self.server.split_once("://") {
            Some(("smtp", rest)) => (false, rest),
            Some(("smtps", rest)) => (true, rest),
            _ => return wrong(),
        };
        let usual = if is_tls { 465 } else { 25 };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => match port.parse() {
                Ok(port) if port != 0 => (host, port),
                _ => return wrong(),
            },
            _ => (rest, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return wrong();
        }
        Ok(Server { host, port, is_tls })
    }

    /// How a connection is made safe.
    fn tls(&self, server: &Server<'_>) -> Result<Tls> {
        let is_here = is_this_host(server.host);
        let mut tls = TlsParameters::builder(server.host.to_owned());
        if let Some(path) = &self.ca_file {
            tls = tls
                .certificate_store(CertificateStore::None)
                .add_root_certificate(certificates(path)?);
        } else if is_here {
            tls = tls
                .certificate_store(CertificateStore::None)
                .dangerous_accept_invalid_certs(true);
        }
        let tls = match tls.build() {
            Ok(tls) => tls,
            Err(e) => return Self::wrong("smtp", &e),
        };
        Ok(match (server.is_tls, is_here) {
            (true, _) => Tls::Wrapper(tls),
            (false, true) => Tls::Opportunistic(tls),
            (false, false) => Tls::Required(tls),
        })
    }

    /// A connection in the making.
    fn transport(&self) -> Result<SmtpTransport> {
        let server = self.server()?;
        let tls = self.tls(&server)?;
        let transport = SmtpTransport::builder_dangerous(server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(SILENCE));
        Ok(match self.credentials()? {
            Some(credentials) => transport.credentials(credentials).build(),
            None => transport.build(),
        })
    }

    fn credentials(&self) -> Result<Option<Credentials>> {
        match (&self.user, &self.password_file) {
            (None, None) => Ok(None),
            (Some(user), Some(path)) => {
                let password = first_line(path)?;
                Ok(Some(Credentials::new(user.clone(), password)))
            }
            (Some(_), None) => {
                let cure = "write the path of a file whose first line is the password";
                Self::wrong(
                    "smtp_password_file",
                    &format!("missing beside smtp_user: {cure}"),
                )
            }
            (None, Some(_)) => {
                let cure = "write the user's name";
                Self::wrong(
                    "smtp_user",
                    &format!("missing beside smtp_password_file: {cure}"),
                )
            }
        }
    }

    /// All that is wrong with it, as far as that shows without asking the server.
    fn mistakes(&self) -> Vec<Error> {
        let tls = match self.server() {
            Ok(server) => self.tls(&server).err().into_iter().collect(),
            Err(e) => {
                let certificates = self.ca_file.as_deref().map(certificates);
                let wrong = certificates.and_then(Result::err);
                [e].into_iter().chain(wrong).collect::<Vec<_>>()
            }
        };
        tls.into_iter().chain(self.credentials().err()).collect()
    }
}

/// Whether a connection there stays on this host.
fn is_this_host(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn certificates(path: &Path) -> Result<Certificate> {
    let read = std::fs::read(path).map_err(|e| e.to_string());
    let found = read.and_then(|pem| Certificate::from_pem(&pem).map_err(|e| e.to_string()));
    found.or_else(|e| {
        let cure = "name a file of certificates, or leave it out to believe the system's";
        let why = format!("{}: no certificates in PEM: {e}: {cure}", path.display());
        Smtp::wrong("ca_file", &why)
    })
}

fn first_line(path: &Path) -> Result<String> {
    let wrong = |why: &dyn std::fmt::Display| {
        let cure = "write the password of smtp_user into its first line";
        let why = format!("{}: {why}: {cure}", path.display());
        Smtp::wrong("smtp_password_file", &why)
    };
    match std::fs::read_to_string(path) {
        Err(e) => wrong(&e),
        Ok(text) => match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(line.to_owned()),
            _ => wrong(&"empty"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(server: &str) -> Smtp {
        Smtp {
            server: server.into(),
            ..Smtp::default()
        }
    }

    #[test]
    fn a_letter_is_tried_for_five_days() {
        let (mut tried_for, mut attempts) = (0, 0);
        while let Some(wait) = wait(attempts, tried_for) {
            assert!((2..=3600).contains(&wait), "{wait}");
            tried_for += wait;
            attempts += 1;
        }
        let days = tried_for / 86_400;
        assert!(
            days == 5 && attempts > 5 * 24,
            "{days} days, {attempts} times"
        );
        assert_eq!(wait(u32::MAX, 0), Some(3600));
    }

    #[test]
    fn servers() {
        for (text, host, port, is_tls) in [
            ("smtp://localhost", "localhost", 25, false),
            ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, false),
            ("smtp://[::1]", "::1", 25, false),
            ("smtp://[::1]:2525", "::1", 2525, false),
            ("smtps://mail.example.com", "mail.example.com", 465, true),
        ] {
            let server = Server { host, port, is_tls };
            assert_eq!(smtp(text).server().unwrap(), server);
        }
        for wrong in [
            "localhost:25",
            "smtp://",
            "smtp://:25",
            "smtp://a:b",
            "imap://a",
        ] {
            let e = smtp(wrong).server().unwrap_err();
            assert_eq!(e.kind(), Kind::Config, "{e}");
        }
        for (host, here) in [
            ("localhost", true),
            ("127.1.2.3", true),
            ("::1", true),
            ("mail.example.com", false),
            ("192.0.2.1", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_this_host(host), here, "{host}");
        }
    }

    #[test]
    fn nothing_leaves_this_host_without_tls() {
        for (text, safety) in [
            ("smtp://localhost", "Opportunistic"),
            ("smtp://[::1]:2525", "Opportunistic"),
            ("smtps://localhost", "Wrapper"),
            ("smtp://mail.example.com", "Required"),
            ("smtp://192.0.2.1:587", "Required"),
            ("smtps://mail.example.com", "Wrapper"),
        ] {
            let smtp = smtp(text);
            let tls = smtp.tls(&smtp.server().unwrap()).unwrap();
            assert_eq!(format!("{tls:?}"), safety, "{text}");
        }
    }

    #[test]
    fn all_settings_that_are_wrong_are_told() {
        let missing = || Some(PathBuf::from("/nonexistent"));
        let style = Style {
            templates: missing(),
            ..Style::default()
        };
        for server in ["smtp://localhost", "smtp://localhost:0"] {
            let wrong = Smtp {
                user: Some("mailtm".into()),
                password_file: missing(),
                ca_file: missing(),
                ..smtp(server)
            };
            let wrong = Post::new(&style, Some(wrong)).unwrap_err();
            let wrong: Vec<String> = wrong.iter().map(Error::to_string).collect();
            let keys = ["ca_file", "smtp_password_file", "from", "templates"];
            for key in keys.iter().chain(server.ends_with('0').then_some(&"smtp")) {
                let of = wrong
                    .iter()
                    .filter(|e| e.starts_with(&format!("portal.{key}: ")));
                assert_eq!(of.count(), 1, "{key}: {wrong:?}");
            }
        }
    }

    #[test]
    fn settings_that_are_wrong_are_told_at_the_start() {
        let style = Style {
            from: Some("mtm@example.com".into()),
            ..Style::default()
        };
        let missing = PathBuf::from("/nonexistent");
        for (style, smtp, key) in [
            (&Style::default(), smtp("smtp://localhost"), "portal.from"),
            (&style, smtp("smtp://"), "portal.smtp"),
            (
                &style,
                Smtp {
                    user: Some("mailtm".into()),
                    ..smtp("smtp://localhost")
                },
                "portal.smtp_password_file",
            ),
            (
                &style,
                Smtp {
                    password_file: Some(missing.clone()),
                    ..smtp("smtp://localhost")
                },
                "portal.smtp_user",
            ),
            (
                &style,
                Smtp {
                    user: Some("mailtm".into()),
                    password_file: Some(missing.clone()),
                    ..smtp("smtp://localhost")
                },
                "portal.smtp_password_file",
            ),
            (
                &style,
                Smtp {
                    ca_file: Some(missing),
                    ..smtp("smtp://localhost")
                },
                "portal.ca_file",
            ),
        ] {
            let wrong = Post::new(style, Some(smtp)).unwrap_err();
            let [e] = wrong.as_slice() else {
                panic!("{wrong:?}");
            };
            assert_eq!(e.kind(), Kind::Config);
            assert!(e.to_string().starts_with(&format!("{key}: ")), "{e}");
        }
        Post::new(&Style::default(), None).unwrap();
    }
}
