//! The command `mailtm`; everything is in the library.

use std::process::ExitCode;

/// Gives memory back to the system some seconds after it was needed: the first listing of a folder takes many times what
/// is kept of it. Without a thread of its own for that, which would have the rights that the daemon gives up.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    mailtm::cli::main()
}
