//! (to be written)

pub mod about;
