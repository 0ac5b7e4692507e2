//! libFuzzer on `messages::headers`.

#![no_main]

mailtm_fuzz::guided!(messages::headers);
