//! Tests of `mailbox`.

use super::*;
use std::fs;
use std::sync::Arc;

fn names(paths: &[&str], layout: &Layout) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for path in paths {
        fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let found = layout.find(&Root::new(dir.path())).unwrap();
    let mut names: Vec<String> = found.iter().map(|m| m.name.clone()).collect();
    names.sort();
    names
}

fn layout(template: &str) -> Layout {
    Layout {
        templates: vec![Template::parse(template).unwrap()],
        ..Layout::default()
    }
}

#[test]
fn templates() {
    let paths = [
        "a.example/ann/Maildir/cur",
        "b.example/bob/Maildir/new",
        "b.example/tom/no",
        "lost+found",
    ];
    assert_eq!(
        names(&paths, &layout("{domain}/{user}/Maildir")),
        ["ann@a.example", "bob@b.example"]
    );
    let hashed = [
        "vmail1/a.example/a/n/ann-2020/cur",
        "vmail1/a.example/a/x/axl-2021/cur",
    ];
    assert_eq!(
        names(&hashed, &layout("vmail1/{domain}/*/*/{user}-*")),
        ["ann@a.example", "axl@a.example"]
    );
    assert_eq!(
        names(&["ann@a.example/cur"], &layout("{user}")),
        ["ann@a.example"]
    );
    for wrong in ["/x/{user}", "{domain}", "{name}/{user}", "../{user}"] {
        assert_eq!(
            Template::parse(wrong).unwrap_err().kind(),
            Kind::Config,
            "{wrong}"
        );
    }
}

#[test]
fn the_live_one_of_a_name_is_that_of_the_same_owner() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout("*/{domain}/{user}");
    for path in ["then/c", "now/a", "now/b"] {
        fs::create_dir_all(dir.path().join(path).join("x.org/al/cur")).unwrap();
    }
    let (then, now) = ["then", "now"]
        .map(|at| Root::new(dir.path().join(at)))
        .into();
    let planted = dir.path().join("now/a/x.org/al");
    // Only root can.
    if std::os::unix::fs::chown(planted, Some(4711), None).is_err() {
        return;
    }
    let mailbox = layout.find(&then).unwrap().iter().next().unwrap().clone();
    let all = || layout.find(&now).map(Arc::new);
    let found = layout.counterpart(&now, &mailbox, all).unwrap().unwrap();
    assert_eq!(found.path, b"b/x.org/al");
}

#[test]
fn recognised_by_content() {
    let paths = [
        "srv/vmail/a.example/ann/Maildir/cur",
        "srv/vmail/a.example/bob/cur",
        "home/carl/Maildir/new",
        "home/carl/dora/Maildir/new",
        "etc/x",
    ];
    assert_eq!(
        names(&paths, &Layout::default()),
        ["ann@a.example", "bob@a.example", "carl"]
    );
}

