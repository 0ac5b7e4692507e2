//! libFuzzer on `stores::cyrus_index`.

#![no_main]

mailtm_fuzz::guided!(stores::cyrus_index);
