//! `--background`: another process mounts and stays; this one returns when the mount is ready.
//!
//! That process is this program run anew, since a process with threads can't be divided. Its standard output and
//! error are pipes: the first line of output says that the mount is ready, and what it says on standard error until
//! then is passed on. Then the pipes close and its log goes to syslog; whoever waits for the end of our own output
//! waits no longer than for us.

use super::Arguments;
use crate::cli::{FAILED, Global, failed, logging, print};
use crate::error::Result;
use clap::{ColorChoice, ValueEnum};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Starts the process that mounts and waits until it is ready or has failed; tells if `tell`.
pub(super) fn start(arguments: &Arguments, global: &Global, tell: bool) -> Result<ExitCode> {
    let mut child =
        spawn(arguments, global).map_err(|e| failed(&e, "starting the background process"))?;
    let ready = AtomicBool::new(false);
    let mut first_line = Vec::new();
    thread::scope(|scope| {
        if let Some(stderr) = child.stderr.take() {
            scope.spawn(|| pass_on(stderr, &ready));
        }
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_until(b'\n', &mut first_line);
        }
        ready.store(!first_line.is_empty(), Ordering::Release);
    });
    if first_line.is_empty() {
        let status = child
            .wait()
            .map_err(|e| failed(&e, "waiting for the background process"))?;
        // It has said why, and its end is ours; if it ended well, it did not do what it was started for.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(ExitCode::from(
            code.filter(|code| *code != 0).unwrap_or(FAILED),
        ));
    }
    if tell {
        print(first_line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn spawn(arguments: &Arguments, global: &Global) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg0("mailtm")
        .args(command_line(arguments, global))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// What `mailtm` has to be told to be the process in the background.
fn command_line(arguments: &Arguments, global: &Global) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["mount".into(), "--detached".into()];
    line.extend((0..global.verbose).map(|_| "-v".into()));
    line.extend((0..global.quiet).map(|_| "-q".into()));
    if global.log == logging::Format::Json {
        line.push("--log=json".into());
    }
    if let Some(color) = global
        .color
        .to_possible_value()
        .filter(|_| global.color != ColorChoice::Auto)
    {
        line.push(format!("--color={}", color.get_name()).into());
    }
    if let Some(config) = &arguments.config {
        line.extend(["--config".into(), config.into()]);
    }
    if let Some(device) = &arguments.device {
        line.extend(["--device".into(), device.clone()]);
    }
    for options in &arguments.options {
        line.extend(["-o".into(), options.into()]);
    }
    match (&arguments.source, &arguments.mountpoint) {
        // Alone it would stand where SOURCE does.
        (None, Some(mountpoint)) => line.extend(["--at".into(), mountpoint.into()]),
        (source, mountpoint) => {
            line.push("--".into());
            line.extend(source.iter().chain(mountpoint).map(Into::into));
        }
    }
    line
}

/// Passes on what comes until it ends; once `ready`, only what is there already.
fn pass_on(mut from: ChildStderr, ready: &AtomicBool) {
    let polled = fcntl_getfl(&from).and_then(|flags| fcntl_setfl(&from, flags | OFlags::NONBLOCK));
    let mut buffer = [0; 4096];
    while polled.is_ok() {
        let last = ready.load(Ordering::Acquire);
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                let _ = io::stderr().write_all(buffer.get(..n).unwrap_or_default());
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && !last => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Leaves the terminal's session, whose end would be ours, and the current directory, which would be busy.
pub(super) fn detach() -> Result<()> {
    rustix::process::setsid()
        .and_then(|_| rustix::process::chdir("/"))
        .map_err(|e| failed(&e.into(), "going into the background"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn the_other_process_is_told_the_same() {
        let given = [
            "mailtm",
            "-vv",
            "mount",
            "--log=json",
            "--color=never",
            "--config",
            "/c.toml",
            "-o",
            "rw,names=unique",
            "-o",
            "keep_days=3",
            "--background",
            "/s",
            "/m",
        ];
        let cli = Cli::try_parse_from(given).unwrap();
        let Command::Mount(mut arguments) = cli.command else {
            panic!("another command");
        };
        arguments.device = Some("-odd device".into());
        let mut line = command_line(&arguments, &cli.global);
        line.insert(0, "mailtm".into());
        let again = Cli::try_parse_from(line).unwrap();
        let Command::Mount(detached) = again.command else {
            panic!("another command");
        };
        assert!(detached.detached && !detached.background);
        assert_eq!(detached.config, arguments.config);
        assert_eq!(detached.options, arguments.options);
        assert_eq!(detached.device, arguments.device);
        assert_eq!(detached.source, arguments.source);
        assert_eq!(detached.mountpoint, arguments.mountpoint);
        assert_eq!(again.global.verbose, 2);
        assert_eq!(again.global.log, cli.global.log);
        assert_eq!(again.global.color, cli.global.color);
    }
}
