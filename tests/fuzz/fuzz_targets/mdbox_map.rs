//! libFuzzer on `stores::mdbox_map`.

#![no_main]

mailtm_fuzz::guided!(stores::mdbox_map);
