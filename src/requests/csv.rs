//! Requests as a table for accounting, RFC 4180: a line of headings, then one for each request.
//!
//! No cell is a formula, whatever people have written: what a spreadsheet would take for one has an apostrophe in front.

use super::request::Request;
use crate::time::Zone;

const HEADINGS: [&str; 14] = [
    "id",
    "asked",
    "asked by",
    "mailbox",
    "backup",
    "folder",
    "messages",
    "state",
    "decided",
    "decided by",
    "ended",
    "restored",
    "cost",
    "note",
];

/// A table that is being written.
pub(super) struct Table {
    text: String,
    zone: Zone,
}

impl Table {
    pub fn new(zone: Zone) -> Self {
        let mut table = Self {
            text: String::new(),
            zone,
        };
        table.line(&HEADINGS.map(str::to_owned));
        table
    }

    /// Times are local.
    pub fn add(&mut self, request: &Request) {
        let time = |secs: i64| {
            let local = self.zone.local(secs);
            local.format("%Y-%m-%d %H:%M:%S").to_string()
        };
        let restored = request.report.as_ref().map(|report| report.created);
        let messages = match request.message_count {
            0 => "all".to_owned(),
            count => count.to_string(),
        };
        let cells = [
            request.id.to_string(),
            time(request.asked),
            request.asked_by.clone(),
            request.mailbox.clone(),
            request.date.clone(),
            request.folder.clone().unwrap_or_default(),
            messages,
            request.state.to_string(),
            request.decided.map(time).unwrap_or_default(),
            request.decided_by.clone().unwrap_or_default(),
            request.ended.map(time).unwrap_or_default(),
            restored.map(|count| count.to_string()).unwrap_or_default(),
            request.cost.clone().unwrap_or_default(),
            request.note.clone(),
        ];
        self.line(&cells);
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, cells: &[String]) {
        for (number, cell) in cells.iter().enumerate() {
            if number > 0 {
                self.text.push(',');
            }
            self.text.push_str(&quoted(cell));
        }
        self.text.push_str("\r\n");
    }
}

/// A cell as it stands in the table.
fn quoted(cell: &str) -> String {
    let is_formula = cell.trim_start().starts_with([
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    let defused = match is_formula || cell.starts_with(['\t', '\r', '\n']) {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    };
    match defused.contains([',', '"', '\n', '\r', ';', '\t']) {
        true => format!("\"{}\"", defused.replace('"', "\"\"")),
        false => defused,
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn no_cell_is_a_formula_or_breaks_out() {
        for (cell, stands) in [
            ("plain", "plain"),
            ("80 EUR + VAT", "80 EUR + VAT"),
            ("=1+1", "'=1+1"),
            ("+39", "'+39"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "\"'\t=1\""),
            ("＝1", "'＝1"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n=2", "\"say \"\"hi\"\"\n=2\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
        ] {
            assert_eq!(quoted(cell), stands, "{cell:?}");
        }
    }
}
