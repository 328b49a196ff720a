//! Where a process is: `/proc/PID/cgroup`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ch00_ground::cgroup::Hierarchy;
use ch00_ground::refusal::Refused;
use nix::errno::Errno;

use super::words;

/// A process's place in one hierarchy.
pub struct Place<'a> {
    /// The hierarchy.
    pub hierarchy: &'a Hierarchy,
    /// The cgroup in it, from its root.
    pub cgroup: PathBuf,
    /// Its folder. None if it cannot be seen from here: it is outside of your cgroup namespace or of
    /// what is mounted, or it is removed and a zombie is still in it.
    pub folder: Option<PathBuf>,
    /// The controllers there. v1: those of the hierarchy. v2: those that every cgroup above has
    /// enabled for its children.
    pub controllers: Vec<String>,
    /// The limits that bind it, its own first and then those of the cgroups above: the cgroup, the
    /// file, what is in it.
    pub limits: Vec<(PathBuf, String, String)>,
}

/// The place of process `pid` in each of `hierarchies`.
///
/// # Errors
///
/// ENOENT, or ESRCH while it is going, when there is no such process.
pub fn places(pid: u32, hierarchies: &[Hierarchy]) -> Result<Vec<Place<'_>>> {
    const GONE: &str = "it has ended, or never was; ps -e lists those that are there";
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path)
        .refused(|| format!("open({path:?})"), &[(Errno::ENOENT, GONE), (Errno::ESRCH, GONE)])
        .with_context(|| format!("cannot tell the cgroups of process {pid}"))?;
    let place = |hierarchy| Some(place(hierarchy, line(&text, hierarchy)?));
    Ok(hierarchies.iter().filter_map(place).collect())
}

/// The cgroup on the line of `hierarchy`: the one numbered 0 for v2, else the one with its list.
fn line(text: &str, hierarchy: &Hierarchy) -> Option<PathBuf> {
    let name = hierarchy.name.iter().map(|name| format!("name={name}"));
    let list = hierarchy.controllers.iter().cloned().chain(name).collect::<Vec<_>>().join(",");
    text.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (attached, cgroup) = rest.split_once(':')?;
        let is_it = if hierarchy.version == 2 { number == "0" } else { attached == list };
        is_it.then(|| cgroup.into())
    })
}

fn place(hierarchy: &Hierarchy, cgroup: PathBuf) -> Place<'_> {
    // `/..` is what is above the root of the reader's cgroup namespace.
    let is_below = cgroup.starts_with(&hierarchy.mounted) && !cgroup.starts_with("/..");
    let folder: PathBuf = hierarchy.folder(&cgroup).components().collect();
    let folder = (is_below && folder.is_dir()).then_some(folder);
    let (mut controllers, mut limits) = (hierarchy.controllers.clone(), Vec::new());
    if let Some(folder) = &folder {
        if hierarchy.version == 2 {
            controllers = words(&folder.join("cgroup.controllers"));
        }
        let visible = cgroup.ancestors().filter(|above| above.starts_with(&hierarchy.mounted));
        limits.extend(visible.flat_map(|above| limits_of(&hierarchy.folder(above), above)));
    }
    Place { hierarchy, cgroup, folder, controllers, limits }
}

/// How the files with limits end, in v1 and v2. A weight, or a protection as `memory.low`, is none.
const LIMITS: [&str; 6] =
    [".max", ".high", ".limit_in_bytes", ".cfs_quota_us", "_bps_device", "_iops_device"];

/// Those of its limits that are not the same as no limit.
fn limits_of(folder: &Path, cgroup: &Path) -> Vec<(PathBuf, String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut limits: Vec<_> = names
        .filter(|name| LIMITS.iter().any(|end| name.ends_with(end)))
        .filter_map(|name| {
            let text = fs::read_to_string(folder.join(&name)).ok()?;
            let limits: Vec<_> = text.lines().filter(|line| is_limit(line)).collect();
            (!limits.is_empty()).then(|| (cgroup.to_owned(), name, limits.join(", ")))
        })
        .collect();
    limits.sort();
    limits
}

/// `50000 100000`, `8:16 rbps=1048576 wbps=max`, but not `max 100000`, `-1`, or v1's memory without
/// a limit: the greatest whole number of pages.
fn is_limit(line: &str) -> bool {
    let is_none = |word: &str| {
        word.ends_with("max") || word == "-1" || word.parse::<u64>().is_ok_and(|n| n >= 1 << 62)
    };
    let mut words = line.split_whitespace();
    let Some(first) = words.next() else { return false };
    let rest: Vec<_> = words.collect();
    !is_none(first) && (rest.is_empty() || !rest.into_iter().all(is_none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_limit() {
        for line in ["1048576", "0", "50000 100000", "8:16 rbps=1048576 wbps=max", "sev 10"] {
            assert!(is_limit(line), "{line}");
        }
        for line in ["max", "max 100000", "-1", "9223372036854771712", "", "mlx4_0 hca=max x=max"] {
            assert!(!is_limit(line), "{line}");
        }
    }
}
