//! The daemon, and what is done to it while it serves.

use crate::clients::Tally;
use crate::harness::hanging::Hanging;
use crate::harness::{Config, Mount, Numbers, Scratch, Store};
use crate::nfs;
use crate::world::{day, take_snapshot};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// As many snapshots as a server keeps.
const MOST_DAYS: u32 = 16;

/// The daemon, and what is done to it.
pub struct Chaos<'a> {
    pub scratch: &'a Scratch,
    pub store: &'a Store,
    pub hanging: &'a Hanging,
    pub config: Config,
    pub mount: Option<Mount>,
    /// Days from the first to before the last are there.
    pub days: (u32, u32),
    pub tally: &'a Tally,
    /// Where the mount is exported.
    pub exports: Option<&'a nfs::Server>,
}

/// Starts the daemon as the unit does: again after a second, if a store does not answer yet.
pub fn start(config: &Config, tally: &Tally) -> Mount {
    let mut said = String::new();
    for _ in 0..30 {
        match Mount::start(config) {
            Ok(mount) => return mount.expecting_warnings(),
            Err(failure) if failure.stderr.contains("does not answer") => {
                let tries = "starts before a store answered";
                *tally.faults.lock().unwrap().entry(tries).or_default() += 1;
                said = failure.stderr;
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(failure) => panic!("{failure:?}"),
        }
    }
    panic!("no store answers: {said}")
}

impl Chaos<'_> {
    /// Does one of them.
    pub fn strike(&mut self, numbers: &mut Numbers) {
        let shown = self.days.1 - self.days.0;
        let what = match numbers.below(9) {
            0 | 1 if shown < MOST_DAYS => {
                take_snapshot(self.scratch, self.store, self.days.1);
                self.days.1 += 1;
                "snapshots taken"
            }
            0..=2 if shown > 3 => {
                // As the tools do it: out of sight first.
                let gone = self.scratch.join("gone");
                fs::rename(self.store.path.join(day(self.days.0)), &gone).unwrap();
                fs::remove_dir_all(gone).unwrap();
                self.days.0 += 1;
                "snapshots removed"
            }
            3 | 4 => {
                let admins: &[&str] =
                    [&["4242"][..], &["4242", "@4243"]][numbers.below(2) as usize];
                self.config = self.config.clone().set("access.admins", admins.to_vec());
                self.config.write();
                self.mount.as_ref().unwrap().signal(Signal::HUP);
                "policies reloaded"
            }
            5 => {
                for name in ["facts.sqlite", "serials.sqlite", "facts.sqlite-wal"] {
                    let Ok(file) = File::options()
                        .write(true)
                        .open(self.config.index.join(name))
                    else {
                        continue;
                    };
                    let length = file.metadata().unwrap().len();
                    let noise: Vec<u8> = (0..512).map(|_| numbers.below(256) as u8).collect();
                    if length > 1024 {
                        file.write_at(&noise, numbers.below(length - 512)).unwrap();
                    }
                }
                "indexes damaged"
            }
            6 => {
                self.hanging.signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(1500));
                self.hanging.signal(Signal::CONT);
                "stores hung"
            }
            7 if self.exports.is_some() => {
                let exports = self.exports.unwrap();
                exports.restart();
                exports.end_grace();
                "NFS servers restarted"
            }
            _ => {
                self.mount.take().unwrap().kill();
                self.mount = Some(start(&self.config, self.tally));
                // As the unit does.
                self.exports.inspect(|exports| exports.forget());
                "daemons killed"
            }
        };
        *self.tally.faults.lock().unwrap().entry(what).or_default() += 1;
    }
}
