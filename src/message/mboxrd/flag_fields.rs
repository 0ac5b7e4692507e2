//! Which lines of a message's header are left out of an mbox entry whose flag lines stand in for them.
//!
//! Left out are the fields `Status` and `X-Status`, in any case, also with blanks before the colon, with their
//! continuation lines. Only a line's first bytes decide, so no line is held.

/// Blanks that may stand between a field's name and its colon: a line is no longer than that (RFC 5322).
const MOST_BLANKS: usize = 998;

/// The most bytes of a line that are held until it is known what becomes of it.
pub const LONGEST_UNDECIDED: usize = "X-Status".len() + MOST_BLANKS;

/// Which lines of a header are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    /// First bytes of an undecided line, from chunks before.
    pub held: Vec<u8>,
    pub line: Line,
    /// The last field was dropped, and so are its continuation lines.
    dropping: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Line {
    #[default]
    Undecided,
    Kept,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop,
    /// The empty line after the header.
    End,
    /// More of the line is needed.
    More,
}

impl Header {
    /// What becomes of the line that goes on with `chunk`.
    pub fn decide(&mut self, chunk: &[u8]) -> Verdict {
        let verdict = if self.held.is_empty() {
            verdict(chunk, self.dropping)
        } else {
            let rest = (LONGEST_UNDECIDED + 1).saturating_sub(self.held.len());
            let mut line = self.held.clone();
            line.extend_from_slice(&chunk[..rest.min(chunk.len())]);
            verdict(&line, self.dropping)
        };
        match verdict {
            Verdict::Keep => self.dropping = false,
            Verdict::Drop => self.dropping = true,
            Verdict::End | Verdict::More => {}
        }
        verdict
    }
}

/// What becomes of a header line that starts with these bytes, after a field that was dropped or kept.
fn verdict(line: &[u8], dropping: bool) -> Verdict {
    match line {
        [b'\n', ..] | [b'\r', b'\n', ..] => return Verdict::End,
        [] | [b'\r'] => return Verdict::More,
        [b' ' | b'\t', ..] if dropping => return Verdict::Drop,
        _ => {}
    }
    for name in ["Status", "X-Status"] {
        let same = line
            .iter()
            .zip(name.bytes())
            .take_while(|(a, b)| a.eq_ignore_ascii_case(b))
            .count();
        if same < name.len() {
            if same == line.len() {
                return Verdict::More;
            }
            continue;
        }
        let rest = &line[same..];
        let blanks = rest
            .iter()
            .take(MOST_BLANKS + 1)
            .take_while(|&&b| b == b' ' || b == b'\t')
            .count();
        return match rest.get(blanks) {
            _ if blanks > MOST_BLANKS => Verdict::Keep,
            Some(b':') => Verdict::Drop,
            Some(_) => Verdict::Keep,
            None => Verdict::More,
        };
    }
    Verdict::Keep
}
