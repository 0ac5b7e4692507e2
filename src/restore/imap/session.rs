//! One conversation with an IMAP server: commands, and what is needed of the answers.
//!
//! What a server sends is not believed to be well formed or short: lines and literals are bounded, and what is not
//! understood is left aside.
//!
//! Source of the protocol: RFC 3501, RFC 4315 (UIDPLUS), RFC 4616 (PLAIN).

use super::answer::{
    Response, after, find, flags, is_fetch, literal, namespaces, number, quoted, says, strings,
    tagged,
};
use super::transport::Transport;
use crate::error::{Error, Kind, Result};
use crate::restore::live::NO_NAME;
use crate::store::folder_name;
use base64ct::{Base64, Encoding as _};
use std::io::{Read, Write};

/// Longest line, and longest literal that is kept, in bytes; longer literals are read and left aside.
const LONGEST: usize = 1 << 20;

/// Takes a literal in pieces.
type Sink<'a> = dyn FnMut(&[u8]) + 'a;

/// A folder as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As the server calls it.
    pub name: Vec<u8>,
    /// Decoded, `/` between the levels.
    pub decoded: String,
}

/// What the server says of a folder that is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub messages: u32,
    pub validity: u32,
    pub next: u32,
}

pub struct Session {
    stream: Box<dyn Transport>,
    buffer: Vec<u8>,
    /// What was read ahead is from here to `end`.
    at: usize,
    end: usize,
    tags: u32,
    prefix: Vec<u8>,
    /// What the names of folders begin with that are not the user's own.
    foreign: Vec<Vec<u8>>,
    separator: Option<u8>,
    pub uidplus: bool,
}

/// Whether a server takes a password for a user's. Nothing else is said to it.
///
/// # Errors
/// [`Kind::Invalid`]: a name or a password that cannot be said. All others: the server could not be asked.
pub fn takes_password(stream: Box<dyn Transport>, user: &str, password: &str) -> Result<bool> {
    let mut session = Session::new(stream);
    let unsayable = |text: &str| text.is_empty() || text.contains(['\r', '\n', '\0']);
    if unsayable(user) || unsayable(password) {
        return Err(Error::new(Kind::Invalid, "no name or no password"));
    }
    let greeting = session.response(None)?;
    // One that asks for no password says nothing about this one.
    if !says(&greeting.text, b"* OK") {
        return Err(session.odd("greets", &greeting.text));
    }
    let tag = session.send(format!("LOGIN {{{}}}", user.len()))?;
    let rest = [
        format!("{user} {{{}}}\r\n", password.len()),
        format!("{password}\r\n"),
    ];
    let mut rest = rest.iter();
    loop {
        let response = session.response(None)?;
        if response.text.starts_with(b"+") {
            let Some(said) = rest.next() else {
                return Err(session.odd("asks for more than a name and a password", b""));
            };
            session.write(said.as_bytes())?;
            session.flush()?;
        } else if let Some(said) = tagged(&response.text, &tag) {
            // It may be unable to say, or not take passwords at all.
            let undecided = [&b"[UNAVAILABLE]"[..], b"[SERVERBUG]", b"[PRIVACYREQUIRED]"];
            return match said {
                _ if says(said, b"OK") => Ok(true),
                _ if undecided.iter().any(|code| find(said, code).is_some()) => {
                    Err(session.odd("cannot check passwords now", said))
                }
                _ if says(said, b"NO") => Ok(false),
                _ => Err(session.odd("does not understand LOGIN", said)),
            };
        }
    }
}

impl Session {
    fn new(stream: Box<dyn Transport>) -> Self {
        Self {
            stream,
            buffer: vec![0; 64 << 10],
            at: 0,
            end: 0,
            tags: 0,
            prefix: Vec::new(),
            foreign: Vec::new(),
            separator: None,
            uidplus: false,
        }
    }

    /// Begins a conversation. `login`: user, master user and password, unless the server knows who it is.
    pub fn begin(stream: Box<dyn Transport>, login: Option<(&str, &str, &str)>) -> Result<Self> {
        let mut session = Self::new(stream);
        let greeting = session.response(None)?;
        let known = says(&greeting.text, b"* PREAUTH");
        if !known && !says(&greeting.text, b"* OK") {
            return Err(session.odd("greets", &greeting.text));
        }
        match login {
            Some((user, master, password)) if !known => session.log_in(user, master, password)?,
            None if !known => return Err(session.odd("wants a password", &greeting.text)),
            _ => {}
        }
        session.uidplus = session.command("CAPABILITY", &mut |response| {
            find(&response.text, b" UIDPLUS").is_some()
        })?;
        session.look_around()?;
        Ok(session)
    }

