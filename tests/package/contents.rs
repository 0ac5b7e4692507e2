//! What is in the package, and what lintian says of it.

use crate::harness::{able, output, run};
use crate::{TOOLS, pack, package};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

#[test]
fn the_package_has_all_that_belongs_to_it() {
    if !able(&TOOLS) {
        return;
    }
    let listing = run(Command::new("dpkg-deb").arg("--contents").arg(package()));
    let listing = String::from_utf8(listing).unwrap();
    let mut files = BTreeMap::new();
    for line in listing.lines() {
        // Mode, owner, size, date, time, path; and the target of a link.
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[1], "root/root", "{line}");
        assert!(
            !fields[0].contains('s')
                && (fields[0].as_bytes()[8] != b'w' || fields[0].starts_with('l')),
            "{line}"
        );
        files.insert(
            fields[5].trim_start_matches('.'),
            (fields[0], fields.get(7).copied()),
        );
    }
    for (path, mode) in [
        ("/usr/bin/mailtm", "-rwxr-xr-x"),
        ("/usr/lib/mailtm/clear-dead-mounts", "-rwxr-xr-x"),
        ("/usr/lib/mailtm/read-ahead", "-rwxr-xr-x"),
        ("/etc/mailtm/mailtm.toml", "-rw-r--r--"),
        ("/usr/lib/systemd/system/mailtm.service", "-rw-r--r--"),
        (
            "/usr/lib/systemd/system/mailtm-portal.service",
            "-rw-r--r--",
        ),
        ("/usr/lib/systemd/system/mailtm-portal.socket", "-rw-r--r--"),
        ("/usr/lib/sysusers.d/mailtm.conf", "-rw-r--r--"),
        ("/usr/lib/tmpfiles.d/mailtm.conf", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/copyright", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/examples/smb.conf", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/examples/exports", "-rw-r--r--"),
        (
            "/usr/share/doc/mailtm/examples/snapshots/btrbk.conf",
            "-rw-r--r--",
        ),
        (
            "/usr/share/doc/mailtm/examples/portal/nginx.conf",
            "-rw-r--r--",
        ),
        (
            "/usr/share/doc/mailtm/examples/portal/Caddyfile",
            "-rw-r--r--",
        ),
        (
            "/usr/share/bash-completion/completions/mailtm",
            "-rw-r--r--",
        ),
        ("/usr/share/zsh/vendor-completions/_mailtm", "-rw-r--r--"),
        (
            "/usr/share/fish/vendor_completions.d/mailtm.fish",
            "-rw-r--r--",
        ),
        ("/usr/share/man/man8/mailtm.8.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/mailtm-mount.8.gz", "-rw-r--r--"),
        ("/usr/share/man/man5/mailtm.toml.5.gz", "-rw-r--r--"),
        ("/usr/share/man/man7/mailtm-semantics.7.gz", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/sharing.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/security.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/sizing.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/troubleshooting.md", "-rw-r--r--"),
        ("/usr/share/doc/mailtm/changelog.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/mount.mailtm.8.gz", "-rw-r--r--"),
    ] {
        assert_eq!(files.get(path), Some(&(mode, None)), "{path}:\n{listing}");
    }
    let link = files["/usr/sbin/mount.mailtm"];
    assert_eq!(link, ("lrwxrwxrwx", Some("../bin/mailtm")));

    let show = |part: &str| {
        let info = Command::new("dpkg-deb")
            .arg("--info")
            .arg(package())
            .arg(part)
            .output();
        String::from_utf8(info.unwrap().stdout).unwrap()
    };
    assert_eq!(show("conffiles"), "/etc/mailtm/mailtm.toml\n");
    let control = show("control");
    for line in [
        format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION")),
        "\nDepends: libc6 (>= 2.".to_owned(),
    ] {
        assert!(control.contains(&line), "{control}");
    }
    let dir = tempfile::tempdir().unwrap();
    let again = fs::read(pack(dir.path())).unwrap();
    assert!(again == fs::read(package()).unwrap(), "not reproducible");
}

#[test]
fn lintian_finds_no_error_in_it() {
    if !able(&[&TOOLS[..], &["lintian"]].concat()) {
        return;
    }
    // It is not compressed for the tests alone; and the maintainer is whoever builds it, who says so with DEBEMAIL.
    let of_the_tests = "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball,bogus-mail-host";
    let found = output(
        Command::new("lintian")
            .args(["--fail-on", "error", "--suppress-tags", of_the_tests])
            .arg(package()),
    );
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success(), "{said}");
}
