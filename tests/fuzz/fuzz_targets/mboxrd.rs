//! libFuzzer on `messages::mboxrd`.

#![no_main]

mailtm_fuzz::guided!(messages::mboxrd);
