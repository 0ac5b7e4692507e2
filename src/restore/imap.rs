//! A mailbox behind IMAP: what it has, and how a message is appended to it.
//!
//! One conversation serves two methods: over TLS with any server, as a master user who may act for others; and with the
//! `imap` program of this host's Dovecot, which needs no password. The server gives messages their places and their
//! numbers, so whatever the store is, its indexes and quota are its own matter.
//!
//! A message is appended whole or not at all: it is read once before, and of one that breaks off the server keeps nothing.
//! Servers keep their own line ends, so sizes and digests are counted with CRLF. Store identities are not told over
//! IMAP: what was moved is recognised by Message-ID and size alone.
//!
//! The cast: [`transport`] reaches the server, [`session`] speaks with it, `answer` takes apart what it says; [`Mailbox`] is the live mailbox.

mod answer;
pub mod session;
pub mod transport;

use super::journal::{Place, escape, unescape};
use super::live::{
    Content, Identities, LONGEST_LEVEL, LONGEST_NAME, Live, NO_NAME, NewMessage, Patience, Present,
    Removal, Target, too_long,
};
use super::maildir::hex;
use super::measure::{Basis, Ends, Measure};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::message::header::{FIRST, Scan, scan};
use crate::store::folder_name;
use chrono::DateTime;
use session::{Listed, Session, State};
use std::collections::{HashMap, HashSet};

const HEADERS: &str = "RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]";

/// Bytes of a message in which the end of its header is looked for.
const LONGEST_HEADER: usize = 1 << 20;

/// A mailbox on a server.
pub struct Mailbox {
    session: Session,
    folders: Vec<Listed>,
    /// The folder that is open, and whether to be written.
    open: Option<(Vec<u8>, bool, State)>,
    /// Server's names of folders that were prepared.
    prepared: HashMap<Target, Vec<u8>>,
    keywords_lost: u64,
}

impl Mailbox {
    pub fn new(mut session: Session) -> Result<Self> {
        Ok(Self {
            folders: session.folders()?,
            session,
            open: None,
            prepared: HashMap::new(),
            keywords_lost: 0,
        })
    }

    fn open(&mut self, folder: &[u8], write: bool) -> Result<State> {
        if let Some((open, as_write, state)) = &self.open
            && open == folder
            && (*as_write || !write)
        {
            return Ok(*state);
        }
        let state = self.session.open(folder, write)?;
        self.open = Some((folder.to_vec(), write, state));
        Ok(state)
    }

    /// Opens a folder anew.
    fn reopen(&mut self, folder: &[u8]) -> Result<State> {
        self.open = None;
        self.open(folder, false)
    }

    /// Takes note of a message without Message-ID of the folder that is open: its place there, UID and size. Whether it was
    /// still there.
    fn note_nameless(
        &mut self,
        (at, uid, size): (u32, u32, u64),
        ids: &HashSet<u128>,
        sizes: &HashSet<u64>,
        found: &mut Present,
    ) -> Result<bool> {
        // Its header and the beginning of its body stand for the Message-ID; few headers are longer than what is read at first.
        let mut id = None;
        for limit in [FIRST, LONGEST_HEADER] {
            let what = format!("BODY.PEEK[]<0.{limit}>");
            let mut start = None;
            let fetched = self
                .session
                .fetch(&uid.to_string(), &what, &mut |response| {
                    // A server also tells of flags that somebody changed meanwhile.
                    if answer::find(&response.text, b"BODY[]").is_some() {
                        start = Some(response.literals.first().cloned().unwrap_or_default());
                    }
                });
            match fetched {
                Err(e) if e.kind() != Kind::Invalid => return Err(e),
                _ => {}
            }
            // Of a message that went meanwhile there is nothing.
            let Some(start) = start else {
                return Ok(false);
            };
            let is_all = start.len() < limit || limit == LONGEST_HEADER;
            if let Scan::Complete(headers) = scan(&start, is_all) {
                id = headers.message_id.filter(|id| ids.contains(id));
                break;
            }
        }
        if let Some(id) = id {
            let places = found.by_id.entry(id).or_default();
            places.push((at, size));
        } else if sizes.contains(&size) {
            let mut measure = Measure::new(Basis::Crlf);
            let read = self.session.read(uid, &mut |bytes| measure.feed(bytes))?;
            if read.is_none() {
                return Ok(false);
            }
            let digest = measure.finish().digest;
            found.by_digest.entry(digest).or_default().push(at);
        }
        Ok(true)
    }

    /// The folder of this name.
    fn folder_of(&self, wanted: &str) -> Option<&Listed> {
        let inbox = |name: &str| name.eq_ignore_ascii_case("INBOX");
        let same = |f: &&Listed| f.decoded == wanted || inbox(&f.decoded) && inbox(wanted);
        self.folders.iter().find(same)
    }

    /// The folders' names for people.
    fn names(&self) -> Vec<String> {
        self.folders.iter().map(|f| f.decoded.clone()).collect()
    }
}

