//! The lines of an mbox entry's body: From_ lines quoted, CRLF as LF, the last line ended.

use super::Sink;
use memchr::{memchr, memmem};
use std::sync::LazyLock;

const FROM: &[u8] = b"From ";

static FIND_FROM: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(FROM));

/// Quotes From_ lines, makes CRLF LF, and ends the last line.
///
/// The `>` added to a line may stand anywhere among those it has, so they are passed on as they come: all that is
/// ever held is a CR or a part of `From `.
#[derive(Clone, Debug)]
pub(super) struct Quoter {
    /// The line so far is only `>`s and this many bytes of `From `, which are held. None: it is no From_ line.
    from: Option<usize>,
    /// A CR is held.
    cr: bool,
    /// The last line put is not ended.
    unended: bool,
    /// Something other than a final newline has been changed.
    pub changed: bool,
}

impl Default for Quoter {
    fn default() -> Self {
        Self {
            from: Some(0),
            cr: false,
            unended: false,
            changed: false,
        }
    }
}

impl Quoter {
    pub fn feed(&mut self, chunk: &[u8], out: &mut impl Sink) {
        let chunk = self.resume(chunk, out);
        if chunk.is_empty() {
            return;
        }
        let at_start = self.from.is_some();
        let mut done = 0;
        let mut cr = memchr(b'\r', chunk);
        let mut from = FIND_FROM.find(chunk);
        loop {
            match (cr, from) {
                (Some(at), from) if from.is_none_or(|from| at < from) => {
                    let next = at + 1;
                    match chunk.get(next) {
                        Some(b'\n') => {
                            self.put(&chunk[done..at], out);
                            self.changed = true;
                            done = next;
                        }
                        Some(_) => {}
                        None => {
                            self.put(&chunk[done..at], out);
                            self.cr = true;
                            self.from = None;
                            return;
                        }
                    }
                    cr = memchr(b'\r', &chunk[next..]).map(|n| next + n);
                }
                (_, Some(at)) => {
                    if only_quotes(&chunk[..at], at_start) {
                        self.put(&chunk[done..at], out);
                        self.put(b">", out);
                        self.changed = true;
                        done = at;
                    }
                    let next = at + FROM.len();
                    from = FIND_FROM.find(&chunk[next..]).map(|n| next + n);
                }
                _ => break,
            }
        }
        let part = (1..FROM.len())
            .find(|&n| chunk.ends_with(&FROM[..n]))
            .unwrap_or(0);
        let sure = chunk.len() - part;
        if only_quotes(&chunk[..sure], at_start) {
            self.from = Some(part);
            self.put(&chunk[done..sure], out);
        } else {
            self.from = None;
            self.put(&chunk[done..], out);
        }
    }

    /// Settles what the last chunk left undecided; what is returned is still to be rendered.
    fn resume<'a>(&mut self, chunk: &'a [u8], out: &mut impl Sink) -> &'a [u8] {
        let Some(&first) = chunk.first() else {
            return chunk;
        };
        if std::mem::take(&mut self.cr) {
            if first == b'\n' {
                self.changed = true;
            } else {
                self.put(b"\r", out);
            }
        }
        let Some(held @ 1..) = self.from else {
            return chunk;
        };
        let rest = &FROM[held..];
        let same = rest.iter().zip(chunk).take_while(|(a, b)| a == b).count();
        if same == rest.len() {
            self.from = None;
            self.changed = true;
            self.put(b">", out);
            self.put(FROM, out);
            &chunk[same..]
        } else if same == chunk.len() {
            self.from = Some(held + same);
            &[]
        } else {
            self.from = None;
            self.put(&FROM[..held], out);
            chunk
        }
    }

    pub fn finish(&mut self, out: &mut impl Sink) {
        if std::mem::take(&mut self.cr) {
            self.put(b"\r", out);
        }
        if let Some(held) = self.from.take() {
            self.put(&FROM[..held], out);
        }
        if self.unended {
            self.put(b"\n", out);
        }
    }

    fn put(&mut self, bytes: &[u8], out: &mut impl Sink) {
        if let Some(&last) = bytes.last() {
            self.unended = last != b'\n';
            out.put(bytes);
        }
    }
}

/// The line that these bytes end in is empty so far or only `>`s; `at_start` says the same of the line before them.
fn only_quotes(bytes: &[u8], at_start: bool) -> bool {
    match bytes.iter().rposition(|&b| b != b'>') {
        Some(last) => bytes[last] == b'\n',
        None => at_start,
    }
}
