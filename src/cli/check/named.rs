//! Files that the configuration names, and that are not what they should be; those of the portal are in `portal`.

use crate::config::Config;
use crate::restore::imap::transport::check_authorities;
use crate::store::decode::Keys;
use crate::view::about;
use std::path::Path;
use std::slice;

/// What is wrong with each, with its key in front.
pub fn mistakes(config: &Config) -> Vec<String> {
    let keys = config.source.mail_crypt_keys.iter();
    let keys = keys.filter_map(|key| Keys::read(slice::from_ref(key)).err());
    let mut mistakes: Vec<String> = keys.map(|e| e.to_string()).collect();
    if let Some(Err(e)) = config.about.as_deref().map(about::Template::read) {
        mistakes.push(format!("about.template: {e}"));
    }
    let restore = &config.restore;
    if let Some(why) = restore.password_file.as_deref().and_then(no_file) {
        mistakes.push(format!("restore.password_file: {why}"));
    }
    if let Some(Err(e)) = restore.ca_file.as_deref().map(check_authorities) {
        let cure = "name a file of certificates, or leave it out to believe the system's";
        mistakes.push(format!("restore.ca_file: {e}: {cure}"));
    }
    mistakes
}

/// Why there is no password in a file, as far as that shows without reading it.
fn no_file(path: &Path) -> Option<String> {
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
