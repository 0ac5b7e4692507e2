//! The command `mailtm`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailtm::cli::main()
}
