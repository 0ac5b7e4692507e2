//! libFuzzer on `messages::searchable`.

#![no_main]

mailtm_fuzz::guided!(messages::searchable);
