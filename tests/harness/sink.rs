//! A mail server that keeps every letter, and misbehaves when it is told to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong with one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The letter is refused for now (451).
    Later,
    /// The letter is refused for good (550).
    Never,
    /// The letter is taken, and the connection ends before that is said.
    Silent,
    /// Nothing is said at all.
    Hanging,
}

/// A letter as it came.
#[derive(Clone, Debug)]
pub struct Letter {
    pub from: String,
    pub to: Vec<String>,
    pub bytes: Vec<u8>,
}

impl Letter {
    pub fn parsed(&self) -> mail_parser::Message<'_> {
        mail_parser::MessageParser::default()
            .parse(&self.bytes)
            .unwrap()
    }

    pub fn id(&self) -> String {
        self.parsed().message_id().unwrap().to_owned()
    }

    pub fn subject(&self) -> String {
        self.parsed().subject().unwrap().to_owned()
    }

    pub fn text(&self) -> String {
        let text = self.parsed().body_text(0).unwrap().into_owned();
        text.replace("\r\n", "\n")
    }
}

/// The server; it ends when this is dropped.
pub struct Sink {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    letters: Mutex<Vec<Letter>>,
    /// Of the next connections.
    faults: Mutex<VecDeque<Fault>>,
    stop: AtomicBool,
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.talk(stream.unwrap()));
            }
        });
        Self { port, shared }
    }

    /// What goes wrong with the next connections, one after the other.
    pub fn fail(&self, faults: &[Fault]) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// Whether all that was to go wrong has.
    pub fn has_failed(&self) -> bool {
        self.shared.faults.lock().unwrap().is_empty()
    }

    /// What has come so far.
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.letters.lock().unwrap().clone()
    }

    /// What has come since this was asked last.
    pub fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.shared.letters.lock().unwrap())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn talk(&self, stream: TcpStream) {
        let fault = self.faults.lock().unwrap().pop_front();
        while fault == Some(Fault::Hanging) {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // Who was killed says nothing any more.
        let _ = self.converse(&mut BufReader::new(&stream), &mut &stream, fault);
    }

    fn converse(
        &self,
        input: &mut impl BufRead,
        output: &mut dyn Write,
        fault: Option<Fault>,
    ) -> std::io::Result<()> {
        let mut letter = Letter {
            from: String::new(),
            to: Vec::new(),
            bytes: Vec::new(),
        };
        output.write_all(b"220 sink ESMTP\r\n")?;
        loop {
            let mut line = String::new();
            if input.by_ref().take(1000).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let upper = line.to_ascii_uppercase();
            let address = || {
                let inner = line
                    .split_once('<')
                    .and_then(|(_, rest)| rest.split_once('>'));
                inner.unwrap().0.to_owned()
            };
            let answer = match upper.get(..4).unwrap_or_default() {
                "EHLO" => "250-sink\r\n250-SMTPUTF8\r\n250 8BITMIME",
                "MAIL" => {
                    letter.from = address();
                    "250 OK"
                }
                "RCPT" => {
                    letter.to.push(address());
                    "250 OK"
                }
                "DATA" => {
                    output.write_all(b"354 go on\r\n")?;
                    letter.bytes = body(input)?;
                    match fault {
                        Some(Fault::Later) => "451 4.3.0 try again later",
                        Some(Fault::Never) => "550 5.7.1 not that",
                        Some(Fault::Silent) => {
                            self.letters.lock().unwrap().push(letter);
                            return Ok(());
                        }
                        _ => {
                            self.letters.lock().unwrap().push(letter.clone());
                            "250 OK"
                        }
                    }
                }
                "QUIT" => {
                    return output.write_all(b"221 bye\r\n");
                }
                _ => "250 OK",
            };
            output.write_all(answer.as_bytes())?;
            output.write_all(b"\r\n")?;
        }
    }
}

/// What stands before the line with a dot alone.
fn body(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(bytes);
        }
        bytes.extend(line.strip_prefix(b".").unwrap_or(&line));
    }
}
