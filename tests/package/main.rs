//! The Debian package: what is in it ([`contents`]), how it installs on a clean Debian 12, is upgraded and goes
//! ([`installed`]), what systemd does with it there ([`service`]), what its units say ([`directives`]), and what it does about
//! dead mounts ([`dead_mounts`]). [`debian`] makes the Debian, [`machine`] runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contents;
mod dead_mounts;
mod debian;
mod directives;
#[path = "../harness/mod.rs"]
mod harness;
mod installed;
mod machine;
mod service;

use harness::{Scratch, Store, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const UNIT: &str = include_str!("../../packaging/systemd/mailtm.service");
const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const TOOLS: [&str; 4] = ["dpkg-deb", "objdump", "strip", "gzip"];

/// The package of the program under test, made once.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        // Nothing of a test that ends with the program is taken away: each run writes the same file.
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
        fs::create_dir_all(&dir).unwrap();
        pack(&dir)
    })
}

fn pack(dir: &Path) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/package");
    let said = run(Command::new(script)
        .args(["--program", env!("CARGO_BIN_EXE_mailtm")])
        .arg(dir)
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none"));
    PathBuf::from(String::from_utf8(said).unwrap().trim_end())
}

/// The values of a key of the unit, in their order.
fn unit(key: &str) -> Vec<&'static str> {
    let values = UNIT
        .lines()
        .filter_map(|l| l.strip_prefix(key)?.strip_prefix('='));
    values.collect()
}

/// A snapshot of one mailbox that belongs to uid 1900001.
fn store(scratch: &Scratch) -> Store {
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE).owned_by(1_900_001, 1_900_001);
    mailbox.number("cur", 1);
    // Not for others, the daemon's user among them.
    run(Command::new("chmod")
        .arg("-R")
        .arg("go=")
        .arg(mailbox.path.parent().unwrap()));
    store
}

/// Where a machine finds the package.
fn copied(scratch: &Scratch) -> PathBuf {
    let copy = scratch.join("mailtm.deb");
    fs::copy(package(), &copy).unwrap();
    copy
}

/// What the package will be some day: of a higher version, with one more line in its configuration.
fn later(scratch: &Scratch, version: &str) -> PathBuf {
    let (root, later) = (
        scratch.join(version),
        scratch.join(format!("mailtm_{version}.deb")),
    );
    run(Command::new("dpkg-deb").arg("-R").args([package(), &root]));
    let change = |path: &str, change: &dyn Fn(String) -> String| {
        let path = root.join(path);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    };
    let own = format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION"));
    change("DEBIAN/control", &|text| {
        text.replace(&own, &format!("\nVersion: {version}\n"))
    });
    change("etc/mailtm/mailtm.toml", &|text| {
        format!("{text}# as of {version}\n")
    });
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Znone", "--build"])
        .args([&root, &later]));
    later
}
