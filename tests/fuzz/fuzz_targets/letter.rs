//! libFuzzer on `portal::letter`.

#![no_main]

mailtm_fuzz::guided!(portal::letter);
