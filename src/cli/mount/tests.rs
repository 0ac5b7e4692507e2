//! Tests of `mount`.

use super::*;
use crate::cli::Cli;
use crate::error::Kind;
use std::fs;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("snapshots")).unwrap();
        fs::write(dir.path().join("mailtm.toml"), config).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// What `mailtm mount` with these arguments and this place's configuration means.
    fn mount(&self, args: &[&str]) -> Result<Config> {
        let file = self.path("mailtm.toml");
        let line = ["mailtm", "mount", "--config", &file].into_iter();
        let cli = Cli::try_parse_from(line.chain(args.iter().copied())).unwrap();
        let super::super::Command::Mount(arguments) = cli.command else {
            panic!("another command");
        };
        let (config, _) = arguments.settle(Options::refuse_unknown)?;
        Ok(config)
    }
}

#[test]
fn source_and_mountpoint() {
    let place = Place::new("");
    let (source, mountpoint) = (place.path("snapshots"), place.path("m"));
    let config = place.mount(&[&source, &mountpoint]).unwrap();
    assert_eq!(config.source.snapshots, [Path::new(&source)]);
    assert_eq!(config.mountpoint, Some(mountpoint.into()));

    let e = place.mount(&[&source]).unwrap_err();
    assert_eq!(e.kind(), Kind::Config);
    assert!(e.to_string().contains("mount point"), "{e}");
    assert_eq!(place.mount(&[]).unwrap_err().kind(), Kind::Config);
}

#[test]
fn one_argument_is_the_source_of_a_configured_mountpoint() {
    let place = Place::new("mountpoint = \"/backups\"\n[source]\nsnapshots = [\"/configured\"]\n");
    let source = place.path("snapshots");
    let config = place.mount(&[&source]).unwrap();
    assert_eq!(config.source.snapshots, [Path::new(&source)]);
    assert_eq!(config.mountpoint, Some("/backups".into()));
    let config = place.mount(&[]).unwrap();
    assert_eq!(config.source.snapshots, [Path::new("/configured")]);
}

#[test]
fn relative_paths_mean_the_current_directory() {
    let place = Place::new("");
    let config = place.mount(&["no-such-directory", "m"]).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.source.snapshots, [here.join("no-such-directory")]);
    assert_eq!(config.mountpoint, Some(here.join("m")));
}

#[test]
fn options_override_the_configuration() {
    let place = Place::new("keep_days = 9\nmountpoint = \"/m\"\n[source]\nsnapshots = [\"/s\"]\n");
    let config = place
        .mount(&["-o", "rw,keep_days=2", "-o", "names=unique"])
        .unwrap();
    assert_eq!(config.keep_days, Some(2));
    assert_eq!(config.names, config::Names::Unique);
    let e = place.mount(&["-o", "noexec,unheard_of"]).unwrap_err();
    assert!(e.to_string().contains("\"unheard_of\""), "{e}");
    let e = place.mount(&["-o", "config=/x"]).unwrap_err();
    assert!(e.to_string().contains("twice"), "{e}");
}

#[test]
fn as_mount_calls_it() {
    let place = Place::new("[source]\nsnapshots = [\"/configured\"]\n");
    let helper = |source: &str, options: &str| {
        let line = [
            "mount.mailtm",
            source,
            "/backups",
            "-n",
            "-s",
            "-o",
            options,
        ];
        Helper::try_parse_from(line).unwrap().arguments()
    };
    let file = place.path("mailtm.toml");
    let arguments = helper(&file, "rw");
    assert_eq!(
        (arguments.config, arguments.source),
        (Some(file.clone().into()), None)
    );
    assert!(arguments.background);
    assert_eq!(arguments.mountpoint, Some("/backups".into()));
    assert_eq!(arguments.device, Some(file.into()));

    let snapshots = place.path("snapshots");
    let arguments = helper(&snapshots, "rw");
    assert_eq!(
        (arguments.config, arguments.source),
        (None, Some(snapshots.into()))
    );

    let arguments = helper("mailtm", &format!("config={}", place.path("mailtm.toml")));
    let (config, _) = arguments.settle(Options::refuse_unknown).unwrap();
    assert_eq!(config.source.snapshots, [Path::new("/configured")]);
}

#[test]
fn sloppy_passes_over_what_is_unknown() {
    let place = Place::new("[source]\nsnapshots = [\"/s\"]\n");
    let file = place.path("mailtm.toml");
    let fake = |extra: &[&str]| {
        let line = ["mount.mailtm", &file, "/backups", "-f", "-o", "unheard_of"].into_iter();
        let helper = Helper::try_parse_from(line.chain(extra.iter().copied())).unwrap();
        let global = helper.global();
        helper.run(&global)
    };
    assert_eq!(fake(&[]).unwrap_err().kind(), Kind::Config);
    assert_eq!(fake(&["-s"]).unwrap(), ExitCode::SUCCESS);
}
