//! The script: who has a mailbox, what lies there from before, and what happens in seven days.

use super::compose::{Body, Person};
use super::dice::Dice;
use super::letters::{self, Language, MISSED};
use super::mailbox::{Account, INBOX, Mailbox, Message};
use crate::time::Zone;
use chrono::{Days, NaiveDate, NaiveTime};

pub(super) const DAYS: usize = 7;

/// One day, whose snapshot is its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub(super) date: NaiveDate,
    /// Seconds since 1970.
    begin: i64,
    pub(super) end: i64,
}

impl Day {
    /// What its snapshot is called: the local time at which it was taken.
    pub(super) fn snapshot(&self, zone: Zone) -> String {
        zone.local(self.end).format("%Y-%m-%d_%H%M").to_string()
    }

    /// A minute of the day; where the day isn't over, its hours are as much shorter.
    fn minute(&self, minute: u32) -> i64 {
        self.begin + (self.end - self.begin) * i64::from(minute) / 1440
    }
}

/// The seven days up to `now` (seconds since 1970); snapshots are taken a minute before midnight, the last one now.
pub(super) fn days(zone: Zone, now: i64) -> Vec<Day> {
    let today = zone.local(now).date();
    (0..DAYS as u64)
        .rev()
        .map(|back| {
            let date = today - Days::new(back);
            let begin = zone.moment(date.and_time(NaiveTime::MIN));
            let next = zone.moment((date + Days::new(1)).and_time(NaiveTime::MIN));
            Day {
                date,
                begin,
                end: now.min(next - 60),
            }
        })
        .collect()
}

const STUDIO: &[Language] = &[Language::Italian];
const HARBOUR: &[Language] = &[Language::English];

pub(super) const CHIARA: Person = Person {
    name: "Chiara Bianchi",
    address: "chiara.bianchi@studio-bianchi.example",
};

static ACCOUNTS: &[Account] = &[
    Account {
        person: CHIARA,
        languages: STUDIO,
        sent: "Sent",
        trash: "Trash",
        drafts: "Bozze",
        folders: &[
            "Archive/2025",
            "Clienti/Società Valdoro",
            "Clienti/Via Mazzini",
        ],
        keeps_mail: true,
    },
    Account {
        person: Person {
            name: "Marco Ferri",
            address: "marco.ferri@studio-bianchi.example",
        },
        languages: STUDIO,
        sent: "Sent",
        trash: "Trash",
        drafts: "Drafts",
        folders: &["Archive/2025", "Cantieri & sopralluoghi"],
        keeps_mail: true,
    },
    Account {
        person: Person {
            name: "Studio Bianchi",
            address: "info@studio-bianchi.example",
        },
        languages: &[Language::Italian, Language::Italian, Language::English],
        sent: "Sent",
        trash: "Trash",
        drafts: "Drafts",
        folders: &["Archive/2025", "Già risposto"],
        keeps_mail: true,
    },
    Account {
        person: Person {
            name: "Scanner",
            address: "scanner@studio-bianchi.example",
        },
        languages: STUDIO,
        sent: "",
        trash: "",
        drafts: "",
        folders: &[],
        keeps_mail: false,
    },
    Account {
        person: Person {
            name: "Emma Clarke",
            address: "emma.clarke@harbour-logistics.example",
        },
        languages: HARBOUR,
        sent: "Sent",
        trash: "Trash",
        drafts: "Drafts",
        folders: &["Archive/2025", ROTTERDAM, "Projects/Winter schedule"],
        keeps_mail: true,
    },
    Account {
        person: Person {
            name: "Jonas Weber",
            address: "jonas.weber@harbour-logistics.example",
        },
        languages: &[Language::German, Language::German, Language::English],
        sent: "Gesendet",
        trash: "Papierkorb",
        drafts: "Entwürfe",
        folders: &["Archive/2025", CUSTOMERS],
        keeps_mail: true,
    },
    Account {
        person: Person {
            name: "田中 由紀",
            address: "yuki.tanaka@harbour-logistics.example",
        },
        languages: &[Language::Japanese, Language::Japanese, Language::English],
        sent: "Sent",
        trash: "Trash",
        drafts: "Drafts",
        folders: &["Archive/2025", "日本語", "日本語/見積り"],
        keeps_mail: true,
    },
];

