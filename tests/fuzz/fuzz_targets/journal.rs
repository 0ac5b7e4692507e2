//! libFuzzer on `restore::journal`.

#![no_main]

mailtm_fuzz::guided!(restore::journal);
