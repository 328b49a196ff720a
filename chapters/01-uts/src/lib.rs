//! How does a process get a host name of its own?
//!
//! It asks for a new UTS namespace when it starts a child: one flag of `clone3(2)`. Starting that
//! child well is most of this chapter. [`spawn`] and [`Child::wait`] are how every later chapter
//! starts its container.

mod child;
mod exec;
mod hostname;
mod terminal;

pub use child::{Child, FORWARDED, is_forwarded, reap, spawn, spawn_into};
pub use exec::{exec, exec_with};
pub use hostname::{hostname, set_hostname};
pub use terminal::is_foreground;
