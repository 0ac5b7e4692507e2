//! Who somebody is: whom digits in the configuration mean, and by which groups a caller is judged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::ABOUT;
use harness::{Config, Mount, Scratch, Store, Subject, Users, able, ls};
use std::fs;
use std::io::ErrorKind;

const FIRST: &str = "2026-11-19";
const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// Nobody has it, nor an account.
const STRANGER: u32 = 1_900_009;

/// What differs by caller.
const LISTINGS: [&str; 4] = [FIRST, DAY, ".maildir/2026-11-20", "deleted"];

struct World {
    /// In the group that may enter Alice's mailbox.
    lead: Subject,
    leads: u32,
    mount: Mount,
    _store: Store,
    _scratch: Scratch,
    _users: Users,
}

/// Two mailboxes of nobody here, one of which a group may enter. `besides`: who else may.
fn world(besides: &[&str]) -> World {
    let mut users = Users::new();
    let leads = users.group("leads");
    let lead = users.user("lead", &[&leads]);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for address in [ALICE, BOB] {
        for number in 0..3 {
            store.mailbox(FIRST, address).number("cur", number);
        }
        store.mailbox(DAY, address).number("cur", 0);
    }
    let group = format!("@{}", leads.0);
    let to = [besides, &[&group]].concat();
    let mount = Mount::new(&Config::new(&scratch, &store).grant(&[ALICE], &to));
    World {
        lead,
        leads: leads.1,
        mount,
        _store: store,
        _scratch: scratch,
        _users: users,
    }
}

fn assert_is_let_in(subject: &Subject, mount: &Mount) {
    for listing in LISTINGS {
        let top = mount.join(listing);
        assert_eq!(subject.list(&top).unwrap(), [ALICE], "{listing}");
        assert_eq!(subject.list(top.join(ALICE)), Ok(ls(top.join(ALICE))));
        subject.refused(top.join(BOB));
    }
    subject
        .read(mount.join(DAY).join(ALICE).join(ABOUT))
        .unwrap();
}

fn assert_is_kept_out(subject: &Subject, mount: &Mount) {
    for listing in LISTINGS {
        let top = mount.join(listing);
        assert_eq!(subject.list(&top).unwrap(), [""; 0], "{listing}");
        subject.refused(top.join(ALICE));
        subject.refused(top.join(BOB));
    }
}

#[test]
fn listings_go_by_the_groups_of_the_process() {
    if !able(&["useradd"]) {
        return;
    }
    // One group is the group of the files; with a user beside it there is an ACL.
    for besides in [&[][..], &["1900001"]] {
        let w = world(besides);
        let stranger = Subject::uid(STRANGER);
        let with = |subject: &Subject, groups: Vec<u32>| Subject {
            groups,
            ..subject.clone()
        };
        // Groups that no account has: of a uid without one, and of an account beside its own.
        let many: Vec<u32> = (1_900_100..1_910_000).chain([w.leads]).collect();
        for subject in [
            with(&stranger, vec![w.leads]),
            with(&stranger, many),
            with(&w.lead, vec![1_900_100, w.leads]),
            Subject {
                gid: w.leads,
                ..stranger.clone()
            },
        ] {
            assert_is_let_in(&subject, &w.mount);
        }
        // The name service says that he is in the group; the process has dropped it.
        for subject in [
            with(&w.lead, vec![]),
            with(&w.lead, vec![1_900_100]),
            stranger,
        ] {
            assert_is_kept_out(&subject, &w.mount);
        }
        assert_is_let_in(&w.lead, &w.mount);
    }
}

/// As Samba does it.
#[test]
fn listings_go_by_the_groups_of_the_thread() {
    if !able(&["useradd"]) {
        return;
    }
    let w = world(&[]);
    let top = w.mount.join(DAY);
    let shown = |groups: Vec<u32>| {
        let stranger = Subject {
            groups,
            ..Subject::uid(STRANGER)
        };
        stranger.on_a_thread(|| {
            let entered = fs::read_dir(top.join(ALICE)).map(drop);
            (ls(&top), entered.map_err(|e| e.kind()))
        })
    };
    assert_eq!(shown(vec![w.leads]), (vec![ALICE.to_owned()], Ok(())));
    assert_eq!(shown(vec![]), (vec![], Err(ErrorKind::PermissionDenied)));
    assert_eq!(ls(&top), [ALICE, BOB]);
}

#[test]
fn digits_are_a_name_before_they_are_a_number() {
    if !able(&["useradd"]) {
        return;
    }
    const CARLA: &str = "carla@example.com";
    let mut users = Users::new();
    let named = users.user_of_digits();
    let number: u32 = named.name.parse().unwrap();
    assert!(named.uid != number && named.gid != number);
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for address in [ALICE, BOB, CARLA] {
        store.mailbox(DAY, address).number("cur", 1);
    }
    let config = Config::new(&scratch, &store)
        .grant(&[ALICE], &[&named.name])
        .grant(&[BOB], &[&format!("@{}", named.name)])
        .grant(&[CARLA], &["1900001", "@1900002"]);
    let mount = Mount::new(&config);
    let about = |address: &str| mount.join(DAY).join(address).join(ABOUT);
    let reads = |subject: &Subject, address| drop(subject.read(about(address)).unwrap());
    let refused = |subject: &Subject, address| subject.refused(about(address));
    // Her group is of her name.
    reads(&named, ALICE);
    reads(&named, BOB);
    let member = Subject {
        gid: named.gid,
        ..Subject::uid(1_900_009)
    };
    refused(&member, ALICE);
    reads(&member, BOB);
    // The number of a name is nobody. A thread becomes it: setpriv takes it for the name.
    let by_number = Subject {
        groups: vec![number],
        ..Subject::uid(number)
    };
    by_number.on_a_thread(|| {
        assert_eq!(ls(mount.join(DAY)), [""; 0]);
        for address in [ALICE, BOB] {
            let entered = fs::read_dir(mount.join(DAY).join(address));
            assert_eq!(entered.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    });
    // Where it is no name it is a number.
    for number in [1_900_001, 1_900_002] {
        reads(&Subject::uid(number), CARLA);
    }
}
