//! libFuzzer on `settings::about_text`.

#![no_main]

mailtm_fuzz::guided!(settings::about_text);
