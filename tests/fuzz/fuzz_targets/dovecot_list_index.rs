//! libFuzzer on `stores::dovecot_list_index`.

#![no_main]

mailtm_fuzz::guided!(stores::dovecot_list_index);
