//! Who may enter a mailbox: the configured policy turned into owner, mode and POSIX ACL.
//!
//! The kernel decides, on what is reported here; so whatever is in doubt is denied here. Of all the rules, only
//! three things reach the kernel: the uid that owns the mailbox, one group, or an ACL.
//!
//! - A name that does not resolve gives nobody anything. An owner that does not resolve is [`NOBODYS_UID`], and the
//!   owner's bits are 0 then: a process may take any uid, and an NFS client may name any.
//! - What a mail store says of itself is never taken for an id: an owner worked out of a mailbox's name is looked
//!   up as a name, even where it is all digits. Only names in the configuration may be numeric ids, and only where nobody
//!   has the number for a name.
//! - One group that says it all becomes the file's group. Otherwise the file's group is [`NOBODYS_GID`], so that
//!   belonging to a real group never means anything that was not granted.
//!
//! Looking a name up (NSS: files, LDAP, SSSD, winbind) may take long or hang for as long as the directory server
//! does. No lock is held meanwhile, so that it holds up only those that need that very answer; who must not wait
//! has to ask from a thread that may.
//!
//! The cast: [`Policy`] is the configuration and the cache; [`Permissions`] is its answer for one mailbox; [`Acl`]
//! is the kernel's form of it; [`Asking`] is who may be shown some of them; `name_service` asks NSS.

mod acl;
mod asking;
mod name_service;

pub use acl::Acl;
pub use asking::Asking;

use crate::error::{Error, Kind, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use name_service::NameService;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tracing::warn;

/// The owner of what nobody owns. No account has it: system and directory accounts are numbered from below, and
/// 65534 (`nobody`), which processes do run as, is another.
pub const NOBODYS_UID: u32 = 0xFFFF_FFFD;

/// The group of what no group may enter. A process in this group would be refused like anybody else.
pub const NOBODYS_GID: u32 = 0xFFFF_FFFD;

/// How long an answer holds in which every name resolved.
const SETTLED: Duration = Duration::from_secs(600);

/// How long one holds in which some name did not.
const UNSETTLED: Duration = Duration::from_secs(60);

/// Answers kept; a store with more mailboxes works its answers out again now and then.
const MAX_CACHED: usize = 65_536;

/// Who owns a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerRule {
    /// The uid that owns the mailbox's directory.
    Store,
    /// A name with the placeholders `{user}` and `{domain}`, looked up through NSS.
    Template(String),
}

/// Somebody named in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A user's name, or a uid in digits that are nobody's name.
    User(String),
    /// A group's name, or a gid in digits that are no group's name; written with a leading `@`.
    Group(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

impl Principal {
    /// Parses `name` or `@group`. Names may contain spaces, `\` and, but in front, `@`: directories have such.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, group) = match text.strip_prefix('@') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let wrong = |why: &str| Err(Error::new(Kind::Config, format!("\"{text}\" {why}")));
        if name.trim().is_empty() {
            return wrong("names nobody: write a user's name, or \"@\" and a group's name");
        }
        if name.contains(char::is_control) {
            return wrong("contains a control character, which no name has");
        }
        Ok(if group {
            Self::Group(name.to_owned())
        } else {
            Self::User(name.to_owned())
        })
    }

    /// The id that the name is if it is nobody's.
    fn number(&self) -> Option<u32> {
        let (Self::User(name) | Self::Group(name)) = self;
        let digits = name.bytes().all(|b| b.is_ascii_digit());
        let number = name.parse().ok().filter(|_| digits);
        number.filter(|id| *id != u32::MAX)
    }
}

/// Mailboxes, by pattern, given to somebody.
#[derive(Clone, Debug)]
pub struct Grant {
    patterns: GlobSet,
    /// The patterns as written, in the order of the set.
    written: Vec<String>,
    to: Vec<Principal>,
}

impl Grant {
    /// `patterns` are globs (`*`, `?`, `[…]`, `{a,b}`) over whole mailbox names, case included.
    pub fn new(patterns: &[String], to: Vec<Principal>) -> Result<Self> {
        let written = patterns.to_vec();
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern).build();
            set.add(glob.map_err(|e| wrong_pattern(pattern, e.kind()))?);
        }
        let patterns = set.build().map_err(|e| {
            Error::new(
                Kind::Config,
                format!("these patterns together are too large: {}", e.kind()),
            )
        })?;
        Ok(Self {
            patterns,
            written,
            to,
        })
    }

    /// The patterns as written.
    pub fn patterns(&self) -> &[String] {
        &self.written
    }

    /// Positions of the patterns that a mailbox's name matches.
    pub fn matching(&self, name: &str) -> Vec<usize> {
        self.patterns.matches(name)
    }

    /// Who is given the mailboxes.
    pub fn to(&self) -> &[Principal] {
        &self.to
    }
}

