//! Asking the mail server about a password: over TLS, with a certificate that has to be good.

use crate::harness::certificate::certificate;
use crate::harness::imap_server::{PASSWORD, Server};
use crate::harness::{able, output};
use crate::world::{ALICE, World};
use std::process::Command;

const NEEDED: [&str; 4] = ["doveadm", "dovecot", "openssl", "ip"];

/// An address of this host that is not the loopback's, though nothing of it leaves the host; taken away at the end.
struct Outside(&'static str);

impl Outside {
    fn new(address: &'static str) -> Self {
        let _ = output(Command::new("ip").args([
            "address",
            "add",
            &format!("{address}/32"),
            "dev",
            "lo",
        ]));
        Self(address)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = output(Command::new("ip").args([
            "address",
            "del",
            &format!("{}/32", self.0),
            "dev",
            "lo",
        ]));
    }
}

#[test]
fn passwords_go_over_tls_to_a_server_that_is_believed() {
    if !able(&NEEDED) {
        return;
    }
    let outside = Outside::new("198.51.100.77");
    let mut world = World::new();
    let scratch = world.scratch.subdirectory("tls");
    let (key, certificate) = certificate(&scratch, &["IP:198.51.100.77"]);
    let more = format!(
        "ssl = yes\nssl_cert = <{}\nssl_key = <{}\nlisten = 127.0.0.1, {}\nauth_failure_delay = 0\n",
        certificate.display(),
        key.display(),
        outside.0
    );
    let aside = crate::harness::Scratch::new();
    world.server = Server::start(&aside, &world.live, "maildir:~/Maildir", &more);
    let sign_in = |world: &World, password: &str| {
        let portal = world.portal();
        let fields = [("address", ALICE), ("password", password), ("back", "/")];
        let status = portal.browser().post("/sign-in", &fields).status;
        (status, portal.log())
    };
    for at in [
        format!("imaps://localhost:{}", world.server.tls_port),
        format!("imap://{}:{}", outside.0, world.server.port),
    ] {
        // A certificate that nobody knows.
        world.config = world.config.clone().set("portal.auth", at.as_str());
        let (status, log) = sign_in(&world, PASSWORD);
        assert_eq!(status, 503, "{at}");
        assert!(log.contains("ertificate"), "{at}: {log}");

        let known = world.config.clone();
        world.config = known
            .clone()
            .set("portal.ca_file", certificate.to_str().unwrap());
        assert_eq!(sign_in(&world, PASSWORD).0, 303, "{at}");
        assert_eq!(sign_in(&world, "wrong").0, 403, "{at}");
        world.config = known;
    }
    let log = std::fs::read_to_string(aside.join("dovecot/log")).unwrap();
    let logins: Vec<&str> = log.lines().filter(|l| l.contains("Login: user")).collect();
    assert_eq!(logins.len(), 2, "{log}");
    assert!(logins.iter().all(|login| login.contains(", TLS,")), "{log}");
}
