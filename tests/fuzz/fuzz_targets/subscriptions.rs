//! libFuzzer on `restore::subscriptions`.

#![no_main]

mailtm_fuzz::guided!(restore::subscriptions);
