//! libFuzzer on `settings::templates`.

#![no_main]

mailtm_fuzz::guided!(settings::templates);
