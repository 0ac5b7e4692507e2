//! Who gets into which mailbox, by the same policy that a mount reports to the kernel.
//!
//! Names are looked up through the name service, which may be slow: owners worked out of mailbox names are looked up as
//! long as a quick look may take, and what was not looked up is said.

use super::contents::{QUICK, spread};
use super::findings::{EXAMPLES, Findings, Sample};
use super::words::{list, number, things};
use crate::access::{Grant, OwnerRule, Permissions, Policy, group_name, user_name};
use crate::cli::terminal::printable;
use crate::config::Config;
use crate::view::mailbox::{Mailbox, Mailboxes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// So few mailboxes are told of one by one.
const FEW: usize = 20;

#[derive(Debug, Default, Serialize)]
pub struct Access {
    /// As configured.
    pub owner: String,
    pub admins: Vec<String>,
    /// Admins and those in grants.
    pub unresolved: Vec<String>,
    pub grants: Vec<GrantFacts>,
    /// How many were looked into.
    pub mailboxes: usize,
    pub owners_unresolved: Sample,
    /// Those that nobody but root and the admins can enter.
    pub only_admins: Sample,
    pub shared_owners: Vec<SharedOwner>,
    /// Of each mailbox, if there are few.
    pub entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
pub struct GrantFacts {
    pub patterns: Vec<Pattern>,
    pub to: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Pattern {
    pub pattern: String,
    /// How many it matches.
    pub mailboxes: u64,
}

/// A user who owns more than one mailbox.
#[derive(Debug, Serialize)]
pub struct SharedOwner {
    pub uid: u32,
    pub name: String,
    pub count: u64,
}

#[derive(Debug, Serialize)]
pub struct Entry {
    pub mailbox: String,
    /// None: nobody.
    pub owner: Option<String>,
    /// Those with a right of their own, admins included.
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

pub fn facts(config: &Config, mailboxes: &Mailboxes, findings: &mut Findings) -> Access {
    let policy = config.policy();
    let grants = &config.access.grants;
    let mut access = Access {
        owner: match &config.access.owner {
            OwnerRule::Store => "store".to_owned(),
            OwnerRule::Template(template) => printable(template),
        },
        admins: config
            .access
            .admins
            .iter()
            .map(|p| printable(&p.to_string()))
            .collect(),
        unresolved: unresolved(config, &policy),
        grants: grants
            .iter()
            .map(|grant| matches(grant, mailboxes))
            .collect(),
        ..Access::default()
    };
    if !access.unresolved.is_empty() {
        findings.warn(format!(
            "no such user or group: {}: correct admins and grants under [access], or see whether the name service \
             knows them (getent)",
            list(access.unresolved.iter().map(String::as_str), EXAMPLES)
        ));
    }
    for pattern in access.grants.iter().flat_map(|grant| &grant.patterns) {
        if pattern.mailboxes == 0 && mailboxes.iter().len() > 0 {
            findings.warn(format!(
                "the grant to {:?} matches no mailbox: correct the pattern in [[access.grant]], or leave it out",
                pattern.pattern
            ));
        }
    }
    let effective: Vec<&Grant> = grants
        .iter()
        .filter(|grant| grant.to().iter().any(|to| policy.id(to).is_some()))
        .collect();
    let mut owners = Owners::default();
    let end = Instant::now() + QUICK;
    for position in spread(mailboxes.iter().len()) {
        let Some(mailbox) = mailboxes.get(position).filter(|_| Instant::now() < end) else {
            break;
        };
        access.mailboxes += 1;
        let permissions = policy.permissions(
            &mailbox.name,
            &mailbox.user,
            mailbox.domain.as_deref().unwrap_or_default(),
            mailbox.uid,
        );
        if !permissions.has_owner() {
            access.owners_unresolved.add(1, &mailbox.name);
        }
        if permissions.has_owner() && permissions.uid != 0 {
            owners.add(permissions.uid, mailbox);
        } else if !effective
            .iter()
            .any(|g| !g.matching(&mailbox.name).is_empty())
        {
            access.only_admins.add(1, &mailbox.name);
        }
        if mailboxes.iter().len() <= FEW {
            access.entries.push(entry(mailbox, &permissions));
        }
    }
    access.entries.sort_by(|a, b| a.mailbox.cmp(&b.mailbox));
    for sample in [&mut access.owners_unresolved, &mut access.only_admins] {
        sample.examples.sort();
    }
    judge_owners(config, &access, findings);
    access.shared_owners = owners.judge(config, findings);
    access
}

/// Names in the configuration that do not resolve.
fn unresolved(config: &Config, policy: &Policy) -> Vec<String> {
    let granted = config.access.grants.iter().flat_map(Grant::to);
    let names: BTreeSet<String> = config
        .access
        .admins
        .iter()
        .chain(granted)
        .filter(|principal| policy.id(principal).is_none())
        .map(|principal| printable(&principal.to_string()))
        .collect();
    names.into_iter().collect()
}

fn matches(grant: &Grant, mailboxes: &Mailboxes) -> GrantFacts {
    let mut counts = vec![0; grant.patterns().len()];
    for position in mailboxes.iter().flat_map(|m| grant.matching(&m.name)) {
        if let Some(count) = counts.get_mut(position) {
            *count += 1;
        }
    }
    let pattern = |(pattern, mailboxes): (&String, u64)| Pattern {
        pattern: printable(pattern),
        mailboxes,
    };
    GrantFacts {
        patterns: grant.patterns().iter().zip(counts).map(pattern).collect(),
        to: grant
            .to()
            .iter()
            .map(|to| printable(&to.to_string()))
            .collect(),
    }
}

fn entry(mailbox: &Mailbox, permissions: &Permissions) -> Entry {
    let names = |ids: Option<&BTreeSet<u32>>, name: fn(u32) -> String| -> Vec<String> {
        ids.into_iter()
            .flatten()
            .map(|id| printable(&name(*id)))
            .collect()
    };
    let acl = permissions.acl.as_ref();
    let mut groups = names(acl.map(|acl| acl.groups()), group_name);
    if permissions.group_bits {
        groups.push(printable(&group_name(permissions.gid)));
    }
    Entry {
        mailbox: mailbox.name.clone(),
        owner: permissions
            .has_owner()
            .then(|| printable(&user_name(permissions.uid))),
        users: names(acl.map(|acl| acl.users()), user_name),
        groups,
    }
}

/// Says what is wrong with mailboxes that have no owner.
fn judge_owners(config: &Config, access: &Access, findings: &mut Findings) {
    let nobodys = &access.owners_unresolved;
    if nobodys.count > 0 {
        findings.warn(format!(
            "the owner of {} of {} does not resolve, and only admins and grants get in ({}): \
             correct owner = \"{}\" under [access], or see whether the name service knows them (getent passwd)",
            number(nobodys.count),
            things(access.mailboxes as u64, "mailbox"),
            list(nobodys.examples.iter().map(String::as_str), EXAMPLES),
            access.owner
        ));
    }
    let closed = &access.only_admins;
    if closed.count > 0 && config.access.owner == OwnerRule::Store {
        findings.warn(format!(
            "nobody but root and the admins gets into {} that root owns ({}): \
             set owner = \"{{user}}\" under [access]",
            things(closed.count, "mailbox"),
            list(closed.examples.iter().map(String::as_str), EXAMPLES)
        ));
    }
}

/// How many mailboxes each uid owns.
#[derive(Default)]
struct Owners<'a>(BTreeMap<u32, Owned<'a>>);

struct Owned<'a> {
    first: &'a Mailbox,
    count: u64,
    /// Whether the mailboxes are of users with different names.
    several_users: bool,
    several_domains: bool,
}

impl<'a> Owners<'a> {
    fn add(&mut self, uid: u32, mailbox: &'a Mailbox) {
        let owned = self.0.entry(uid).or_insert(Owned {
            first: mailbox,
            count: 0,
            several_users: false,
            several_domains: false,
        });
        owned.count += 1;
        owned.several_users |= owned.first.user != mailbox.user;
        owned.several_domains |= owned.first.domain != mailbox.domain;
    }

    /// Those who own more than one, the largest first; says where that cannot be meant.
    fn judge(self, config: &Config, findings: &mut Findings) -> Vec<SharedOwner> {
        let mut shared = Vec::new();
        for (uid, owned) in self.0.into_iter().filter(|(_, owned)| owned.count > 1) {
            let name = printable(&user_name(uid));
            let whose = if name == uid.to_string() {
                format!("uid {uid}")
            } else {
                format!("uid {uid} ({name})")
            };
            let count = number(owned.count);
            match &config.access.owner {
                OwnerRule::Store if owned.several_users => {
                    let cure = if owned.several_domains {
                        "{user}@{domain}"
                    } else {
                        "{user}"
                    };
                    findings.warn(format!(
                        "{count} mailboxes belong to {whose}: only that user, admins and grants get in: \
                         set owner = \"{cure}\" under [access] if each is to be its own user's"
                    ));
                }
                OwnerRule::Template(template)
                    if !template.contains("{domain}") && owned.several_domains =>
                {
                    findings.warn(format!(
                        "{count} mailboxes of several domains belong to the one user {name}, as owner = {template:?} says: \
                         set owner = \"{{user}}@{{domain}}\" under [access] if they are different people's"
                    ));
                }
                _ => {}
            }
            shared.push(SharedOwner {
                uid,
                name,
                count: owned.count,
            });
        }
        shared.sort_by_key(|owner| std::cmp::Reverse(owner.count));
        shared
    }
}
