//! libFuzzer on `stores::mdbox_index`.

#![no_main]

mailtm_fuzz::guided!(stores::mdbox_index);
