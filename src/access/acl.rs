//! POSIX access ACLs in the form of the extended attribute `system.posix_acl_access`, version 2.

use std::collections::BTreeSet;

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of an entry that has none.
const NO_ID: u32 = u32::MAX;

/// Named users and groups that may read, beside the owner; the file's group and all others may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    users: BTreeSet<u32>,
    groups: BTreeSet<u32>,
    cut: bool,
}

impl Acl {
    /// Named entries that fit. The kernel reads a FUSE file system's ACL into one page of 4096 bytes and refuses
    /// everybody if it is longer: a header of 4 bytes, then 8 bytes for each entry, four of which have no name.
    pub const MAX_NAMED: usize = (4096 - 4) / 8 - 4;

    /// Keeps what fits, groups first: each stands for many.
    pub(super) fn new(mut users: BTreeSet<u32>, mut groups: BTreeSet<u32>) -> Self {
        let all = users.len() + groups.len();
        while groups.len() > Self::MAX_NAMED {
            groups.pop_last();
        }
        while users.len() + groups.len() > Self::MAX_NAMED {
            users.pop_last();
        }
        Self {
            cut: users.len() + groups.len() < all,
            users,
            groups,
        }
    }

    /// Whether somebody had to be left out.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub fn users(&self) -> &BTreeSet<u32> {
        &self.users
    }

    pub fn groups(&self) -> &BTreeSet<u32> {
        &self.groups
    }

    /// The attribute's value: a little-endian version, then entries of tag (u16), permissions (u16) and id (u32),
    /// in the order that the kernel demands. Without an owner the owner's entry gives nothing.
    pub(super) fn encode(&self, dir: bool, has_owner: bool) -> Vec<u8> {
        let read = if dir { 0o5 } else { 0o4 };
        let mut value = VERSION.to_le_bytes().to_vec();
        let mut entry = |tag: u16, permissions: u16, id: u32| {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        };
        entry(USER_OBJ, if has_owner { read } else { 0 }, NO_ID);
        for uid in &self.users {
            entry(USER, read, *uid);
        }
        entry(GROUP_OBJ, 0, NO_ID);
        for gid in &self.groups {
            entry(GROUP, read, *gid);
        }
        entry(MASK, read, NO_ID);
        entry(OTHER, 0, NO_ID);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::fs::{XattrFlags, getxattr, setxattr};

    const NAME: &str = "system.posix_acl_access";

    #[test]
    fn encoded_by_hand() {
        let acl = Acl::new([1000].into(), [50].into());
        let file = [
            &[2, 0, 0, 0][..],
            &[1, 0, 4, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 0, 0, 255, 255, 255, 255],
            &[8, 0, 4, 0, 50, 0, 0, 0],
            &[0x10, 0, 4, 0, 255, 255, 255, 255],
            &[0x20, 0, 0, 0, 255, 255, 255, 255],
        ]
        .concat();
        assert_eq!(acl.encode(false, true), file);
        assert_eq!(acl.encode(true, true)[6], 5);
        let mut nobodys = file;
        nobodys[6] = 0;
        assert_eq!(acl.encode(false, false), nobodys);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// The kernel takes what is encoded, on a file system that has ACLs, and gives the same back.
        #[test]
        fn the_kernel_agrees(
            users in proptest::collection::btree_set(1..4_000_000_000_u32, 0..300),
            groups in proptest::collection::btree_set(1..4_000_000_000_u32, 0..300),
            has_owner: bool,
        ) {
            let acl = Acl::new(users, groups);
            let file = tempfile::NamedTempFile::new().unwrap();
            let value = acl.encode(false, has_owner);
            match setxattr(file.path(), NAME, &value, XattrFlags::empty()) {
                Err(rustix::io::Errno::OPNOTSUPP) => eprintln!("SKIPPED: no ACLs on {:?}", file.path()),
                // A small block holds fewer entries than the kernel allows us.
                Err(rustix::io::Errno::NOSPC) => prop_assert!(value.len() > 2048),
                Err(e) => prop_assert!(false, "refused: {e}"),
                Ok(()) => {
                    let mut back = vec![0; 8192];
                    let n = getxattr(file.path(), NAME, &mut back[..]).unwrap();
                    prop_assert_eq!(&back[..n], &value[..]);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_in_a_page_is_cut_users_first() {
        let acl = Acl::new((1..=600).collect(), (1..=20).collect());
        assert!(acl.is_cut());
        assert_eq!(acl.groups().len(), 20);
        assert_eq!(acl.users().len(), Acl::MAX_NAMED - 20);
        assert!(acl.encode(true, true).len() <= 4096);
        assert!(!Acl::new((1..=500).collect(), (1..=7).collect()).is_cut());
    }
}
