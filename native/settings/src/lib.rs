//! What all settings have in common: complaints about them, and secrets among them.
//!
//! Options come as plain data, in the words of the configuration. Each set of them has a function
//! `check`, which gives the checked settings or every complaint at once; after that nobody checks
//! again.

#![forbid(unsafe_code)]

mod complaints;
mod file;
mod secret;

pub use complaints::InvalidSettings;
pub use file::whole_file;
pub use secret::{Secret, path_without_secrets, without_secrets};
