//! libFuzzer on `stores::mdbox_messages`.

#![no_main]

mailtm_fuzz::guided!(stores::mdbox_messages);
