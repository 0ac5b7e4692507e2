//! Tests of `access`.

use super::*;
use proptest::prelude::*;

fn principals(names: &[&str]) -> Vec<Principal> {
    names.iter().map(|n| Principal::parse(n).unwrap()).collect()
}

fn grant(patterns: &[&str], to: &[&str]) -> Grant {
    let patterns: Vec<_> = patterns.iter().map(|p| (*p).to_owned()).collect();
    Grant::new(&patterns, principals(to)).unwrap()
}

fn policy(owner: OwnerRule, admins: &[&str], grants: Vec<Grant>) -> Policy {
    Policy::new(owner, principals(admins), grants, false, true)
}

fn template(text: &str) -> OwnerRule {
    OwnerRule::Template(text.to_owned())
}

#[test]
fn only_a_leading_at_sign_means_a_group() {
    let parse = |text| Principal::parse(text).unwrap();
    assert_eq!(parse("@staff"), Principal::Group("staff".into()));
    assert_eq!(
        parse("carla@ad.example"),
        Principal::User("carla@ad.example".into())
    );
    assert_eq!(
        parse(r"@AD\domain users"),
        Principal::Group(r"AD\domain users".into())
    );
    for wrong in ["", "@", " ", "a\nb"] {
        assert!(Principal::parse(wrong).is_err(), "{wrong:?}");
    }
    // No ids, but they may be names.
    assert_eq!(parse("4294967295"), Principal::User("4294967295".into()));
    assert_eq!(
        parse("@99999999999"),
        Principal::Group("99999999999".into())
    );
}

#[test]
fn the_store_owns_and_nobody_else_may() {
    let policy = policy(OwnerRule::Store, &["root"], vec![]);
    let p = policy.permissions("a@x.example", "a", "x.example", 5000);
    let expected = Permissions {
        uid: 5000,
        gid: NOBODYS_GID,
        group_bits: false,
        acl: None,
        settled: true,
    };
    assert_eq!(*p, expected);
    assert_eq!((p.mode(true), p.mode(false)), (0o500, 0o400));
    assert!(policy.may_enter(0, 0, &p));
    assert!(policy.may_enter(5000, 5000, &p));
    assert!(!policy.may_enter(5001, 5000, &p));
    assert!(!policy.may_enter(5001, NOBODYS_GID, &p));
}

#[test]
fn one_group_is_the_files_group() {
    let grants = vec![grant(&["*@sales.example"], &["@4000", "7000", "0"])];
    let policy = policy(OwnerRule::Store, &[], grants);
    // The owner and root need no entry, so the group says it all.
    let p = policy.permissions("c@sales.example", "c", "sales.example", 7000);
    assert_eq!((p.gid, p.group_bits, p.acl.clone()), (4000, true, None));
    assert_eq!((p.mode(true), p.mode(false)), (0o550, 0o440));
    assert!(policy.may_enter(9, 4000, &p));
    assert!(!policy.may_enter(9, 4001, &p));
    // Another pattern, another mailbox.
    let p = policy.permissions("c@salesXexample", "c", "salesXexample", 7001);
    assert!(!p.group_bits && p.acl.is_none());
}

#[test]
fn several_are_an_acl() {
    let grants = vec![grant(&["*@sales.example"], &["7000", "@4000"])];
    let policy = policy(OwnerRule::Store, &["7002", "@4001"], grants);
    let p = policy.permissions("c@sales.example", "c", "sales.example", 7001);
    let acl = p.acl.as_ref().unwrap();
    assert_eq!(acl.users(), &[7000, 7002].into());
    assert_eq!(acl.groups(), &[4000, 4001].into());
    assert_eq!((p.gid, p.group_bits), (NOBODYS_GID, false));
    assert_eq!((p.mode(true), p.mode(false)), (0o550, 0o440));
    assert!(policy.may_enter(7000, 1, &p));
    assert!(policy.may_enter(9, 4001, &p));
    assert!(!policy.may_enter(9, 9, &p));
    // One user alone is an ACL too: there is no other place for him.
    let p = policy.permissions("d@sales.example", "d", "sales.example", 7002);
    assert_eq!(p.acl.as_ref().unwrap().users(), &[7000].into());
}

