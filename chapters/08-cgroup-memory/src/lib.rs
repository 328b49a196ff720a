//! What happens to a process that wants more memory than it may have?
//!
//! The kernel takes back what it can, and then kills. [`Memory`] is the limit; it must hold before
//! there is a command that it could be late for. [`Usage`] tells what came of it.

mod limit;
mod size;
mod usage;

pub use limit::Memory;
pub use size::{in_words, seconds, size};
pub use usage::Usage;
