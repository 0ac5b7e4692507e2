//! libFuzzer on `names::names`.

#![no_main]

mailtm_fuzz::guided!(names::names);
