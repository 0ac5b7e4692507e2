//! Requests: what people asked to be put back, until an administrator has decided and they know the outcome.
//!
//! Somebody asks; the administrators get letters; one of them approves or declines, in the browser or from a shell; what is
//! approved is carried out; who asked gets a letter with the outcome. Between any two of these steps the process may be
//! killed or the machine may lose power, several processes may work at once, and the mail server may be down for days.
//!
//! Invariants:
//! 1. A change of state, its event and the letters that it causes are one transaction, synchronised to disk before anybody
//!    is told. So no letter is missing, and none speaks of what did not happen.
//! 2. A state changes only along the lines of [`State`], whoever is quicker: there is one decision and one outcome.
//! 3. One process at a time carries requests out and sends letters, under a lock that the kernel lets go of when it ends.
//!    What was being carried out when it ended is gone on with by the next one; [`restore`](crate::restore) puts
//!    nothing back twice.
//! 4. A letter is sent until the server has taken it. If that was not noted before a crash, it is sent once more with
//!    the same Message-ID.
//! 5. What people have written is text: it never becomes a header field of a letter, HTML, or a formula of a spreadsheet.
//!
//! The cast: [`Store`] is the database, with `database` its file and `row` its rows; [`Request`] and [`New`] are what is in it, [`State`] how far
//! a request has come, [`outbox`] the letters that are to be sent; `csv` is for accounting. [`Worker`] works, when it is its
//! process's [`Turn`]: `carry` restores, `letter` writes, [`Post`] sends.

mod carry;
mod csv;
mod database;
mod letter;
pub mod outbox;
mod post;
mod request;
mod row;
mod state;
mod store;
mod turn;
mod worker;

#[cfg(test)]
mod tests;

pub use carry::Step;
pub use letter::Style;
pub use post::{Post, Smtp};
pub use request::{
    Details, Event, Filter, Id, LONGEST_NOTE, MOST_MESSAGES, MOST_PENDING, New, Report, Request,
    Tally, Unread,
};
pub use state::State;
pub use store::{Options, Store};
pub use turn::Turn;
pub use worker::{Restorers, Worker};
