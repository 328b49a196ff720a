//! The folder of a cgroup: three answers that are none.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use ch00_ground::mountinfo::Mount;
use ch00_ground::refusal::{Refusal, Refused};
use ch00_ground::{files, mountinfo, refusal};
use clap::Parser;

/// Prints the folder of a process's cgroup.
#[derive(Parser)]
struct Args {
    which: u8,
    controller: String,
    pid: u32,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    let Args { which, controller, pid } = args;
    let path = format!("/proc/{pid}/cgroup");
    let cgroups = files::read(&path).refused(|| format!("open({path:?})"), &[])?;
    let mounts = mountinfo::read()?;
    let folder = match which {
        1 => first_line(controller, &cgroups, &mounts),
        2 => usual_place(controller, &cgroups),
        3 => whole_hierarchy(controller, &cgroups, &mounts),
        _ => bail!("say which: 1, 2 or 3"),
    };
    let Some(folder) = folder else {
        let what = format!("no folder shows the cgroup of process {pid} for {controller}");
        return Err(Refusal::ours(what).into());
    };
    writeln!(stdout(), "{}", folder.display())?;
    Ok(0)
}

/// There is a line for each hierarchy, and the first is that of the controller only by chance. On
/// v2 alone there is no other; and there every word passes for a controller, since nobody asks.
fn first_line(controller: &str, cgroups: &str, mounts: &[Mount]) -> Option<PathBuf> {
    let cgroup = Path::new(cgroups.lines().next()?.splitn(3, ':').nth(2)?);
    let has = |kind, option: &str| {
        mounts.iter().rev().find(move |mount| {
            mount.file_system == kind
                && (kind == "cgroup2" || mount.super_options.iter().any(|one| one == option))
        })
    };
    let mount = has("cgroup", controller).or_else(|| has("cgroup2", controller))?;
    join(&mount.mount_point, cgroup.strip_prefix(&mount.root).ok()?)
}

/// Most machines have them there. It is a habit of theirs, and the kernel does not know it.
fn usual_place(controller: &str, cgroups: &str) -> Option<PathBuf> {
    let usual = Path::new("/sys/fs/cgroup");
    let (version, cgroup) = cgroup(controller, cgroups)?;
    if version == 1 {
        return join(&usual.join(controller), cgroup.strip_prefix("/").ok()?);
    }
    // A machine with both versions has v2 elsewhere.
    let place = [usual.to_owned(), usual.join("unified")];
    let place = place.iter().find(|place| has_controller(place, controller))?;
    join(place, cgroup.strip_prefix("/").ok()?)
}

/// The cgroup is named from the root of the hierarchy, and what is mounted need not be the root: a
/// container's `/sys/fs/cgroup` is the container's own cgroup.
fn whole_hierarchy(controller: &str, cgroups: &str, mounts: &[Mount]) -> Option<PathBuf> {
    let (version, cgroup) = cgroup(controller, cgroups)?;
    let mount = mounts.iter().rfind(|mount| match version {
        1 => {
            mount.file_system == "cgroup"
                && mount.super_options.iter().any(|option| option == controller)
        }
        _ => mount.file_system == "cgroup2" && has_controller(&mount.mount_point, controller),
    })?;
    join(&mount.mount_point, cgroup.strip_prefix("/").ok()?)
}

fn cgroup<'a>(controller: &str, cgroups: &'a str) -> Option<(u8, &'a Path)> {
    let mut v2 = None;
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (list, cgroup) = (fields.next()?, Path::new(fields.next()?));
        if list.split(',').any(|one| one == controller) {
            return Some((1, cgroup));
        }
        if list.is_empty() {
            v2 = Some((2, cgroup));
        }
    }
    v2
}

fn has_controller(mount_point: &Path, controller: &str) -> bool {
    let controllers = files::read(mount_point.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_whitespace().any(|one| one == controller)
}

fn join(mount_point: &Path, below: &Path) -> Option<PathBuf> {
    let folder: PathBuf = mount_point.join(below).components().collect();
    folder.is_dir().then_some(folder)
}
