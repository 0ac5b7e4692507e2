//! libFuzzer on `settings::snapper_info`.

#![no_main]

mailtm_fuzz::guided!(settings::snapper_info);
