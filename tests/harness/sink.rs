//! A mail server that keeps every letter, and misbehaves when it is told to. With a certificate it offers STARTTLS or begins
//! with TLS, and lets nobody send who has not signed in.

use super::certificate::certificate;
use super::run;
use base64ct::Encoding;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
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
    security: Option<Security>,
    /// What was said before TLS, but for EHLO and STARTTLS.
    said_openly: Mutex<Vec<String>>,
}

/// How a server is reached safely.
pub struct Security {
    config: Arc<ServerConfig>,
    /// TLS from the first byte on; else with STARTTLS.
    at_once: bool,
    /// The certificate, which is its own authority.
    pub certificate: PathBuf,
}

/// Who may send: name and password, as AUTH PLAIN has them.
pub const USER: (&str, &str) = ("mailtm", "a word");

impl Security {
    /// Makes a certificate for `localhost` in this directory.
    pub fn new(dir: &Path, at_once: bool) -> Self {
        let (key, certificate) = certificate(dir, &[]);
        let chain = CertificateDer::pem_file_iter(&certificate).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self {
            config: Arc::new(config),
            at_once,
            certificate,
        }
    }
}

impl Sink {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Its certificate, if it has one.
    pub fn certificate(&self) -> Option<&Path> {
        let security = self.shared.security.as_ref();
        security.map(|security| security.certificate.as_path())
    }

    pub fn start_with(security: Option<Security>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            security,
            ..Shared::default()
        });
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

    /// What was said before TLS, but for EHLO and STARTTLS.
    pub fn said_openly(&self) -> Vec<String> {
        self.shared.said_openly.lock().unwrap().clone()
    }

    /// What has come so far.
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.letters.lock().unwrap().clone()
    }

    /// The first letter to somebody, which is not told of again.
    pub fn take_one(&self, to: &str) -> Option<Letter> {
        let mut letters = self.shared.letters.lock().unwrap();
        let at = letters.iter().position(|letter| letter.to == [to])?;
        Some(letters.remove(at))
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
        let _ = self.serve(stream, fault);
    }

    fn serve(&self, stream: TcpStream, fault: Option<Fault>) -> io::Result<()> {
        let Some(security) = &self.security else {
            return self.converse(&mut Lines::new(stream), true, fault);
        };
        let mut open = Lines::new(stream);
        if !security.at_once {
            open.say("220 sink ESMTP")?;
            loop {
                let line = open.line()?;
                match line.get(..4).unwrap_or_default() {
                    "EHLO" => open.say("250-sink\r\n250 STARTTLS")?,
                    "STAR" => break,
                    _ => {
                        self.said_openly.lock().unwrap().push(line);
                        open.say("530 5.7.0 STARTTLS first")?;
                    }
                }
            }
            open.say("220 go on")?;
        }
        let tls = ServerConnection::new(security.config.clone()).unwrap();
        let mut safe = Lines::new(StreamOwned::new(tls, open.stream));
        self.converse(&mut safe, security.at_once, fault)
    }

    fn converse<S: Read + Write>(
        &self,
        peer: &mut Lines<S>,
        greet: bool,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let mut letter = Letter {
            from: String::new(),
            to: Vec::new(),
            bytes: Vec::new(),
        };
        let (name, password) = USER;
        let token = format!("\0{name}\0{password}");
        let token = base64ct::Base64::encode_string(token.as_bytes());
        let mut is_known = self.security.is_none();
        if greet {
            peer.say("220 sink ESMTP")?;
        }
        loop {
            let line = peer.line()?;
            let address = || {
                let inner = line.split_once('<').and_then(|(_, r)| r.split_once('>'));
                inner.unwrap().0.to_owned()
            };
            let answer = match line.get(..4).unwrap_or_default() {
                "EHLO" if is_known => "250-sink\r\n250-SMTPUTF8\r\n250 8BITMIME",
                "EHLO" => "250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME",
                "AUTH" => {
                    is_known = line.trim_end() == format!("AUTH PLAIN {token}");
                    match is_known {
                        true => "235 2.7.0 welcome",
                        false => "535 5.7.8 no",
                    }
                }
                "MAIL" if !is_known => "530 5.7.0 sign in first",
                "MAIL" => {
                    letter.from = address();
                    "250 OK"
                }
                "RCPT" => {
                    letter.to.push(address());
                    "250 OK"
                }
                "DATA" => {
                    peer.say("354 go on")?;
                    letter.bytes = peer.body()?;
                    match fault {
                        Some(Fault::Later) => "451 4.3.0 try again later",
                        Some(Fault::Never) => "550 5.7.1 not that",
                        _ => {
                            self.letters.lock().unwrap().push(letter.clone());
                            if fault == Some(Fault::Silent) {
                                return Ok(());
                            }
                            "250 OK"
                        }
                    }
                }
                "QUIT" => return peer.say("221 bye"),
                _ => "250 OK",
            };
            peer.say(answer)?;
        }
    }
}

/// A peer who speaks in lines.
struct Lines<S> {
    stream: S,
    /// What was read and not used yet.
    ahead: VecDeque<u8>,
}

impl<S: Read + Write> Lines<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: VecDeque::new(),
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        // At once: the end of a line on its own would wait for the peer to acknowledge the rest.
        self.stream.write_all(format!("{text}\r\n").as_bytes())?;
        self.stream.flush()
    }

    /// The next line, its end included.
    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let Some(byte) = self.ahead.pop_front() else {
                let mut more = [0; 4096];
                let read = self.stream.read(&mut more)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.ahead.extend(&more[..read]);
                continue;
            };
            line.push(byte);
        }
        Ok(line)
    }

    fn line(&mut self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// What stands before the line with a dot alone.
    fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let line = self.bytes()?;
            if line == b".\r\n" {
                return Ok(bytes);
            }
            bytes.extend(line.strip_prefix(b".").unwrap_or(&line));
        }
    }
}
