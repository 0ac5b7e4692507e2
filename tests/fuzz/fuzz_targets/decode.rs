//! libFuzzer on `encodings::decode`.

#![no_main]

mailtm_fuzz::guided!(encodings::decode);
