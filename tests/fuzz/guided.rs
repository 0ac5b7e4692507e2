//! The targets as libFuzzer runs them, guided by the code that each input makes run.
//!
//! One program for each target, in `fuzz_targets/`. `scripts/fuzz` builds and runs them with stable Rust and a C++ compiler;
//! `cargo fuzz run TARGET --fuzz-dir tests/fuzz` does too, with a nightly compiler or with `--sanitizer none`.

pub mod targets;

pub use libfuzzer_sys;

/// The program of a target: `guided!(module::target)`.
#[macro_export]
macro_rules! guided {
    ($module:ident::$target:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::begin(), |input: &[u8]| {
            $crate::targets::check($crate::targets::$module::$target, input);
        });
    };
}

/// Before the first input: libFuzzer's binding ends the process at every panic, also at one of a library that mailtm contains;
/// one that comes out of the target is enough for it.
pub fn begin() {
    drop(std::panic::take_hook());
}
