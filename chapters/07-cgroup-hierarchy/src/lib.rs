//! What is a cgroup, and what ties it to processes, subsystems and hierarchies?
//!
//! A cgroup is a folder; a hierarchy is a tree of them, mounted; subsystems are attached to a
//! hierarchy, and processes are in its cgroups. [`view`] shows all four on this machine.

mod cgroup;
mod group;
mod keeper;
pub mod rules;
pub mod view;

pub use cgroup::Cgroup;
pub use group::{Group, hierarchy_of, is_not_given};
pub use keeper::Keeper;
