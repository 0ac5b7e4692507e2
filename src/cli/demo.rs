//! `mailtm demo`: a week in the life of two invented companies' mail, mounted to look around in.
//!
//! The mail is the same every time, but for the dates: the last backup is today's. Nobody in it exists.
//!
//! The cast: `week` is the script, on `mailbox`; `letters` has the texts, `compose` makes messages of them, `dice`
//! varies them; `maildir` writes each day as a snapshot; `tour` shows what there is to see.

mod compose;
mod dice;
mod letters;
mod mailbox;
mod maildir;
mod tour;
mod week;

use super::{absolute, failed, print, usage};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::mount;
use crate::time::Zone;
use clap::Args;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;
use week::Day;

/// Make a mail store with a week of backups of invented mail, and mount it
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only make the mail store
    #[arg(long)]
    no_mount: bool,
    /// An empty or new directory for it [default: a new one for temporary files]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.no_mount {
        check_that_we_can_mount()?;
    }
    let dir = match &arguments.dir {
        Some(dir) => take(&absolute(dir)?)?,
        None => temporary()?,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs().cast_signed());
    let demo = make(&dir, Zone::System, now, Visitor::from_sudo())
        .map_err(|e| failed(&e, format!("making the demo in {}", dir.display())))?;
    print(demo.summary())?;
    if arguments.no_mount {
        print(format!(
            "\nTo mount it:\n\n  {} mount --config {}\n",
            tour::program(),
            tour::quoted(&demo.config())
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = config::load(Some(&demo.config()))?;
    // On a thread of its own, as the mount confines the one that it is made on; the tour looks at more than the store.
    let mounted = std::thread::spawn(|| mount::spawn(config, mount::MountOptions::default()));
    let fault = |_| Error::new(Kind::Failed, "mounting: a fault in mailtm itself");
    let mounted = mounted.join().map_err(fault)??;
    let mountpoint = mounted.mountpoint();
    let tour = demo
        .tour(mountpoint)
        .map_err(|e| failed(&e, format!("looking at {}", mountpoint.display())))?;
    print(tour)?;
    mounted.wait()?;
    print(format!(
        "\nUnmounted. The mail store stays until you remove it:\n\n  rm -r {}\n",
        tour::quoted(&demo.dir)
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn check_that_we_can_mount() -> Result<()> {
    let cure = if !Path::new("/dev/fuse").exists() {
        "there is no /dev/fuse here: load the module (modprobe fuse), or in a container, start it with \
         --device /dev/fuse --cap-add SYS_ADMIN"
    } else if !rustix::process::geteuid().is_root() {
        "mounting for all users takes root: run it with sudo"
    } else {
        return Ok(());
    };
    Err(Error::new(
        Kind::Failed,
        format!(
            "the demo cannot be mounted: {cure}; \"mailtm demo --no-mount\" only makes the mail store"
        ),
    ))
}

/// A directory that is nobody else's: new, or empty.
fn take(dir: &Path) -> Result<PathBuf> {
    let doing = |e: io::Error| failed(&e, format!("making the directory {}", dir.display()));
    if dir.is_dir() {
        if fs::read_dir(dir).map_err(doing)?.next().is_some() {
            return usage(format!(
                "{} is not empty: name a new directory for the demo, or remove what is there",
                dir.display()
            ));
        }
    } else {
        fs::create_dir_all(dir).map_err(doing)?;
    }
    Ok(dir.to_owned())
}

fn temporary() -> Result<PathBuf> {
    let parent = absolute(&std::env::temp_dir())?;
    for n in 0..1000 {
        let dir = parent.join(format!("mailtm-demo-{}", std::process::id() + n));
        // Making it tells whether it is new; a name that somebody prepared is left alone.
        match fs::create_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                let doing = |e| failed(&e, format!("making the directory {}", dir.display()));
                return made.map(|()| dir.clone()).map_err(doing);
            }
        }
    }
    usage(format!(
        "{} is full of old demos: remove them",
        parent.display()
    ))
}

/// Who called sudo: a user who would find, in another terminal, that he may see nothing.
#[derive(Debug)]
struct Visitor {
    name: String,
    uid: u32,
}

impl Visitor {
    fn from_sudo() -> Option<Self> {
        let uid = std::env::var("SUDO_UID").ok()?.parse().ok()?;
        let name = std::env::var("SUDO_USER").ok()?;
        (uid != 0 && rustix::process::geteuid().is_root()).then_some(Self { name, uid })
    }
}

/// What has been made.
#[derive(Debug)]
struct Demo {
    dir: PathBuf,
    visitor: Option<Visitor>,
    days: Vec<Day>,
    mailboxes: usize,
    messages: usize,
}

fn make(dir: &Path, zone: Zone, now: i64, visitor: Option<Visitor>) -> io::Result<Demo> {
    let snapshots = dir.join("snapshots");
    for made in [&snapshots, &dir.join("mountpoint"), &dir.join("index")] {
        fs::create_dir(made)?;
    }
    let days = week::days(zone, now);
    let mut mailboxes = days
        .first()
        .map_or_else(Vec::new, |day| week::mailboxes(*day));
    let mut placed = maildir::Placed::new();
    for (number, day) in days.iter().enumerate() {
        for mailbox in &mut mailboxes {
            week::live(mailbox, number, *day);
        }
        let root = snapshots.join(day.snapshot(zone));
        maildir::write(&root, &mailboxes, day.end, &mut placed)?;
    }
    let demo = Demo {
        dir: dir.to_owned(),
        visitor,
        days,
        mailboxes: mailboxes.len(),
        messages: placed.len(),
    };
    fs::write(demo.config(), demo.configuration()?)?;
    Ok(demo)
}

impl Demo {
    fn config(&self) -> PathBuf {
        self.dir.join("mailtm.toml")
    }

    fn configuration(&self) -> io::Result<String> {
        let path = |name: &str| {
            let path = self.dir.join(name);
            let text = path
                .to_str()
                .map(|text| toml::Value::from(text).to_string());
            text.ok_or_else(|| io::Error::other("its path is not UTF-8"))
        };
        let access = self.visitor.as_ref().map_or_else(String::new, |visitor| {
            format!("\n[access]\nadmins = [\"{}\"]\n", visitor.uid)
        });
        Ok(format!(
            "# A week of invented mail.\n\
             mountpoint = {}\n\
             \n\
             [source]\n\
             snapshots = [{}]\n\
             mailboxes = \"{{domain}}/{{user}}/Maildir\"\n\
             \n\
             [index]\n\
             path = {}\n\
             {access}",
            path("mountpoint")?,
            path("snapshots")?,
            path("index")?
        ))
    }

    fn summary(&self) -> String {
        format!(
            "A mail store with a week of backups: {} mailboxes, {} messages, {} dates\n  {}\n",
            self.mailboxes,
            self.messages,
            self.days.len(),
            self.dir.display()
        )
    }

    /// What to see and do below the mount point.
    fn tour(&self, mountpoint: &Path) -> io::Result<String> {
        let mailbox = |day: Option<&Day>| {
            let date = day.map(|day| day.date.to_string()).unwrap_or_default();
            mountpoint.join(date).join(week::CHIARA.address)
        };
        let tree = tour::tree(&mailbox(self.days.last()))?;
        let inbox = mailbox(self.days.first()).join(mailbox::INBOX);
        let missed = tour::find(&inbox, letters::MISSED)?
            .ok_or_else(|| io::Error::other(format!("{} lacks a message", inbox.display())))?;
        let deleted = mountpoint.join("deleted").join(week::CHIARA.address);
        let mut lost = None;
        for folder in fs::read_dir(&deleted)? {
            let folder = folder?.path();
            if tour::find(&folder, letters::MISSED)?.is_some() {
                lost = Some(folder);
            }
        }
        let lost =
            lost.ok_or_else(|| io::Error::other(format!("{} lacks a message", deleted.display())))?;
        let who = match &self.visitor {
            Some(visitor) => format!("{} or root", visitor.name),
            None => "root".to_owned(),
        };
        Ok(format!(
            "\nThe backups are mounted on\n  {}\n\
             with a directory for each date, in it one for each mailbox. This is one of today's:\n\n{tree}\n\
             Look around in another terminal, as {who}; nobody else may enter.\n\n\
             {} has deleted a message that she needs now; it is in the first backups and gone from\n\
             the latest. To get it back, as {who}:\n\n  cp {} ~/\n\n\
             Nobody has to know the day: what is in some backup and gone from her mailbox since is here:\n\n  \
             ls {}\n\n\
             And this looks for it in all backups of all mailboxes:\n\n  {} find --config {} {}\n\n\
             Ctrl-C ends the demo.\n",
            mountpoint.display(),
            week::CHIARA.name,
            tour::quoted(&missed),
            tour::quoted(&lost),
            tour::program(),
            tour::quoted(&self.config()),
            tour::quoted(Path::new(letters::MISSED)),
        ))
    }
}

#[cfg(test)]
mod tests;
