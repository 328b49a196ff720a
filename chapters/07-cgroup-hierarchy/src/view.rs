//! The four words on this machine: task, cgroup, subsystem, hierarchy.
//!
//! The subsystems and where each is attached ([`subsystems`]), the cgroups of a hierarchy as a tree
//! ([`Branch`]) that can be drawn ([`svg`]), and a process's place in each hierarchy ([`places`]).
//! All of it is read from files: `cgroups(7)`.

mod drawn;
mod picture;
mod place;
mod subsystems;
mod tree;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use ch00_ground::cgroup::{self, Hierarchy};
use ch00_ground::refusal::{Refusal, Refused};
use ch00_ground::{files, mountinfo};

pub use drawn::Drawn;
pub use picture::{save, svg};
pub use place::{Place, places};
pub use subsystems::{Attached, subsystems};
pub use tree::{Branch, find};

/// The hierarchies that are mounted here, each v2 one with all of its controllers: those that its
/// root has.
///
/// # Errors
///
/// ENOENT when there is no `/proc`; what `read(2)` answers.
pub fn mounted() -> Result<Vec<Hierarchy>> {
    let mounts = mountinfo::read_of(&["cgroup", "cgroup2"])?;
    let mut hierarchies = cgroup::hierarchies(&mounts)?;
    for hierarchy in hierarchies.iter_mut().filter(|hierarchy| hierarchy.version == 2) {
        // None where another file system is mounted on it.
        hierarchy.controllers = read_words(&hierarchy.mounted_at.join("cgroup.controllers"))?;
    }
    Ok(hierarchies)
}

/// The same, where there must be one.
///
/// # Errors
///
/// As for [`mounted`]; and when there is none.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    let hierarchies = mounted()?;
    if hierarchies.is_empty() {
        let refusal = Refusal::ours("no cgroup file system is mounted here".into());
        let help = "mount one: sudo mount -t cgroup2 none /sys/fs/cgroup";
        return Err(refusal.with_help(help).into());
    }
    Ok(hierarchies)
}

/// What a hierarchy is called: its controllers, or else its name, or else `cgroup2`.
pub fn word(hierarchy: &Hierarchy) -> String {
    match &hierarchy.name {
        _ if !hierarchy.controllers.is_empty() => hierarchy.controllers.join(","),
        Some(name) => format!("name={name}"),
        None => "cgroup2".to_owned(),
    }
}

/// Whoever may make a cgroup or a process may put anything into its name, even what a terminal
/// takes for a command, or what XML forbids.
pub fn printable(name: impl AsRef<OsStr>) -> String {
    let is_odd = |c: char| c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c);
    name.as_ref().to_string_lossy().replace(is_odd, "?")
}

/// The words of a file; none where it cannot be read.
pub(crate) fn words(path: &Path) -> Vec<String> {
    read_words(path).unwrap_or_default()
}

/// The words of a file; none where there is no such file.
fn read_words(path: &Path) -> Result<Vec<String>> {
    let text = match files::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        answer => answer.refused(|| format!("read({path:?})"), &[])?,
    };
    Ok(text.split_whitespace().map(ToOwned::to_owned).collect())
}
