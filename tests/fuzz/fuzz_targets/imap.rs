//! libFuzzer on `restore::imap`.

#![no_main]

mailtm_fuzz::guided!(restore::imap);
