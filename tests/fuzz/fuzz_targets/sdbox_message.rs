//! libFuzzer on `stores::sdbox_message`.

#![no_main]

mailtm_fuzz::guided!(stores::sdbox_message);
