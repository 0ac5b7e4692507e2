//! Requests as text for a terminal.

use super::super::restore::plan_text;
use super::super::terminal::{printable_line as printable, width};
use crate::requests::{Details, Request};
use crate::restore::Plan;
use crate::time::Zone;
use std::fmt::Write as _;

fn time(secs: i64, zone: Zone) -> String {
    zone.local(secs).format("%Y-%m-%d %H:%M").to_string()
}

/// A line for each, in columns.
pub fn table(found: &[Request], zone: Zone) -> String {
    let heads = ["ID", "STATE", "ASKED", "BY", "MAILBOX", "BACKUP", "WHAT"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(found.iter().map(|request| {
        [
            request.id.to_string(),
            request.state.to_string(),
            time(request.asked, zone),
            printable(&request.asked_by),
            printable(&request.mailbox),
            printable(&request.date),
            what(request),
        ]
    }));
    if found.is_empty() {
        return String::new();
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, widest)| {
            let blanks = widest.saturating_sub(width(cell));
            format!("{cell}{}", " ".repeat(blanks))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn what(request: &Request) -> String {
    let folder = request.folder.as_deref().map(printable);
    match (request.message_count, folder) {
        (0, None) => "all".to_owned(),
        (0, Some(folder)) => folder,
        (1, None) => "1 message".to_owned(),
        (1, Some(folder)) => format!("1 message of {folder}"),
        (count, None) => format!("{count} messages"),
        (count, Some(folder)) => format!("{count} messages of {folder}"),
    }
}

/// A request with its history.
pub fn request(details: &Details, zone: Zone) -> String {
    let request = &details.request;
    let mut text = format!("Request {}: {}\n", request.id, request.state);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "  {name:<9} {value}");
        }
    };
    line("Mailbox:", Some(printable(&request.mailbox)));
    let taken = time(request.snapshot_time, zone);
    let backup = format!("{}, taken {taken}", printable(&request.date));
    line("Backup:", Some(backup));
    let expires = request.expires;
    line("Kept:", expires.map(|day| format!("to the end of {day}")));
    line("What:", Some(what(request)));
    line("Into:", request.into.as_deref().map(printable));
    line("Cost:", request.cost.as_deref().map(printable));
    line("Note:", Some(printable(&request.note)));
    text.push_str("History\n");
    for event in &details.events {
        let why = event.why.as_deref().map(printable);
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let (at, to) = (time(event.at, zone), event.to);
        let _ = writeln!(text, "  {at}  {to} by {}{why}", printable(&event.who));
    }
    for letter in &details.letters {
        let fate = match (letter.sent, letter.abandoned) {
            (Some(at), _) => format!("sent {}", time(at, zone)),
            (None, Some(at)) => format!("given up {}", time(at, zone)),
            (None, None) => "waits".to_owned(),
        };
        let trouble = letter.trouble.as_deref().map(printable);
        let trouble = trouble.map_or_else(String::new, |why| format!(": {why}"));
        let (kind, recipient) = (letter.kind.name(), printable(&letter.recipient));
        let _ = writeln!(text, "  letter \"{kind}\" to {recipient}: {fate}{trouble}");
    }
    if let Some(trouble) = &details.trouble {
        let _ = writeln!(text, "  is tried again: {}", printable(trouble));
    }
    if let Some(report) = &request.report {
        let _ = writeln!(
            text,
            "Outcome\n  {} put back, {} already there, {} moved, {} unreadable, {} refused",
            report.created, report.already_there, report.moved, report.unreadable, report.refused
        );
        for unread in report.unread.iter().chain(&report.refusals) {
            let message = unread.message.as_deref().unwrap_or("the whole folder");
            let _ = writeln!(
                text,
                "  {}/{}: {}",
                printable(&unread.folder),
                printable(message),
                printable(&unread.error)
            );
        }
        for loss in &report.losses {
            let _ = writeln!(text, "  not kept: {}", printable(loss));
        }
        if let Some(log) = &report.log {
            let log = log.display();
            let _ = writeln!(text, "  the way back: mailtm restore --undo {log} --apply");
        }
    }
    text
}

/// What would be done.
pub fn plan(plan: &Plan) -> String {
    format!(
        "Plan\n{}Approved, this is done: mailtm requests approve\n",
        plan_text(plan)
    )
}
