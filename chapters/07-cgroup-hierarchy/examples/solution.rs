//! The folder of a cgroup: an answer.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::mountinfo::Mount;
use ch00_ground::refusal::{Refusal, Refused};
use ch00_ground::{files, mountinfo, refusal};
use clap::Parser;

/// Prints the folder of a process's cgroup.
#[derive(Parser)]
struct Args {
    controller: String,
    pid: u32,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    let path = format!("/proc/{}/cgroup", args.pid);
    let cgroups = files::read(&path).refused(|| format!("open({path:?})"), &[])?;
    let mounts = mountinfo::read()?;
    let Some(folder) = folder(&args.controller, &cgroups, &mounts) else {
        let Args { controller, pid } = args;
        let what = format!("no folder shows the cgroup of process {pid} for {controller}");
        return Err(Refusal::ours(what).into());
    };
    writeln!(stdout(), "{}", folder.display())?;
    Ok(0)
}

fn folder(controller: &str, cgroups: &str, mounts: &[Mount]) -> Option<PathBuf> {
    let (version, cgroup) = cgroup(controller, cgroups)?;
    let has_it = |mount: &&Mount| match version {
        1 => {
            mount.file_system == "cgroup"
                && mount.super_options.iter().any(|option| option == controller)
        }
        _ => mount.file_system == "cgroup2" && has_controller(&mount.mount_point, controller),
    };
    // The one that was mounted last is on top, where several are at one place.
    mounts.iter().rev().filter(has_it).find_map(|mount| {
        // Above the cgroup that is mounted, nothing can be seen.
        let below = cgroup.strip_prefix(&mount.root).ok()?;
        // Joining nothing would leave a slash at the end.
        let folder: PathBuf = mount.mount_point.join(below).components().collect();
        // Something else may lie on top of it.
        folder.is_dir().then_some(folder)
    })
}

/// `4:memory:/user.slice`, where v2 has no list; and a cgroup may have a colon in its name. A
/// controller that v1 has attached to a hierarchy cannot be in v2.
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
