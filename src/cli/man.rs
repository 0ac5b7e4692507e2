//! `mailtm man`: manual pages, from the definition of the command line.

use super::{definition, failed, print};
use crate::error::Result;
use clap::Args;
use clap_mangen::Man;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the manual page mailtm(1)
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the pages of mailtm and of each command into this directory instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What the definition does not say.
const MORE: &str = r#".SH "EXIT STATUS"
.TP
0
done
.TP
1
failed
.TP
2
wrong usage or configuration
.TP
3
done in part: some mail could not be read, and the report says which
.SH FILES
.TP
/etc/mailtm/mailtm.toml
the configuration
.TP
/var/lib/mailtm/index
what is known about messages; it may be deleted at any time
.SH EXAMPLES
.TP
mailtm demo
a week of backups of invented mail, to look around in
.TP
mailtm check /srv/vmail/.zfs/snapshot
what would be shown, and to whom
.TP
mailtm mount /srv/vmail/.zfs/snapshot /backups
the backups, until unmounted
.TP
/etc/mailtm/mailtm.toml /backups mailtm _netdev 0 0
the same at every start, as a line of /etc/fstab
"#;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.out {
        None => print(page().map_err(|e| failed(&e, "making the manual page"))?)?,
        Some(dir) => {
            let doing =
                |e: io::Error| failed(&e, format!("writing manual pages to {}", dir.display()));
            clap_mangen::generate_to(definition(), dir).map_err(doing)?;
            let page = page().map_err(doing)?;
            std::fs::write(dir.join("mailtm.1"), page).map_err(doing)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn page() -> io::Result<Vec<u8>> {
    let man = Man::new(definition());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    page.extend(MORE.as_bytes());
    man.render_version_section(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_for_all_commands() {
        let dir = tempfile::tempdir().unwrap();
        let out = Some(dir.path().to_owned());
        run(&Arguments { out }).unwrap();
        let main = std::fs::read_to_string(dir.path().join("mailtm.1")).unwrap();
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "FILES"] {
            assert!(main.contains(section), "{section}");
        }
        for command in definition().get_subcommands() {
            let page = dir.path().join(format!("mailtm-{}.1", command.get_name()));
            assert!(page.exists(), "{page:?}");
        }
    }
}
