//! The pages in a browser: a real portal, over a real mail store, with a real mail server that knows the passwords.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod browser;
#[allow(dead_code)]
mod chromium;
#[path = "../harness/mod.rs"]
mod harness;
#[allow(dead_code)]
mod http;
mod reading;
mod requests;
mod sessions;
#[allow(dead_code)]
mod world;
