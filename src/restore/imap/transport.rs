//! How an IMAP server is reached: over TLS, or as Dovecot's own program on this host.

use crate::error::{Error, Kind, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const CONNECTING: Duration = Duration::from_secs(30);

/// A server says nothing for so long only if it hangs.
const SILENCE: Duration = Duration::from_secs(300);

/// Where an IMAP server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `imaps://host` or `imaps://host:port`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let message =
                format!("\"{text}\" is no address of a server: write \"imaps://mail.example.com\"");
            Error::new(Kind::Config, message)
        };
        let rest = text.strip_prefix("imaps://").ok_or_else(wrong)?;
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (rest, 993),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// What reads and writes; both ends close when it is dropped.
pub trait Transport: Read + Write {}

impl Transport for StreamOwned<ClientConnection, TcpStream> {}
impl Transport for Program {}

/// Connects to a server, whose certificate must be good for its name. `authorities`: a file of certificates, in PEM, that are
/// believed instead of the system's.
pub fn connect(address: &Address, authorities: Option<&Path>) -> Result<Box<dyn Transport>> {
    let at = format!("{}:{}", address.host, address.port);
    let failed = |e: &dyn std::fmt::Display| {
        let message =
            format!("{at}: {e}: see that the IMAP server under [restore] is right, and answers");
        Error::new(Kind::Failed, message)
    };
    let roots = roots(authorities)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(address.host.clone()).map_err(|e| failed(&e))?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(|e| failed(&e))?;
    let addresses = (address.host.as_str(), address.port).to_socket_addrs();
    let mut last = None;
    for address in addresses.map_err(|e| failed(&e))? {
        match TcpStream::connect_timeout(&address, CONNECTING) {
            Ok(socket) => {
                let set = socket
                    .set_read_timeout(Some(SILENCE))
                    .and_then(|()| socket.set_write_timeout(Some(SILENCE)))
                    .and_then(|()| socket.set_nodelay(true));
                set.map_err(|e| failed(&e))?;
                return Ok(Box::new(StreamOwned::new(client, socket)));
            }
            Err(e) => last = Some(e),
        }
    }
    Err(match last {
        Some(e) => failed(&e),
        None => failed(&"the name has no address"),
    })
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return Ok(roots);
    };
    let wrong = |e: &dyn std::fmt::Display| {
        let message = format!("{}: no certificates in PEM: {e}", path.display());
        Error::new(Kind::Config, message)
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))?;
    for certificate in found {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    Ok(roots)
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
        for wrong in [
            "mail.example.com",
            "imap://x",
            "imaps://",
            "imaps://x:y",
            "imaps://u@x",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
