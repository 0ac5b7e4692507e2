//! libFuzzer on `stores::mdbox_folder`.

#![no_main]

mailtm_fuzz::guided!(stores::mdbox_folder);
