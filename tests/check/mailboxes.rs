//! What `mailtm check` says of mailboxes: whose they are, who gets in, and what is in them.

use crate::harness::store::{mail, uid_of};
use crate::harness::{Layout, Mailbox};
use crate::harness::{able, output};
use crate::{ALICE, BOB, DAY, assert_warns, gzip, json, setup};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn mailboxes_of_a_hosting_system_that_are_not_shown_are_told() {
    let (_scratch, store, config) = setup();
    let config = config.unset("source.mailboxes");
    for path in ["Maildir", "homes/al/Maildir"] {
        let path = store.path.join(DAY).join("home/acct").join(path);
        fs::create_dir_all(path.join("cur")).unwrap();
    }
    let (_, report) = json(&config, &[]);
    assert_eq!(report["mailboxes"]["count"], 1);
    assert_warns(&report, &["home/acct/homes", "not shown", "virtualmin"]);
    let (_, report) = json(&config.set("source.mailboxes", "virtualmin"), &[]);
    assert_eq!(report["mailboxes"]["count"], 2);
}

#[test]
fn what_is_no_directory_in_place_of_mailboxes_is_told() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    let domain = store.path.join(DAY).join("example.com");
    for user in ["linked", "piped", "none"] {
        fs::create_dir_all(domain.join(user)).unwrap();
    }
    symlink("../alice/Maildir", domain.join("linked/Maildir")).unwrap();
    let fifo = domain.join("piped/Maildir");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let (code, report) = json(&config, &[]);
    assert_eq!((code, &report["mailboxes"]["count"]), (0, &1.into()));
    let names = "[\"linked/Maildir\", \"piped/Maildir\"]";
    assert_warns(&report, &["example.com: 2 links, special files", names]);
}

#[test]
fn who_gets_in_is_told() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    let _ = store.mailbox(DAY, BOB).owned_by(0, 0);
    let config = config
        .set(
            "access.admins",
            vec!["4001".to_owned(), "nobody-of-that-name".to_owned()],
        )
        .grant(
            &["alice@*", "*@nowhere.example"],
            &["4002", "@4003", "@no-such-group"],
        );
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    let access = &report["access"];
    assert_eq!(access["entries"][0]["mailbox"], ALICE);
    assert_eq!(access["entries"][0]["owner"], uid_of(ALICE).to_string());
    assert_eq!(
        access["entries"][0]["users"],
        serde_json::json!(["4001", "4002"])
    );
    assert_eq!(access["entries"][0]["groups"], serde_json::json!(["4003"]));
    assert_eq!(access["entries"][1]["users"], serde_json::json!(["4001"]));
    assert_eq!(
        access["unresolved"],
        serde_json::json!(["@no-such-group", "nobody-of-that-name"])
    );
    assert_eq!(access["grants"][0]["patterns"][0]["mailboxes"], 1);
    assert_warns(
        &report,
        &[
            "no such user or group",
            "@no-such-group",
            "nobody-of-that-name",
        ],
    );
    assert_warns(&report, &["\"*@nowhere.example\" matches no mailbox"]);
    assert_warns(
        &report,
        &["nobody but root and the admins", BOB, "set owner"],
    );
    assert_eq!(access["only_admins"]["count"], 1);
}

/// The name service is one here that knows nobody, as while its server is away.
#[test]
fn a_number_is_nobody_where_it_is_not_sure_to_be_no_name() {
    if !able(&["unshare"]) {
        return;
    }
    let (scratch, store, config) = setup();
    store.mailbox(DAY, ALICE);
    let config = config
        .set("access.admins", vec!["4001".to_owned()])
        .grant(&[ALICE], &["@4003"]);
    let broken = scratch.join("nsswitch.conf");
    fs::write(&broken, "passwd: nowhere\ngroup: nowhere\n").unwrap();
    let script = "mount --bind \"$0\" /etc/nsswitch.conf && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&broken);
    command.arg(env!("CARGO_BIN_EXE_mailtm"));
    command
        .args(["check", "--json", "--config"])
        .arg(config.write());
    let report: Value = serde_json::from_slice(&output(&mut command).stdout).unwrap();
    let access = &report["access"];
    assert_eq!(access["unresolved"], serde_json::json!(["4001", "@4003"]));
    for list in ["users", "groups"] {
        assert_eq!(access["entries"][0][list], serde_json::json!([]));
    }
    assert_warns(&report, &["no such user or group", "4001", "@4003"]);
    let (_, report) = json(&config, &[]);
    assert_eq!(report["access"]["unresolved"], serde_json::json!([]));
}

