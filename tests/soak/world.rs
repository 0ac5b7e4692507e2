//! The mail of alice and bob, whose messages say which they are; and the days that come and go.

use crate::harness::{self, Scratch, Store, mail};
use std::fs;
use std::process::Command;

pub const ALICE: &str = "alice@example.com";
pub const BOB: &str = "bob@example.com";
/// Bob's messages have numbers from here on, and alice's are below.
pub const BOBS: u32 = 100_000;
/// The bytes of a message; `roam.py` knows them, too.
pub fn expected(number: u32) -> Vec<u8> {
    mail(
        "Bob Rossi <bob@example.com>",
        &format!("Message {number}"),
        &format!("Line of message {number}.\n"),
    )
}

/// The number in a message's name.
pub fn number_in(name: &str) -> u32 {
    let after = name
        .split("Message ")
        .nth(1)
        .unwrap_or_else(|| panic!("{name}"));
    after.split(' ').next().unwrap().parse().unwrap()
}

/// Days of a year of their own, the first one 0.
pub fn day(number: u32) -> String {
    let first = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    (first + chrono::Days::new(number.into())).to_string()
}

/// The next day's snapshot, made elsewhere and then there at once: in each mailbox some messages more, and so many less, so
/// that a mailbox does not grow however long this goes on.
pub fn take_snapshot(scratch: &Scratch, store: &Store, number: u32) {
    let making = Store::new(scratch.join("making"));
    let name = day(number);
    if number > 0 {
        let from = store.path.join(day(number - 1));
        harness::run(
            Command::new("cp")
                .arg("-al")
                .arg(from)
                .arg(making.path.join(&name)),
        );
    }
    for (address, base) in [(ALICE, 0), (BOB, BOBS)] {
        let mailbox = making.mailbox(&name, address);
        for (folder, kept) in [("cur", 3), (".Archive/cur", 20)] {
            let messages = fs::read_dir(mailbox.path.join(folder))
                .into_iter()
                .flatten();
            let oldest = messages.map(|e| e.unwrap().path()).min();
            if let Some(oldest) = oldest.filter(|_| number > kept) {
                fs::remove_file(oldest).unwrap();
            }
        }
        mailbox.number("cur", base + number);
        mailbox.number("Archive/cur", base + 50_000 + number);
    }
    fs::rename(making.path.join(&name), store.path.join(&name)).unwrap();
}
