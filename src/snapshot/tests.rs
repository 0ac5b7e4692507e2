//! The catalogue on real directories, with a clock of its own.

mod changes;
mod shown;
mod sources;

use super::*;
use crate::error::Kind;
use chrono::{DateTime, NaiveDateTime};
use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Instant, UNIX_EPOCH};
use tempfile::TempDir;

struct Store {
    temp: TempDir,
    now: Arc<AtomicI64>,
}

impl Store {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(utc("2026-11-21T12:00:00Z")));
        Self {
            temp: TempDir::new().unwrap(),
            now,
        }
    }

    fn path(&self) -> &Path {
        self.temp.path()
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn options(&self) -> Options {
        Options {
            dirs: vec![self.path().into()],
            zone: rome(),
            ..Options::default()
        }
    }

    fn open(&self, options: Options) -> Catalogue {
        let now = Arc::clone(&self.now);
        Catalogue::with_clock(options, Box::new(move || now.load(Ordering::Relaxed))).unwrap()
    }
}

fn rome() -> Zone {
    Zone::parse("Europe/Rome").unwrap()
}

fn utc(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

/// Sets a directory's modification time, in Rome.
fn touch(path: &Path, local: &str) {
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M").unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(rome().moment(local).try_into().unwrap());
    File::open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(time))
        .unwrap();
}

fn labels(dates: &Dates) -> Vec<&str> {
    dates.shown.keys().map(String::as_str).collect()
}

fn names(dates: &Dates) -> Vec<&str> {
    dates
        .shown
        .values()
        .map(|s| s.name.to_str().unwrap())
        .collect()
}
