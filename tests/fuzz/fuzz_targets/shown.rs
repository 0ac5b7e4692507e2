//! libFuzzer on `tree::shown`.

#![no_main]

mailtm_fuzz::guided!(tree::shown);
