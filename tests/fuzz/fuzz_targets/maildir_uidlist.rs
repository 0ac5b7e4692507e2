//! libFuzzer on `stores::maildir_uidlist`.

#![no_main]

mailtm_fuzz::guided!(stores::maildir_uidlist);