fn wrong_pattern(pattern: &str, why: &globset::ErrorKind) -> Error {
    Error::new(
        Kind::Config,
        format!(
            "\"{pattern}\" is no pattern for mailbox names ({why}): write one such as \"*@sales.example.com\""
        ),
    )
}

/// The name of a user, for people to read; his number where he has none. May wait for the name service.
pub fn user_name(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(
        || uid.to_string(),
        |user| user.name().to_string_lossy().into_owned(),
    )
}

/// The name of a group, for people to read; its number where it has none. May wait for the name service.
pub fn group_name(gid: u32) -> String {
    uzers::get_group_by_gid(gid).map_or_else(
        || gid.to_string(),
        |group| group.name().to_string_lossy().into_owned(),
    )
}

/// What the kernel is told about a mailbox and everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub uid: u32,
    pub gid: u32,
    /// Whether the members of `gid` may read; never together with `acl`.
    pub group_bits: bool,
    pub acl: Option<Acl>,
    /// Whether every name resolved. If not, the answer may be another one in a minute.
    pub settled: bool,
}

impl Permissions {
    /// Whether the mailbox is anybody's. If not, the uid is a number alone, and who has it may nothing.
    pub fn has_owner(&self) -> bool {
        self.uid != NOBODYS_UID
    }

    /// Permission bits, without the file's type. With an ACL the group bits are its mask, as on any file system.
    pub fn mode(&self, dir: bool) -> u32 {
        let read = if dir { 0o5 } else { 0o4 };
        let bits = |given: bool| if given { read } else { 0 };
        bits(self.has_owner()) << 6 | bits(self.group_bits || self.acl.is_some()) << 3
    }

    /// The ACL as an extended attribute, where there is one.
    pub fn acl_value(&self, dir: bool) -> Option<Vec<u8>> {
        let acl = self.acl.as_ref()?;
        Some(acl.encode(dir, self.has_owner()))
    }

    /// Whether who acts as this user and with these groups may enter, as the kernel decides. The groups are asked for only if
    /// they matter.
    pub fn admits<G: AsRef<[u32]>>(&self, uid: u32, groups: impl FnOnce() -> G) -> bool {
        if uid == 0 {
            return true;
        }
        // Of who has the owner's uid nothing else is asked.
        if uid == self.uid {
            return self.has_owner();
        }
        if let Some(acl) = &self.acl {
            let named = |gid: &u32| acl.groups().contains(gid);
            return acl.users().contains(&uid)
                || !acl.groups().is_empty() && groups().as_ref().iter().any(named);
        }
        self.group_bits && groups().as_ref().contains(&self.gid)
    }
}

/// The configured policy. Immutable: a changed configuration makes a new one.
#[derive(Debug)]
pub struct Policy {
    owner: OwnerRule,
    admins: Vec<Principal>,
    grants: Vec<Grant>,
    /// Whether to log what is opened by others than the owner.
    pub audit: bool,
    /// Whether listings leave out what their caller cannot enter.
    pub hide_unreadable: bool,
    names: NameService,
    crowded: AtomicBool,
    /// Never held while a name is looked up.
    answers: RwLock<HashMap<String, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    permissions: Arc<Permissions>,
    until: Instant,
}

impl Policy {
    pub fn new(
        owner: OwnerRule,
        admins: Vec<Principal>,
        grants: Vec<Grant>,
        audit: bool,
        hide_unreadable: bool,
    ) -> Self {
        Self {
            owner,
            admins,
            grants,
            audit,
            hide_unreadable,
            names: NameService::default(),
            crowded: AtomicBool::new(false),
            answers: RwLock::default(),
        }
    }

    /// Who may enter the mailbox `name`, which its template found for `user` in `domain` (empty if the template
    /// has none) and whose directory belongs to `store_uid`.
    ///
    /// One hash look-up when the answer is known and fresh; otherwise it may wait for the name service.
    pub fn permissions(
        &self,
        name: &str,
        user: &str,
        domain: &str,
        store_uid: u32,
    ) -> Arc<Permissions> {
        self.permissions_at(name, user, domain, store_uid, Instant::now())
    }

