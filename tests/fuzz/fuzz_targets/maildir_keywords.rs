//! libFuzzer on `stores::maildir_keywords`.

#![no_main]

mailtm_fuzz::guided!(stores::maildir_keywords);
