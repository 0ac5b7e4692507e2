//! stub
use crate::error::Result;
/// Make a mail store
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}
pub(super) fn run(_: &Arguments) -> Result<std::process::ExitCode> {
    Ok(std::process::ExitCode::SUCCESS)
}
