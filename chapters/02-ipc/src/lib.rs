//! How does a process get a private copy of more than one thing, and who else may come in?
//!
//! A flag a resource, and flags combine. Three doors lead into a namespace: `clone3` starts a child
//! in a new one (chapter 1's `spawn`), [`unshare`] puts the caller into a new one, [`join`] into
//! one that is there already.

mod doors;
pub mod objects;

pub use doors::{Target, join, pidfd_open, unshare};
