//! Names that are shown, and names of folders as stores keep them.

use super::{text, two};
use mailtm::store::{Folder, folder_name};
use mailtm::time::Zone;
use mailtm::view::name;
use mailtm::view::tree::{Source, Tree};
use std::collections::{BTreeSet, HashSet};

pub fn names(input: &[u8]) {
    let (sender, subject) = two(input);
    let id = name::id(input, name::ID_CHARS);
    let time = Zone::parse("Europe/Rome")
        .unwrap()
        .local(input.len() as i64 * 12_345_678);
    let message = name::message_name(time, &text(sender), &text(subject), &id);
    assert_eq!(name::id_in(&message), Some(id.as_str()), "{message:?}");
    let whole = text(input);
    for made in [
        message,
        name::store_name(input),
        name::store_name_with_id(input, 16),
        name::component(&whole),
        name::component_with_id(&whole, 16),
        name::component(&whole) + ".mbox",
    ] {
        assert!(name::is_safe(&made), "{made:?}");
        assert!(
            made.len() <= 240 && made.encode_utf16().count() <= 120,
            "{made:?}"
        );
    }
    // Two names that are told apart by their ids are two names.
    if sender != subject {
        let [one, other] = [sender, subject].map(|stored| name::store_name_with_id(stored, 16));
        assert_ne!(name::fold(&one), name::fold(&other));
    }
    // One safe name leaves another one as it is.
    let once = name::component(&whole);
    assert_eq!(name::component(&once), once);
    let _ = name::fold(&whole);
}

pub fn folder_names(input: &[u8]) {
    let decoded = folder_name::decode(input);
    if input.is_ascii() && folder_name::encode(&decoded) != input {
        // Not modified UTF-7: shown as it stands.
        assert_eq!(decoded.as_bytes(), input);
    }
    let whole = text(input);
    assert_eq!(folder_name::decode(&folder_name::encode(&whole)), whole);
}

/// Names of the folders of a mailbox, a line each, with a TAB between the levels: each is a directory of its own, and no two
/// names in a directory are the same to Windows, nor one and the mbox of another.
pub fn folders(input: &[u8]) {
    let stored: BTreeSet<&[u8]> = input.split(|&b| b == b'\n').take(300).collect();
    let folder = |stored: &[u8]| Folder {
        stored: stored.to_vec(),
        path: stored
            .splitn(64, |&b| b == b'\t')
            .map(folder_name::decode)
            .collect(),
    };
    let folders: Vec<Folder> = stored.into_iter().map(folder).collect();
    let tree = Tree::of(folders.clone());
    for folder in &folders {
        let at = tree.find(&Source::Folder(folder.stored.clone())).unwrap();
        assert_eq!(tree.decoded_path(at), folder.path);
    }
    let positions = tree.in_order();
    assert_eq!(positions.len(), tree.iter().len());
    for above in [None].into_iter().chain(positions.into_iter().map(Some)) {
        let mut taken = HashSet::new();
        for &position in tree.below(above) {
            let branch = tree.get(position).unwrap();
            assert_eq!(tree.named(above, &branch.name), Some(position));
            for name in [branch.name.clone(), branch.mbox_name()] {
                assert!(name::is_safe(&name), "{name:?}");
                assert!(taken.insert(name::fold(&name)), "{name:?} is there twice");
            }
        }
    }
}