/// An address may begin like the name of a store.
#[test]
fn a_user_called_mail_hides_nobody() {
    let found = |paths: &[&str]| names(paths, &Layout::default());
    let wanted = ["bob@a.example", "mail@a.example"];
    assert_eq!(
        found(&["vmail/a.example/mail/cur", "vmail/a.example/bob/cur"]),
        wanted
    );
    let homes = ["a.example/mail/Maildir/cur", "a.example/bob/Maildir/cur"];
    assert_eq!(found(&homes), wanted);
    assert_eq!(found(&homes[..1]), wanted[1..]);
    let more = [
        "a.example/dbox/cur",
        "a.example/maildir/cur",
        "a.example/bob/cur",
    ];
    assert_eq!(
        found(&more),
        ["bob@a.example", "dbox@a.example", "maildir@a.example"]
    );
    // A home, whatever else is in it.
    for name in ["Maildir", "mail", "maildir"] {
        let store = format!("home/carl/{name}/cur");
        let paths = [&store, "home/carl/logs/x", "home/carl/old/2024/x"];
        assert_eq!(found(&paths), ["carl"], "{name}");
    }
    let paths = ["home/carl/Maildir/cur", "home/carl/archive/cur"];
    assert_eq!(found(&paths), ["carl"]);
    // What its owner can make makes no domain of it.
    for paths in [
        ["a.example/bob/mail/cur", "a.example/bob/archive/cur"],
        ["a.example/b.ob/mail/cur", "a.example/b.ob/archive/cur"],
    ] {
        let whose = found(&paths);
        assert!(
            matches!(whose.as_slice(), [one] if one.starts_with('b')),
            "{whose:?}"
        );
    }
    for paths in [
        ["home/bob/mail/cur", "home/bob/old/mail/cur"],
        ["home/bob/mail/Maildir/cur", "home/bob/x/Maildir/cur"],
        ["home/b.smith/mail/cur", "home/b.smith/x/cur"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for home in ["home/bob", "home/b.smith"] {
            let _ = std::fs::write(dir.path().join(home).join(".profile"), "");
        }
        let mut out = Mailboxes::default();
        Layout::default()
            .recognise(&Root::new(dir.path()), &mut out)
            .unwrap();
        assert_eq!(out.all.len(), 1, "{paths:?}");
        assert!(out.all[0].user.starts_with('b'), "{:?}", out.all[0].user);
    }
}

/// Homes are users' where they are different users'.
#[test]
fn a_unix_user_called_mail_hides_nobody() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["home/mail/Maildir/cur", "home/bob/Maildir/new"] {
        std::fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let own = |home: &str, uid| std::os::unix::fs::chown(dir.path().join(home), Some(uid), None);
    let users = || {
        let mut out = Mailboxes::default();
        Layout::default()
            .recognise(&Root::new(dir.path()), &mut out)
            .unwrap();
        let mut users: Vec<String> = out.all.iter().map(|mailbox| mailbox.user.clone()).collect();
        users.sort();
        users
    };
    if own("home/mail", 8).is_ok() {
        own("home/bob", 1001).unwrap();
        assert_eq!(users(), ["bob", "mail"]);
    }
}

/// In the root of a snapshot and in a domain's directory nobody is hidden by a name, whoever owns what.
#[test]
fn users_called_like_parts_of_a_store_hide_nobody() {
    let found = |paths: &[&str]| names(paths, &Layout::default());
    let three = ["alice", "bob", "mail"];
    for [a, b, c] in [
        ["alice/cur", "bob/cur", "mail/cur"],
        ["alice/Maildir/cur", "bob/Maildir/cur", "mail/Maildir/cur"],
    ] {
        assert_eq!(found(&[a, b, c]), three);
    }
    assert_eq!(
        found(&["alice/cur", "bob/Maildir/cur", "Maildir/cur"]),
        ["alice", "bob", "mailbox"]
    );
    assert_eq!(
        found(&["ex.com/alice/cur", "ex.com/bob/cur", "ex.com/Mail/cur"]),
        ["alice@ex.com", "bob@ex.com", "ex.com"]
    );
    for part in ["new", "cur"] {
        let address = format!("{part}@ex.com");
        for store in ["", "/Maildir"] {
            let paths = ["alice", part].map(|user| format!("ex.com/{user}{store}/cur"));
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            assert_eq!(found(&paths), ["alice@ex.com", &address]);
        }
        assert_eq!(found(&[&format!("{part}/cur"), "bob/cur"]), ["bob", part]);
    }
    // One who has no mail yet, or no Maildir.
    for new in ["ex.com/new", "ex.com/new/mailboxes", "ex.com/new/tmp"] {
        let whose = found(&[new, "ex.com/alice/cur", "ex.com/bob/cur"]);
        assert!(
            whose.starts_with(&["alice@ex.com".into(), "bob@ex.com".into()]),
            "{whose:?}"
        );
    }
    // A Maildir is one, wherever it stands.
    for path in ["", "j.doe/", "ex.com/j.doe/", "home/j/"] {
        let paths = ["cur", "new", "tmp", ".Sent/cur"].map(|part| format!("{path}{part}"));
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(found(&paths).len(), 1, "{path}");
    }
}

/// A directory with a store's name that holds those of everybody.
#[test]
fn a_directory_called_mail_is_no_mailbox_of_all() {
    let found = |paths: &[&str]| names(paths, &Layout::default());
    let both = ["al@x.org", "bo@y.org"];
    for above in ["var/mail/", "mail/", "home/user-data/mail/mailboxes/"] {
        let paths = ["x.org/al/cur", "y.org/bo/cur"].map(|path| format!("{above}{path}"));
        assert_eq!(found(&[&paths[0], &paths[1]]), both, "{above}");
    }
    assert_eq!(found(&["mail/al@x.org/cur", "mail/bo@y.org/cur"]), both);
    // Folders may be called like domains.
    for folder in ["mail/cur", "mail/INBOX/cur"] {
        let lists = "home/carl/mail/Lists/x.org/cur";
        assert_eq!(found(&[&format!("home/carl/{folder}"), lists]), ["carl"]);
    }
    for folder in ["Lists", "acme.com", "Customers/acme.com"] {
        let path = format!("home/carl/mail/{folder}/cur");
        assert_eq!(found(&[&path, "home/carl/mail/Customers/cur"]), ["carl"]);
    }
}

#[test]
fn a_maildir_whose_inbox_is_a_folder_is_a_mailbox() {
    let found = |paths: &[&str]| names(paths, &Layout::default());
    let dotted = ["ex.com/alice/.INBOX/cur", "ex.com/alice/.Sent/cur"];
    let nested = ["ex.com/bob/INBOX/cur", "ex.com/bob/Archive/2024/cur"];
    let both = [dotted, nested].concat();
    assert_eq!(found(&both), ["alice@ex.com", "bob@ex.com"]);
    assert_eq!(found(&["INBOX/cur", "Sent/cur"]), ["mailbox"]);
    // One that an administrator has put aside makes none of those beside it.
    assert_eq!(
        found(&["alice/cur", "bob/cur", ".old/cur"]),
        ["alice", "bob"]
    );
    // A domain is none, and a home has its store.
    assert_eq!(
        found(&["ex.com/INBOX/cur", "ex.com/bob/cur"]),
        ["INBOX@ex.com", "bob@ex.com"]
    );
    assert_eq!(
        found(&["home/carl/.old/cur", "home/carl/.maildir/cur"]),
        ["carl"]
    );
}

/// What is said of links where mailboxes might be.
#[test]
fn links_to_mailboxes_are_not_followed_and_told() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["a.example/ann/cur", "a.example/bob/Maildir/cur"] {
        std::fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, dir.path().join(at)).unwrap();
    link("a.example", "b.example");
    link("ann", "a.example/carl");
    link("ann", "a.example/.ann");
    link("/bin", "bin");
    link("..", "a.example/bob/up");
    for layout in [Layout::default(), layout("{domain}/{user}")] {
        let mut found = Mailboxes::default();
        layout.look(&Root::new(dir.path()), &mut found).unwrap();
        assert_eq!(odd(&found), ["/b.example", "a.example/carl"]);
    }
}

