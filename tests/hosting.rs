//! Trees as the well-known hosting systems leave them, with all that lies about in them, found by one word; and Maildirs that
//! Courier and Exim wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{messages, walk};
use harness::{Config, Mount, Scratch, Store, able, mail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const DAY: &str = "2026-11-20";

/// Puts a message into a folder of a Maildir, whose other directories are made; it says where it is.
fn message(top: &Path, folder: &str, name: &str) {
    let folder = top.join(folder);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let subject = folder.display().to_string();
    fs::write(
        folder.join(name),
        mail("Bob <b@example.com>", &subject, "x\n"),
    )
    .unwrap();
}

/// A mailbox with INBOX and two folders, as Dovecot keeps it.
fn dovecot(top: &Path) {
    message(top, "", "cur/1790000000.M1P1.mx,S=200,W=210:2,S");
    message(top, "", "new/1790000001.M2P1.mx");
    message(top, ".Sent", "cur/1790000002.M3P1.mx:2,S");
    message(top, ".Archive.2024", "cur/1790000003.M4P1.mx:2,S");
    for file in [
        "dovecot-uidlist",
        "dovecot-uidvalidity",
        "dovecot.index.log",
        "dovecot.list.index.log",
        "dovecot-quota",
        "subscriptions",
        "maildirsize",
    ] {
        fs::write(top.join(file), "3 V1 N2\n").unwrap();
    }
}

/// A file with something in it.
fn file(path: impl AsRef<Path>) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, "something\n").unwrap();
}

/// What is shown of a date: for each mailbox its folders.
fn shown(mount: &Mount) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    walk(&mount.join(DAY), &mut |path, meta| {
        if meta.is_file() && path.extension().is_some_and(|e| e == "mbox") {
            let text = path.with_extension("").to_str().unwrap().to_owned();
            let (mailbox, folder) = text.split_once('/').unwrap();
            shown
                .entry(mailbox.into())
                .or_default()
                .insert(folder.into());
        }
    });
    shown
}

