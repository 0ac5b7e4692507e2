//! What is said besides results: to standard error; and to syslog once nobody reads that any more, as happens to a
//! daemon whose starter has gone.

use super::Global;
use crate::error::Error;
use clap::{ColorChoice, ValueEnum};
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::prelude::*;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line for people
    #[default]
    Text,
    /// An object on each line
    Json,
}

/// Starts logging. Our own messages are shown as asked for; those of libraries from warnings upward, unless very
/// much is asked for. Panics are told there too.
pub(super) fn start(global: &Global) {
    let wanted = i16::from(global.verbose) - i16::from(global.quiet);
    let level = match wanted {
        ..=-2 => LevelFilter::ERROR,
        -1 => LevelFilter::WARN,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let libraries = match wanted {
        3.. => LevelFilter::DEBUG,
        _ => level.min(LevelFilter::WARN),
    };
    let replies = match wanted {
        2.. => libraries,
        _ => LevelFilter::OFF,
    };
    let filter = Targets::new()
        .with_target("mailtm", level)
        // What the policy wants logged is logged, however quiet the rest.
        .with_target("audit", LevelFilter::INFO)
        .with_target(crate::fuse::REPLY_LOG, replies)
        .with_default(libraries);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(Output);
    let started = match global.log {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => {
            let layer = layer
                .compact()
                .with_target(false)
                .with_ansi(colours(global.color));
            // The journal stamps its lines itself.
            if std::env::var_os("JOURNAL_STREAM").is_some() {
                registry.with(layer.without_time()).try_init()
            } else {
                registry.with(layer).try_init()
            }
        }
    };
    // Fails only where logging runs already.
    drop(started);
    crate::fault::told();
}

fn colours(wanted: ColorChoice) -> bool {
    match wanted {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            !no_color && io::stderr().is_terminal()
        }
    }
}

/// Says why a command failed.
pub(super) fn report(format: Format, e: &Error) {
    match format {
        Format::Json => error!("{e}"),
        Format::Text => {
            for line in e.to_string().lines() {
                let _ = writeln!(io::stderr(), "mailtm: {line}");
            }
        }
    }
}

/// Standard error, or syslog after it.
struct Output;

struct Line {
    severity: u8,
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { severity: 6 }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        let severity = match *metadata.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        Line { severity }
    }
}

/// Whether standard error has been found closed.
static GONE: AtomicBool = AtomicBool::new(false);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !GONE.load(Ordering::Relaxed) {
            match io::stderr().write_all(line) {
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                    GONE.store(true, Ordering::Relaxed)
                }
                other => return other.map(|()| line.len()),
            }
        }
        to_syslog(self.severity, line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One message of the facility `daemon`. Does not wait: a syslog that hangs must not hang the mount.
fn to_syslog(severity: u8, line: &[u8]) -> io::Result<()> {
    const DAEMON: u8 = 3;
    let mut message = format!(
        "<{}>mailtm[{}]: ",
        DAEMON * 8 + severity,
        std::process::id()
    )
    .into_bytes();
    message.extend(line.trim_ascii_end());
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(&message, "/dev/log").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Set in the process whose log is looked at: the form of it.
    const INSIDE: &str = "MAILTM_TEST_LOG_FORM";

    /// Logging is of the whole process, so this runs once more in one of its own.
    #[test]
    fn a_panic_is_a_line_of_the_log_in_its_form() {
        if let Ok(form) = std::env::var(INSIDE) {
            let log = Format::from_str(&form, false).unwrap();
            start(&Global {
                verbose: 0,
                quiet: 0,
                log,
                color: ColorChoice::Never,
            });
            let thread = std::thread::Builder::new().name("reader".into());
            let thread = thread.spawn(|| panic!("no such row"));
            assert!(thread.unwrap().join().is_err());
            return;
        }
        for form in ["text", "json"] {
            let inside = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", std::thread::current().name().unwrap()])
                .args(["--nocapture", "--test-threads=1"])
                .env(INSIDE, form)
                .env("RUST_BACKTRACE", "1")
                .output()
                .unwrap();
            assert!(inside.status.success(), "{inside:?}");
            let said = String::from_utf8(inside.stderr).unwrap();
            let [line] = said.lines().collect::<Vec<_>>()[..] else {
                panic!("{said}");
            };
            let place = concat!("panicked at ", file!(), ":");
            for words in ["ERROR", place, "(thread reader: no such row)", "reported"] {
                assert!(line.contains(words), "{line}");
            }
            let object = serde_json::from_str::<serde_json::Value>(line);
            assert_eq!(object.is_ok(), form == "json", "{line}");
        }
    }
}
