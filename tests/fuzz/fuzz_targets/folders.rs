//! libFuzzer on `names::folders`.

#![no_main]

mailtm_fuzz::guided!(names::folders);
