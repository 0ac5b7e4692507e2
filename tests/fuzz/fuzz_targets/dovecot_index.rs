//! libFuzzer on `stores::dovecot_index`.

#![no_main]

mailtm_fuzz::guided!(stores::dovecot_index);
