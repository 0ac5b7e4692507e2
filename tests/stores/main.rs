//! A week in the life of a mailbox, in every format that Dovecot and Cyrus write: new mail, copies, moves, expunges, purges, flags
//! and keywords, folders that come, go and are renamed; each day a snapshot. What is shown of every day is what the server
//! said that day: folders, which messages are in them, every byte, size, INTERNALDATE, flags and keywords.
//!
//! `MAILTM_MESSAGES=4000` makes it that many messages instead of a few hundred, and says what was compared and in what time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cyrus;
mod damage;
mod damaged_cyrus;
#[path = "../harness/mod.rs"]
mod harness;
mod life;
mod shown;

use harness::{Config, Mount, Scratch, Store, able, run};
use life::{Day, Kind, live};
use std::process::Command;
use std::time::Instant;

/// What is shown of each day is what Dovecot said.
fn compare(kind: &Kind) {
    if !able(&["doveadm", "rsync"]) {
        return;
    }
    compare_with(kind, &Scratch::new(), |config| config);
}

fn compare_with(kind: &Kind, scratch: &Scratch, configure: impl FnOnce(Config) -> Config) {
    let begun = Instant::now();
    let store = Store::new(scratch.join("snapshots"));
    let days = live(kind, scratch, &store);
    let config = configure(Config::new(scratch, &store).unset("source.mailboxes"));
    assert_shown(&config, &days, kind.described, begun);
}

/// Each day as it was, once to learn and once from the index; and `mailtm check` says the same.
fn assert_shown(config: &Config, days: &[Day], described: &str, begun: Instant) {
    let made = begun.elapsed();
    let mut sum = shown::Sum::default();
    let mut listed = Vec::new();
    // Once to learn, once from the index.
    for pass in 0..2 {
        let mount = Mount::new(config);
        let names: Vec<_> = days.iter().map(|d| shown::names(&mount, d)).collect();
        if pass == 0 {
            days.iter()
                .for_each(|day| shown::compare(&mount, day, &mut sum));
            shown::assert_one_name_on_all_days(days, &names);
            listed = names;
        } else {
            assert_eq!(listed, names, "the names, once known");
        }
    }
    shown::assert_checked(config, days, described);
    if std::env::var_os("MAILTM_MESSAGES").is_some() {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        println!(
            "{name}: {} days, {} messages on them, {} MB compared byte for byte; made in {:.0} s, compared in {:.0} s",
            days.len(),
            sum.messages,
            sum.bytes / 1_000_000,
            made.as_secs_f64(),
            (begun.elapsed() - made).as_secs_f64()
        );
    }
}

#[test]
fn maildir() {
    compare(&Kind::new("maildir:~/Maildir", "Maildir++"));
}

#[test]
fn maildir_layout_fs() {
    compare(&Kind::new(
        "maildir:~/Maildir:LAYOUT=fs",
        "Maildir, LAYOUT=fs",
    ));
}

#[test]
fn maildir_layout_index() {
    let location = "maildir:~/Maildir:LAYOUT=index";
    compare(&Kind::new(location, "Maildir, LAYOUT=index"));
}

#[test]
fn maildir_layout_fs_control_files_elsewhere() {
    let location = "maildir:~/Maildir:LAYOUT=fs:INDEX=~/index:CONTROL=~/control";
    compare(&Kind::new(location, "Maildir, LAYOUT=fs"));
}

#[test]
fn sdbox_index_elsewhere() {
    compare(&Kind::new("sdbox:~/sdbox:INDEX=~/index", "sdbox"));
}

#[test]
fn mdbox_index_elsewhere() {
    compare(&Kind::new(
        "mdbox:~/mdbox:INDEX=~/index:CONTROL=~/control",
        "mdbox",
    ));
}

#[test]
fn maildir_control_files_elsewhere() {
    let location = "maildir:~/Maildir:INDEX=~/index:CONTROL=~/control";
    compare(&Kind::new(location, "Maildir++"));
}

#[test]
fn maildir_gzip() {
    compare(&Kind::new("maildir:~/Maildir", "Maildir++").saving(&["gz"]));
}

#[test]
fn maildir_zstd() {
    compare(&Kind::new("maildir:~/Maildir", "Maildir++").saving(&["zstd"]));
}

#[test]
fn maildir_lz4() {
    compare(&Kind::new("maildir:~/Maildir", "Maildir++").saving(&["lz4"]));
}

