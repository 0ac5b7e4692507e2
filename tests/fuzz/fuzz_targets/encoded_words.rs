//! libFuzzer on `messages::encoded_words`.

#![no_main]

mailtm_fuzz::guided!(messages::encoded_words);
