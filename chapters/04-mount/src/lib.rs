//! Whose files does a process see, and how does it get a root of its own?
//!
//! A mount namespace is a tree of mounts. What is mounted in one shows in another as long as they
//! are peers, so first of all the tree is [made private](make_private). Then a new one is put
//! together: each mount is first a [`Tree`] that hangs nowhere, gets its restrictions, and is then
//! attached at a place below the new [`Root`] and never outside of it. At the end
//! [`Root::pivot`] makes that root the only one.

mod calls;
mod descriptors;
mod dev;
mod escape;
mod overlay;
mod propagation;
mod root;
mod tree;
mod volume;

pub use descriptors::{close_inherited, let_go};
pub use escape::escape;
pub use overlay::{Claim, Layer};
pub use propagation::{Stage, make_private};
pub use root::{Root, reset_umask, work_in};
pub use tree::{Attribute, Tree};
pub use volume::{Bound, Volume};
