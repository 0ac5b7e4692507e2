//! libFuzzer on `stores::maildir_names`.

#![no_main]

mailtm_fuzz::guided!(stores::maildir_names);
