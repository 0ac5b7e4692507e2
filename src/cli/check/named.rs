//! Files and directories that the configuration names, and that are not what they should be; those of the portal are in `portal`.

use crate::config::Config;
use crate::mount::probe::{self, Silent};
use crate::restore::imap::transport::check_authorities;
use crate::store::decode::Keys;
use crate::view::about;
use std::io::ErrorKind;
use std::path::Path;
use std::slice;

/// What is wrong with each, with its key in front. A store that is silent is not looked at.
pub fn mistakes(config: &Config, silent: &[Silent]) -> Vec<String> {
    let keys = config.source.mail_crypt_keys.iter();
    let keys = keys.filter_map(|key| Keys::read(slice::from_ref(key)).err());
    let mut mistakes: Vec<String> = keys.map(|e| e.to_string()).collect();
    if let Some(Err(e)) = config.about.as_deref().map(about::Template::read) {
        mistakes.push(format!("about.template: {e}"));
    }
    let restore = &config.restore;
    if let Some(why) = restore.password_file.as_deref().and_then(no_password) {
        mistakes.push(format!("restore.password_file: {why}"));
    }
    if let Some(Err(e)) = restore.ca_file.as_deref().map(check_authorities) {
        mistakes.push(format!("restore.ca_file: {e}"));
    }
    let live = config.source.live.as_deref();
    let live = live.filter(|live| !probe::is_among(silent, live));
    if let Some(why) = live.and_then(no_directory) {
        let cure = "name the directory of the mail as it is now, or leave it out";
        mistakes.push(format!("source.live: {why}: {cure}"));
    }
    mistakes
}

/// Why a directory cannot be there, nor be mounted there later.
pub fn no_directory(path: &Path) -> Option<String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Some(format!("{shown}: it is not a directory")),
        Err(e) if e.kind() == ErrorKind::NotADirectory => {
            Some(format!("{shown}: something above it is not a directory"))
        }
        _ => None,
    }
}

/// Why there is no password in a file, as far as that shows without reading it.
pub fn no_password(path: &Path) -> Option<String> {
    let why = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return None,
        Ok(_) => "it is not a file".to_owned(),
        Err(e) => e.to_string(),
    };
    let path = path.display();
    Some(format!(
        "{path}: {why}: write the password on the first line of a file, and name that"
    ))
}
