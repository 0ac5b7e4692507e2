//! libFuzzer on `index::search_words`.

#![no_main]

mailtm_fuzz::guided!(index::search_words);
