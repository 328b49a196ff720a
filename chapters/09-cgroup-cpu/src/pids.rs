//! How many processes: kernel document "Process Number Controller".

use anyhow::Result;
use ch07_cgroup_hierarchy::Group;

/// How many processes, or rather threads, a group may have at a time.
#[derive(Clone, Copy)]
pub struct Pids {
    /// One more, and `fork(2)` says EAGAIN.
    pub max: u64,
}

impl Pids {
    /// Holds `group` to it.
    ///
    /// # Errors
    ///
    /// Those of [`ch07_cgroup_hierarchy::Cgroup::write`].
    pub fn limit(&self, group: &Group) -> Result<()> {
        group.of("pids")?.write("pids.max", &self.max.to_string())
    }
}

/// A number of processes.
///
/// # Errors
///
/// In words, for the command line.
pub fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..=4_194_304) => Ok(count),
        _ => Err("it is a whole number from 1 to 4194304, which is all that Linux can have".into()),
    }
}
