//! libFuzzer on `encodings::private_keys`.

#![no_main]

mailtm_fuzz::guided!(encodings::private_keys);
