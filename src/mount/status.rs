//! What `systemctl status` says of a mount that serves.

use crate::snapshot::Catalogue;
use sd_notify::NotifyState;

/// Says it to systemd, if it listens.
pub(super) fn tell(catalogue: &Catalogue) {
    notify(&[NotifyState::Status(&line(catalogue))]);
}

pub(super) fn line(catalogue: &Catalogue) -> String {
    let unreadable = catalogue.unreadable();
    let unreadable: Vec<_> = unreadable
        .iter()
        .map(|path| path.to_string_lossy())
        .collect();
    match unreadable.is_empty() {
        true => "Serving".to_owned(),
        // One line, whatever a directory is called.
        false => format!(
            "Serving; cannot be read at present: {}",
            unreadable.join(", ")
        )
        .replace('\n', " "),
    }
}

/// Tells systemd, if it listens.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("systemd was not told: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Options;

    #[test]
    fn what_cannot_be_read_is_named() {
        let temp = tempfile::TempDir::new().unwrap();
        let (there, absent) = (temp.path().join("there"), temp.path().join("ab\nsent"));
        std::fs::create_dir(&there).unwrap();
        let catalogue = Catalogue::open(Options {
            dirs: vec![there, absent.clone()],
            silent: vec![absent.clone()],
            ..Options::default()
        });
        let catalogue = catalogue.unwrap();
        let said = line(&catalogue);
        let shown = absent.to_str().unwrap().replace('\n', " ");
        assert_eq!(said, format!("Serving; cannot be read at present: {shown}"));
        std::fs::create_dir(absent).unwrap();
        let _ = catalogue.refresh().unwrap();
        assert_eq!(line(&catalogue), "Serving");
    }
}
