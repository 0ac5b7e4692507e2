//! libFuzzer on `portal::requests`.

#![no_main]

mailtm_fuzz::guided!(portal::requests);
