//! Weeks made at random, compared with a model that knows of each message where it was.

use crate::harness::store::mail;
use crate::harness::tree::walk;
use crate::harness::{
    Config, Layout, Mailbox, Mount, Numbers, Scratch, Store, able, eventually, run,
};
use crate::{ALICE, BOB, try_gone};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const FOLDERS: [&str; 6] = ["", "Archive", "Archive/2024", "Sent", "Trash", "Lists/rust"];

/// One file of a mailbox: which message it holds, its base name, its flags, and whether it is in `new`.
#[derive(Clone)]
struct Held {
    message: u64,
    base: String,
    flags: &'static str,
    new: bool,
}

/// A mailbox as the script has it, by folder.
type State = BTreeMap<String, Vec<Held>>;

struct Script {
    numbers: Numbers,
    messages: u64,
    names: u64,
}

impl Script {
    fn base(&mut self) -> String {
        self.names += 1;
        format!("1795.M{}P{}.mx", self.numbers.below(1_000_000), self.names)
    }

    fn pick(&mut self, state: &State) -> Option<(String, usize)> {
        let all: Vec<(&String, usize)> = state
            .iter()
            .flat_map(|(folder, held)| (0..held.len()).map(move |i| (folder, i)))
            .collect();
        let at = self.numbers.below(all.len() as u64) as usize;
        all.get(at).map(|(folder, i)| ((*folder).clone(), *i))
    }

    /// What happens to a mailbox on one day.
    fn live_through(&mut self, state: &mut State) {
        for _ in 0..12 + self.numbers.below(16) {
            let to = FOLDERS[self.numbers.below(FOLDERS.len() as u64) as usize].to_owned();
            let what = self.numbers.below(11);
            if what < 3 {
                self.messages += 1;
                let held = Held {
                    message: self.messages,
                    base: self.base(),
                    flags: "",
                    new: true,
                };
                state.entry(to).or_default().push(held);
                continue;
            }
            if what == 10 && self.numbers.below(3) == 0 {
                // A folder gets another name, or goes with all that is in it.
                if let Some(folder) = state.keys().find(|f| !f.is_empty()).cloned() {
                    let held = state.remove(&folder).unwrap();
                    if self.numbers.below(2) == 0 {
                        state.insert(format!("{folder} {}", self.numbers.below(100)), held);
                    }
                }
                continue;
            }
            let Some((from, at)) = self.pick(state) else {
                continue;
            };
            match what {
                3 | 4 => drop(state.get_mut(&from).unwrap().remove(at)),
                5 => {
                    let held = &mut state.get_mut(&from).unwrap()[at];
                    (held.flags, held.new) = (
                        ["S", "FS", "RS", "ST", "Sa"][self.numbers.below(5) as usize],
                        false,
                    );
                }
                6 | 7 => {
                    let mut held = state.get_mut(&from).unwrap().remove(at);
                    if what == 6 {
                        held.base = self.base();
                    }
                    state.entry(to).or_default().push(held);
                }
                _ => {
                    let base = self.base();
                    let held = Held {
                        base,
                        ..state[&from][at].clone()
                    };
                    state.entry(to).or_default().push(held);
                }
            }
        }
    }
}

fn content(message: u64) -> Vec<u8> {
    // Many of one size, and some that have no Message-ID.
    let text = mail(
        "Bob <bob@example.com>",
        &format!("number {message:06}"),
        "text\n",
    );
    let text = String::from_utf8(text).unwrap();
    match message % 5 {
        0 => text.replace("Message-ID: ", "X-Other: ").into_bytes(),
        _ => text.into_bytes(),
    }
}

/// Writes a mailbox; files that are the same as before keep their inode, as in a real store.
fn write(mailbox: &Mailbox, state: &State) {
    let mut wanted = BTreeSet::new();
    for (folder, held) in state {
        mailbox.folder(folder);
        for held in held {
            let (part, name) = match held.new {
                true => ("new", held.base.clone()),
                false => ("cur", format!("{}:2,{}", held.base, held.flags)),
            };
            let place = format!("{folder}/{part}");
            let path = mailbox.folder(folder).join(part).join(&name);
            if !path.exists() {
                mailbox.put(
                    &place,
                    &name,
                    content(held.message),
                    1_795_000_000 + held.message.cast_signed(),
                );
            }
            wanted.insert(path);
        }
    }
    let mut files = Vec::new();
    walk(&mailbox.path, &mut |path, meta| {
        let place = path.parent().and_then(Path::file_name).unwrap_or_default();
        if meta.is_file() && (place == "cur" || place == "new") {
            files.push(mailbox.path.join(path));
        }
    });
    for path in files.iter().filter(|path| !wanted.contains(*path)) {
        fs::remove_file(path).unwrap();
    }
    let folders: BTreeSet<PathBuf> = state.keys().map(|folder| mailbox.folder(folder)).collect();
    for entry in fs::read_dir(&mailbox.path).unwrap() {
        let path = entry.unwrap().path();
        let is_folder = path.file_name().unwrap().to_str().unwrap().starts_with('.');
        if is_folder && !folders.contains(&path) {
            fs::remove_dir_all(path).unwrap();
        }
    }
}

