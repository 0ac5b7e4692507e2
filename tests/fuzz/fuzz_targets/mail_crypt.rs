//! libFuzzer on `encodings::mail_crypt`.

#![no_main]

mailtm_fuzz::guided!(encodings::mail_crypt);