/// A folder that is deleted.
const ROTTERDAM: &str = "Projects/Rotterdam";
/// A folder that is renamed.
const CUSTOMERS: &str = "Kunden";
const CUSTOMERS_RENAMED: &str = "Kunden & Partner";

const DAY: i64 = 86_400;
/// 2025-03-03 08:00 UTC, when the archive begins.
const ARCHIVE: i64 = 1_740_988_800;
/// The keyword `b`: see `dovecot-keywords` where folders are written.
const URGENT: char = 'b';

/// All mailboxes, as they are before the first of the days.
pub(super) fn mailboxes(first: Day) -> Vec<Mailbox> {
    let before = |account: &'static Account| {
        let mut mailbox = Mailbox::new(account, first.begin - 300 * DAY);
        if account.keeps_mail {
            fill(&mut mailbox, first, &mut dice(account, 0));
        }
        mailbox
    };
    ACCOUNTS.iter().map(before).collect()
}

/// Every mailbox and day has its own chance, so that what happens in one does not hang on another.
fn dice(account: &Account, day: usize) -> Dice {
    let address = account.person.address.bytes();
    Dice::new(address.fold(day as u64 + 1, |seed, b| {
        seed * 31 % 1_000_003 + u64::from(b)
    }))
}

fn fill(mailbox: &mut Mailbox, first: Day, dice: &mut Dice) {
    let account = mailbox.account;
    let mut arrive = |mailbox: &mut Mailbox, folder: &str, at: i64, flags: &str| {
        let letter = letters::incoming(dice.pick(account.languages), account.person, dice);
        let minutes = i64::from(dice.between(0, 600));
        mailbox.deliver(folder, letter, at + minutes * 60, flags)
    };
    for n in 0..5 {
        arrive(mailbox, "Archive/2025", ARCHIVE + n * 37 * DAY, "S");
    }
    for folder in account.folders.iter().filter(|f| **f != "Archive/2025") {
        for n in 0..3 {
            arrive(
                mailbox,
                folder,
                first.begin - (50 - n * 13) * DAY,
                if n == 1 { "RS" } else { "S" },
            );
        }
    }
    for n in 0..8 {
        let flags = match n {
            7 => "",
            3 => "FS",
            _ => "S",
        };
        arrive(
            mailbox,
            INBOX,
            first.begin - (25 - n * 3) * DAY + 8 * 3600,
            flags,
        );
    }
    for n in 0..4 {
        let letter = letters::incoming(dice.pick(account.languages), account.person, dice);
        let answer = letters::answer(&letter, "earlier@elsewhere.example", dice);
        mailbox.deliver(
            account.sent,
            answer,
            first.begin - (20 - n * 4) * DAY + 36_000,
            "S",
        );
    }
    let mut draft = letters::incoming(dice.pick(account.languages), account.person, dice);
    (draft.from, draft.to) = (draft.to, draft.from);
    mailbox.deliver(account.drafts, draft, first.begin - 2 * DAY + 40_000, "DS");

    if account.person == CHIARA {
        let at = first.begin - 2 * DAY + 9 * 3600 + 32 * 60;
        mailbox.deliver(INBOX, letters::missed(CHIARA), at, "FS");
    }
}

/// What happens in a mailbox on the day with that number, from 0.
pub(super) fn live(mailbox: &mut Mailbox, number: usize, day: Day) {
    if !mailbox.account.keeps_mail {
        return;
    }
    let dice = &mut dice(mailbox.account, number + 1);
    read(mailbox, day, dice);
    answer(mailbox, day, dice);
    tidy(mailbox, day, dice);
    arrive(mailbox, number, day, dice);
    turns(mailbox, number, day);
}

fn may_go(message: &Message) -> bool {
    !message.fresh && !message.letter.subject.starts_with(MISSED)
}

fn read(mailbox: &mut Mailbox, day: Day, dice: &mut Dice) {
    for (n, base) in (0..).zip(mailbox.find(INBOX, |m| m.fresh)) {
        if dice.chance(80) {
            mailbox.flag(INBOX, &base, 'S', day.minute(485 + n));
        }
    }
}

