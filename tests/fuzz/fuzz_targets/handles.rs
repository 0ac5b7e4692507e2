//! libFuzzer on `tree::handles`.

#![no_main]

mailtm_fuzz::guided!(tree::handles);
