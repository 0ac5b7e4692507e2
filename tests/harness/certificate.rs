//! A certificate that is its own authority.

use super::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a key and a certificate for `localhost` and these other names (such as `IP:198.51.100.77`) in a directory, and
/// answers where they are.
pub fn certificate(dir: &Path, others: &[&str]) -> (PathBuf, PathBuf) {
    let (key, certificate) = (dir.join("tls.key"), dir.join("tls.pem"));
    let names = [&["DNS:localhost"], others].concat().join(",");
    run(Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=localhost"])
        .arg("-addext")
        .arg(format!("subjectAltName={names}"))
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    (key, certificate)
}