/// The server was told something else every day.
#[test]
fn maildir_mixed() {
    let methods = ["", "gz", "zstd", "", "lz4", "bz2", "gz"];
    compare(&Kind::new("maildir:~/Maildir", "Maildir++").saving(&methods));
}

/// Makes a global key on an elliptic curve: what Dovecot is to be told of it, and where its private half is.
fn global_key(scratch: &Scratch) -> (String, String) {
    let keys = scratch.subdirectory("keys");
    let (private, public) = (keys.join("private.pem"), keys.join("public.pem"));
    let curve = [
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ];
    run(Command::new("openssl")
        .arg("genpkey")
        .args(curve)
        .arg("-out")
        .arg(&private));
    run(Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&private)
        .arg("-out")
        .arg(&public));
    run(Command::new("chown")
        .arg(harness::dovecot::OWNER.to_string())
        .arg(&private));
    let plugin = format!(
        "mail_crypt_save_version = 2\n  mail_crypt_global_private_key = <{}\n  mail_crypt_global_public_key = <{}",
        private.display(),
        public.display()
    );
    (plugin, private.to_str().unwrap().to_owned())
}

/// As mailcow has it: encrypted for a global key on an elliptic curve, and compressed.
#[test]
fn maildir_encrypted() {
    if !able(&["doveadm", "rsync", "openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let (plugin, key) = global_key(&scratch);
    let kind = Kind {
        plugin,
        ..Kind::new("maildir:~/Maildir", "Maildir++").saving(&["lz4"])
    };
    compare_with(&kind, &scratch, |config| {
        config.set("source.mail_crypt_keys", vec![key])
    });
}

#[test]
fn sdbox() {
    compare(&Kind::new("sdbox:~/sdbox", "sdbox"));
}

#[test]
fn sdbox_zstd() {
    compare(&Kind::new("sdbox:~/sdbox", "sdbox").saving(&["zstd"]));
}

#[test]
fn sdbox_layout_index() {
    compare(&Kind::new(
        "sdbox:~/sdbox:LAYOUT=index",
        "sdbox, LAYOUT=index",
    ));
}

#[test]
fn sdbox_alternative_storage() {
    compare(&Kind::new(
        "sdbox:~/sdbox:ALT=~/old",
        "sdbox, alternative storage",
    ));
}

#[test]
fn mdbox() {
    compare(&Kind::new("mdbox:~/mdbox", "mdbox"));
}

#[test]
fn mdbox_zstd() {
    compare(&Kind::new("mdbox:~/mdbox", "mdbox").saving(&["zstd"]));
}

#[test]
fn mdbox_layout_index() {
    compare(&Kind::new("mdbox:~/mdbox:LAYOUT=index", "mdbox, LAYOUT=index").saving(&["", "lz4"]));
}

#[test]
fn mdbox_alternative_storage() {
    compare(&Kind::new(
        "mdbox:~/mdbox:ALT=~/old",
        "mdbox, alternative storage",
    ));
}

#[test]
fn mbox() {
    compare(&Kind::new("mbox:~/mail:INBOX=~/mail/inbox", "mbox"));
}

/// The spool as it has been for decades (`mailbox_legacy_dirs`), and as it is since 3.6; what is in it of older versions
/// may be in both ways.
fn compare_cyrus(settings: &'static str, archives: bool, described: &str) {
    if !able(&["rsync", "python3"]) {
        return;
    }
    let (begun, scratch) = (Instant::now(), Scratch::new());
    let store = Store::new(scratch.join("snapshots"));
    let kind = cyrus::Kind { settings, archives };
    let Some(days) = cyrus::live(&kind, &scratch, &store, life::messages()) else {
        return;
    };
    let config = Config::new(&scratch, &store)
        .unset("source.mailboxes")
        .set("source.mailbox_name", "{user}@example.com");
    assert_shown(&config, &days, described, begun);
}

#[test]
fn cyrus_by_names() {
    compare_cyrus("mailbox_legacy_dirs: yes\n", false, "Cyrus");
}

#[test]
fn cyrus_by_hashed_names_archived() {
    let settings = "mailbox_legacy_dirs: yes\nhashimapspool: yes\narchive_enabled: yes\n";
    compare_cyrus(settings, true, "Cyrus");
}

#[test]
fn cyrus_by_ids() {
    compare_cyrus("", false, "Cyrus, by ids");
}

#[test]
fn cyrus_by_ids_archived() {
    compare_cyrus("archive_enabled: yes\n", true, "Cyrus, by ids");
}
