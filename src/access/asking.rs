//! Whoever asks for a listing, and the groups that he acts with.
//!
//! The kernel names the user, the group and the thread of a request, but no other groups. The thread waits for its answer,
//! so `/proc` says which ones it has: a process may have dropped some of its user's, or have others, as after `newgrp`,
//! or without there being an account. The kernel's NFS server acts for users that its threads are not, and what runs in another
//! namespace has no number here: their groups are those of the user, as the name service has them.

use super::{Permissions, Policy};
use std::cell::OnceCell;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

/// What is read of a thread's status. The most groups that there can be, 65,536, take three quarters of it.
const LONGEST_STATUS: u64 = 1 << 20;

/// Whoever asks. His groups are found out once, if they matter at all.
#[derive(Debug)]
pub struct Asking<'a> {
    pub(super) policy: &'a Policy,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// 0: not known here.
    pub(super) thread: u32,
    pub(super) groups: OnceCell<Arc<[u32]>>,
}

impl Asking<'_> {
    /// Whether he can enter a mailbox, for leaving it out of a listing. This is courtesy; what protects the mailbox is the
    /// kernel, on the same permissions.
    pub fn may_enter(&self, permissions: &Permissions) -> bool {
        permissions.admits(self.uid, || [self.gid])
            || permissions.admits(self.uid, || self.groups())
    }

    fn groups(&self) -> Arc<[u32]> {
        let groups = self.groups.get_or_init(|| {
            groups_of_thread(self.thread, self.uid, self.gid)
                .unwrap_or_else(|| self.policy.names.groups_of(self.uid, Instant::now()))
        });
        groups.clone()
    }
}

/// The supplementary groups of a thread that acts as this user and group; `None` if it is not known to.
fn groups_of_thread(thread: u32, uid: u32, gid: u32) -> Option<Arc<[u32]>> {
    if thread == 0 {
        return None;
    }
    let file = File::open(format!("/proc/{thread}/status")).ok()?;
    let mut status = Vec::new();
    let read = file.take(LONGEST_STATUS).read_to_end(&mut status).ok()?;
    if read as u64 == LONGEST_STATUS {
        return None;
    }
    groups_in(&status, uid, gid)
}

/// The groups in a thread's status, if that is of who acts as this user and group on files.
fn groups_in(status: &[u8], uid: u32, gid: u32) -> Option<Arc<[u32]>> {
    let field = |name: &str| {
        let mut lines = status.split(|&byte| byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
        std::str::from_utf8(line).ok()
    };
    // Real, effective, saved, and that for files.
    let acts_as = |name, id: u32| {
        let fourth = field(name)?.split_ascii_whitespace().nth(3)?;
        (fourth.parse() == Ok(id)).then_some(())
    };
    acts_as("Uid:", uid)?;
    acts_as("Gid:", gid)?;
    let groups = field("Groups:")?.split_ascii_whitespace().map(str::parse);
    groups.collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tUid:\\n1\nTgid:\t7\nUid:\t1\t2\t3\t1000\nGid:\t4\t5\t6\t100\n\
                          FDSize:\t64\nGroups:\t27 4294967294 \nVmPeak:\t 1 kB\n";

    #[test]
    fn groups_are_those_of_who_acts_as_the_caller() {
        let groups = |status: &str, uid, gid| groups_in(status.as_bytes(), uid, gid);
        assert_eq!(
            groups(STATUS, 1000, 100).as_deref(),
            Some(&[27, 4_294_967_294][..])
        );
        // Somebody else's.
        for (uid, gid) in [(1, 100), (2, 100), (3, 100), (1000, 4), (1000, 27)] {
            assert_eq!(groups(STATUS, uid, gid), None);
        }
        let none = STATUS.replace("27 4294967294 ", "");
        assert_eq!(groups(&none, 1000, 100).as_deref(), Some(&[][..]));
        for broken in [
            STATUS.replace("Groups", "Gruppen"),
            STATUS.replace("27 ", "x "),
            STATUS.replace("1000", ""),
            String::new(),
        ] {
            assert_eq!(groups(&broken, 1000, 100), None, "{broken}");
        }
    }

    #[test]
    fn a_thread_s_own_groups_are_found() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let own = rustix::process::getgroups().unwrap();
        let own: Vec<u32> = own.iter().map(|gid| gid.as_raw()).collect();
        assert_eq!(
            groups_of_thread(thread, uid, gid).as_deref(),
            Some(&own[..])
        );
        assert_eq!(groups_of_thread(thread, uid + 1, gid), None);
        assert_eq!(groups_of_thread(0, uid, gid), None);
        // No thread has such a number.
        assert_eq!(groups_of_thread(u32::MAX, uid, gid), None);
    }

    #[test]
    fn as_many_groups_as_there_can_be_fit() {
        let groups: Vec<String> = (0..65_536).map(|n| (u32::MAX - n).to_string()).collect();
        let status = STATUS.replace("27 4294967294", &groups.join(" "));
        assert!((status.len() as u64) < LONGEST_STATUS - 65_536);
        let found = groups_in(status.as_bytes(), 1000, 100).unwrap();
        assert_eq!(found.len(), 65_536);
    }
}
