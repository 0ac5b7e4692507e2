//! Mount options, as `-o` and fstab have them.

use crate::config::Config;
use crate::error::{Context, Error, Kind, Result};
use std::path::PathBuf;
use tracing::warn;

/// Options of mount(8) that ask for what is so anyway, or for what a read-only mount has no use for. `rw` is among
/// them because mount(8) passes it unless told otherwise.
const OF_MOUNT: &[&str] = &[
    "ro",
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "sync",
    "async",
    "dirsync",
    "silent",
    "loud",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
    "allow_other",
    "default_permissions",
];

/// Beginnings of options that are notes to other programs.
const NOTES: &[&str] = &["x-", "X-", "comment=", "user="];

/// Top-level keys of the configuration that may be given here.
const KEYS: &[&str] = &[
    "granularity",
    "timezone",
    "keep_days",
    "refresh",
    "names",
    "hide_unreadable",
];

/// What all `-o` together say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    /// Keys of the configuration and their values; a later one wins.
    settings: Vec<(String, String)>,
    unknown: Vec<String>,
}

impl Options {
    pub(super) fn parse(given: &[String]) -> Self {
        let mut options = Self::default();
        let each = given.iter().flat_map(|list| list.split(','));
        for option in each.map(str::trim).filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            if key == "config" && !value.is_empty() {
                options.config = Some(PathBuf::from(value));
            } else if KEYS.contains(&key) {
                options.settings.push((key.to_owned(), value.to_owned()));
            } else if !OF_MOUNT.contains(&option)
                && !NOTES.iter().any(|note| option.starts_with(note))
            {
                options.unknown.push(option.to_owned());
            }
        }
        options
    }

    pub(super) fn refuse_unknown(&self) -> Result<()> {
        let Some(option) = self.unknown.first() else {
            return Ok(());
        };
        Err(Error::new(
            Kind::Config,
            format!(
                "unknown mount option \"{option}\": there are config=FILE, {}=, and the usual ones of mount(8)",
                KEYS.join("=, ")
            ),
        ))
    }

    pub(super) fn warn_of_unknown(&self) {
        for option in &self.unknown {
            warn!("unknown mount option {option:?} passed over");
        }
    }

    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        for (key, value) in &self.settings {
            config
                .set(key, value)
                .context(|| format!("mount option {key}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse(text: &str) -> Options {
        Options::parse(&[text.to_owned()])
    }

    #[test]
    fn the_usual_ones_mean_nothing() {
        let options = parse("rw,nosuid,,x-systemd.automount,_netdev,allow_other,user=anna");
        assert!(options.refuse_unknown().is_ok());
        assert!(options.settings.is_empty() && options.config.is_none());
    }

    #[test]
    fn unknown_ones_are_named() {
        for option in [
            "granularty=day",
            "allow_root",
            "config=",
            "ro=1",
            "mountpoint=/x",
        ] {
            let e = parse(&format!("rw,{option}")).refuse_unknown().unwrap_err();
            assert!(e.to_string().contains(&format!("\"{option}\"")), "{e}");
            assert_eq!(e.kind(), Kind::Config);
        }
    }

    #[test]
    fn keys_of_the_configuration() {
        let mut config = Config::default();
        let options = parse("keep_days=3,refresh=5s,config=/a=b.toml,keep_days=4");
        options.apply(&mut config).unwrap();
        assert_eq!(config.keep_days, Some(4));
        assert_eq!(config.refresh, Duration::from_secs(5));
        assert_eq!(options.config, Some("/a=b.toml".into()));
        let e = parse("names=short").apply(&mut config).unwrap_err();
        assert!(e.to_string().starts_with("mount option names: "), "{e}");
    }

    /// An option that is let through is one that the configuration takes.
    #[test]
    fn every_key_can_be_set() {
        for key in KEYS {
            let set = Config::default().set(key, "no such value");
            assert!(set.is_err(), "{key}");
        }
    }
}