fn answer(mailbox: &mut Mailbox, day: Day, dice: &mut Dice) {
    let open = mailbox.find(INBOX, |m| {
        let is_letter = !matches!(m.letter.body, Body::Newsletter { .. });
        may_go(m) && is_letter && !m.flags.contains(&'R') && m.letter.thread.len() < 4
    });
    let Some(base) = open.last().filter(|_| dice.chance(60)) else {
        return;
    };
    let Some(original) = mailbox.message(INBOX, base).cloned() else {
        return;
    };
    let account = mailbox.account;
    let ours = letters::answer(&original.letter, &original.id, dice);
    mailbox.flag(INBOX, base, 'R', day.minute(540));
    let id = mailbox.deliver(account.sent, ours.clone(), day.minute(540), "S");
    if dice.chance(60) {
        let theirs = letters::answer(&ours, &id, dice);
        mailbox.deliver(INBOX, theirs, day.minute(900), "");
    }
}

/// Flags, moves, throws away; and empties what was thrown away before yesterday.
fn tidy(mailbox: &mut Mailbox, day: Day, dice: &mut Dice) {
    let account = mailbox.account;
    let mut one = |mailbox: &Mailbox, percent: u32, so: &dyn Fn(&Message) -> bool| {
        let bases = mailbox.find(INBOX, |m| may_go(m) && so(m));
        let chosen = dice.between(0, bases.len() as u32) as usize;
        dice.chance(percent)
            .then(|| bases.get(chosen).cloned())
            .flatten()
    };
    if let Some(base) = one(mailbox, 35, &|_| true) {
        mailbox.flag(INBOX, &base, 'F', day.minute(545));
    }
    if let Some(base) = one(mailbox, 20, &|_| true) {
        mailbox.flag(INBOX, &base, URGENT, day.minute(550));
    }
    let seen = |m: &Message| m.flags.contains(&'S');
    if let Some(base) = one(mailbox, 50, &|m| seen(m) && m.letter.attachment.is_some()) {
        let existing = account
            .folders
            .last()
            .filter(|f| mailbox.folders.contains_key(**f));
        let to = existing.copied().unwrap_or("Archive/2025");
        mailbox.move_to(INBOX, &base, to, day.minute(1000));
    }
    for percent in [70, 30] {
        if let Some(base) = one(mailbox, percent, &|m| seen(m) && !m.flags.contains(&'F')) {
            mailbox.move_to(INBOX, &base, account.trash, day.minute(1010));
        }
    }
    for base in mailbox.find(account.trash, |m| m.moved < day.begin - DAY) {
        mailbox.take_out(account.trash, &base, day.minute(1020));
    }
}

fn arrive(mailbox: &mut Mailbox, number: usize, day: Day, dice: &mut Dice) {
    let account = mailbox.account;
    for _ in 0..dice.between(1, 4) {
        let letter = letters::incoming(dice.pick(account.languages), account.person, dice);
        let at = day.minute(dice.between(520, 1100));
        mailbox.deliver(INBOX, letter, at, "");
    }
    if number % 3 == account.person.address.len() % 3 {
        let issue = 410 + u32::try_from(number).unwrap_or(0);
        let letter = letters::newsletter(dice.pick(account.languages), account.person, issue);
        mailbox.deliver(INBOX, letter, day.minute(430), "");
    }
}

/// What is meant to happen: a message is missed, a folder deleted, another one renamed.
fn turns(mailbox: &mut Mailbox, number: usize, day: Day) {
    let is_missed = |m: &Message| m.letter.subject.starts_with(MISSED);
    let trash = mailbox.account.trash;
    match number {
        2 => mailbox.rename_folder(CUSTOMERS, CUSTOMERS_RENAMED),
        3 => drop(mailbox.folders.remove(ROTTERDAM)),
        4 => {
            for base in mailbox.find(INBOX, is_missed) {
                mailbox.move_to(INBOX, &base, trash, day.minute(1080));
            }
        }
        5 => {
            for base in mailbox.find(trash, is_missed) {
                mailbox.take_out(trash, &base, day.minute(1090));
            }
        }
        _ => {}
    }
}
