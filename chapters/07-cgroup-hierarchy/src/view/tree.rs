//! A hierarchy is a tree of folders, and each folder of it is a cgroup.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use ch00_ground::cgroup::Hierarchy;
use ch00_ground::refusal::{Refusal, Refused};
use nix::errno::Errno;

use super::{word, words};

const NO_CGROUP: &str =
    "a cgroup is a folder of its hierarchy; `ch07-cgroup-hierarchy lscgroup` lists them all";

/// The hierarchies, and the cgroups in them, that `specs` name; each hierarchy from its root where
/// there are none.
///
/// # Errors
///
/// When no hierarchy here has the controllers, or the path leads out of what is mounted of it.
pub fn find<'a>(
    specs: &[String],
    hierarchies: &'a [Hierarchy],
) -> Result<Vec<(&'a Hierarchy, PathBuf)>> {
    if specs.is_empty() {
        let from_root = |hierarchy: &'a Hierarchy| (hierarchy, hierarchy.mounted.clone());
        return Ok(hierarchies.iter().map(from_root).collect());
    }
    specs.iter().map(|spec| find_one(spec, hierarchies)).collect()
}

/// `memory:/a/b`, or only `cpu,cpuacct`, which must be together; `name=x` and `cgroup2` are words for
/// hierarchies, too.
fn find_one<'a>(spec: &str, hierarchies: &'a [Hierarchy]) -> Result<(&'a Hierarchy, PathBuf)> {
    let (list, path) = spec.split_once(':').unwrap_or((spec, ""));
    let has = |hierarchy: &Hierarchy, word: &str| {
        hierarchy.controllers.iter().any(|controller| controller == word)
            || hierarchy
                .name
                .as_deref()
                .is_some_and(|name| word.strip_prefix("name=") == Some(name))
            || (hierarchy.version == 2 && word == "cgroup2")
    };
    let found =
        hierarchies.iter().find(|hierarchy| list.split(',').all(|word| has(hierarchy, word)));
    let Some(hierarchy) = found else {
        let refusal = Refusal::ours(format!("no hierarchy that is mounted here has {list:?}"));
        let help = "`ch07-cgroup-hierarchy lssubsys -am` lists the subsystems, and the hierarchies that have them";
        return Err(refusal.with_help(help).into());
    };
    let path = if path.is_empty() { hierarchy.mounted.clone() } else { Path::new("/").join(path) };
    // `..` would lead to another hierarchy, or to what is no cgroup at all.
    let leads_out = path.components().any(|part| part == Component::ParentDir);
    if path != hierarchy.mounted && (leads_out || !path.starts_with(&hierarchy.mounted)) {
        let refusal = Refusal::ours(format!("{path:?} leads out of {:?}", hierarchy.mounted_at));
        return Err(refusal.with_help(NO_CGROUP).into());
    }
    Ok((hierarchy, path.components().collect()))
}

/// A cgroup, with everything below.
#[derive(Debug, Default)]
pub struct Branch {
    /// Its path from the hierarchy's root.
    pub path: PathBuf,
    /// v2: the controllers that it has. v1 has them on the hierarchy.
    pub controllers: Vec<String>,
    /// The processes in it, and not below, or the threads; none if it may not be read. What is
    /// outside of your PID namespace is 0 in v2, and missing in v1.
    pub processes: Option<Vec<u32>>,
    /// v2: whether it holds single threads, so that `cgroup.procs` cannot be read.
    pub threaded: bool,
    /// The cgroups below, by name.
    pub children: Vec<Branch>,
    /// Those below that [`Drawn`](super::Drawn) leaves out: how many cgroups, and how many processes in them.
    pub folded: (usize, usize),
}

impl Branch {
    /// The cgroup at `path`, from the hierarchy's root. What disappears meanwhile is not in it.
    ///
    /// # Errors
    ///
    /// ENOENT and ENOTDIR when `path` is no cgroup.
    pub fn read(hierarchy: &Hierarchy, path: &Path) -> Result<Branch> {
        let folder = hierarchy.folder(path);
        let help = &[(Errno::ENOENT, NO_CGROUP), (Errno::ENOTDIR, NO_CGROUP)];
        read(&folder, path.to_owned()).refused(|| format!("open({folder:?})"), help).with_context(
            || format!("cannot read cgroup {} of {}", path.display(), word(hierarchy)),
        )
    }

    /// How many cgroups there are, and how many processes in them, itself and below.
    pub fn count(&self) -> (usize, usize) {
        let own = (1, self.processes.as_ref().map_or(0, Vec::len));
        self.children.iter().map(Branch::count).chain([self.folded]).fold(own, sum)
    }

    /// This cgroup and all below, the upper one first.
    pub fn all(&self) -> Vec<&Branch> {
        let below = self.children.iter().flat_map(Branch::all);
        std::iter::once(self).chain(below).collect()
    }
}

pub(super) fn sum(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0 + other.0, one.1 + other.1)
}

fn read(folder: &Path, path: PathBuf) -> io::Result<Branch> {
    let is_gone = |error: &io::Error| {
        error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Ok(Branch { path, ..Branch::default() });
        }
        entries => entries?,
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            match read(&entry.path(), path.join(entry.file_name())) {
                Err(error) if is_gone(&error) => {}
                child => children.push(child?),
            }
        }
    }
    children.sort_by(|one, other| one.path.cmp(&other.path));
    let controllers = words(&folder.join("cgroup.controllers"));
    let mut ids = fs::read_to_string(folder.join("cgroup.procs"));
    // Its processes are those of the cgroup above where its subtree begins; what is here is threads.
    let threaded = matches!(&ids, Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP));
    if threaded {
        ids = fs::read_to_string(folder.join("cgroup.threads"));
    }
    let processes = match ids {
        Err(error) if is_gone(&error) => return Err(error),
        ids => ids.ok().map(|ids| pids(&ids)),
    };
    Ok(Branch { path, controllers, processes, threaded, children, folded: (0, 0) })
}

/// v1's list may be without order, and name one twice.
fn pids(text: &str) -> Vec<u32> {
    let mut pids: Vec<u32> = text.lines().filter_map(|pid| pid.parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup_by(|one, other| one == other && *one != 0);
    pids
}
