//! Killed at any moment: no request is lost, nothing is restored twice, no letter is missing.

use crate::harness::{Numbers, eventually};
use crate::{ADMINS, ALICE, MESSAGES, World};
use mailtm::requests::State;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often, unless REQUESTS_KILLS says otherwise.
const KILLS: u64 = 12;

/// How long an approval takes that nobody disturbs.
fn undisturbed() -> Duration {
    let world = World::new();
    world.ask();
    let start = Instant::now();
    world.says(&["approve", "1"], 0);
    start.elapsed()
}

#[test]
fn killed_at_random_moments() {
    let kills = std::env::var("REQUESTS_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let seed = std::env::var("REQUESTS_SEED").map_or(20_261_122, |n| n.parse().unwrap());
    let mut numbers = Numbers(seed);
    let whole = undisturbed().as_micros() as u64;
    let mut killed_in: BTreeMap<State, u64> = BTreeMap::new();
    for round in 0..kills {
        let world = World::new();
        let id = world.ask();
        let by_worker = round % 2 == 1;
        if by_worker {
            world.store().approve(id, "carla@example.com").unwrap();
        }
        // The slots of the rounds are even, so that every part of a request's life has its share.
        let slot = whole * 5 / 4 / kills.max(1);
        let moment = Duration::from_micros(slot * round + numbers.below(slot.max(1)));
        let mut process = match by_worker {
            true => world.start(&["work"]),
            false => world.start(&["approve", "1"]),
        };
        std::thread::sleep(moment);
        process.kill().unwrap();
        process.wait().unwrap();
        let details = world.store().get(id).unwrap();
        *killed_in.entry(details.request.state).or_default() += 1;
        let before = world.restored();

        // The next ones, killed once more on their way.
        let mut process = world.start(&["work"]);
        std::thread::sleep(Duration::from_micros(numbers.below(whole)));
        process.kill().unwrap();
        process.wait().unwrap();
        let restored = world.restored();
        assert!(before.iter().all(|m| restored.contains(m)), "round {round}");
        if world.store().get(id).unwrap().request.state == State::Pending {
            world.says(&["approve", "1"], 0);
        }
        eventually(Duration::from_secs(60), "the end of it", || {
            world.says(&["work", "--once"], 0);
            let details = world.store().get(id).unwrap();
            details.request.state.is_final() && world.store().letters_waiting().unwrap() == 0
        });

        let details = world.store().get(id).unwrap();
        assert_eq!(
            details.request.state,
            State::Done,
            "round {round}: {details:?}"
        );
        assert_eq!(details.events.len(), 4, "{:?}", details.events);
        assert_eq!(
            details.request.report.unwrap().created,
            MESSAGES,
            "round {round}"
        );
        let mut contents = world.restored();
        assert_eq!(contents.len() as u64, MESSAGES, "round {round}");
        contents.dedup();
        assert_eq!(contents.len() as u64, MESSAGES, "round {round}");
        let mut letters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for letter in world.sink.letters() {
            letters
                .entry(letter.to[0].clone())
                .or_default()
                .insert(letter.id());
        }
        for to in ADMINS.into_iter().chain([ALICE]) {
            // One kind each, however often it came.
            assert_eq!(
                letters.remove(to).map(|ids| ids.len()),
                Some(1),
                "round {round}: {to}"
            );
        }
        assert!(letters.is_empty(), "round {round}: {letters:?}");
    }
    println!("{kills} requests, killed twice each; first when they were {killed_in:?}");
    assert!(kills < KILLS || killed_in.len() > 1, "{killed_in:?}");
}
