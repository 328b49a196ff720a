//! What is in a new network namespace, and how does a packet get out of it?
//!
//! One interface, `lo`, and it is down. [`Netlink`] is how the kernel's network is changed: messages
//! over a socket. With its verbs, a [`Cable`] joins two network namespaces.

mod address;
mod cable;
mod link;
mod netlink;
mod sys;

pub use cable::Cable;
pub use link::Link;
pub use netlink::Netlink;
pub use sys::{bind_sys, mount_sys};