    fn log_in(&mut self, user: &str, master: &str, password: &str) -> Result<()> {
        let said = Base64::encode_string(format!("{user}\0{master}\0{password}").as_bytes());
        let tag = self.send("AUTHENTICATE PLAIN")?;
        loop {
            let response = self.response(None)?;
            if response.text.starts_with(b"+") {
                self.write(said.as_bytes())?;
                self.write(b"\r\n")?;
                self.flush()?;
            } else if let Some(rest) = tagged(&response.text, &tag) {
                if says(rest, b"OK") {
                    return Ok(());
                }
                let cure = "see that master_user and password_file under [restore] are right";
                let text = String::from_utf8_lossy(rest).into_owned();
                let message =
                    format!("signing in as {user} by {master}: the server says {text}: {cure}");
                return Err(Error::new(Kind::Failed, message));
            }
        }
    }

    /// Learns how folders are named.
    fn look_around(&mut self) -> Result<()> {
        let (mut personal, mut foreign) = (None, Vec::new());
        let asked = self.command("NAMESPACE", &mut |response| {
            if let Some(rest) = response.text.strip_prefix(b"* NAMESPACE ") {
                let of_it = Response {
                    text: rest.to_vec(),
                    literals: response.literals.clone(),
                };
                if rest.starts_with(b"((") {
                    personal = Some(strings(&of_it, 2));
                }
                let [_, others, shared] = namespaces(&of_it);
                foreign = [others, shared].concat();
            }
            false
        });
        match asked {
            Ok(_) => {}
            // It need not know that.
            Err(e) if e.kind() == Kind::Invalid => {}
            Err(e) => return Err(e),
        }
        foreign.retain(|prefix| !prefix.is_empty());
        self.foreign = foreign;
        if let Some(found) = personal {
            let mut found = found.into_iter();
            self.prefix = found.next().unwrap_or_default();
            self.separator = found.next().and_then(|s| s.first().copied());
        }
        Ok(())
    }

