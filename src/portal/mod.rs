//! The same mail as pages in a browser, for those who have no file share: sign in, read, take away, ask for a restore.
//!
//! Pages are made on the server and work without script. Nothing is fetched from elsewhere.
//!
//! # Invariants
//!
//! - Whose page it is is found out at every request: the session says who, the mail store and the policy of that moment say what
//!   he may read ([`person::Person::enter`]). Whatever is not his does not exist: 404.
//! - Passwords go to the mail server and nowhere else. Of a session's token only a digest is kept.
//! - Nothing is changed by a GET, and by a POST only with the token of the session, from a page of ours ([`form::Posted`]).
//! - No request waits for a store on a thread of the server: [`State::read`] runs it under the deadlines of [`crate::disk::lane`],
//!   so many at a time; what would be more is told to come back.
//! - Memory is bounded, whatever people send and however slowly they take: what is long is counted (`budget`).
//! - Whatever people or messages say is escaped by the templates; no page needs `unsafe-inline`, but for frames of messages.
//!
//! # The cast
//!
//! [`serve`] is the server: sockets, deadlines, the order of layers. [`State`] is what all requests share. [`person`] says who asks,
//! [`form`] what he sends, [`answer`] what he gets, with the headers of every answer. `sign_in` asks the mail server (`password`),
//! slows guesses down (`throttle`) and begins sessions ([`sessions`]). [`text`] has every word in every language; [`page`] what
//! each page has around it. `metrics` and `health` tell machines how it goes. Then one module for each group of pages, with its
//! `routes()`; their templates extend `templates/layout.html`. Of those, `calendar`, `folders`, `list`, `message` and `search` show mail,
//! each at a `place`, where a `Visit` lets its reader in; [`letter`] makes a message harmless, `take` gives mail away, with
//! `archive` for Maildirs and `download` for the pace.

pub mod answer;
pub mod archive;
pub mod form;
pub mod letter;
pub mod page;
pub mod person;
pub mod sessions;
pub mod text;

mod asking;
mod assets;
mod budget;
mod calendar;
mod download;
mod folders;
mod health;
mod list;
mod message;
mod metrics;
mod password;
mod place;
mod requests;
mod search;
mod serve;
mod sign_in;
mod state;
mod take;
mod throttle;

pub use serve::{Sockets, serve};
pub use state::{Asked, Options, Shared, State};