/// What is no directory where mailboxes might be: the directory of all users, and the path below it.
fn odd(found: &Mailboxes) -> Vec<String> {
    let all = found.odd.keys();
    all.map(|(above, below)| String::from_utf8([above, b"/".as_slice(), below].concat()).unwrap())
        .collect()
}

#[test]
fn what_is_no_directory_in_place_of_a_users_store_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join("a.example").join(path);
    for path in [
        "ann/Maildir/cur",
        "none",
        "linked",
        "fifo",
        "plain",
        "both/Maildir/cur",
    ] {
        fs::create_dir_all(at(path)).unwrap();
    }
    for path in ["empty", "dbox/sdbox", "mdbox/mdbox/storage"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    let link = |to: &str, path: &str| std::os::unix::fs::symlink(to, at(path)).unwrap();
    link("../ann/Maildir", "linked/Maildir");
    link("Maildir", "both/mail");
    link("/elsewhere", "dbox/sdbox/mailboxes");
    link("/elsewhere", "mdbox/mdbox/mailboxes");
    fs::write(at("mdbox/mdbox/storage/m.1"), "2 M1e C1\n").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo/Maildir"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::write(at("plain/Maildir"), "no mail\n").unwrap();
    fs::write(at("empty/Maildir"), "").unwrap();
    let told = |layout: Layout| {
        let mut found = Mailboxes::default();
        layout.look(&Root::new(dir.path()), &mut found).unwrap();
        odd(&found)
    };
    let stores = [
        "a.example/dbox/sdbox/mailboxes",
        "a.example/fifo/Maildir",
        "a.example/linked/Maildir",
        "a.example/mdbox/mdbox/mailboxes",
    ];
    let maildirs =
        ["empty", "fifo", "linked", "plain"].map(|user| format!("a.example/{user}/Maildir"));
    assert_eq!(told(layout("{domain}/{user}/Maildir")), maildirs);
    assert_eq!(
        told(layout("{domain}/{user}/sdbox")),
        ["a.example/dbox/sdbox/mailboxes"]
    );
    assert_eq!(told(layout("{domain}/{user}")), stores);
    assert_eq!(told(Layout::default()), stores);
}

#[test]
fn names_that_clash_are_told_apart() {
    let paths = ["one/ann/cur", "two/Ann/cur"];
    let names = names(&paths, &layout("*/{user}"));
    assert_eq!(names.len(), 2);
    assert_eq!(names.iter().filter(|n| *n == "ann").count(), 1);
    let other = names.iter().find(|n| n.starts_with("Ann (")).unwrap();
    // Nor by somebody who has worked out the name that another will get.
    let planted = format!("a/{other}/cur");
    let names = self::names(
        &["one/ann/cur", "two/Ann/cur", &planted],
        &layout("*/{user}"),
    );
    let folded: HashSet<String> = names.iter().map(|n| name::fold(n)).collect();
    assert_eq!(folded.len(), 3, "{names:?}");
}