fn shown_as(folder: &str) -> String {
    if folder.is_empty() {
        "INBOX".into()
    } else {
        folder.to_owned()
    }
}

/// What the script knows to be gone: each message with the folders that had it when it was last seen.
fn truth(days: &[State], now: &State) -> BTreeMap<u64, BTreeSet<String>> {
    let has = |state: &State, message: u64| -> BTreeSet<String> {
        let held = state
            .iter()
            .filter(|(_, held)| held.iter().any(|held| held.message == message));
        held.map(|(folder, _)| shown_as(folder)).collect()
    };
    let all: BTreeSet<u64> = days
        .iter()
        .flat_map(|day| day.values().flatten().map(|held| held.message))
        .collect();
    let gone = all
        .into_iter()
        .filter(|&message| has(now, message).is_empty());
    gone.map(|message| {
        let last = days
            .iter()
            .rev()
            .map(|day| has(day, message))
            .find(|folders| !folders.is_empty());
        (message, last.unwrap())
    })
    .collect()
}

/// What is wrong with what is shown; empty if nothing is.
fn wrong(root: &Path, truth: &BTreeMap<u64, BTreeSet<String>>) -> String {
    let mut missing = truth.clone();
    let mut wrong = String::new();
    let shown = match try_gone(root) {
        Ok(shown) => shown,
        Err(changed) => return changed,
    };
    for path in shown.keys() {
        let text = fs::read(root.join(path)).unwrap_or_default();
        let subject = path.to_str().unwrap().split("number ").nth(1).unwrap();
        let message: u64 = subject[..6].parse().unwrap();
        let folder = path.parent().unwrap().to_str().unwrap();
        match missing.remove(&message) {
            Some(folders) if folders.contains(folder) && text == content(message) => {}
            other => wrong += &format!("{}: expected in {other:?}\n", path.display()),
        }
    }
    if !missing.is_empty() {
        wrong += &format!("missing: {missing:?}");
    }
    wrong
}

fn right(root: &Path, truth: &BTreeMap<u64, BTreeSet<String>>, what: &str) {
    let mut last = String::new();
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        last = wrong(root, truth);
        if last.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: {last}");
}

#[test]
fn random_weeks() {
    if !able(&[]) {
        return;
    }
    let seeds = std::env::var("MAILTM_STORES").map_or(6, |n| n.parse().unwrap());
    for seed in 0..seeds {
        // Shown when the test fails, whatever the failure is.
        println!("seed {seed}");
        let mut script = Script {
            numbers: Numbers(seed),
            messages: 0,
            names: 0,
        };
        let scratch = Scratch::new();
        let store = Store::new(scratch.join("snapshots"));
        let live = scratch.subdirectory("live");
        let layout = [Layout::MaildirPlusPlus, Layout::Fs][usize::from(seed % 3 == 2)];
        let hers = Mailbox::new(&live, ALICE, layout);
        let mut state = State::from([(String::new(), Vec::new())]);
        let mut days = Vec::new();
        let with_live = seed % 2 == 0;
        let mut config = Config::new(&scratch, &store).set("index.warm", "off");
        if with_live {
            config = config.set("source.live", live.to_str().unwrap());
        }
        // Every other mount watches the week go by; the others see all of it at once.
        let mut mount = None;
        for day in 14..21 {
            script.live_through(&mut state);
            write(&hers, &state);
            let snapshot = store.path.join(format!("2026-11-{day}"));
            // Now with new directories and now with new files too.
            let how = if script.numbers.below(2) == 0 {
                "-al"
            } else {
                "-a"
            };
            run(Command::new("cp").arg(how).arg(&live).arg(&snapshot));
            days.push(state.clone());
            if seed % 4 < 2 && day > 16 {
                let mount = mount.get_or_insert_with(|| Mount::new(&config));
                let label = format!("2026-11-{day}");
                eventually(Duration::from_secs(8), "the day is there", || {
                    mount.join(&label).exists()
                });
                right(
                    &mount.join("deleted").join(ALICE),
                    &truth(&days, &state),
                    &label,
                );
            }
        }
        let mount = mount.unwrap_or_else(|| Mount::new(&config));
        let root = mount.join("deleted").join(ALICE);
        let all = truth(&days, &state);
        assert!(all.len() > 3, "{all:?}");
        right(&root, &all, "the whole week");
        if with_live {
            for _ in 0..2 {
                script.live_through(&mut state);
                write(&hers, &state);
                right(&root, &truth(&days, &state), "the live mailbox");
            }
            fs::remove_dir_all(hers.path.parent().unwrap()).unwrap();
            Mailbox::new(&live, BOB, Layout::MaildirPlusPlus);
            right(
                &root,
                &truth(&days, &State::new()),
                "the live mailbox vanished",
            );
        }
    }
}
