//! (to be written)
pub mod name;
