//! The way to where a thread looks, which stays open from one look to the next.
//!
//! Work on a mailbox opens one path after the other beneath the same few directories. From the root, each of them costs a dozen
//! system calls. While a [`Stay`] lives on a thread, the directories that it goes through stay open for the next path; they
//! are let go with it, when the thread looks elsewhere, and at the first look after [`AGE`]: then the root is looked at again,
//! whether it is still the same.
//!
//! A stay is for one mailbox or one walk, not for a process: what is open keeps a snapshot from being unmounted.

use super::beneath::{STEP, check, name_in, names, split};
use super::{Identity, Root};
use crate::error::Result;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long what is open is good for.
const AGE: Duration = Duration::from_millis(100);

/// As many roots have their trails: that of the date at hand and of those beside it.
const MOST: usize = 3;

thread_local! {
    static TRAILS: RefCell<Option<Vec<Trail>>> = const { RefCell::new(None) };
}

/// While this lives, its thread leaves open what it goes through.
#[derive(Debug)]
pub struct Stay {
    is_outer: bool,
    /// It is of one thread.
    _here: Rc<()>,
}

/// Begins to stay; within another stay it makes no difference.
pub fn stay() -> Stay {
    let is_outer = TRAILS.with_borrow_mut(|trails| match trails {
        Some(_) => false,
        None => trails.replace(Vec::new()).is_none(),
    });
    Stay {
        is_outer,
        _here: Rc::default(),
    }
}

/// Lets go what this thread has left open, before it does for long what does not look there.
pub fn let_go() {
    TRAILS.with_borrow_mut(|trails| {
        if let Some(trails) = trails {
            trails.clear();
        }
    });
}

impl Drop for Stay {
    fn drop(&mut self) {
        if self.is_outer {
            TRAILS.set(None);
        }
    }
}

/// Directories of a trail that stay open; a user can nest more.
const DEEPEST: usize = 16;

struct Trail {
    /// Which root it is of; no other one is at its address as long as this is here.
    of: Arc<OnceLock<Identity>>,
    begun: Instant,
    root: Rc<OwnedFd>,
    steps: Vec<(Vec<u8>, Rc<OwnedFd>)>,
}

/// Whether this thread stays.
pub(super) fn is_kept() -> bool {
    TRAILS.with_borrow(Option::is_some)
}

/// Opens a path beneath a root as [`beneath`](super::beneath()) does, by way of what is open already. The inner error is of the
/// path, the outer one of the root.
pub(super) fn follow(
    root: &Root,
    path: &[u8],
    flags: OFlags,
) -> Result<rustix::io::Result<OwnedFd>> {
    let kept = TRAILS.with_borrow_mut(|trails| {
        let trails = trails.as_mut()?;
        trails.retain(|trail| trail.begun.elapsed() < AGE);
        let is_of = |trail: &Trail| Arc::ptr_eq(&trail.of, &root.identity);
        let at = trails.iter().position(is_of)?;
        Some(trails.remove(at))
    });
    let mut trail = match kept {
        Some(trail) => trail,
        None => Trail {
            of: root.identity.clone(),
            begun: Instant::now(),
            root: Rc::new(root.open_root()?),
            steps: Vec::new(),
        },
    };
    let opened = trail.open(path, flags);
    TRAILS.with_borrow_mut(|trails| {
        if let Some(trails) = trails {
            if trails.len() >= MOST {
                trails.remove(0);
            }
            trails.push(trail);
        }
    });
    Ok(opened)
}

impl Trail {
    fn open(&mut self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        check(path)?;
        let (above, last) = split(path);
        let mut at = self.root.clone();
        for (known, name) in names(above).enumerate() {
            match self.steps.get(known) {
                Some((step, fd)) if step == name => at = fd.clone(),
                _ => {
                    self.steps.truncate(known);
                    at = Rc::new(name_in(&at, name, STEP)?);
                    if known < DEEPEST {
                        self.steps.push((name.to_vec(), at.clone()));
                    }
                }
            }
        }
        name_in(&at, last, flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::fs;

    fn open_descriptors(below: &std::path::Path) -> usize {
        let all = fs::read_dir("/proc/self/fd").unwrap();
        let all = all.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        all.filter(|path| path.starts_with(below)).count()
    }

    #[test]
    fn what_is_open_is_let_go_with_the_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::write(dir.path().join("a/b/c/file"), "x").unwrap();
        fs::write(dir.path().join("a/other"), "y").unwrap();
        let root = Root::new(dir.path());
        let looks = || {
            assert_eq!(root.list(b"a/b/c").unwrap().len(), 1);
            assert_eq!(root.open(b"a/b/c/file").unwrap().stat().size, 1);
            assert_eq!(root.stat(b"a/other").unwrap().size, 1);
            assert_eq!(root.list(b"").unwrap().len(), 1);
            for wrong in ["a/b/no", "a/no/file", "a/other/file", "a/../a"] {
                let error = root.open(wrong.as_bytes()).unwrap_err();
                assert_ne!(error.kind(), Kind::Stale, "{wrong}");
            }
        };
        looks();
        assert_eq!(open_descriptors(dir.path()), 0);
        let outer = stay();
        looks();
        drop(stay());
        looks();
        assert!(open_descriptors(dir.path()) > 1);
        drop(outer);
        assert_eq!(open_descriptors(dir.path()), 0);
        looks();
    }

    #[test]
    fn roots_are_not_taken_for_each_other_nor_kept_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let roots: Vec<Root> = (0..5)
            .map(|number| {
                let path = dir.path().join(number.to_string());
                fs::create_dir_all(path.join("a/b")).unwrap();
                fs::write(path.join("a/b/file"), "x".repeat(number)).unwrap();
                Root::new(path)
            })
            .collect();
        let _stay = stay();
        for _ in 0..3 {
            for (number, root) in roots.iter().enumerate() {
                assert_eq!(root.open(b"a/b/file").unwrap().stat().size, number as u64);
            }
        }
        assert!(open_descriptors(dir.path()) <= 3 * MOST);
        // Another directory takes the place of a root.
        fs::rename(dir.path().join("4"), dir.path().join("9")).unwrap();
        fs::create_dir_all(dir.path().join("4/a/b")).unwrap();
        std::thread::sleep(AGE);
        assert_eq!(roots[4].open(b"a/b/file").unwrap_err().kind(), Kind::Stale);
    }
}
