//! How an IMAP server is reached: over TLS, or as Dovecot's own program on this host.
//!
//! Nothing is said in the clear to another host: on `imap://` the conversation goes over to TLS (STARTTLS) before anything else
//! is said, and what the server said until then is not believed.

use super::answer::says;
use crate::error::{Error, Kind, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const CONNECTING: Duration = Duration::from_secs(30);

/// A server says nothing for so long only if it hangs.
pub const SILENCE: Duration = Duration::from_secs(300);

/// Longest line that a server may say before TLS begins.
const LONGEST_LINE: usize = 8 << 10;

/// Where an IMAP server is, and how TLS begins there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub security: Security,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// At once: `imaps://`.
    Tls,
    /// By STARTTLS, except on the loopback, where there is none: `imap://`.
    StartTls,
}

impl Address {
    /// Reads `imaps://host`, `imap://host`, each with `:port` if it is not 993 or 143.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let message =
                format!("\"{text}\" is no address of a server: write \"imaps://mail.example.com\"");
            Error::new(Kind::Config, message)
        };
        let (rest, security, usual) = match text.strip_prefix("imaps://") {
            Some(rest) => (rest, Security::Tls, 993),
            None => {
                let rest = text.strip_prefix("imap://").ok_or_else(wrong)?;
                (rest, Security::StartTls, 143)
            }
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (rest, usual),
        };
        if port == 0 {
            return Err(wrong());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            security,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What reads and writes; both ends close when it is dropped.
pub trait Transport: Read + Write {}

impl Transport for StreamOwned<ClientConnection, TcpStream> {}
impl Transport for TcpStream {}
impl Transport for Program {}
impl<T: Transport> Transport for Greeted<T> {}

/// Connects to a server, whose certificate must be good for its name. `authorities`: a file of certificates, in PEM, that are
/// believed instead of the system's. A server that says nothing for `silence` is given up.
pub fn connect(
    address: &Address,
    authorities: Option<&Path>,
    silence: Duration,
) -> Result<Box<dyn Transport>> {
    let failed = |e: &dyn fmt::Display| {
        let cure = "see that the address of the IMAP server is right, and that it answers";
        Error::new(Kind::Failed, format!("{address}: {e}: {cure}"))
    };
    let mut socket = dial(address, silence).map_err(|e| failed(&e))?;
    let starts = address.security == Security::StartTls;
    if starts && socket.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
        return Ok(Box::new(socket));
    }
    let roots = roots(authorities)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(address.host.clone()).map_err(|e| failed(&e))?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(|e| failed(&e))?;
    if !starts {
        return Ok(Box::new(StreamOwned::new(client, socket)));
    }
    start_tls(&mut socket).map_err(|e| failed(&e))?;
    Ok(Box::new(Greeted {
        greeting: Cursor::new(b"* OK\r\n"),
        then: StreamOwned::new(client, socket),
    }))
}

fn dial(address: &Address, silence: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECTING.min(silence)) {
            Ok(socket) => {
                socket.set_read_timeout(Some(silence))?;
                socket.set_write_timeout(Some(silence))?;
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Has the server begin TLS. Nothing is read ahead, so nothing that came before TLS is taken for what comes after.
fn start_tls(socket: &mut (impl Read + Write)) -> io::Result<()> {
    let odd = |line: &[u8]| {
        let line = String::from_utf8_lossy(line.get(..100).unwrap_or(line)).into_owned();
        io::Error::other(format!("it does not begin TLS, and says: {line}"))
    };
    let greeting = line(socket)?;
    if !says(greeting.trim_ascii_end(), b"* OK") {
        return Err(odd(&greeting));
    }
    socket.write_all(b"t STARTTLS\r\n")?;
    for _ in 0..10 {
        let said = line(socket)?;
        if says(said.trim_ascii_end(), b"t OK") {
            return Ok(());
        }
        if !said.starts_with(b"* ") {
            return Err(odd(&said));
        }
    }
    Err(odd(b""))
}

/// A line, read byte by byte.
fn line(socket: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < LONGEST_LINE {
        socket.read_exact(&mut byte)?;
        let [b] = byte;
        if b == b'\n' {
            return Ok(line);
        }
        line.push(b);
    }
    Err(io::Error::other("it says an endless line"))
}

/// A conversation whose greeting has been read already: it is read once more.
struct Greeted<T> {
    greeting: Cursor<&'static [u8]>,
    then: T,
}

impl<T: Read> Read for Greeted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.greeting.read(buffer)? {
            0 => self.then.read(buffer),
            n => Ok(n),
        }
    }
}