/// A hosting system: its word, what makes its tree, and the mailboxes that are found.
type Hosting = (&'static str, fn(&Path), &'static [&'static str]);

const ALL: [Hosting; 9] = [
    (
        "cpanel",
        |top| {
            let account = top.join("home/acct/mail");
            dovecot(&account);
            for user in ["ann", "bob"] {
                dovecot(&account.join("a.example").join(user));
                let link = account.join(format!(".{user}@a_example"));
                symlink(format!("a.example/{user}"), link).unwrap();
            }
            file(account.join("a.example/ann/mailbox_format.cpanel"));
            file(account.join("mailbox_format.cpanel"));
            file(top.join("home/acct/etc/a.example/passwd"));
            file(top.join("home/acct/public_html/index.html"));
            file(top.join("home/virtfs/x"));
        },
        &["acct", "ann@a.example", "bob@a.example"],
    ),
    (
        "directadmin",
        |top| {
            dovecot(&top.join("home/acct/imap/a.example/ann/Maildir"));
            dovecot(&top.join("home/acct/imap/b.example/bob/Maildir"));
            dovecot(&top.join("home/acct/Maildir"));
            file(top.join("home/acct/imap/a.example/ann/.sieve/a.sieve"));
            file(top.join("home/acct/domains/a.example/public_html/index.html"));
        },
        &["acct", "ann@a.example", "bob@b.example"],
    ),
    (
        "docker-mailserver",
        |top| {
            dovecot(&top.join("var/mail/a.example/ann"));
            dovecot(&top.join("var/mail/b.example/bob"));
            file(top.join("var/mail/a.example/ann/home/.dovecot.sieve"));
            file(top.join("var/mail-state/lib-postfix/master.lock"));
        },
        &["ann@a.example", "bob@b.example"],
    ),
    (
        "iredmail",
        |top| {
            let all = top.join("var/vmail/vmail1/a.example");
            dovecot(&all.join("a/n/n/ann-2020.01.31.12.00.59/Maildir"));
            dovecot(&all.join("m/a/r/mary-ann-2021.01.31.12.00.59/Maildir"));
            file(all.join("a/n/n/ann-2020.01.31.12.00.59/sieve/dovecot.sieve"));
            file(top.join("var/vmail/backup/mysql/2026/11/20/x.sql.bz2"));
            file(top.join("var/vmail/sieve/dovecot.sieve"));
        },
        &["ann@a.example", "mary-ann@a.example"],
    ),
    (
        "ispconfig",
        |top| {
            dovecot(&top.join("var/vmail/a.example/ann/Maildir"));
            dovecot(&top.join("var/vmail/a.example/bob/Maildir"));
            file(top.join("var/vmail/a.example/ann/sieve/ispconfig.sieve"));
            file(top.join("var/vmail/a.example/ann/.ispconfig.sieve"));
            file(top.join("var/vmail/mailfilters/a.example/ann/.mailfilter"));
        },
        &["ann@a.example", "bob@a.example"],
    ),
    (
        "mailcow",
        |top| {
            let all = top.join("var/vmail");
            dovecot(&all.join("a.example/ann"));
            dovecot(&all.join("b.example/bob"));
            file(all.join("_garbage/1790000000_old"));
            file(all.join("sieve/global_sieve_before.sieve"));
            file(all.join("a.example/ann/sieve/rules.sieve"));
        },
        &["ann@a.example", "bob@b.example"],
    ),
    (
        "mailinabox",
        |top| {
            let all = top.join("home/user-data/mail");
            dovecot(&all.join("mailboxes/a.example/ann"));
            dovecot(&all.join("mailboxes/box.a.example/bob"));
            file(all.join("users.sqlite"));
            file(all.join("sieve/a.example/ann/roundcube.sieve"));
            file(all.join("dkim/mail.private"));
        },
        &["ann@a.example", "bob@box.a.example"],
    ),
    (
        "plesk",
        |top| {
            let all = top.join("var/qmail/mailnames/a.example");
            dovecot(&all.join("ann/Maildir"));
            dovecot(&all.join("bob/Maildir"));
            file(all.join("ann/.qmail"));
            file(all.join("ann/@attachments/x"));
            file(all.join("ann/.spamassassin/user_prefs"));
            file(top.join("var/qmail/control/me"));
        },
        &["ann@a.example", "bob@a.example"],
    ),
    (
        "virtualmin",
        |top| {
            dovecot(&top.join("home/acct/Maildir"));
            dovecot(&top.join("home/acct/homes/ann/Maildir"));
            file(top.join("home/acct/homes/ann/.procmailrc"));
            file(top.join("home/acct/public_html/index.html"));
        },
        &["acct", "ann"],
    ),
];

#[test]
fn each_is_found_by_one_word() {
    if !able(&[]) {
        return;
    }
    for (word, make, mailboxes) in ALL {
        let scratch = Scratch::new();
        let store = Store::new(scratch.join("snapshots"));
        make(&store.snapshot(DAY));
        let config = Config::new(&scratch, &store).set("source.mailboxes", word);
        let mount = Mount::new(&config).expecting_warnings();
        let shown = shown(&mount);
        let names: Vec<&str> = shown.keys().map(String::as_str).collect();
        assert_eq!(names, mailboxes, "{word}");
        let wanted = ["Archive/2024", "INBOX", "Sent"].map(str::to_owned);
        for (mailbox, folders) in &shown {
            assert_eq!(
                *folders,
                BTreeSet::from(wanted.clone()),
                "{word}: {mailbox}"
            );
            let inbox = mount.join(DAY).join(mailbox).join("INBOX");
            let names = messages(&inbox);
            assert_eq!(names.len(), 2, "{word}: {mailbox}");
            let user = mailbox.split('@').next().unwrap();
            for name in names {
                let text = fs::read_to_string(inbox.join(name)).unwrap();
                assert!(
                    text.contains(&format!("/{user}")),
                    "{word}: {mailbox}: {text}"
                );
            }
        }
    }
}

/// What Courier keeps beside the messages is no folder, and its folders may have names in UTF-8. Exim writes sizes into
/// names, and no flags.
#[test]
fn courier_and_exim() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let top = store.snapshot(DAY).join("a.example/ann/Maildir");
    message(&top, "", "cur/1790000000.M1P1V0I2_0.mx,S=200:2,S");
    message(&top, ".Entwürfe", "cur/1790000001.M1P1V0I3_0.mx:2,DS");
    message(&top, ".Gel&APY-scht", "cur/1790000002.M1P1V0I4_0.mx:2,TS");
    for folder in [".Entwürfe", ".Gel&APY-scht"] {
        file(top.join(folder).join("maildirfolder"));
        file(top.join(folder).join("courierimapuiddb"));
        file(top.join(folder).join("courierimapacl"));
    }
    for name in [
        "courierimapsubscribed",
        "courierimapuiddb",
        "courierimaphieracl/Entw",
        "courierimapkeywords/:list",
        "courierimapkeywords/.1790000000.M1P1V0I2_0.mx",
        "courierpop3dsizelist",
        "maildirsize",
        "shared-folders/x",
    ] {
        file(top.join(name));
    }
    let exim = store.snapshot(DAY).join("a.example/bob/Maildir");
    message(&exim, "", "new/1790000000.H1P1.mx,S=1234");
    message(&exim, ".spam", "new/1790000001.H1P1.mx,S=1234");
    file(exim.join("maildirsize"));
    let mount = Mount::new(&Config::new(&scratch, &store));
    let shown = shown(&mount);
    let folders = |mailbox: &str| {
        shown[mailbox]
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(folders("ann@a.example"), ["Entwürfe", "Gelöscht", "INBOX"]);
    assert_eq!(folders("bob@a.example"), ["INBOX", "spam"]);
    let inbox = mount.join(DAY).join("bob@a.example/INBOX");
    let name = harness::tree::only(&inbox);
    // The size that its name claims is another one.
    assert!(
        fs::read_to_string(inbox.join(name))
            .unwrap()
            .contains("bob")
    );
}

/// An address may begin like the name of a store; and a mailbox that was moved elsewhere is a link here.
#[test]
fn a_user_called_mail_hides_nobody_and_a_link_is_told() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let top = store.snapshot(DAY);
    for user in ["ann", "mail"] {
        dovecot(&top.join("a.example").join(user));
        dovecot(&top.join("b.example").join(user).join("Maildir"));
    }
    symlink("/elsewhere/bob", top.join("a.example/bob")).unwrap();
    let config = Config::new(&scratch, &store).unset("source.mailboxes");
    let mount = Mount::new(&config).expecting_warnings();
    let wanted = [
        "ann@a.example",
        "ann@b.example",
        "mail@a.example",
        "mail@b.example",
    ];
    let shown = shown(&mount);
    assert_eq!(shown.keys().collect::<Vec<_>>(), wanted);
    let folders = ["Archive/2024", "INBOX", "Sent"].map(str::to_owned);
    assert!(
        shown
            .values()
            .all(|own| *own == BTreeSet::from(folders.clone()))
    );
    mount.wait_for_warning(&["links where mailboxes might be", "a.example", "bob"]);
}
