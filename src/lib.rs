//! mailtm, the Mail Time Machine: a mail server's snapshots as a read-only file system, by date.
//!
//! # One idea
//!
//! The tree is a pure function of the snapshots. A node id *says* what it is; nothing but caches is kept.
//! A message never changes inside a snapshot and keeps its store identity across snapshots. So every fact
//! about it is learned once, whatever the number of dates; every answer about a date may be cached by the
//! kernel for ever; and a daemon that has just been restarted can answer for any node id it ever gave out.
//!
//! # Floors
//!
//! Imports go down only; `tests/floors.rs` reads this table and checks it. A module may also use its own parts.
//!
//! | floor | module | what lives there |
//! | --- | --- | --- |
//! | 7 | `cli`, `config`, `mount` | one file per command; TOML to typed options; wiring, signals, readiness |
//! | 6 | `portal` | the same mail as pages in a browser: sign-in, reading, taking away, asking for a restore |
//! | 5 | `requests` | what people asked to be put back: kept, decided on, carried out, written about |
//! | 5 | `metrics` | how it goes, for those who watch it: the text form of Prometheus |
//! | 5 | `fuse` | the adapter to the kernel: call, reply, catch panics; the one errno table; the only user of `fuser` |
//! | 4 | `restore` | putting mail back into the live mailbox, apart from the mount |
//! | 4 | `fs` | operations on node ids; node id to meaning and back; listings and cache policy |
//! | 3 | `view` | the namespace: what each path means; safe names |
//! | 3 | `access` | policy to owner, mode and ACL of a mailbox; who is shown what |
//! | 2 | `store` | mail stores: which folders and messages there are, and their bytes |
//! | 2 | `index` | facts and serial numbers kept on disk; never a source of truth for mail |
//! | 2 | `snapshot` | the catalogue: discover, date, watch, drop |
//! | 1 | `message` | one message's bytes: header fields, mboxrd framing, facts |
//! | 1 | `disk` | the only gate to the stores: beneath a root, no links, regular files, deadlines |
//! | 0 | `error`, `fault`, `time`, `language`, `special`, `html`, `template` | one error type with a closed kind; panics in the log; time zones; English and Italian; the folders that everybody has; text in HTML; text with places to be filled in |
//!
//! `snapshot` knows no mail and `store` no dates; `view` is where they meet. No inode numbers below floor 4,
//! no errno below floor 5, no configuration files below floor 7.
//!
//! # One request on its way
//!
//! **`ls` of a folder.** The kernel asks READDIR of a node id. [`fuse`] makes a request of it and hands it to
//! [`disk::lane::Workers`], which runs it on the thread that received it. [`fs::Fs::directory`] turns the id into
//! what it means: the snapshot by its serial, then the key of the mailbox and folder by theirs ([`index`]), then the
//! place of that folder in its mailbox's tree ([`view::tree`]). Its messages are in the cache of listings, or
//! [`view::View::list`] makes them: if the folder's stamp (in a Maildir inode, size, mtime and ctime of `cur` and `new`) is one that was
//! seen on any date, the whole listing comes from the index and no message is looked at; otherwise
//! the [`store::Store`] lists the names, the index is asked for what is known of each, and only the unknown ones are
//! opened ([`view::content::learn`]), on all cores, for [`message::header`] to find sender and subject in the first 16 KiB;
//! where the disk is slow, the next ones are open before they are wanted ([`store::ReadAhead`]). Of a large folder that
//! nobody has listed yet, [`view::listing::Draft`] does this part by part as the kernel goes through it, so that the first
//! names come at once; the next part is made while the caller looks at the names of this one ([`fs::Fs::prepare_next`]).
//! [`view::name`] makes names of that. [`fs::Directory::entries`] then gives out entries with their attributes from memory,
//! as many as fit; who may read them was worked out by [`access::Policy`], once for the mailbox.
//!
//! **`read` of a message.** There is no open file: OPEN was answered ENOSYS once, and the kernel sends READ alone.
//! [`fs::Fs::read`] resolves the id to snapshot, mailbox, folder and position in its listing, opens the [`store::Stored`] message
//! beneath the snapshot's [`disk::Root`], sees that it has the size that was told, reads, and closes it. A compressed or encrypted
//! message is decoded whole ([`store::decode`]) and kept for the next READ. Afterwards the pages are the kernel's, and
//! a second reader does not come here. Who reads one message after the other is recognised by `fuse::ahead`, which
//! stores the next ones into the kernel before they are asked for.
//!
//! **`read` of an mbox.** Its size must be exact before the first byte is read. [`view::View::lay_out`] has the
//! length of every message in mboxrd form from the index, or reads the message once to measure it
//! ([`message::mboxrd::Measure`]); the prefix sums of the lengths are the [`view::mbox::Layout`]. A READ finds its
//! messages there by binary search. One without quoted lines, carriage returns or dropped fields is copied from the
//! stored file; another one is rendered ([`message::mboxrd::Renderer`]), and a rendering that was cut off by the end of
//! one READ goes on with the next.
//!
//! **`mailtm find`.** [`fs::Fs::find`] learns first what the search index does not have: mailbox by mailbox, from the oldest
//! date that is new to it on, folders that are not as they were on the date before are listed as above, and messages that
//! came are read for their words ([`message::searchable`], [`message::words`]). [`index::search`] keeps for each message
//! in a folder from which date until which it was there. Then it asks for the words, in the mailboxes that the caller may
//! enter by [`access::Policy`], and tells of each message once, with all its copies.
//!
//! **A page of the portal.** [`portal::serve()`] takes the connection and its deadlines. [`portal::person::Person`] finds out whose session
//! the cookie names and, from the newest snapshot, which mailbox is his ([`fs::reader`]); the handler asks [`portal::person::Person::enter`]
//! for the mailbox of the page, and then [`fs::browse`] for what is on it. Both go through [`portal::State::read`]: another thread,
//! under the same deadlines of [`disk::lane`] as a request of the kernel's, with so many at a time and a queue that has an end. A
//! template makes the page, which escapes what messages say; [`portal::answer`] puts the headers on. A message is taken apart and its
//! HTML made harmless by [`portal::letter`]. A download is such a read for each of its pieces, when the client has taken the one before.
//!
//! **A request for a restore.** The portal has [`requests::Store::make`] keep it, in one transaction with the letters to the
//! administrators. [`requests::Store::approve`], of the portal or of `mailtm requests`, is another. The [`requests::Worker`] whose
//! process has the [`requests::Turn`] finds it, asks [`restore::Restorer::plan`] what is missing and has
//! [`restore::Restorer::apply`] put it back; the outcome is one more transaction, with the letter about it, which
//! [`requests::Post`] writes in the person's language and sends. A process that ends in between is followed by one
//! that finds the request as it was left.
//!
//! # Invariants
//!
//! - Nothing outside a snapshot is ever opened: every path is resolved beneath a [`disk::Root`], without
//!   following links, and only regular files are read.
//! - What cannot be read is shown and answers EIO; it is never left out, and never guessed.
//! - A size that was told is exact, and is told again; bytes that would not fit it are an error, never cut or padded.
//! - Attributes are the same for every caller, and the kernel decides on them. What is in doubt is denied.
//! - Everything from a store is bytes and hostile: work and memory are in proportion to what is really there.
//! - No lock is held while the disk or the name service is waited for.
//!
//! Absent on purpose:
//!
//! - There is no write path in the mount: it is read-only, and every writing call is EROFS here too. [`restore`] writes to the
//!   live mailbox, as a command of its own, through a gate of its own.
//! - There is no state for an open file and no count of look-ups: `forget` does nothing. No descriptor outlives a
//!   request, so a snapshot can be removed while it is being read.
//! - There is no access check at a READ and no change of identity: that is the kernel's work, on mode and ACL.
//! - Inode numbers of the store are never shown, and the index is never believed about mail that it cannot be checked
//!   against: its rows name the mailbox, identity, size and INTERNALDATE that they hold for.
//! - There is no `unsafe` code, and no global configuration: each floor is given its own options.
//!
//! # Node ids
//!
//! 63 bits: serial of the snapshot, serial of the place (a mailbox or one of its directories), ordinal in the place's
//! sorted list; [`fs::node`] draws them. The serials are in [`index`], appended to and never given twice. Each is the
//! hash of what it stands for unless that is taken, so that two servers with the same snapshots nearly always
//! agree, and a lost table comes back the same. An id that means nothing any more is ESTALE.
//!
//! # Beside the dates
//!
//! `deleted` and `.maildir` give the messages of the dates other names: the nodes are the same, so what was read or cached
//! under one name is so under all. [`view::deleted`] compares the dates, newest first, with the mailbox's present state and
//! looks only at what differs; unlike a date its answer may change, so `fs` remembers which mailboxes the kernel was
//! told of, and has them forgotten when the snapshots or the live mailbox change. [`view::maildir`] says what the folders and
//! messages of any store are called in a Maildir++.
//!
//! # What is cached, and by whom
//!
//! | what | who keeps it | until |
//! | --- | --- | --- |
//! | names, attributes and pages below a date | the kernel | it needs the memory, or the snapshot vanishes |
//! | the root's listing, `latest` | the kernel | `refresh`, or a push when something changed |
//! | names in `deleted` | the kernel | a push when the snapshots or the live mailbox changed |
//! | listings of the dates, where they differ by caller | nobody | |
//! | attributes of a mailbox with a name that does not resolve | the kernel | 30 seconds |
//! | mailboxes, folder trees, listings and drafts of them, their orders, counts, mbox layouts, decoded messages | [`fs::cache`] | its bytes are used up |
//! | messages of an mdbox that no index tells of | `store::dbox`, for mailboxes with damaged indexes | their bytes are used up |
//! | what was warned of | [`disk::Told`], for all snapshots | it is too much; warned of again |
//! | sizes of mboxes that were told | [`fs::Fs`] | the snapshot vanishes |
//! | facts about messages, listings of folders | [`index`], `facts.sqlite` | deleted; learned again |
//! | words of messages, and when they were in which folder | [`index::search`], `search.sqlite` | deleted; learned again |
//! | serials | [`index`], `serials.sqlite` | never |
//! | requests, decisions, letters that wait | [`requests`], `requests.sqlite`: no cache | never |
//! | names, ids and groups | [`access`] | a minute, or ten |
//! | addresses that no mailbox has | [`fs::reader`] | the snapshots or the policy change |
//!
//! A listing gives attributes with the names, always and not only when the kernel sees a use for them (READDIRPLUS without
//! AUTO): a program that lists a folder and then opens what is in it would ask for each name on its own, which costs
//! it several times what the attributes cost; and pages can be pushed only for nodes that the kernel knows.
//!
//! The [`snapshot::Catalogue`] scans every `refresh`; [`fs::Fs::update`] takes over what it found, drops what was
//! cached of vanished snapshots, and says what the kernel should forget. That is pushed by the thread of the watch:
//! never by one that answers requests, since the kernel may hold a lock that waits for the answer.
//!
//! That below a date nothing changes is so of a true snapshot. Two kinds of date are not quite one. A copy may still be made while
//! somebody looks: when it has grown it becomes another snapshot, with other ids (`fs::growth`). And where snapshots share their
//! inodes, a directory does not tell that a file in it was written to: who reads that file finds out, and its folder on that
//! date is listed apart from all others (`fs::altered`).
//!
//! # Permissions
//!
//! [`access::Policy`] makes of the configuration an owner, a mode and, where one group does not say it all, a POSIX ACL
//! for each mailbox. The mailbox directory and everything in it carry them, so that a forged NFS handle opens nothing
//! either. The kernel checks them (`default_permissions`, `FUSE_POSIX_ACL`) with the caller's supplementary groups,
//! whoever the caller came through: a shell, Samba, knfsd. SIGHUP puts another policy in force; what the kernel was told under
//! the old one is found by comparing, like a change of owners, and pushed. The root and the dates are 0505 with a group
//! that nobody is in, so that no ACL is fetched on the way down. That a date's listing leaves out what
//! its caller cannot enter is courtesy, by the groups of the thread that asks ([`access::Asking`]).
//!
//! # Threads and deadlines
//!
//! As many threads as cores, four at least, receive requests ([`fuse::threads`]) and answer from memory at once. All
//! but two of them may wait for a disk at a time. A request that would be one more, or whose snapshot is stuck, runs again
//! on a thread of that snapshot's lane, of which there are eight at most ([`disk::lane`]). When a request has made no progress for
//! `timeout`, a watch thread answers EIO in its place. So a store that hangs costs its own readers a wait, and
//! nobody else anything. Each snapshot directory is scanned by a thread of its own, and one thread writes the index.
//!
//! # Processes and rights
//!
//! Mounting takes nearly all the rights of root, and reading hostile mail should have none. So `mount::mounter`, a second
//! process that reads nothing, mounts and unmounts; the daemon, and the portal, enter [`mount::sandbox`] before they read a store or
//! start a thread. Which stores answer is found out before by `mount::probe`, a process that may be left waiting for one. The daemon keeps the right to read everybody's mail, below the snapshots alone. What needs a new file, directory
//! or system call at run time has to be let in there.
//!
//! # Where to add
//!
//! - **A mail store format**: a module in [`store`] that implements [`store::Store`] like [`store::maildir`]: it recognises
//!   a mailbox, lists its folders and their [`store::Messages`] in byte order of their identities, gives a
//!   [`store::Stamp`] of each and opens a message as [`store::Stored`]. Its line in `store::FORMATS` makes the
//!   configuration know its name, and nothing above `store` names it. A week against the format's own server goes into
//!   `tests/stores/`.
//! - **A way to compress or encrypt messages**: [`store::decode`].
//! - **A snapshot naming scheme**: a spelling of dates in [`snapshot::name`]; a well-known directory in
//!   [`snapshot::source`]. A tree made by the real program goes into `tests/snapshots/`.
//! - **A command**: a module in `cli` with `Arguments` and `run`, and its line in `cli::Command`; help, manual page and
//!   completions follow from those.
//! - **A page**: a module in [`portal`] with its `routes()`, merged in `portal::serve`, its words in both languages in [`portal::text`],
//!   and a template that extends `layout.html`. Its handlers take a `place::Visit`, or ask
//!   [`portal::person::Person::enter`] first.
//! - **A metric**: [`metrics`] if mount and portal have it, else `mount::metrics` or `portal::metrics`.
//! - **A letter, or a language of letters**: [`requests::outbox::LetterKind`], its templates in `src/requests/letter/`, a line
//!   for each in `letter::OWN`; [`language`].
//! - **A setting**: [`config`], its options type on the floor that needs it, `mount::build` between the two, and
//!   `packaging/mailtm.toml`.
//! - **An operation of the kernel's**: its meaning in [`fs`], its three lines in [`fuse`]. A new kind of error
//!   gets its errno in `fuse::request`, in the only table there is.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access;
pub mod cli;
pub mod config;
pub mod disk;
pub mod error;
pub mod fault;
pub mod fs;
pub mod fuse;
pub mod html;
pub mod index;
pub mod language;
pub mod message;
pub mod metrics;
pub mod mount;
pub mod portal;
pub mod requests;
pub mod restore;
pub mod snapshot;
pub mod special;
pub mod store;
pub mod template;
pub mod time;
pub mod view;

pub use error::{Error, Kind, Result};
