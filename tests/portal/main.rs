//! The pages in a browser: a real portal, over a real mail store, with a real mail server that knows the passwords.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod attacks;
mod away;
mod browser;
#[allow(dead_code)]
mod chromium;
#[path = "../harness/mod.rs"]
mod harness;
mod hostile;
#[allow(dead_code)]
mod http;
mod killed;
mod mail_server;
mod reading;
mod requests;
mod sessions;
mod watched;
#[allow(dead_code)]
mod world;
