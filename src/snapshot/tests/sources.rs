//! From a typed path to snapshot directories.

use super::source::Said;
use super::*;
use crate::snapshot::pattern::Pattern;

#[test]
fn sources() {
    let resolve = |path: &Path| source::resolve(path, &Said::default()).unwrap();
    let store = Store::new();
    let root = store.path().canonicalize().unwrap();
    let nothing = source::resolve(&root.join("missing"), &Said::default()).unwrap_err();
    assert_eq!(nothing.kind(), Kind::Config);
    assert_eq!(resolve(&root).snapshots, std::slice::from_ref(&root));

    store.make("fresh/lost+found");
    assert_eq!(resolve(&root.join("fresh")).snapshots, [root.join("fresh")]);

    // A directory of snapshots, before anything well-known in it.
    store.make("dated/2026-11-20");
    store.make("dated/.snapshot");
    assert_eq!(resolve(&root.join("dated")).snapshots, [root.join("dated")]);
    store.make("rotated/daily.0");
    store.make("rotated/scripts");
    assert_eq!(
        resolve(&root.join("rotated")).snapshots,
        [root.join("rotated")]
    );
    store.make("numbered/7/snapshot");
    assert_eq!(
        resolve(&root.join("numbered")).snapshots,
        [root.join("numbered")]
    );

    // A live directory that has one, or two.
    for name in [
        ".zfs/snapshot",
        ".snapshot",
        ".snapshots",
        ".snap",
        "_btrbk",
        "snapshots/2026-11-20",
    ] {
        let live = store.make("live/example.com");
        fs::create_dir_all(live.with_file_name(name)).unwrap();
        let found = resolve(&root.join("live"));
        let name = name.strip_suffix("/2026-11-20").unwrap_or(name);
        assert_eq!(
            (found.snapshots, found.below),
            (vec![root.join("live").join(name)], PathBuf::new())
        );
        assert_eq!(
            resolve(&root.join("live").join(name)).snapshots,
            [root.join("live").join(name)]
        );
        fs::remove_dir_all(root.join("live")).unwrap();
    }
    store.make("live/.snapshots");
    store.make("live/_btrbk");
    store.make("live/snapshots/bob");
    assert_eq!(resolve(&root.join("live")).snapshots.len(), 2);

    // One above.
    store.make("live/srv/vmail/example.com");
    let found = resolve(&root.join("live/srv/vmail"));
    assert_eq!(
        (found.snapshots, found.below),
        (vec![root.join("live/.snapshots")], "srv/vmail".into())
    );

    store.make("bare/example.com");
    if let Err(error) = source::resolve(&root.join("bare"), &Said::default()) {
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(".zfs/snapshot"), "{error}");
    }
}

#[test]
fn a_directory_that_is_named_as_one_of_snapshots_is_one() {
    let store = Store::new();
    let root = store.path().canonicalize().unwrap();
    for name in ["snap-201126", "snap-211126", "old"] {
        store.make(&format!("ours/{name}"));
    }
    let ours = root.join("ours");
    let pattern = |pattern: &str| Said {
        snapshots: true,
        name: Some(Pattern::parse(pattern).unwrap()),
    };
    for said in [
        // The names that match are found, the well-known ones or not.
        pattern("snap-%d%m%y"),
        pattern("%Y-%m-%d"),
        // Without a pattern, undated ones have the time of their root.
        Said {
            snapshots: true,
            name: None,
        },
    ] {
        let found = source::resolve(&ours, &said).unwrap();
        assert_eq!(found.snapshots, std::slice::from_ref(&ours), "{said:?}");
    }

    // A live directory has its snapshots where they are well known, whatever they are called there.
    store.make("live/example.com");
    store.make("live/.snapshot/x");
    let found = source::resolve(&root.join("live"), &pattern("snap-%d%m%y")).unwrap();
    assert_eq!(found.snapshots, [root.join("live/.snapshot")]);
}