    /// All folders of the user's own that can be opened.
    pub fn folders(&mut self) -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        let mut separator = self.separator;
        let foreign = self.foreign.clone();
        // Another user's folder, or everybody's: what is there is not in this mailbox.
        let is_foreign = |name: &[u8], separator: Option<u8>| {
            foreign.iter().any(|prefix| {
                let top = separator.and_then(|separator| prefix.strip_suffix(&[separator]));
                name.starts_with(prefix) || top == Some(name)
            })
        };
        self.command("LIST \"\" \"*\"", &mut |response| {
            let Some(rest) = response.text.strip_prefix(b"* LIST (") else {
                return false;
            };
            let end = rest.iter().position(|&b| b == b')').unwrap_or(rest.len());
            let flags = rest.get(..end).unwrap_or_default().to_ascii_lowercase();
            let has = |flag: &[u8]| flags.windows(flag.len()).any(|w| w == flag);
            let of_it = Response {
                text: rest.get(end + 1..).unwrap_or_default().to_vec(),
                literals: response.literals.clone(),
            };
            let parts = strings(&of_it, 2);
            if let [between, name] = parts.as_slice()
                && !has(b"\\noselect")
                && !has(b"\\nonexistent")
            {
                let between = between.first().copied();
                if is_foreign(name, between) {
                    return false;
                }
                separator = separator.or(between);
                found.push(name.clone());
            }
            false
        })?;
        self.separator = separator;
        Ok(found
            .into_iter()
            .map(|name| Listed {
                decoded: self.decode(&name),
                name,
            })
            .collect())
    }

    fn decode(&self, name: &[u8]) -> String {
        let own = name.strip_prefix(self.prefix.as_slice());
        let own = own.filter(|own| !own.is_empty()).unwrap_or(name);
        let levels: Vec<&[u8]> = match self.separator {
            Some(separator) => own.split(|&b| b == separator).collect(),
            None => vec![own],
        };
        let levels: Vec<String> = levels.into_iter().map(folder_name::decode).collect();
        levels.join("/")
    }

    /// What the server would call a folder with these levels.
    pub fn encode(&self, path: &[String]) -> Result<Vec<u8>> {
        if let [inbox] = path
            && inbox.eq_ignore_ascii_case("INBOX")
        {
            return Ok(b"INBOX".to_vec());
        }
        let separator = self.separator.unwrap_or(b'/');
        let odd = |level: &String| {
            let has_separator = level.as_bytes().contains(&separator);
            level.is_empty() || has_separator || level.contains(char::is_control)
        };
        if let Some(level) = path.iter().find(|level| odd(level)) {
            let message = format!(
                "\"{level}\" {NO_NAME} on this server: choose another name, without \"{}\"",
                char::from(separator)
            );
            return Err(Error::new(Kind::Config, message));
        }
        let levels: Vec<Vec<u8>> = path.iter().map(|l| folder_name::encode(l)).collect();
        Ok([self.prefix.as_slice(), &levels.join(&separator)].concat())
    }

    /// Whether the server takes this for the name of a folder, there or not, as far as it tells when asked about it.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if it does not, with what it says.
    pub fn would_take(&mut self, folder: &[u8]) -> Result<()> {
        let command = [&b"STATUS "[..], &quoted(folder), b" (UIDNEXT)"].concat();
        match self.command(command, &mut |_| false) {
            Err(e) if e.kind() == Kind::Invalid => {
                let said = e.to_string();
                // Otherwise it says that there is none.
                let refused = said.contains("[CANNOT]") || said.contains("nvalid mailbox name");
                if refused { Err(e) } else { Ok(()) }
            }
            other => other.map(drop),
        }
    }

    /// Opens a folder, to read only or to write.
    pub fn open(&mut self, folder: &[u8], write: bool) -> Result<State> {
        let mut state = State::default();
        let command = [
            if write { &b"SELECT "[..] } else { b"EXAMINE " },
            &quoted(folder),
        ]
        .concat();
        self.command(&command, &mut |response| {
            let text = &response.text;
            if let Some(n) = text
                .strip_prefix(b"* ")
                .filter(|_| text.ends_with(b" EXISTS"))
            {
                state.messages = number(n).unwrap_or_default();
            }
            state.validity = after(text, b"[UIDVALIDITY ").unwrap_or(state.validity);
            state.next = after(text, b"[UIDNEXT ").unwrap_or(state.next);
            false
        })?;
        Ok(state)
    }

    /// Makes a folder that mail programs show; it may be there already.
    pub fn make(&mut self, folder: &[u8]) -> Result<()> {
        let name = quoted(folder);
        for command in [&b"CREATE "[..], b"SUBSCRIBE "] {
            match self.command([command, &name].concat(), &mut |_| false) {
                Ok(_) => {}
                Err(e) if e.kind() == Kind::Invalid && command == b"SUBSCRIBE " => {
                    tracing::warn!("the new folder is not subscribed to: {e}");
                }
                Err(e) => return Err(e.context(String::from_utf8_lossy(folder))),
            }
        }
        Ok(())
    }

    /// Asks for something of messages of the folder that is open: each answer goes to `take`, also what the server tells
    /// unasked of messages whose flags somebody changed.
    pub fn fetch(&mut self, set: &str, what: &str, take: &mut dyn FnMut(&Response)) -> Result<()> {
        let command = format!("UID FETCH {set} ({what})");
        self.command(&command, &mut |response| {
            if is_fetch(&response.text) {
                take(response);
            }
            false
        })?;
        Ok(())
    }

    /// Gives a message's bytes to `take`; its flags.
    pub fn read(&mut self, uid: u32, take: &mut dyn FnMut(&[u8])) -> Result<Option<Vec<u8>>> {
        let tag = self.send(format!("UID FETCH {uid} (FLAGS BODY.PEEK[])"))?;
        let mut told = None;
        loop {
            let response = self.response(Some(&mut *take))?;
            let is_it = is_fetch(&response.text) && after(&response.text, b"UID ") == Some(uid);
            if is_it && find(&response.text, b"BODY[]").is_some() {
                told = told.or(flags(&response.text));
            } else if let Some(rest) = tagged(&response.text, &tag) {
                return self.outcome(rest).map(|()| told);
            }
        }
    }

    /// Appends a message of `size` bytes, which `content` writes; the numbers that it gets, where the server tells.
    pub fn append(
        &mut self,
        folder: &[u8],
        flags: &str,
        date: &str,
        size: u64,
        content: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Option<(u32, u32)>> {
        let mut command = b"APPEND ".to_vec();
        command.extend_from_slice(&quoted(folder));
        command.extend_from_slice(format!(" ({flags}) \"{date}\" {{{size}}}").as_bytes());
        let tag = self.send(command)?;
        loop {
            let response = self.response(None)?;
            if response.text.starts_with(b"+") {
                break;
            }
            if let Some(rest) = tagged(&response.text, &tag) {
                self.outcome(rest)?;
                return Err(self.odd("does not wait for the message", rest));
            }
        }
        let mut sent = 0;
        content(&mut |bytes| {
            sent += bytes.len() as u64;
            self.write(bytes)
        })?;
        if sent != size {
            let message = format!("{sent} bytes were read of {size}");
            return Err(Error::new(Kind::Failed, message));
        }
        self.write(b"\r\n")?;
        self.flush()?;
        loop {
            let response = self.response(None)?;
            let Some(rest) = tagged(&response.text, &tag) else {
                continue;
            };
            self.outcome(rest)?;
            let at = find(rest, b"[APPENDUID ").and_then(|at| rest.get(at..));
            let mut numbers = at.unwrap_or_default().split(|b| !b.is_ascii_digit());
            let mut next = || numbers.by_ref().find(|n| !n.is_empty()).and_then(number);
            return Ok(next().zip(next()));
        }
    }

    /// Takes a message of the open folder away.
    pub fn expunge(&mut self, uid: u32) -> Result<()> {
        self.command(
            format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"),
            &mut |_| false,
        )?;
        self.command(format!("UID EXPUNGE {uid}"), &mut |_| false)?;
        Ok(())
    }

    /// Sends a command and gives its answers to `see`; whether any of them was what `see` looks for.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if the server refuses it.
    fn command(
        &mut self,
        command: impl AsRef<[u8]>,
        see: &mut dyn FnMut(&Response) -> bool,
    ) -> Result<bool> {
        let tag = self.send(command)?;
        let mut seen = false;
        loop {
            let response = self.response(None)?;
            if let Some(rest) = tagged(&response.text, &tag) {
                self.outcome(rest)?;
                return Ok(seen);
            }
            seen |= see(&response);
        }
    }

    fn outcome(&self, rest: &[u8]) -> Result<()> {
        if says(rest, b"OK") {
            return Ok(());
        }
        let text = String::from_utf8_lossy(rest).into_owned();
        let full = text.contains("[OVERQUOTA]") || text.contains("[LIMIT]");
        let (kind, cure) = match full {
            true => (
                Kind::Failed,
                ": make room, and run this again; it goes on from here",
            ),
            false => (Kind::Invalid, ""),
        };
        Err(Error::new(kind, format!("the server says {text}{cure}")))
    }

    fn odd(&self, what: &str, text: &[u8]) -> Error {
        let text = String::from_utf8_lossy(text.get(..text.len().min(200)).unwrap_or_default())
            .into_owned();
        Error::new(Kind::Failed, format!("the IMAP server {what}: {text}"))
    }

    fn send(&mut self, command: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        self.tags += 1;
        let tag = format!("m{}", self.tags).into_bytes();
        self.write(&[tag.as_slice(), b" ", command.as_ref(), b"\r\n"].concat())?;
        self.flush()?;
        Ok(tag)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(|e| lost(&e))
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.flush().map_err(|e| lost(&e))
    }

    /// Reads one answer. Literals go to `sink` if there is one.
    fn response(&mut self, mut sink: Option<&mut Sink<'_>>) -> Result<Response> {
        let mut response = Response::default();
        loop {
            self.line(&mut response.text)?;
            let Some((start, size)) = literal(&response.text) else {
                return Ok(response);
            };
            response.text.truncate(start);
            // Where it was.
            response.text.push(0);
            let mut kept = Vec::new();
            let mut left = size;
            while left > 0 {
                self.fill()?;
                let have = self.ahead();
                let n = have.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let bytes = have.get(..n).unwrap_or_default();
                match &mut sink {
                    Some(sink) => sink(bytes),
                    None if kept.len() + n <= LONGEST => kept.extend_from_slice(bytes),
                    None => {}
                }
                self.at += n;
                left -= n as u64;
            }
            response.literals.push(kept);
        }
    }

    /// Reads to the end of a line, and adds it without that.
    fn line(&mut self, line: &mut Vec<u8>) -> Result<()> {
        loop {
            self.fill()?;
            let have = self.ahead();
            let end = memchr::memchr(b'\n', have);
            line.extend_from_slice(have.get(..end.unwrap_or(have.len())).unwrap_or_default());
            self.at += end.map_or(have.len(), |end| end + 1);
            if line.len() > LONGEST {
                return Err(self.odd("sends an endless line", line));
            }
            if end.is_some() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(());
            }
        }
    }

    /// Sees to it that there is something to be read.
    fn fill(&mut self) -> Result<()> {
        if self.at < self.end {
            return Ok(());
        }
        let n = self.stream.read(&mut self.buffer).map_err(|e| lost(&e))?;
        (self.at, self.end) = (0, n);
        if n == 0 {
            return Err(lost(&"it has hung up"));
        }
        Ok(())
    }

    /// What was read and not used yet.
    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.at..self.end).unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may be in the middle of a message, which must not be taken for whole: so nothing is awaited.
        let _ = self.stream.flush();
    }
}

fn lost(e: &dyn std::fmt::Display) -> Error {
    Error::new(
        Kind::Failed,
        format!("the connection to the IMAP server is lost: {e}"),
    )
}

#[cfg(test)]
mod tests;