impl Live for Mailbox {
    fn basis(&self) -> Basis {
        Basis::Crlf
    }

    fn identities(&mut self, _: &HashSet<String>) -> Result<Identities> {
        Ok(Identities {
            folders: self.names(),
            ..Identities::default()
        })
    }

    fn find(&mut self, ids: &HashSet<u128>, sizes: &HashSet<u64>) -> Result<Present> {
        let mut found = Present::default();
        let mut folders: Vec<Listed> = Vec::new();
        // The number from which on messages have not been seen, and how long such numbers are good.
        let mut seen: HashMap<usize, (u32, u32)> = HashMap::new();
        let mut patience = Patience::begin();
        // What is moved while this goes on comes to another folder under a new number. As long as there are such numbers
        // that were not seen, a message may have been missed.
        while patience.lasts() {
            let mut clear = true;
            for folder in self.session.folders()? {
                let at = folders.iter().position(|known| *known == folder);
                let at = at.unwrap_or_else(|| {
                    folders.push(folder.clone());
                    folders.len() - 1
                });
                let state = match self.reopen(&folder.name) {
                    Ok(state) => state,
                    Err(e) if e.kind() == Kind::Invalid => {
                        let cure = "what the mailbox has is not clear, so nothing is put into it";
                        let message = format!("{}: {e}: {cure}", folder.decoded);
                        return Err(Error::new(Kind::Failed, message));
                    }
                    Err(e) => return Err(e),
                };
                let known = seen.get(&at).filter(|known| known.1 == state.validity);
                let from = known.map_or(1, |known| known.0);
                clear &= known.is_some();
                let next = state.next.max(1);
                if state.messages == 0 || from >= next && state.next > 0 {
                    clear &= from >= next;
                    seen.insert(at, (next, state.validity));
                    continue;
                }
                let mut news: Vec<(u32, Option<u128>, u64)> = Vec::new();
                let fetched = self
                    .session
                    .fetch(&format!("{from}:*"), HEADERS, &mut |response| {
                        let uid = answer::after(&response.text, b"UID ").unwrap_or_default();
                        let size = answer::after(&response.text, b"RFC822.SIZE ");
                        let header = response.literals.first().map(Vec::as_slice);
                        let id = id_in(header.unwrap_or_default());
                        // `*` is the last message, also if that was seen; and of flags that somebody changed meanwhile a
                        // server tells unasked.
                        let asked = answer::find(&response.text, b"RFC822.SIZE").is_some();
                        if asked && uid >= from {
                            news.push((uid, id, u64::from(size.unwrap_or_default())));
                        }
                    });
                match fetched {
                    Ok(()) => {}
                    // Some of them went meanwhile.
                    Err(e) if e.kind() == Kind::Invalid => {
                        clear = false;
                        continue;
                    }
                    Err(e) => return Err(e),
                }
                let highest = news.iter().map(|(uid, ..)| uid.saturating_add(1)).max();
                let next = next.max(highest.unwrap_or(from));
                clear &= news.len() as u64 >= u64::from(next - from);
                for (uid, id, size) in news {
                    match id {
                        Some(id) if ids.contains(&id) => {
                            let places = found.by_id.entry(id).or_default();
                            places.push((at as u32, size));
                        }
                        Some(_) => {}
                        None => {
                            let place = (at as u32, uid, size);
                            clear &= self.note_nameless(place, ids, sizes, &mut found)?;
                        }
                    }
                }
                seen.insert(at, (next, state.validity));
            }
            if clear {
                break;
            }
        }
        found.folders = folders.iter().map(|f| f.decoded.clone()).collect();
        Ok(found)
    }

    fn new_name(&mut self) -> Option<String> {
        None
    }

    fn would_take(&mut self, target: &Target) -> Result<()> {
        if self.folder_of(&target.name()).is_some() {
            return Ok(());
        }
        let name = self.session.encode(&target.path)?;
        // No server tells before it tries; and many have one directory for all levels.
        let is_long = |level: &String| folder_name::encode(level).len() > LONGEST_LEVEL;
        if name.len() > LONGEST_NAME || target.path.iter().any(is_long) {
            return Err(too_long(target));
        }
        self.session.would_take(&name).map_err(|e| match e.kind() {
            Kind::Invalid => {
                let name = target.name();
                let message = format!("\"{name}\" {NO_NAME}: {e}: choose another name");
                Error::new(Kind::Config, message)
            }
            _ => e,
        })
    }

    fn prepare(&mut self, target: &Target) -> Result<bool> {
        if self.prepared.contains_key(target) {
            return Ok(false);
        }
        let wanted = target.name();
        let (name, made) = match self.folder_of(&wanted) {
            Some(folder) => (folder.name.clone(), false),
            None => {
                let name = self.session.encode(&target.path)?;
                self.session.make(&name)?;
                self.folders.push(Listed {
                    name: name.clone(),
                    decoded: wanted,
                });
                (name, true)
            }
        };
        self.prepared.insert(target.clone(), name);
        Ok(made)
    }

