//! libFuzzer on `stores::cyrus_header`.

#![no_main]

mailtm_fuzz::guided!(stores::cyrus_header);
