//! A Debian 12 with systemd and manual pages, and nothing else: made by debootstrap from the mirror that this machine's apt
//! uses. It is made once and stays in `target/test-data`.
//!
//! A mirror that does not answer fails no test: they use a copy of this machine then, and what was not tried is said where
//! nothing captures it. A Debian whose packages have all come, and which cannot be made of them, is another matter.

use crate::harness::{installed, output, skipped, untested};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Brings the packages: into the directory, then into the archive that is named.
const FETCH: &str = r#"
    eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    [ -z "$http_proxy" ] || export http_proxy
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
      sed -n 's/^bookworm main //p' | head -n 1)
    timeout 150 debootstrap $OPTIONS --make-tarball="$1" bookworm "$0" "${mirror:-http://deb.debian.org/debian}" 2>&1"#;

/// Makes the root of them, without the network; in memory, where nothing waits for a disk, and then beside the archive.
const UNPACK: &str = r#"
    mkdir -p "$0" && mount -t tmpfs -o mode=755 root "$0" &&
      timeout 900 debootstrap $OPTIONS --unpack-tarball="$1" bookworm "$0" 2>&1 &&
      rm -f "$0"/var/cache/apt/archives/*.deb && cp -a "$0" "$1.root" 2>&1"#;

/// Its root directory, to be the lower layer of a machine's; `None` where there is none to be had, which has been said then.
pub fn root() -> Option<&'static Path> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    ROOT.get_or_init(make).as_deref()
}

fn make() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("test-data");
    let kept = data.join("debian-12");
    if kept.exists() {
        return Some(kept);
    }
    if !["debootstrap", "apt-get"].iter().all(|p| installed(p)) {
        skipped("on a clean Debian: needs debootstrap and apt-get");
        return None;
    }
    fs::create_dir_all(&data).unwrap();
    let staging = tempfile::tempdir_in(&data).unwrap();
    let [root, packages, made] =
        ["root", "packages.tgz", "packages.tgz.root"].map(|name| staging.path().join(name));
    let step = |script: &str| {
        // Whatever it mounts ends with it.
        let made = output(
            Command::new("unshare")
                .args(["--mount", "sh", "-c", script])
                .args([&root, &packages])
                .env("OPTIONS", "--variant=minbase --include=systemd-sysv,man-db")
                .env("LC_ALL", "C"),
        );
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let is_of_machine = made.status.code() == Some(124) || said.contains("No space left");
        match made.status.success() {
            true => Ok(()),
            false => Err((last.join("; "), is_of_machine)),
        }
    };
    if let Err((why, _)) = step(FETCH) {
        untested(&format!(
            "on a clean Debian: its packages could not be fetched: {why}"
        ));
        return None;
    }
    if let Err((why, is_of_machine)) = step(UNPACK) {
        if is_of_machine {
            untested(&format!("on a clean Debian: no time or room for it: {why}"));
            return None;
        }
        skipped(&format!("on a clean Debian: debootstrap failed: {why}"));
        return None;
    }
    // Another run may have been quicker.
    if let Err(e) = fs::rename(&made, &kept) {
        assert!(kept.exists(), "{}: {e}", kept.display());
    }
    Some(kept)
}
