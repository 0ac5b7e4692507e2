//! libFuzzer on `stores::mbox_folder`.

#![no_main]

mailtm_fuzz::guided!(stores::mbox_folder);
