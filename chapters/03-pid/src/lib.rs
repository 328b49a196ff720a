//! Who may enter a PID namespace, and what does the first one in it owe the others?
//!
//! Only children enter. The first of them is PID 1, and [`become_init`] does its duties. A time
//! namespace is entered the same way, and its clocks are set before anybody is in it
//! ([`unshare_time`]). The command of an init can have a session of its own, and a [`Terminal`].

mod init;
mod terminal;
mod time;

pub use init::become_init;
pub use terminal::{Terminal, leave_session};
pub use time::{Offsets, since_boot, unshare_time};
