//! libFuzzer on `stores::mdbox_map_index`.

#![no_main]

mailtm_fuzz::guided!(stores::mdbox_map_index);
