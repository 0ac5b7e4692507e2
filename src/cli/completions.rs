//! `mailtm completions`: what makes a shell complete our command lines.

use super::{definition, print};
use crate::error::Result;
use clap::Args;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completions for a shell
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut definition(), "mailtm", &mut script);
    print(script)?;
    Ok(ExitCode::SUCCESS)
}