impl<T: Write> Write for Greeted<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.then.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.then.flush()
    }
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return Ok(roots);
    };
    let wrong = |e: &dyn std::fmt::Display| {
        let cure = "name a file of certificates, or leave it out to believe the system's";
        let message = format!("{}: no certificates in PEM: {e}: {cure}", path.display());
        Error::new(Kind::Config, message)
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))?;
    for certificate in found {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    match roots.is_empty() {
        true => Err(wrong(&"it has none")),
        false => Ok(roots),
    }
}

/// Whether a file has certificates that can be believed.
///
/// # Errors
/// [`Kind::Config`] if it has none, or cannot be read.
pub fn check_authorities(path: &Path) -> Result<()> {
    roots(Some(path)).map(|_| ())
}

/// Dovecot's `imap` program, which knows its user already.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

/// Starts it for a user of this host's Dovecot.
pub fn start(user: &str) -> Result<Box<dyn Transport>> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::new(
            Kind::Failed,
            format!("running doveadm: {e}: install Dovecot's tools, or set imap under [restore]"),
        )
    };
    let mut child = Command::new("doveadm")
        .args(["exec", "imap", "-u", user])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let output = output.ok_or_else(|| failed(&"no output"))?;
    Ok(Box::new(Program {
        child,
        input,
        output,
    }))
}

/// Whether Dovecot's tools are on this host.
pub fn has_doveadm() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.push("/usr/bin".into());
    directories.iter().any(|dir| dir.join("doveadm").is_file())
}

impl Read for Program {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

impl Write for Program {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.input {
            Some(input) => input.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), ChildStdin::flush)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        self.input = None;
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let at = |text: &str| Address::parse(text).map(|a| (a.host, a.port)).ok();
        assert_eq!(
            at("imaps://mail.example.com"),
            Some(("mail.example.com".into(), 993))
        );
        assert_eq!(
            at("imaps://mail.example.com:1993/"),
            Some(("mail.example.com".into(), 1993))
        );
        assert_eq!(at("imaps://[::1]"), Some(("::1".into(), 993)));
        assert_eq!(at("imap://localhost"), Some(("localhost".into(), 143)));
        for wrong in [
            "mail.example.com",
            "imap://",
            "pop3://x",
            "imaps://",
            "imaps://x:y",
            "imaps://u@x",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    struct Said(Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Said {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn tls_begins_with_the_first_byte_after_the_answer() {
        let mut said = Said(
            Cursor::new(b"* OK hello\r\n* CAPABILITY X\r\nt OK go\r\nTLS".to_vec()),
            vec![],
        );
        start_tls(&mut said).unwrap();
        assert_eq!(said.1, b"t STARTTLS\r\n");
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "TLS");
        let bare = b"* OK\r\nt OK\r\n".to_vec();
        assert!(start_tls(&mut Said(Cursor::new(bare), vec![])).is_ok());
        for odd in [
            "",
            "* PREAUTH hello\r\n",
            "* OK\r\nt NO\r\n",
            "* OK\r\nt BAD\r\n",
            "* OK\r\nt OKAY\r\n",
            "* OKAY\r\nt OK\r\n",
        ] {
            let mut said = Said(Cursor::new(odd.as_bytes().to_vec()), vec![]);
            assert!(start_tls(&mut said).is_err(), "{odd}");
        }
        let endless = vec![b'x'; 2 * LONGEST_LINE];
        assert!(start_tls(&mut Said(Cursor::new(endless), vec![])).is_err());
    }
}