#[test]
fn mbox_users() {
    use std::os::unix::fs::chown;
    let dir = tempfile::tempdir().unwrap();
    let mbox = "From b Thu Nov  9 22:33:52 2001\nA: 1\n\nx\n";
    for (path, content) in [
        ("home/ann/mail/Sent", mbox),
        ("home/bob/mail/Sent", mbox),
        ("var/mail/ann", mbox),
        ("var/mail/bob", mbox),
        ("var/mail/tom", mbox),
        ("var/mail/eve", ""),
        ("var/mail/notes", "no mail"),
        ("var/mail/ann.lock", mbox),
        ("var/mail/bob.lock", ""),
        ("srv/empty", ""),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let templates = ["home/{user}/mail", "var/mail/{user}", "srv/{user}"];
    let layout = |format| Layout {
        templates: templates.map(|t| Template::parse(t).unwrap()).into(),
        format,
        ..Layout::default()
    };
    let find = |format| {
        let found = layout(format).find(&Root::new(dir.path())).unwrap();
        let one = |m: &Mailbox| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (m.name.clone(), text(&m.path), m.inbox.as_deref().map(text))
        };
        found.iter().map(one).collect::<Vec<_>>()
    };
    let found = find(None);
    let joined = |user: &str| {
        let (path, inbox) = (format!("home/{user}/mail"), format!("var/mail/{user}"));
        (user.to_owned(), path, Some(inbox))
    };
    let tom = "var/mail/tom".to_owned();
    let tom = ("tom".to_owned(), tom.clone(), Some(tom));
    // An empty file is a mailbox beside others, and where it must be one.
    let eve = "var/mail/eve".to_owned();
    let eve = ("eve".to_owned(), eve.clone(), Some(eve));
    assert_eq!(found, [joined("ann"), joined("bob"), eve, tom]);
    assert_eq!(find(Format::named("mbox")).len(), 5);
    // One who does not own both is not given the other's.
    if rustix::process::geteuid().is_root() {
        chown(dir.path().join("var/mail/bob"), Some(4711), None).unwrap();
        let found = find(None);
        assert_eq!(found.len(), 5);
        assert!(found.contains(&("bob".to_owned(), "home/bob/mail".to_owned(), None)));
    }
}

/// A spool of Cyrus: by names, by ids, and what is of both; folders that are deleted, shared ones, and an archive beside.
#[test]
fn spools_by_ids() {
    let dir = tempfile::tempdir().unwrap();
    let header = |path: &str, name: &str| {
        let directory = dir.path().join("spool").join(path);
        fs::create_dir_all(&directory).unwrap();
        let magic = b"\xa1\x02\x8b\x0dCyrus mailbox header\nquote\nquote\n".as_slice();
        let id = path.rsplit('/').next().unwrap();
        let text = format!("%(T e N {name} I {id} A %(ann lrs bob lrs j.doe@example.com lrs))\n");
        fs::write(
            directory.join("cyrus.header"),
            [magic, text.as_bytes()].concat(),
        )
        .unwrap();
    };
    header("mail/uuid/a/a/aa1", "user.ann");
    header("mail/uuid/a/a/aa2", "user.ann.Sent");
    header("mail/uuid/b/c/bc3", "user.ann.Old.2024");
    header("mail/uuid/b/c/bc4", "DELETED.user.ann.Trash.6B02AD60");
    header("mail/uuid/d/d/dd5", "example.com!user.j^doe");
    header("mail/uuid/d/d/dd6", "lists.all");
    // From before there were ids, and what was made since.
    header("mail/b/user/bob", "user.bob");
    header("mail/b/user/bob/Old", "user.bob.Old");
    header("mail/uuid/e/e/ee7", "user.bob.New");
    header(
        "mail/DELETED/user/bob/x/6B02AD60",
        "DELETED.user.bob.x.6B02AD60",
    );
    fs::create_dir_all(dir.path().join("spool/archive/uuid/a/a/aa1")).unwrap();
    let root = Root::new(dir.path());
    let found = Layout::default().find(&root).unwrap();
    assert!(found.is_complete());
    let folders = |mailbox: &Mailbox| {
        let mut folders = mailbox.store(&root).folders().unwrap().folders;
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        folders
            .iter()
            .map(|f| f.path.join("/"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut shown: Vec<(String, String)> = found
        .iter()
        .map(|mailbox| (mailbox.name.clone(), folders(mailbox)))
        .collect();
    shown.sort();
    let wanted = [
        ("ann", "INBOX Old/2024 Sent"),
        ("bob", "INBOX New Old"),
        ("j.doe@example.com", "INBOX"),
        ("lists (shared)", "all"),
    ];
    assert_eq!(
        shown,
        wanted.map(|(name, all)| (name.to_owned(), all.to_owned()))
    );
    fs::write(
        dir.path().join("spool/mail/uuid/a/a/aa2/cyrus.header"),
        "damaged",
    )
    .unwrap();
    let found = Layout::default().find(&root).unwrap();
    assert!(!found.is_complete() && found.named("ann").is_some());
}
