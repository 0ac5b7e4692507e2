//! libFuzzer on `settings::configuration`.

#![no_main]

mailtm_fuzz::guided!(settings::configuration);
