//! libFuzzer on `settings::snapshot_names`.

#![no_main]

mailtm_fuzz::guided!(settings::snapshot_names);