#[test]
fn owners_are_looked_up_by_name() {
    let policy = policy(template("{user}"), &["@4000"], vec![]);
    let p = policy.permissions("daemon@x.example", "daemon", "x.example", 5000);
    let daemon = uzers::get_user_by_name("daemon").unwrap();
    assert_eq!((p.uid, p.settled), (daemon.uid(), true));
    // Nobody's, although the store and the digits would say otherwise.
    for user in ["no such person", "1000", "", "a\0b"] {
        let p = policy.permissions("x@x.example", user, "x.example", 1000);
        assert_eq!((p.uid, p.settled), (NOBODYS_UID, false), "{user:?}");
        assert!(!policy.may_enter(1000, 1000, &p));
        assert!(policy.may_enter(9, 4000, &p));
    }
}

#[test]
fn nobodys_uid_may_nothing() {
    let owner = || template("{user}");
    let of = |policy: &Policy| policy.permissions("x", "no such person", "", 1000);
    let none = policy(owner(), &[], vec![]);
    let one_group = policy(owner(), &["@4000"], vec![]);
    let several = policy(owner(), &["7000", "@4000", "4294967293"], vec![]);
    for (policy, modes) in [
        (&none, (0, 0)),
        (&one_group, (0o050, 0o040)),
        (&several, (0o050, 0o040)),
    ] {
        let p = of(policy);
        assert_eq!((p.mode(true), p.mode(false)), modes);
        assert!(!policy.may_enter(NOBODYS_UID, NOBODYS_GID, &p));
        // The owner's class comes before any group.
        assert!(!policy.may_enter(NOBODYS_UID, 4000, &p));
        assert!(policy.may_enter(0, 0, &p));
    }
    let p = of(&several);
    for (dir, may) in [(true, 5), (false, 4)] {
        let value = p.acl_value(dir).unwrap();
        let entries: Vec<_> = value[4..].chunks(8).map(|e| (e[0], e[2])).collect();
        let expected = [(1, 0), (2, may), (4, 0), (8, may), (0x10, may), (0x20, 0)];
        assert_eq!(entries, expected);
    }
    assert!(several.may_enter(7000, 1, &p) && several.may_enter(9, 4000, &p));

    // Nor where that uid owns the directory in the store.
    let store = policy(OwnerRule::Store, &[], vec![]);
    let p = store.permissions("x", "x", "", NOBODYS_UID);
    assert_eq!((p.mode(true), p.mode(false)), (0, 0));
    assert!(!store.may_enter(NOBODYS_UID, NOBODYS_GID, &p));
}

#[test]
fn mailboxes_of_one_name_keep_their_owners() {
    let policy = policy(template("{user}"), &[], vec![]);
    let ids = ["daemon", "bin"].map(|user| {
        let p = policy.permissions("shared", user, "x.example", 1000);
        (p.uid, uzers::get_user_by_name(user).unwrap().uid())
    });
    assert_eq!(ids.map(|(got, _)| got), ids.map(|(_, want)| want));
    assert_ne!(ids[0].0, ids[1].0);
}

#[test]
fn templates() {
    let name = Some(r"AD\anna".to_owned());
    assert_eq!(fill(r"{domain}\{user}", "anna", "AD"), name);
    assert_eq!(
        fill("{user}@{domain}", "anna", "x.example"),
        Some("anna@x.example".into())
    );
    assert_eq!(fill("{user}@{domain}", "anna", ""), None);
    // Values are not templates.
    assert_eq!(fill("{user}", "{domain}", "root"), Some("{domain}".into()));
}

