//! The command line: `mailtm` with its commands, and `mount.mailtm` for mount(8).
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage or
//! configuration, 3 done in part.
//!
//! The cast: one module for each command; `logging` sets up what is said besides results, `progress` says how far a
//! command has come, `terminal` makes text fit for one.

mod check;
mod completions;
mod demo;
mod find;
mod logging;
mod man;
mod mount;
mod portal;
mod progress;
mod requests;
mod restore;
mod terminal;
mod warm;

use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::mount::{mounter, probe};
use crate::view::name;
use clap::{ArgAction, Args, ColorChoice, CommandFactory, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const PARTLY_DONE: u8 = 3;

/// Mail Time Machine: a mail server's snapshots as backups by date
///
/// Shows the snapshots of a mail store as a read-only file system: a directory for each date, in it one for each
/// mailbox, its folders, and every message as a file that mail programs open. Each user sees his own mail alone.
#[derive(Debug, Parser)]
#[command(name = "mailtm", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Say more; twice for still more
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Say warnings only; twice for errors only
    #[arg(short, long, action = ArgAction::Count, global = true)]
    quiet: u8,
    /// Form of what is logged on standard error
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        global = true
    )]
    log: logging::Format,
    /// Colours on standard error; NO_COLOR in the environment is heeded too
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    Mount(mount::Arguments),
    Check(check::Arguments),
    Warm(warm::Arguments),
    Find(find::Arguments),
    Restore(restore::Arguments),
    Requests(requests::Arguments),
    Portal(portal::Arguments),
    Demo(demo::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Runs the program with its own arguments.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let program = args.first().map(|name| Path::new(name).file_name());
    if program == Some(Some(OsStr::new(mounter::PROGRAM))) {
        return mounter::main(args.into_iter());
    }
    if program == Some(Some(OsStr::new(probe::PROGRAM))) {
        return probe::main(args.into_iter());
    }
    let is_helper = program.flatten().is_some_and(|name| {
        let name = name.as_encoded_bytes();
        name.ends_with(b"mount.mailtm")
    });
    if is_helper {
        return match mount::Helper::try_parse_from(args) {
            Ok(helper) => finish(&helper.global(), |global| helper.run(global)),
            Err(e) => refuse(&e),
        };
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return refuse(&e),
    };
    finish(&cli.global, |global| match cli.command {
        Command::Mount(arguments) => arguments.run(global),
        Command::Warm(arguments) => warm::run(&arguments, global),
        Command::Find(arguments) => find::run(&arguments, global),
        Command::Restore(arguments) => restore::run(&arguments, global),
        Command::Requests(arguments) => requests::run(&arguments, global),
        Command::Portal(arguments) => portal::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    })
}

/// Wrong usage; or help and version, which end here too.
fn refuse(e: &clap::Error) -> ExitCode {
    let _ = e.print();
    if e.use_stderr() {
        ExitCode::from(WRONG_USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs a command with logging set up, and turns what became of it into an exit code.
fn finish(global: &Global, run: impl FnOnce(&Global) -> Result<ExitCode>) -> ExitCode {
    logging::start(global);
    match run(global) {
        Ok(code) => code,
        Err(e) => {
            logging::report(global.log, &e);
            match e.kind() {
                Kind::Config => ExitCode::from(WRONG_USAGE),
                _ => ExitCode::from(FAILED),
            }
        }
    }
}

/// Lets SOURCE of a command line stand in for the configured snapshots.
fn use_source(config: &mut Config, source: Option<&Path>) -> Result<()> {
    let Some(source) = source else {
        return Ok(());
    };
    if source.is_file() {
        return usage(format!(
            "{} is a file, and SOURCE is a directory of snapshots; for a configuration file, use --config",
            source.display()
        ));
    }
    let source = absolute(source)?;
    // What is configured anyway may be named again.
    if config.source.snapshots == [source.as_path()] {
        return Ok(());
    }
    // What was learned of one mail store is not to be believed of another one that has mailboxes of the same names.
    if config.index.path == Path::new(config::DEFAULT_INDEX) {
        let id = name::id(source.as_os_str().as_encoded_bytes(), 2 * name::ID_CHARS);
        config.index.path = PathBuf::from(format!("{}-{id}", config::DEFAULT_INDEX));
    }
    config.source.snapshots = vec![source];
    config.source.typed = true;
    Ok(())
}

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Config, message))
}

/// An I/O error of a command, with what was being done.
fn failed(e: &io::Error, doing: impl std::fmt::Display) -> Error {
    Error::new(Kind::Failed, format!("{doing}: {e}"))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|e| Error::new(Kind::Config, format!("\"{}\": {e}", path.display())))
}

/// Writes a result to standard output. A reader that has seen enough is no failure.
fn print(text: impl AsRef<[u8]>) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed(&e, "writing to standard output"))
        }
        _ => Ok(()),
    }
}

/// The definition of the command line, for what is generated from it.
fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
        mount::Helper::command().debug_assert();
    }

    #[test]
    fn options_of_all_go_before_and_after_the_command() {
        for args in [
            &["mailtm", "-vv", "--log", "json", "check"][..],
            &["mailtm", "check", "-vv", "--log=json", "--color", "never"],
        ] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.global.verbose, 2);
            assert_eq!(cli.global.log, logging::Format::Json);
        }
        assert!(Cli::try_parse_from(["mailtm"]).is_err());
        assert!(Cli::try_parse_from(["mailtm", "check", "--log", "xml"]).is_err());
    }

    #[test]
    fn source_replaces_the_configured_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.source.snapshots = vec!["/configured".into()];
        use_source(&mut config, None).unwrap();
        assert_eq!(config.source.snapshots, [Path::new("/configured")]);
        use_source(&mut config, Some(Path::new("/configured"))).unwrap();
        assert_eq!(config.index.path, Path::new(config::DEFAULT_INDEX));
        use_source(&mut config, Some(dir.path())).unwrap();
        assert_eq!(config.source.snapshots, [dir.path()]);
        let index = config.index.path.to_str().unwrap();
        assert!(index.starts_with("/var/lib/mailtm/index-"), "{index}");

        let file = dir.path().join("mailtm.toml");
        std::fs::write(&file, "").unwrap();
        let e = use_source(&mut config, Some(&file)).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        assert!(e.to_string().contains("--config"), "{e}");
    }
}
