//! The command `mailtm`; everything is in the library.

use std::process::ExitCode;

/// Gives memory back to the system when it is not needed any more, which `mailtm::mount` sets up.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    mailtm::cli::main()
}
