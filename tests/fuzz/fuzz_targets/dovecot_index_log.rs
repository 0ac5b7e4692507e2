//! libFuzzer on `stores::dovecot_index_log`.

#![no_main]

mailtm_fuzz::guided!(stores::dovecot_index_log);
