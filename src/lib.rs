//! mailtm, the Mail Time Machine: a mail server's snapshots as a read-only file system, by date.
//!
//! The tree is a pure function of the snapshots. A node id *says* what it is; nothing but caches is kept.
//! A message never changes inside a snapshot and keeps its store identity across snapshots. So every fact
//! about it is learned once, whatever the number of dates; every answer about a date may be cached by the
//! kernel for ever; and a daemon that has just been restarted can answer for any node id it ever gave out.
//!
//! # Floors
//!
//! Imports go down only; `tests/floors.rs` reads this table and checks it. A module may also use its own parts.
//!
//! | floor | module | what lives there |
//! | --- | --- | --- |
//! | 6 | `cli`, `config`, `mount` | one file per command; TOML to typed options; wiring, signals, readiness |
//! | 5 | `fuse` | the adapter to the kernel: call, reply, catch panics; the one errno table; the only user of `fuser` |
//! | 4 | `fs` | operations on node ids; node id to meaning and back; listings and cache policy |
//! | 3 | `view` | the namespace: what each path means; safe names |
//! | 3 | `access` | policy to owner, mode and ACL of a mailbox; who is shown what |
//! | 2 | `store` | mail stores: which folders and messages there are, and their bytes |
//! | 2 | `index` | facts and serial numbers kept on disk; never a source of truth for mail |
//! | 2 | `snapshot` | the catalogue: discover, date, watch, drop |
//! | 1 | `message` | one message's bytes: header fields, mboxrd framing, facts |
//! | 1 | `disk` | the only gate to the stores: beneath a root, no links, regular files, deadlines |
//! | 0 | `error`, `time` | one error type with a closed kind; time zones |
//!
//! `snapshot` knows no mail and `store` no dates; `view` is where they meet. No inode numbers below floor 4,
//! no errno below floor 5, no configuration files below floor 6.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access;
pub mod cli;
pub mod config;
pub mod disk;
pub mod error;
pub mod fs;
pub mod fuse;
pub mod index;
pub mod message;
pub mod mount;
pub mod snapshot;
pub mod store;
pub mod time;
pub mod view;

pub use error::{Error, Kind, Result};