    fn put(
        &mut self,
        target: &Target,
        message: &NewMessage<'_>,
        content: &Content<'_>,
    ) -> Result<Place> {
        let missing = || Error::new(Kind::Failed, format!("{}: not prepared", target.name()));
        let folder = self.prepared.get(target).cloned().ok_or_else(missing)?;
        let mut measure = Measure::new(Basis::Crlf);
        content(&mut |bytes| {
            measure.feed(bytes);
            Ok(())
        })?;
        let measured = measure.finish();
        if measured.size != message.size {
            let message = format!("{} bytes were read of {}", measured.size, message.size);
            return Err(Error::new(Kind::Unreadable, message));
        }
        let (flags, lost) = flags(message.flags, message.keywords);
        let date = date(message.received.secs);
        let size = measured.crlf_size;
        let appended = self.session.append(&folder, &flags, &date, size, |take| {
            let (mut ends, mut out) = (Ends::default(), Vec::new());
            let sent = content(&mut |bytes| {
                out.clear();
                ends.convert(bytes, &mut out);
                take(&out)
            });
            // The server waits for the rest of it: it cannot be gone on from here.
            sent.map_err(|e| Error::new(Kind::Failed, e.to_string()))
        })?;
        self.keywords_lost += lost as u64;
        let mut flags: Vec<&str> = flags.split(' ').filter(|flag| !flag.is_empty()).collect();
        flags.sort_unstable();
        Ok(Place {
            folder: escape(&folder),
            file: None,
            uid: appended,
            digest: hex(&measured.digest),
            flags: flags.join(" "),
        })
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn put_as(&mut self, _: &Target, _: &str) -> Result<Option<Place>> {
        Ok(None)
    }

    fn remove(&mut self, place: &Place, really: bool) -> Result<Removal> {
        let Some((validity, uid)) = place.uid else {
            return Ok(Removal::Gone);
        };
        if really && !self.session.uidplus {
            let message =
                "the server cannot take away single messages (UIDPLUS): take them away by hand";
            return Err(Error::new(Kind::Failed, message));
        }
        let state = match self.open(&unescape(&place.folder), really) {
            Ok(state) => state,
            Err(e) if e.kind() == Kind::Invalid => return Ok(Removal::Gone),
            Err(e) => return Err(e),
        };
        if state.validity != validity {
            return Ok(Removal::Gone);
        }
        let mut measure = Measure::new(Basis::Crlf);
        let flags = self.session.read(uid, &mut |bytes| measure.feed(bytes))?;
        let Some(flags) = flags else {
            return Ok(Removal::Gone);
        };
        let digest = hex(&measure.finish().digest);
        if digest != place.digest || flags != place.flags.as_bytes() {
            return Ok(Removal::Changed);
        }
        if really {
            self.session.expunge(uid)?;
        }
        Ok(Removal::Removed)
    }

    fn losses(&self) -> Vec<String> {
        match self.keywords_lost {
            0 => Vec::new(),
            lost => vec![format!("{lost} keywords are none that IMAP can transfer")],
        }
    }
}

/// What stands for the Message-ID in a header.
fn id_in(header: &[u8]) -> Option<u128> {
    match scan(header, true) {
        Scan::Complete(headers) => headers.message_id,
        Scan::NeedMore => None,
    }
}

/// Flags and keywords as IMAP writes them, and how many keywords cannot be.
fn flags(flags: Flags, keywords: &[String]) -> (String, usize) {
    let known = [
        (flags.answered(), "\\Answered"),
        (flags.flagged(), "\\Flagged"),
        (flags.deleted(), "\\Deleted"),
        (flags.seen(), "\\Seen"),
        (flags.draft(), "\\Draft"),
        (flags.passed(), "$Forwarded"),
    ];
    let mut words: Vec<&str> = known
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, w)| *w)
        .collect();
    let atom = |k: &&String| {
        !k.is_empty()
            && k.bytes()
                .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
    };
    let good: Vec<&str> = keywords.iter().filter(atom).map(String::as_str).collect();
    let lost = keywords.len() - good.len();
    for keyword in good {
        if !words.iter().any(|word| word.eq_ignore_ascii_case(keyword)) {
            words.push(keyword);
        }
    }
    (words.join(" "), lost)
}

/// INTERNALDATE as IMAP writes it.
fn date(secs: i64) -> String {
    // IMAP has years of four digits.
    let secs = secs.clamp(-62_135_596_800, 253_402_300_799);
    let date = DateTime::from_timestamp(secs, 0).unwrap_or_default();
    date.format("%e-%b-%Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_dates() {
        let keywords = ["a", "$forwarded", "no no", ""].map(str::to_owned);
        let (words, lost) = flags(Flags::SEEN | Flags::PASSED, &keywords);
        assert_eq!((words.as_str(), lost), ("\\Seen $Forwarded a", 2));
        assert_eq!(date(1_000_000_000), " 9-Sep-2001 01:46:40 +0000");
        assert_eq!(date(i64::MIN).len(), 26);
    }
}
