//! libFuzzer on `portal::letter_html`.

#![no_main]

mailtm_fuzz::guided!(portal::letter_html);
