//! `mailtm check`: what is wrong with the configuration.

use super::{WRONG_USAGE, print, use_source};
use crate::config::{self, Mistake};
use crate::error::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say what would be shown, to whom, and every mistake in the configuration; mount nothing
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read every message
    #[arg(long)]
    deep: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Directory of snapshots, or a live directory that has one
    #[arg(value_name = "SOURCE")]
    source: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (mut config, mistakes) = config::examine(arguments.config.as_deref())?;
    use_source(&mut config, arguments.source.as_deref())?;
    if !mistakes.is_empty() {
        print(report(&mistakes, arguments.json))?;
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    config.require_snapshots()?;
    print(report(&mistakes, arguments.json))?;
    Ok(ExitCode::SUCCESS)
}

fn report(mistakes: &[Mistake], json: bool) -> String {
    if json {
        let each: Vec<String> = mistakes.iter().map(as_json).collect();
        return format!("{{\"mistakes\":[{}]}}\n", each.join(","));
    }
    if mistakes.is_empty() {
        return "configuration: no mistakes\n".to_owned();
    }
    mistakes
        .iter()
        .map(|mistake| format!("{mistake}\n"))
        .collect()
}

fn as_json(mistake: &Mistake) -> String {
    let string = |text: &str| {
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '"' | '\\' => format!("\\{c}"),
                c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        format!("\"{escaped}\"")
    };
    format!(
        "{{\"file\":{},\"line\":{},\"message\":{}}}",
        string(&mistake.file.to_string_lossy()),
        mistake.line,
        string(&mistake.message)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_as_text_and_as_json() {
        let mistake = Mistake {
            file: "/x.toml".into(),
            line: 3,
            message: "unknown key \"a\tb\"".to_owned(),
        };
        let mistakes = [mistake];
        assert_eq!(
            report(&mistakes, false),
            "/x.toml:3: unknown key \"a\tb\"\n"
        );
        assert_eq!(
            report(&mistakes, true),
            "{\"mistakes\":[{\"file\":\"/x.toml\",\"line\":3,\"message\":\"unknown key \\\"a\\u0009b\\\"\"}]}\n"
        );
    }
}
