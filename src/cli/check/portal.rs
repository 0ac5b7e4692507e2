//! The portal: whether it would start, and what would disappoint those who use it. No server is asked.

use super::findings::Findings;
use super::named::{no_directory, no_password};
use crate::cli::requests;
use crate::cli::terminal::printable;
use crate::config::{Config, Portal};
use crate::restore::imap::transport::check_authorities;
use std::os::unix::fs::MetadataExt;

/// Mistakes that keep the portal from starting, or everybody from signing in, with their keys in front; none where nothing
/// of it is configured.
pub fn mistakes(config: &Config) -> Vec<String> {
    if config.portal == Portal::default() {
        return Vec::new();
    }
    let portal = &config.portal;
    let wrong = requests::post_or_mistakes(config).err().unwrap_or_default();
    let mut mistakes: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    let unread = portal
        .smtp_password_file
        .as_deref()
        .filter(|_| portal.smtp.is_none());
    if let Some(why) = unread.and_then(no_password) {
        mistakes.push(format!("portal.smtp_password_file: {why}"));
    }
    if let Some(why) = portal.path.as_deref().and_then(no_directory) {
        let cure = "name a directory that mailtm's user writes to, or leave it out";
        mistakes.push(format!("portal.path: {why}: {cure}"));
    }
    if let Some(path) = &portal.ca_file
        && let Err(e) = check_authorities(path)
    {
        let message = format!("portal.ca_file: {e}");
        // The post may have said so already.
        if !mistakes
            .iter()
            .any(|said| said.starts_with("portal.ca_file: "))
        {
            mistakes.push(message);
        }
    }
    mistakes
}

/// What works, and not as people expect it.
pub fn judge(config: &Config, findings: &mut Findings) {
    let portal = &config.portal;
    if *portal == Portal::default() {
        return;
    }
    if portal.auth.is_none() {
        findings.warn(
            "portal: nobody can sign in, and the portal does not start: write auth = \"imaps://mail.example.com\" under [portal]",
        );
    }
    if portal.admins.is_empty() {
        findings.warn(
            "portal: nobody is told of requests: write admins = [\"postmaster@example.com\"] under [portal]",
        );
    }
    if portal.smtp.is_none() {
        findings.warn(
            "portal: letters wait, as no server takes them: write smtp = \"smtp://localhost:25\" under [portal]",
        );
    }
    match portal.url.as_deref() {
        None => findings.warn(
            "portal: letters have no links: write url = \"https://mtm.example.com\" under [portal], as people reach the pages",
        ),
        Some(url) if !url.starts_with("https://") => findings.warn(format!(
            "portal: {} is not https, so passwords and sessions go over the network in the clear: put a proxy with TLS in \
             front of it (samples: /usr/share/doc/mailtm/examples/portal), and write its address as url",
            printable(url)
        )),
        Some(_) => {}
    }
    if let Some(file) = &portal.smtp_password_file
        && let Ok(metadata) = std::fs::metadata(file)
        && metadata.mode() & 0o004 != 0
    {
        let shown = printable(&file.to_string_lossy());
        findings.warn(format!(
            "portal: the password in {shown} can be read by everybody on this machine (mode {:o}): chmod 600 {shown}",
            metadata.mode() & 0o7777
        ));
    }
}
