//! libFuzzer on `messages::facts`.

#![no_main]

mailtm_fuzz::guided!(messages::facts);
