//! Killed at any moment: no request is lost, nothing is restored twice, no letter is missing.
//!
//! The moments are steps: calls by which a process changes a file or speaks to the mail server, one of which kills it. So every part
//! of a request's life has its share, however busy the machine is. The worker of two threads is killed by the clock, too.

use crate::harness::{Numbers, able, eventually, mount::mailtm, output};
use crate::{ADMINS, ALICE, MESSAGES, World};
use mailtm::requests::{Id, State};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How often, unless REQUESTS_KILLS says otherwise.
const KILLS: u64 = 16;

/// Calls that something is changed by.
const STEPS: &str =
    "pwrite64,fdatasync,fsync,write,renameat2,mkdirat,fchmod,utimensat,flock,sendto,recvfrom";

/// A call, and the how many-th of its kind it is.
type Step = (String, u64);

/// `mailtm requests` with its steps logged, or killed at one.
fn traced(world: &World, log: &Path, kill: Option<&Step>, args: &[&str]) -> Command {
    let own = mailtm(&[]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(log);
    command.args(["-e", &format!("trace={STEPS}")]);
    if let Some((call, time)) = kill {
        command.args(["-e", &format!("inject={call}:signal=KILL:when={time}")]);
    }
    let file = world.config.path.to_str().unwrap();
    command.arg(own.get_program());
    command.args(["requests", "--config", file]).args(args);
    command
}

/// The steps that a command takes that nobody disturbs, in the thread that takes the most.
fn steps(world: &World, args: &[&str]) -> Vec<Step> {
    let log = world.scratch.join("steps");
    let ended = output(&mut traced(world, &log, None, args));
    assert!(ended.status.success(), "{ended:?}");
    let mut by_thread: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let Some((call, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        let steps = by_thread.entry(thread.to_owned()).or_default();
        let time = steps.iter().filter(|(name, _)| name == call).count() as u64 + 1;
        steps.push((call.to_owned(), time));
    }
    by_thread.into_values().max_by_key(Vec::len).unwrap()
}

/// How far a request had come.
fn progress(world: &World, id: Id) -> String {
    let details = world.store().get(id).unwrap();
    let sent = details.letters.iter().filter(|l| l.sent.is_some()).count();
    let restored = match world.restored().len() as u64 {
        0 => "nothing",
        MESSAGES => "all",
        _ => "some",
    };
    let state = details.request.state;
    format!("{state}, {restored} restored, {sent} letters sent")
}

/// Whatever became of it so far: it gets to the same end.
fn gets_to_its_end(world: &World, id: Id, what: &str) {
    if world.store().get(id).unwrap().request.state == State::Pending {
        world.says(&["approve", "1"], 0);
    }
    eventually(Duration::from_secs(60), "the end of it", || {
        world.says(&["work", "--once"], 0);
        let details = world.store().get(id).unwrap();
        details.request.state.is_final() && world.store().letters_waiting().unwrap() == 0
    });
    let details = world.store().get(id).unwrap();
    assert_eq!(details.request.state, State::Done, "{what}: {details:?}");
    assert_eq!(details.events.len(), 4, "{what}: {:?}", details.events);
    let report = details.request.report.unwrap();
    assert_eq!(report.created, MESSAGES, "{what}");
    assert_eq!(report.already_there, 0, "{what}");
    let mut contents = world.restored();
    assert_eq!(contents.len() as u64, MESSAGES, "{what}");
    contents.dedup();
    assert_eq!(contents.len() as u64, MESSAGES, "{what}");
    let mut letters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for letter in world.sink.letters() {
        let ids = letters.entry(letter.to[0].clone()).or_default();
        ids.insert(letter.id());
    }
    for to in ADMINS.into_iter().chain([ALICE]) {
        // One letter each, however often it came.
        let ids = letters.remove(to).unwrap_or_default();
        assert_eq!(ids.len(), 1, "{what}: {to}: {ids:?}");
    }
    assert!(letters.is_empty(), "{what}: {letters:?}");
}

fn asked() -> (World, Id) {
    let world = World::new();
    let id = world.ask();
    (world, id)
}

fn approved() -> (World, Id) {
    let (world, id) = asked();
    world.store().approve(id, "carla@example.com").unwrap();
    (world, id)
}

#[test]
fn killed_at_random_moments() {
    if !able(&["strace"]) {
        return;
    }
    let kills = std::env::var("REQUESTS_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let seed = std::env::var("REQUESTS_SEED").map_or(20_261_122, |n| n.parse().unwrap());
    let mut numbers = Numbers(seed);
    let commands = [&["approve", "1"][..], &["work", "--once"]];
    let whole = [asked().0, approved().0];
    let whole = [0, 1].map(|n| steps(&whole[n], commands[n]));
    assert!(whole.iter().all(|steps| steps.len() > 50), "{whole:?}");
    let mut killed_when: BTreeMap<String, u64> = BTreeMap::new();
    let mut unfinished = 0;
    for round in 0..kills {
        let by_worker = (round % 2) as usize;
        let (world, id) = match by_worker {
            0 => asked(),
            _ => approved(),
        };
        let args = commands[by_worker];
        // The slots of the rounds are even.
        let all = whole[by_worker].len() as u64;
        let at = all * round / kills + numbers.below((all / kills).max(1));
        let step = &whole[by_worker][at as usize];
        let log = world.scratch.join("trace");
        let killed = output(&mut traced(&world, &log, Some(step), args));
        let what = format!("{args:?} at step {at} of {all}, {step:?}");
        let at = progress(&world, id);
        if !killed.status.success() {
            unfinished += 1;
        }
        *killed_when.entry(at).or_default() += 1;

        // The next one is killed, too.
        let before = world.restored();
        let step = &whole[1][numbers.below(whole[1].len() as u64) as usize];
        output(&mut traced(&world, &log, Some(step), commands[1]));
        let what = format!("{what}, then at {step:?}");
        let restored = world.restored();
        assert!(before.iter().all(|m| restored.contains(m)), "{what}");
        gets_to_its_end(&world, id, &what);
    }
    println!("{kills} requests, {unfinished} of them killed before the end, when they were:");
    for (when, times) in &killed_when {
        println!("  {times:3}  {when}");
    }
    assert!(unfinished * 10 >= kills * 8, "{unfinished} of {kills}");
    assert!(kills < KILLS || killed_when.len() >= 6, "{killed_when:?}");
}

#[test]
fn the_worker_of_two_threads_is_killed() {
    let kills = std::env::var("REQUESTS_KILLS").map_or(4, |n: String| n.parse().unwrap());
    let mut numbers = Numbers(7);
    let mut longest = Duration::from_millis(200);
    for round in 0..kills {
        let (world, id) = approved();
        let mut process = world.start(&["work"]);
        let limit = Duration::from_secs(30);
        eventually(limit, "a sign of life", || {
            let details = world.store().get(id).unwrap();
            details.request.state != State::Approved || !world.sink.letters().is_empty()
        });
        let start = Instant::now();
        if round == 0 {
            eventually(limit, "all letters", || world.sink.letters().len() == 3);
            longest = start.elapsed().max(Duration::from_millis(10));
        } else {
            let longest = u64::try_from(longest.as_micros()).unwrap();
            std::thread::sleep(Duration::from_micros(numbers.below(longest)));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let what = format!("round {round}: {}", progress(&world, id));
        gets_to_its_end(&world, id, &what);
    }
}
