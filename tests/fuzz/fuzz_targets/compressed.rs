//! libFuzzer on `encodings::compressed`.

#![no_main]

mailtm_fuzz::guided!(encodings::compressed);
