//! Over what is root root?
//!
//! Over what its user namespace owns. Which ids are in that namespace its [`Maps`] say, and those
//! are written from outside while the first process in it waits at a [`Gate`]. What the root of a
//! user namespace can and cannot do is [tried](powers::attempt_all), not listed; and an
//! [id-mapped](idmap) mount gives it a root file system whose files are its own.

mod gate;
mod idmap;
mod maps;
pub mod powers;
mod privileges;

pub use gate::Gate;
pub use idmap::idmap;
pub use maps::{Maps, Range};
pub use privileges::{USUAL, become_user, give_pipes, keep_only, leave_keyring, no_new_privileges};
