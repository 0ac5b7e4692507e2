//! Passwords are for the mail server to judge: it is asked, and nothing is kept.

use super::Options;
use crate::error::{Context, Kind, Result};
use crate::restore::imap::{session, transport};
use std::time::Duration;

/// A mail server that says nothing for so long does not answer.
const SILENCE: Duration = Duration::from_secs(20);

/// Whether a password is right. Waits for the mail server.
///
/// # Errors
/// It could not be asked.
pub(super) fn is_right(options: &Options, address: &str, password: &str) -> Result<bool> {
    let ask = || {
        let authorities = options.ca_file.as_deref();
        let stream = transport::connect(&options.auth, authorities, SILENCE)?;
        session::takes_password(stream, address, password)
    };
    match ask() {
        // What cannot be said to a mail server is nobody's password.
        Err(e) if e.kind() == Kind::Invalid => Ok(false),
        asked => asked.context(|| "signing in: portal.auth"),
    }
}
