//! (to be written)
pub mod decode;
pub mod folder_name;
