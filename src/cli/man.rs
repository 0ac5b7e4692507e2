//! `mailtm man`: manual pages, from the definition of the command line.

use super::{definition, failed, print};
use crate::error::Result;
use clap::{Args, Command};
use clap_mangen::Man;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print the manual page mailtm(8)
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the pages of mailtm and of each command into this directory instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Of the manual: commands for administrators.
const SECTION: &str = "8";

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
            let mut all = definition().disable_help_subcommand(true);
            all.build();
            all.get_subcommands()
                .try_for_each(|command| write_pages(command, dir))
                .map_err(doing)?;
            let page = page().map_err(doing)?;
            std::fs::write(dir.join("mailtm.8"), page).map_err(doing)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of a command, and those of the commands in it.
fn write_pages(command: &Command, dir: &Path) -> io::Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    let man = Man::new(command.clone()).section(SECTION);
    man.generate_to(dir)?;
    command
        .get_subcommands()
        .try_for_each(|inner| write_pages(inner, dir))
}

fn page() -> io::Result<Vec<u8>> {
    let man = Man::new(definition()).section(SECTION);
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
        let main = std::fs::read_to_string(dir.path().join("mailtm.8")).unwrap();
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "FILES"] {
            assert!(main.contains(section), "{section}");
        }
        for command in definition().get_subcommands() {
            let page = dir.path().join(format!("mailtm-{}.8", command.get_name()));
            assert!(page.exists(), "{page:?}");
        }
    }
}
