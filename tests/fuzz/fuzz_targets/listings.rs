//! libFuzzer on `index::listings`.

#![no_main]

mailtm_fuzz::guided!(index::listings);