#[test]
fn a_uid_that_owns_the_mailboxes_of_several_users_is_told_with_the_cure() {
    let (_scratch, store, config) = setup();
    for address in [ALICE, BOB, "carl@example.com"] {
        let _ = store.mailbox(DAY, address).owned_by(5_123, 5_123);
    }
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert_warns(
        &report,
        &["3 mailboxes belong to uid 5123", "set owner = \"{user}\""],
    );
    assert_eq!(report["access"]["shared_owners"][0]["count"], 3);

    // No such users on this machine.
    let config = config.set("access.owner", "nobody-of-that-name-{user}");
    let (_, report) = json(&config, &[]);
    assert_warns(
        &report,
        &["the owner of 3 of 3 mailboxes does not resolve", ALICE],
    );
    assert_eq!(report["access"]["owners_unresolved"]["count"], 3);
    assert_eq!(report["access"]["entries"][0]["owner"], Value::Null);
    assert_eq!(report["access"]["only_admins"]["count"], 3);

    // info@ of two domains is one user by this rule.
    store.mailbox(DAY, "root@example.com");
    store.mailbox(DAY, "bin@example.com");
    store.mailbox(DAY, "bin@example.org");
    let (_, report) = json(&config.set("access.owner", "{user}"), &[]);
    assert_warns(&report, &["one user bin", "{user}@{domain}"]);
}

#[test]
fn formats_empty_mailboxes_and_what_is_no_mail_are_counted() {
    let (_scratch, store, config) = setup();
    let alice = store.mailbox(DAY, ALICE);
    alice.number("cur", 1);
    let message = mail("Bob <bob@example.com>", "Zipped", "Hi\n");
    let name = format!("1795000001.M1P1.mx,S={}:2,S", message.len());
    alice.put("Sent/cur", &name, gzip(&message), 1_795_000_001);
    store.mailbox(DAY, BOB);
    let nested = Mailbox::new(&store.snapshot(DAY), "carl@example.org", Layout::Fs);
    nested.number("Lists/rust/cur", 2);
    symlink("/etc/passwd", alice.path.join("cur/1.link:2,S")).unwrap();
    fs::create_dir(alice.path.join("cur/2.directory:2,S")).unwrap();
    let fifo = alice.folder("Sent").join("new/3.fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();

    for more in [&[][..], &["--deep"]] {
        let (code, report) = json(&config, more);
        assert_eq!(code, 0, "{report:#}");
        let contents = &report["contents"];
        assert_eq!(contents["mailboxes"], 3);
        assert_eq!(contents["messages"], 3);
        assert_eq!(contents["folders"], 5);
        assert_eq!(contents["empty"]["count"], 1);
        assert_eq!(contents["empty"]["examples"][0], BOB);
        assert_eq!(contents["oddities"]["count"], 3);
        assert_eq!(
            contents["oddities"]["examples"],
            serde_json::json!(["alice@example.com INBOX", "alice@example.com Sent"])
        );
        let formats: Vec<&str> = contents["formats"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["name"].as_str().unwrap())
            .collect();
        assert_eq!(formats, ["Maildir", "Maildir++", "Maildir, LAYOUT=fs"]);
        let from = if more.is_empty() {
            contents
        } else {
            &report["deep"]
        };
        assert_eq!(
            from["compressions"],
            serde_json::json!([{"name": "gzip", "count": 1}])
        );
    }
}

#[test]
fn mailboxes_that_are_elsewhere_are_told_with_the_cure() {
    let (_scratch, store, config) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    let config = config.set("source.mailboxes", "home/{user}/Maildir");
    let (code, report) = json(&config, &[]);
    assert_eq!(code, 0);
    assert_eq!(report["mailboxes"]["count"], 0);
    assert_warns(
        &report,
        &["1 are recognised without it", "\"{domain}/{user}/Maildir\""],
    );
    let (_, report) = json(&config.unset("source.mailboxes"), &[]);
    assert_eq!(
        report["mailboxes"]["shapes"],
        serde_json::json!([{"name": "{domain}/{user}/Maildir", "count": 1}])
    );
}

#[test]
fn names_that_clash_are_told() {
    let (_scratch, store, config) = setup();
    for disk in ["disk1", "disk2"] {
        let mailbox = store.path.join(DAY).join(disk).join("ann/Maildir/cur");
        fs::create_dir_all(mailbox).unwrap();
    }
    let config = config.set("source.mailboxes", "*/{user}/Maildir");
    let (_, report) = json(&config, &[]);
    assert_eq!(report["mailboxes"]["count"], 2);
    assert_eq!(
        report["mailboxes"]["renamed"][0]["path"],
        "disk2/ann/Maildir"
    );
    assert_warns(&report, &["named as another one", "ann ("]);
}
