//! The reader of `scripts/bench`: does one thing with a directory or a file and prints
//! `<seconds> <things> <bytes>`. As fast as system calls go, since a slow reader hides what a mount costs.
//!
//! Built by the bench with `rustc -O`; the standard library only.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: walk list DIR     names
       walk stat DIR     names and attributes, as `ls -l`
       walk head DIR     open, read 16 KiB, close each file
       walk readall DIR  open, read to the end, close each file
       walk seq FILE     read to the end, 128 KiB at a time, as `cat`
       walk touch FILE   attributes of one file, once
       walk again FILE   the same, the mean of 10,000 times after a first one
       walk late DIR     a name that is not there, 2,000 times, a millisecond apart: the 99th percentile of one, in
                         place of the time of all
       walk prime MB     memory of so many megabytes is touched and given back: what is read next finds memory that
                         the machine really has, and does not wait for its host to provide it";

#[derive(Default)]
struct Seen {
    things: u64,
    bytes: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, path] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(mode, Path::new(path)) {
        Ok((seconds, seen)) => {
            println!("{seconds:.9} {} {}", seen.things, seen.bytes);
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("walk {mode} {path}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: &str, path: &Path) -> io::Result<(f64, Seen)> {
    const TIMES: u64 = 10_000;
    let mut seen = Seen::default();
    let mut times = 1;
    if mode == "again" {
        fs::symlink_metadata(path)?;
        times = TIMES;
    }
    let begin = Instant::now();
    match mode {
        "list" => {
            for entry in fs::read_dir(path)? {
                entry?;
                seen.things += 1;
            }
        }
        "stat" => {
            for entry in fs::read_dir(path)? {
                seen.bytes += entry?.metadata()?.len();
                seen.things += 1;
            }
        }
        "head" => read_each(path, 16 << 10, 16 << 10, &mut seen)?,
        "readall" => read_each(path, u64::MAX, 256 << 10, &mut seen)?,
        "seq" => read_file(path, u64::MAX, &mut vec![0; 128 << 10], &mut seen)?,
        "late" => {
            let mut took = Vec::new();
            for number in 0..2000 {
                let begin = Instant::now();
                let found = fs::symlink_metadata(path.join(format!("nothing {number}")));
                took.push(begin.elapsed().as_secs_f64());
                match found {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => seen.things += 1,
                    Err(e) => return Err(e),
                    Ok(_) => return Err(io::Error::other("is there")),
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            took.sort_by(f64::total_cmp);
            return Ok((took[took.len() * 99 / 100], seen));
        }
        "prime" => {
            let megabytes: usize = path
                .to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| io::Error::other(USAGE))?;
            std::hint::black_box(vec![1u8; megabytes << 20]);
        }
        "touch" | "again" => {
            for _ in 0..times {
                seen.bytes = fs::symlink_metadata(path)?.len();
                seen.things += 1;
            }
        }
        _ => return Err(io::Error::other(USAGE)),
    }
    Ok((begin.elapsed().as_secs_f64() / times as f64, seen))
}

/// Reads the regular files of a directory in the order of its listing.
fn read_each(dir: &Path, at_most: u64, buffer: usize, seen: &mut Seen) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    let mut path = PathBuf::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            path.clear();
            path.push(dir);
            path.push(entry.file_name());
            read_file(&path, at_most, &mut buffer, seen)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, at_most: u64, buffer: &mut [u8], seen: &mut Seen) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut left = at_most;
    while left > 0 {
        let read = file.read(buffer)? as u64;
        if read == 0 {
            break;
        }
        seen.bytes += read;
        left = left.saturating_sub(read);
    }
    seen.things += 1;
    Ok(())
}
