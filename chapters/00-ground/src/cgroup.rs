//! The cgroup hierarchies of this machine, and your place in each: `cgroups(7)`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use crate::files;
use crate::mountinfo::Mount;
use crate::refusal::Refused;

/// Which versions this machine has mounted.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// v1 hierarchies with controllers.
    V1,
    /// The v2 hierarchy.
    V2,
    /// Controllers in v1 hierarchies, and a v2 hierarchy beside them.
    Hybrid,
    /// No hierarchy.
    None,
}

impl Mode {
    /// Those that these are of.
    pub fn of(hierarchies: &[Hierarchy]) -> Mode {
        let v1 = hierarchies
            .iter()
            .any(|hierarchy| hierarchy.version == 1 && !hierarchy.controllers.is_empty());
        let v2 = hierarchies.iter().any(|hierarchy| hierarchy.version == 2);
        match (v1, v2) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, true) => Mode::V2,
            (false, false) => Mode::None,
        }
    }

    /// Its name in the doctor's report.
    pub fn word(self) -> &'static str {
        match self {
            Mode::V1 => "v1",
            Mode::V2 => "v2",
            Mode::Hybrid => "hybrid",
            Mode::None => "none mounted",
        }
    }
}

/// One hierarchy that is mounted.
#[derive(Serialize)]
pub struct Hierarchy {
    /// 1 or 2.
    pub version: u8,
    /// v1: those attached to it. v2: those that your cgroup may give to its children.
    pub controllers: Vec<String>,
    /// The name of a v1 hierarchy that has one, like systemd's.
    pub name: Option<String>,
    /// Its mount point.
    pub mounted_at: PathBuf,
    /// The cgroup that is mounted there: the root, unless this is a container.
    #[serde(skip)]
    pub mounted: PathBuf,
    /// Your cgroup in it, from the hierarchy's root.
    pub your_cgroup: PathBuf,
}

/// What you may do in your cgroup.
#[derive(Serialize)]
pub struct Rights {
    /// Whether you may make cgroups below it.
    pub may_make_cgroups: bool,
    /// Whether you may move processes into it: the right to write its `cgroup.procs`.
    pub may_move_processes: bool,
    /// v2: whether you may enable controllers below it, which together with the other two makes it
    /// delegated.
    pub may_enable_controllers: Option<bool>,
}

impl Rights {
    /// Everything that a chapter about cgroups needs to do here.
    pub fn delegated(&self) -> bool {
        self.may_make_cgroups
            && self.may_move_processes
            && self.may_enable_controllers.unwrap_or(true)
    }
}

impl Hierarchy {
    /// The folder of a cgroup, named by its path from the hierarchy's root.
    pub fn folder(&self, cgroup: &Path) -> PathBuf {
        folder(&self.mounted_at, &self.mounted, cgroup)
    }

    /// What you may do in your cgroup in it.
    pub fn rights(&self) -> Rights {
        let folder = self.folder(&self.your_cgroup);
        let may_write = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
        Rights {
            may_make_cgroups: may_write(&folder),
            may_move_processes: may_write(&folder.join("cgroup.procs")),
            may_enable_controllers: (self.version == 2)
                .then(|| may_write(&folder.join("cgroup.subtree_control"))),
        }
    }
}

/// The hierarchies that are mounted here, with the calling process's place in each.
///
/// # Errors
///
/// When there is no `/proc`.
pub fn hierarchies(mounts: &[Mount]) -> Result<Vec<Hierarchy>> {
    let path = "/proc/self/cgroup";
    let text = files::read(path).refused(|| format!("open({path:?})"), &[])?;
    Ok(text.lines().filter_map(|line| hierarchy(line, mounts)).collect())
}

/// One line is `4:memory:/user.slice`: the hierarchy, its v1 controllers, your cgroup. v2 has
/// number 0 and no list.
fn hierarchy(line: &str, mounts: &[Mount]) -> Option<Hierarchy> {
    let mut fields = line.splitn(3, ':');
    let version = if fields.next()? == "0" { 2 } else { 1 };
    let list = fields.next()?;
    let attached = || list.split(',').filter(|word| !word.is_empty());
    let your_cgroup = PathBuf::from(fields.next()?);
    let of_it = |mount: &&Mount| match version {
        2 => mount.file_system == "cgroup2",
        _ => {
            mount.file_system == "cgroup"
                && attached().all(|word| mount.super_options.iter().any(|option| option == word))
        }
    };
    // Somebody may have mounted a part of it elsewhere: rather one in which you are, and the largest. Of
    // two at one place the later one hides the other.
    let mount = mounts.iter().rev().filter(of_it).min_by_key(|mount| {
        (!your_cgroup.starts_with(&mount.root), mount.root.components().count())
    })?;
    let controllers = match version {
        1 => attached().filter(|word| !word.starts_with("name=")).map(ToOwned::to_owned).collect(),
        _ => {
            let folder = folder(&mount.mount_point, &mount.root, &your_cgroup);
            let available = files::read(folder.join("cgroup.controllers")).unwrap_or_default();
            available.split_whitespace().map(ToOwned::to_owned).collect()
        }
    };
    Some(Hierarchy {
        version,
        controllers,
        name: attached().find_map(|word| Some(word.strip_prefix("name=")?.to_owned())),
        mounted_at: mount.mount_point.clone(),
        mounted: mount.root.clone(),
        your_cgroup,
    })
}

/// In a container the mount may show only a part of the hierarchy.
fn folder(mounted_at: &Path, mounted: &Path, cgroup: &Path) -> PathBuf {
    let below = cgroup.strip_prefix(mounted).unwrap_or(Path::new(""));
    // Joining nothing would leave a slash at the end.
    mounted_at.join(below).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::parse;

    #[test]
    fn the_mount_that_has_your_cgroup() {
        let whole = parse("30 20 0:25 / /sys/fs/cgroup rw - cgroup2 none rw").unwrap();
        let part = parse("31 20 0:25 /a /mnt rw - cgroup2 none rw").unwrap();
        let mounted_at = |cgroup: &str, mounts: &[Mount]| {
            hierarchy(&format!("0::{cgroup}"), mounts).unwrap().mounted_at
        };
        let both = [whole, part];
        assert_eq!(mounted_at("/b", &both), PathBuf::from("/sys/fs/cgroup"));
        assert_eq!(mounted_at("/ab", &both), PathBuf::from("/sys/fs/cgroup"));
        assert_eq!(mounted_at("/a/b", &both), PathBuf::from("/sys/fs/cgroup"));
        // Better one in which you are not than none.
        assert_eq!(mounted_at("/b", &both[1..]), PathBuf::from("/mnt"));
    }
}
