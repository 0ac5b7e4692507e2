//! libFuzzer on `settings::filled_text`.

#![no_main]

mailtm_fuzz::guided!(settings::filled_text);