    fn permissions_at(
        &self,
        name: &str,
        user: &str,
        domain: &str,
        store_uid: u32,
        now: Instant,
    ) -> Arc<Permissions> {
        // The user and the domain are part of the key: two mailboxes may share a name and never an owner.
        let key = format!("{store_uid}\0{name}\0{user}\0{domain}");
        let known = self
            .answers
            .read()
            .ok()
            .and_then(|answers| answers.get(&key).cloned());
        if let Some(answer) = known.filter(|answer| now < answer.until) {
            return answer.permissions;
        }
        let permissions = Arc::new(self.work_out(name, user, domain, store_uid, now));
        let life = if permissions.settled {
            SETTLED
        } else {
            UNSETTLED
        };
        if let Ok(mut answers) = self.answers.write() {
            if answers.len() >= MAX_CACHED {
                answers.clear();
            }
            let answer = Answer {
                permissions: permissions.clone(),
                until: now + life,
            };
            answers.insert(key, answer);
        }
        permissions
    }

    fn work_out(
        &self,
        name: &str,
        user: &str,
        domain: &str,
        store_uid: u32,
        now: Instant,
    ) -> Permissions {
        let mut settled = true;
        let owner = match &self.owner {
            OwnerRule::Store => Some(store_uid),
            OwnerRule::Template(template) => {
                fill(template, user, domain).and_then(|owner| self.names.owner(&owner, now))
            }
        };
        let uid = owner.unwrap_or_else(|| {
            settled = false;
            NOBODYS_UID
        });

        let granted = self
            .grants
            .iter()
            .filter(|grant| grant.patterns.is_match(name))
            .flat_map(|grant| &grant.to);
        let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for principal in self.admins.iter().chain(granted) {
            match (principal, self.names.id(principal, now)) {
                (Principal::User(_), Some(id)) => users.insert(id),
                (Principal::Group(_), Some(id)) => groups.insert(id),
                (_, None) => std::mem::replace(&mut settled, false),
            };
        }
        // Root passes anyway, and the owner as the owner.
        users.remove(&0);
        users.remove(&uid);

        let only_group = match (users.is_empty(), groups.len()) {
            (true, 1) => groups.first().copied(),
            _ => None,
        };
        let acl = match only_group {
            None if !users.is_empty() || !groups.is_empty() => Some(Acl::new(users, groups)),
            _ => None,
        };
        if acl.as_ref().is_some_and(Acl::is_cut) && !self.crowded.swap(true, Ordering::Relaxed) {
            warn!(
                "more than {} users and groups may enter mailbox {name:?}, and the kernel takes no more: \
                 some of them are refused; grant it to a group instead",
                Acl::MAX_NAMED
            );
        }
        Permissions {
            uid,
            gid: only_group.unwrap_or(NOBODYS_GID),
            group_bits: only_group.is_some(),
            acl,
            settled,
        }
    }

    /// Whether anybody but its owner may enter any mailbox.
    pub fn lets_others_in(&self) -> bool {
        !self.admins.is_empty() || !self.grants.is_empty()
    }

    /// The id of somebody whom the configuration names; `None` if the name does not resolve. May wait for the name
    /// service.
    pub fn id(&self, principal: &Principal) -> Option<u32> {
        self.names.id(principal, Instant::now())
    }

    /// Whether a user can enter a mailbox, by this group or one of those that the name service says he is in, which may be a
    /// minute old.
    pub fn may_enter(&self, uid: u32, gid: u32, permissions: &Permissions) -> bool {
        let groups = || self.names.groups_of(uid, Instant::now());
        permissions.admits(uid, || [gid]) || permissions.admits(uid, groups)
    }

    /// Who asks for a listing: a user and a group, by one of the threads of this machine; 0 if that is not known.
    pub fn asking(&self, uid: u32, gid: u32, thread: u32) -> Asking<'_> {
        Asking {
            policy: self,
            uid,
            gid,
            thread,
            groups: OnceCell::new(),
        }
    }
}

/// Puts a mailbox's user and domain into an owner template; `None` if the template needs what the mailbox lacks.
fn fill(template: &str, user: &str, domain: &str) -> Option<String> {
    let lacks = |placeholder, value: &str| template.contains(placeholder) && value.is_empty();
    if lacks("{user}", user) || lacks("{domain}", domain) {
        return None;
    }
    let mut name = String::with_capacity(template.len() + user.len() + domain.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        name.push_str(before);
        let (value, after) = if let Some(after) = from.strip_prefix("{user}") {
            (user, after)
        } else if let Some(after) = from.strip_prefix("{domain}") {
            (domain, after)
        } else {
            return None;
        };
        name.push_str(value);
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests;
