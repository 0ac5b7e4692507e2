//! How the mount goes, over HTTP for Prometheus (`metrics.listen`).
//!
//! | name | what it counts |
//! | --- | --- |
//! | `mailtm_mount_dates`, `mailtm_mount_mailboxes` | dates that are shown, mailboxes of the newest |
//! | `mailtm_mount_unreadable_directories` | snapshot directories that do not answer, or cannot be read for another reason |
//! | `mailtm_mount_newest_snapshot_age_seconds`, `…_snapshot_interval_seconds`, `…_snapshot_late` | age of the newest snapshot, the usual interval, 1 if one is missing |
//! | `mailtm_mount_requests_total` | requests of the kernel's that were answered |
//! | `mailtm_mount_errors_total{error}` | of them, with an error: `unreadable`, `stale` (it has vanished), `timeout` (of the store) |
//! | `mailtm_mount_warm_backlog` | dates that are not learned yet, where the mount learns by itself |
//!
//! One thread, one connection at a time, and each has a few seconds: who is slow keeps other watchers waiting, and no reader of
//! mail. Nothing that is asked waits for a store or is read beyond its first kilobytes.

use crate::error::{Error, Kind as ErrorKind, Result};
use crate::fs::Fs;
use crate::fuse::Counts;
use crate::metrics::{CONTENT_TYPE, Kind, Text};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(3);

/// Bytes of a request that are read.
const LONGEST: usize = 8 << 10;

/// What is told of.
pub(super) struct Told {
    pub fs: Arc<Fs>,
    pub counts: Arc<Counts>,
    /// Whether the mount learns new snapshots by itself.
    pub warms: bool,
}

/// Answers until it is dropped.
pub(super) struct Metrics {
    at: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// The socket, which has to be there before the process is confined.
pub(super) fn bind(at: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(at).map_err(|e| {
        let cure = "set another listen under [metrics], or stop what listens there";
        let message = format!("metrics.listen: {at}: {e}: {cure}");
        Error::new(ErrorKind::Failed, message)
    })
}

impl Metrics {
    pub fn serve(socket: TcpListener, told: Told) -> io::Result<Self> {
        let at = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("mailtm-metrics".into());
        thread.spawn(move || {
            for stream in socket.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                match stream.and_then(|stream| answer(stream, &told)) {
                    Ok(()) => {}
                    Err(e) => {
                        tracing::debug!("metrics: {e}");
                        // Out of descriptors, perhaps.
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        })?;
        tracing::info!("metrics: http://{at}/metrics");
        Ok(Self { at, stop })
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // So that the thread sees it.
        let _ = TcpStream::connect_timeout(&self.at, Duration::from_millis(100));
    }
}

fn answer(mut stream: TcpStream, told: &Told) -> io::Result<()> {
    let end = Instant::now() + LIMIT;
    let request = request(&mut stream, end)?;
    let (status, body) = match request.split(|b| *b == b' ').take(2).collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics"] => ("200 OK", text(told)),
        [b"GET", _] => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("400 Bad Request", "GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// A request's header, or as much of it as is looked at.
fn request(stream: &mut TcpStream, end: Instant) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while request.len() < LONGEST && !request.windows(4).any(|w| w == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => break,
            n => request.extend_from_slice(buffer.get(..n).unwrap_or_default()),
        }
    }
    Ok(request)
}

fn text(told: &Told) -> String {
    let mut text = Text::new("mailtm_mount_");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    text.shown(&told.fs, now);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let help = "Requests of the kernel that were answered.";
    text.one(
        "requests_total",
        Kind::Counter,
        help,
        count(told.counts.requests()),
    );
    let errors = [
        ("error", "unreadable", count(told.counts.unreadable())),
        ("error", "stale", count(told.counts.stale())),
        ("error", "timeout", count(told.counts.expired())),
    ];
    let help = "Requests of the kernel that were answered with an error.";
    text.each("errors_total", Kind::Counter, help, &errors);
    if told.warms {
        let help = "Dates that are not learned yet.";
        let backlog = count(told.fs.not_warmed() as u64);
        text.one("warm_backlog", Kind::Gauge, help, backlog);
    }
    text.finish()
}
