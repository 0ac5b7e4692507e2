//! libFuzzer on `names::folder_names`.

#![no_main]

mailtm_fuzz::guided!(names::folder_names);
