//! Faults: panics, mailtm's own and those of libraries, as one line each in the log.
//!
//! Whoever watches a mount watches its log, and what a panic writes by itself is not in it: it goes to standard error as it
//! is, whatever the form of the log. And parsers that others have written are given what strangers have written: one that
//! panics must cost no more than the message that it was given, and be no way to fill the log.
//!
//! Invariants:
//! 1. A panic is one line: where it was, and what is said of it in the source; never what it was working on, which may be mail.
//! 2. A panic in what is [`contained`] is told to those alone who want to hear much.
//!
//! [`told`] is for the start of the program, [`contained`] for those who call such a parser.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

thread_local! {
    /// What a parser works on that this thread runs, if it does.
    static CONTAINED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// From now on panics are told in the log, those of all threads.
pub fn told() {
    set_hook(Box::new(tell));
}

/// What a parser of somebody else's makes of somebody else's bytes; `None` if it panics. `what` is said of it in the log.
///
/// What `parse` changes outside of itself is as the panic has left it.
pub fn contained<T>(what: &'static str, parse: impl FnOnce() -> T) -> Option<T> {
    let outer = CONTAINED.replace(Some(what));
    let parsed = catch_unwind(AssertUnwindSafe(parse));
    CONTAINED.set(outer);
    parsed.ok()
}

fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, |at| {
        format!(" at {}:{}:{}", at.file(), at.line(), at.column())
    });
    // A thread that ends has no such value any more.
    match CONTAINED.try_with(Cell::get).ok().flatten() {
        Some(what) => tracing::debug!("{what} cannot be parsed: its parser failed{place}"),
        None => {
            let words = words(panic);
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed").to_owned();
            tracing::error!(
                "panicked{place} (thread {thread}{words}): a fault in mailtm itself, to be reported with this line"
            );
        }
    }
}

/// What the source says of the panic, with a colon before it; nothing if it was put together at run time, perhaps of mail.
fn words(panic: &PanicHookInfo<'_>) -> String {
    let fixed = panic.payload().downcast_ref::<&'static str>();
    fixed.map_or_else(String::new, |text| {
        let line: Vec<&str> = text.split_whitespace().collect();
        format!(": {}", line.join(" "))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::panic::take_hook;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs, and takes down what this thread logs meanwhile, from a level on.
    pub(crate) fn with_log<T>(level: tracing::Level, run: impl FnOnce() -> T) -> (T, String) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(level)
            .with_ansi(false)
            .finish();
        let value = tracing::subscriber::with_default(subscriber, run);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (value, text)
    }

    /// The lines of it.
    fn logged(level: tracing::Level, run: impl FnOnce()) -> Vec<String> {
        let ((), text) = with_log(level, run);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_panic_is_a_line_without_what_it_was_working_on() {
        let before = take_hook();
        told();
        let secret = String::from("Dear Bob,\nthe code is ünknown");
        let words = logged(tracing::Level::DEBUG, || {
            let _ = catch_unwind(|| panic!("the table has\n  no such row"));
        });
        let slice = logged(tracing::Level::DEBUG, || {
            let cut = AssertUnwindSafe(|| secret[..secret.find('ü').unwrap() + 1].len());
            let _ = catch_unwind(cut);
        });
        let parse = || contained("an address", || panic!("no end of {secret}"));
        let quiet = logged(tracing::Level::INFO, || assert_eq!(parse(), None::<()>));
        let parsed = logged(tracing::Level::DEBUG, || assert_eq!(parse(), None::<()>));
        let later = logged(tracing::Level::INFO, || {
            assert_eq!(contained("an address", || 7), Some(7));
            let _ = catch_unwind(|| panic!("after it"));
        });
        std::panic::set_hook(before);

        let only = |lines: &[String]| match lines {
            [line] => line.clone(),
            _ => panic!("{lines:?}"),
        };
        let line = only(&words);
        assert!(line.contains("ERROR"), "{line}");
        assert!(line.contains("panicked at src/fault.rs:"), "{line}");
        assert!(line.contains(": the table has no such row)"), "{line}");
        let line = only(&slice);
        assert!(line.contains("panicked at src/fault.rs:"), "{line}");
        assert!(!line.contains("code") && !line.contains("Bob"), "{line}");
        assert!(quiet.is_empty(), "{quiet:?}");
        let line = only(&parsed);
        assert!(
            line.contains("an address cannot be parsed: its parser failed at src/fault.rs:"),
            "{line}"
        );
        assert!(!line.contains("Bob"), "{line}");
        assert!(only(&later).contains(": after it)"));
    }
}