#[test]
fn an_unresolved_name_gives_nothing_and_is_tried_again() {
    let policy = policy(OwnerRule::Store, &["@no such group", "@4000"], vec![]);
    let now = Instant::now();
    let at = |seconds| {
        let now = now + Duration::from_secs(seconds);
        policy.permissions_at("a", "a", "", 1, now)
    };
    let first = at(0);
    assert_eq!((first.gid, first.settled), (4000, false));
    assert!(Arc::ptr_eq(&first, &at(59)));
    assert!(!Arc::ptr_eq(&first, &at(61)));
}

#[test]
fn a_settled_answer_is_kept_for_ten_minutes() {
    let policy = policy(OwnerRule::Store, &["@4000"], vec![]);
    let now = Instant::now();
    let at = |seconds| {
        let now = now + Duration::from_secs(seconds);
        policy.permissions_at("a", "a", "", 1, now)
    };
    let first = at(0);
    assert!(Arc::ptr_eq(&first, &at(599)));
    assert!(!Arc::ptr_eq(&first, &at(601)));
}

#[test]
fn supplementary_groups_are_seen() {
    // Any account of this system that is in a group beside its primary one.
    let found = (1..1000).find_map(|uid| {
        let user = uzers::get_user_by_uid(uid)?;
        let primary = user.primary_group_id();
        let groups = uzers::get_user_groups(user.name(), primary)?;
        let other = groups.iter().find(|g| g.gid() != primary)?.gid();
        Some((uid, primary, other))
    });
    let Some((uid, primary, other)) = found else {
        eprintln!("SKIPPED: no account here is in a second group");
        return;
    };
    let admins = format!("@{other}");
    let policy = policy(OwnerRule::Store, &[&admins], vec![]);
    let p = policy.permissions("a", "a", "", NOBODYS_UID);
    assert!(policy.may_enter(uid, primary, &p));
    // Where the groups that somebody acts with are known, his others count for nothing.
    assert!(p.admits(uid, || [primary, other]));
    assert!(!p.admits(uid, || [primary]));
}

#[test]
fn wrong_patterns_name_themselves() {
    let e = Grant::new(&["[a@x".into()], vec![]).unwrap_err();
    assert_eq!(e.kind(), Kind::Config);
    assert!(e.to_string().contains("\"[a@x\""), "{e}");
}

proptest! {
    /// Whoever is neither root, owner, admin nor granted never gets in, whatever the rules.
    #[test]
    fn strangers_stay_outside(
        admins in proptest::collection::vec((any::<bool>(), 1..50_u32), 0..4),
        granted in proptest::collection::vec((any::<bool>(), 1..50_u32), 0..4),
        owner in 1..50_u32,
        uid in 100_000..200_000_u32,
        gid in 1..60_u32,
    ) {
        let write = |(group, id): &(bool, u32)| if *group { format!("@{id}") } else { id.to_string() };
        let parse = |all: &[(bool, u32)]| -> Vec<Principal> {
            all.iter().map(|p| Principal::parse(&write(p)).unwrap()).collect()
        };
        let grants = vec![Grant::new(&["a*".into()], parse(&granted)).unwrap()];
        let policy = Policy::new(OwnerRule::Store, parse(&admins), grants, false, true);
        for (name, rules) in [("abc", [&admins[..], &granted[..]].concat()), ("xyz", admins.clone())] {
            let p = policy.permissions(name, name, "", owner);
            prop_assert!(!(p.group_bits && p.acl.is_some()));
            prop_assert_eq!(policy.may_enter(uid, gid, &p), rules.contains(&(true, gid)));
            for id in 1..50 {
                let may = id == owner || rules.contains(&(false, id)) || rules.contains(&(true, gid));
                // An account of this system may be in one of the groups besides.
                if !may && uzers::get_user_by_uid(id).is_none() {
                    prop_assert!(!policy.may_enter(id, gid, &p));
                }
                if may {
                    prop_assert!(policy.may_enter(id, gid, &p));
                }
            }
        }
    }
}
