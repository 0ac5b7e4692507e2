//! libFuzzer on `index::places`.

#![no_main]

mailtm_fuzz::guided!(index::places);
