//! Who may enter, while the mount lives: owners that change with the snapshots, and the policy that SIGHUP reads again.
//!
//! Invariants: a configuration with a mistake changes nothing; the new policy decides from the moment that it is taken
//! over, and the kernel is made to forget what the old one said; nothing here waits for a store or a name service on a
//! thread that something else waits for.
//!
//! The cast: [`Reload`] reads the configuration again and puts its policy in force; [`follow`] finds out what changes with the
//! snapshots, and has it pushed.

use super::status::{line, notify};
use crate::access::Policy;
use crate::config::Config;
use crate::error::Result;
use crate::fs::{Fs, Invalidation};
use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often it is looked whether the names of owners and of those who were let in still mean the same. Accounts are removed, and
/// their numbers given to others.
const NAMES_AGAIN: Duration = Duration::from_secs(600);

/// When a date that has appeared is no longer being filled.
const GROWN: Duration = Duration::from_secs(65);

/// Reads the configuration again, from where it was read at first.
pub type Reread = Box<dyn Fn() -> Result<Config> + Send>;

/// Has the kernel forget something.
pub(super) type Forget = Arc<dyn Fn(Invalidation) + Send + Sync>;

/// What SIGHUP does.
pub struct Reload {
    pub fs: Arc<Fs>,
    /// The configuration that this process runs on.
    pub config: Config,
    pub reread: Reread,
    /// Without one, nobody remembers what the old policy said.
    pub kernel: Option<Kernel>,
}

/// What is told to the kernel that a mount answers.
pub struct Kernel {
    pub(super) forget: Forget,
    /// To [`follow`].
    pub(super) review: Sender<()>,
}

impl Reload {
    /// Takes over the access policy of the configuration as it is now; on a mistake in it, nothing.
    pub fn run(&mut self) {
        let mut state = vec![NotifyState::Reloading];
        state.extend(NotifyState::monotonic_usec_now());
        notify(&state);
        let config = match (self.reread)() {
            Ok(config) => config,
            Err(e) => {
                for line in e.to_string().lines() {
                    tracing::error!("the configuration is not taken over: {line}");
                }
                if self.is_out_of_reach() {
                    tracing::error!(
                        "outside /etc, the sandbox lets only that very file be read again, and not one that has taken its \
                         place: restart, or keep the configuration below /etc"
                    );
                }
                tracing::error!("who may enter stays as it was until that is mended");
                let status =
                    "Serving; the configuration is broken, who may enter is as before it was";
                return notify(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
        };
        let mut others = config.differs_besides_access(&self.config);
        if self.kernel.is_none() && config.portal != self.config.portal {
            others.push("[portal]");
        }
        if !others.is_empty() {
            tracing::warn!(
                "changed in the configuration, and taken over by a restart only: {}",
                others.join(", ")
            );
        }
        let mut policy = config.policy();
        let fs = self.fs.clone();
        let in_force = move || {
            tracing::info!("the access policy was read again and is in force");
            let status = line(fs.catalogue());
            notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        };
        let Some(kernel) = &self.kernel else {
            self.fs.set_policy(policy);
            return in_force();
        };
        keep_what_the_kernel_was_told(&mut policy, &self.fs.policy());
        self.fs.set_policy(policy);
        let (forget, review) = (kernel.forget.clone(), kernel.review.clone());
        let fs = self.fs.clone();
        let tell = move || {
            if let Err(e) = fs.review(|change| forget(change)) {
                tracing::debug!("reviewed again, for now: {e}");
            }
            in_force();
            // What could not be found out, and answers that were under way. Who does not listen has ended with the mount.
            let _ = review.send(());
        };
        let thread = std::thread::Builder::new().name("mailtm-policy".into());
        if let Err(e) = thread.spawn(tell) {
            tracing::error!(
                "the kernel keeps what the old policy said until a restart: starting threads: {e}"
            );
        }
    }

    /// Whether the configuration is a file that is there and can't be opened.
    fn is_out_of_reach(&self) -> bool {
        let file = self.config.file.as_deref();
        let opened = file
            .filter(|file| !file.starts_with("/etc"))
            .map(std::fs::File::open);
        opened.is_some_and(|opened| {
            opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
        })
    }
}

/// Once the kernel has been told that files are opened without asking, it never asks again; nor for listings that are
/// the same for all.
fn keep_what_the_kernel_was_told(policy: &mut Policy, before: &Policy) {
    for (name, wanted, was) in [
        ("access.audit", &mut policy.audit, before.audit),
        (
            "hide_unreadable",
            &mut policy.hide_unreadable,
            before.hide_unreadable,
        ),
    ] {
        if *wanted && !was {
            tracing::warn!(
                "{name} can be switched off, and not on, without a restart: it stays off"
            );
            *wanted = false;
        }
    }
}

/// Keeps the kernel from letting in who may no longer enter a mailbox, until nobody tells of changes any more. On a
/// thread of its own: a store or a name service that hangs holds up nothing else.
pub(super) fn follow(fs: &Fs, forget: &Forget, changes: &Receiver<()>, refresh: Duration) {
    let mut due = false;
    let mut warned = false;
    let mut reviewed = Instant::now();
    let mut appeared = None;
    fs.prepare();
    loop {
        match changes.recv_timeout(refresh.clamp(Duration::from_secs(1), NAMES_AGAIN)) {
            Ok(()) => {
                fs.prepare();
                (due, appeared) = (true, Some(Instant::now()));
            }
            Err(RecvTimeoutError::Timeout) => {
                let is_final = appeared.take_if(|at| at.elapsed() > GROWN).is_some();
                due |= is_final || reviewed.elapsed() > NAMES_AGAIN;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let result = if due {
            reviewed = Instant::now();
            fs.review(|change| forget(change))
        } else {
            fs.push_changed(|change| forget(change))
        };
        match result {
            Ok(()) => (due, warned) = (false, false),
            Err(e) if warned => tracing::debug!("owners of mailboxes: {e}"),
            Err(e) => {
                tracing::warn!("owners of mailboxes are as before until this can be read: {e}");
                warned = true;
            }
        }
    }
}
