//! Clients that read and compare, until they are told to stop: in this process, over Samba and, as users, over NFS.
//!
//! What one is told may be an error while something is wrong; it is never a wrong byte, and never mail of somebody else.

use crate::harness::mount::python_path;
use crate::harness::{Numbers, Scratch, Subject};
use crate::samba::Server;
use crate::world::{ALICE, BOB, BOBS, expected, number_in};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long who found nothing waits before he tries again. A guest has one processor, and what was away needs it to
/// come back.
const BREATH: Duration = Duration::from_millis(50);

/// What happened, for the line at the end.
#[derive(Default)]
pub struct Tally {
    pub bytes: AtomicU64,
    pub files: AtomicU64,
    pub errors: AtomicU64,
    pub samba: AtomicU64,
    pub faults: Mutex<BTreeMap<&'static str, u32>>,
}

/// Whether an error is one that somebody may be told while something is wrong.
fn is_expected(e: &std::io::Error) -> bool {
    let expected = [
        libc::ENOENT,
        libc::EIO,
        libc::ESTALE,
        libc::ENOTCONN,
        libc::ECONNABORTED,
    ];
    e.raw_os_error()
        .is_some_and(|errno| expected.contains(&errno))
}

/// Reads at random places, as root, and compares.
pub fn read_and_compare(root: &Path, seed: u64, tally: &Tally, stop: &AtomicBool) {
    let mut numbers = Numbers(seed);
    while !stop.load(Ordering::Relaxed) {
        if let Err(e) = visit(root, &mut numbers, tally) {
            assert!(is_expected(&e), "{e:?}");
            tally.errors.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(BREATH);
        }
    }
}

fn visit(root: &Path, numbers: &mut Numbers, tally: &Tally) -> std::io::Result<()> {
    let listed = |path: &Path| -> std::io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().into_string().unwrap()))
            .collect()
    };
    let mut dates = listed(root)?;
    dates.retain(|name| name.starts_with("20"));
    let Some(date) = dates.get(numbers.below(dates.len().max(1) as u64) as usize) else {
        // Nothing is mounted.
        return Err(std::io::Error::from_raw_os_error(libc::ENOENT));
    };
    let (address, is_his) = [(ALICE, false), (BOB, true)][numbers.below(2) as usize];
    let folder = root
        .join(date)
        .join(address)
        .join(["INBOX", "Archive"][numbers.below(2) as usize]);
    if numbers.below(4) == 0 {
        let mut file = File::open(folder.with_extension("mbox"))?;
        let size = file.metadata()?.len();
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        assert_eq!(text.len() as u64, size, "{}", folder.display());
        for entry in text.split("\nSubject: Message ").skip(1) {
            let number = entry.split('\n').next().unwrap();
            assert!(
                entry.contains(&format!("\nLine of message {number}.\n")),
                "{entry}"
            );
            assert_eq!(
                number.parse::<u32>().unwrap() >= BOBS,
                is_his,
                "{}",
                folder.display()
            );
        }
        tally.bytes.fetch_add(size, Ordering::Relaxed);
        tally.files.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    for name in listed(&folder)?
        .iter()
        .filter(|name| name.ends_with(".eml"))
    {
        let bytes = fs::read(folder.join(name))?;
        compare(name, &bytes, is_his);
        tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        tally.files.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

pub fn compare(name: &str, bytes: &[u8], is_his: bool) {
    let number = number_in(name);
    assert!(bytes == expected(number), "{name}: other bytes");
    assert_eq!(number >= BOBS, is_his, "{name}: of somebody else");
}

/// Copies a date over Samba as alice, again and again, and compares what has come.
pub fn copy_over_samba(
    server: &Server,
    alice: &Subject,
    scratch: &Scratch,
    root: &Path,
    tally: &Tally,
    stop: &AtomicBool,
) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let found: Vec<String> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("20"))
            .collect();
        let Some(date) = found.get(round % found.len().max(1)) else {
            std::thread::sleep(BREATH);
            continue;
        };
        let target = scratch.subdirectory(&format!("copy-{round}"));
        let said = server.run_in(
            &target,
            alice,
            "backups",
            &format!("recurse; prompt; mget {date}"),
        );
        let whole = !said.contains("NT_STATUS") && !said.contains("ERR");
        let mut todo = vec![target.clone()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    // Of what she cannot enter there is a name at most.
                    let is_his = name == BOB;
                    assert!(!is_his || fs::read_dir(&path).unwrap().next().is_none());
                    todo.push(path);
                } else if name.ends_with(".eml") {
                    let (bytes, number) = (fs::read(&path).unwrap(), number_in(&name));
                    assert!(number < BOBS, "{name}: of somebody else");
                    let right = expected(number);
                    let is_right = if whole {
                        bytes == right
                    } else {
                        right.starts_with(&bytes)
                    };
                    assert!(is_right, "{name}: other bytes over Samba");
                    tally.samba.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        fs::remove_dir_all(&target).unwrap();
    }
}

/// A program of a user's that reads what is his, or bob's, in a mount over the network, and tries what is not.
pub struct Roamer(Child);

impl Roamer {
    /// Reads at random places until there is a file `stop`.
    pub fn start(subject: &Subject, address: &str, root: &Path, stop: &Path) -> Self {
        Self(
            roam(subject, address, root, stop.to_str().unwrap())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    /// How many files and bytes it has compared, and how many errors and refusals it was told.
    pub fn finish(self) -> [u64; 4] {
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        let numbers = said.split_whitespace().map(|n| n.parse().unwrap());
        numbers.collect::<Vec<_>>().try_into().unwrap()
    }
}

/// Reads all that a user has, once; how many dates there are, or what went wrong.
pub fn read_all(subject: &Subject, address: &str, root: &Path) -> Result<usize, String> {
    let output = roam(subject, address, root, "all").output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains("WRONG"), "{said}");
    said.trim().parse().map_err(|_| said)
}

fn roam(subject: &Subject, address: &str, root: &Path, until: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            format!("--reuid={}", subject.uid),
            format!("--regid={}", subject.gid),
        ])
        .args(["--clear-groups", python_path()])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak/roam.py"))
        .args([root.to_str().unwrap(), address, &BOBS.to_string(), until])
        .stdin(Stdio::null());
    command
}

/// Tries to read bob's mail as alice; says so if it ever can.
const SPY: &str = r#"
import os, sys, time
root, tried = sys.argv[1], 0
while not os.path.exists(sys.argv[2]):
    try:
        dates = os.listdir(root)
        if not dates:
            time.sleep(0.05)
        for date in dates:
            for path in ("", "/INBOX", "/INBOX.mbox", "/Archive"):
                try:
                    where = f"{root}/{date}/bob@example.com{path}"
                    os.close(os.open(where, os.O_RDONLY))
                    print("LEAK", where)
                except OSError:
                    tried += 1
    except OSError:
        time.sleep(0.05)
print(tried)
"#;

pub fn spy(alice: &Subject, root: &Path, stop: &Path) -> Child {
    Command::new("setpriv")
        .args([
            format!("--reuid={}", alice.uid),
            format!("--regid={}", alice.gid),
        ])
        .args(["--clear-groups", python_path(), "-c", SPY])
        .args([root, stop])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
