//! Telling the kernel of messages that were changed in place, once somebody has come across one. A thread of its own: their
//! folder is listed anew meanwhile.

use super::policy::Forget;
use crate::fs::{AlteredFolder, Fs};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// `found` is [`Fs::altered`], asked for before the first request is answered. Ends with the file system.
pub(super) fn follow(
    fs: &Arc<Fs>,
    found: Receiver<AlteredFolder>,
    forget: Forget,
) -> std::io::Result<()> {
    let fs = Arc::downgrade(fs);
    let follow = move || {
        for folder in found {
            let Some(fs) = fs.upgrade() else {
                return;
            };
            if let Err(e) = fs.look_again(&folder, |change| forget(change)) {
                tracing::warn!("a folder with a message that was changed in place: {e}");
            }
        }
    };
    let thread = std::thread::Builder::new().name("mailtm-altered".into());
    thread.spawn(follow).map(drop)
}
