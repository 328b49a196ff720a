//! A second command for a running container: an answer.
//!
//! Two things stay as they are that a real runtime sees to: the terminal, which is the caller's,
//! and the caller's keys.

use std::env::args_os;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Refused, say};
use ch00_ground::{files, namespace, refusal};
use ch01_uts::{exec, spawn};
use ch02_ipc::{Target, join};
use ch04_mount::close_inherited;
use ch05_user::{Gate, USUAL, become_user, keep_only, no_new_privileges};
use ch07_cgroup_hierarchy::view;

fn main() -> ExitCode {
    refusal::main(|| {
        close_inherited()?;
        let mut args = args_os().skip(1);
        let pid = args.next().and_then(|pid| pid.to_str()?.parse().ok());
        let pid = pid.context("give the number of a process in the container, and a command")?;
        run(pid, &args.collect::<Vec<_>>())
    })
}

fn run(pid: u32, command: &[OsString]) -> Result<u8> {
    let entrances = entrances(pid)?;
    let gate = Gate::new()?;
    // Before there is a child: who joins a PID namespace stays outside of it, and only its children
    // are in. Who joins the mounts is at their root then, and in its folder.
    join(&Target::Process(pid), namespace::all_but(&[]))?;
    let child = spawn(namespace::flags(&[]), || {
        enter(&entrances)?;
        // The machine's root is nobody in there.
        become_user("0:0")?;
        // And as nobody it had been tied to its parent.
        gate.tie()?;
        // Who enters a user namespace has all capabilities in it, whatever others in it have.
        keep_only(&USUAL)?;
        no_new_privileges()?;
        exec(command)
    })?;
    child.wait()
}

/// The files by which a process enters the cgroups that process `pid` is in: opened out here, where
/// they can be seen. What may not be entered is left out.
fn entrances(pid: u32) -> Result<Vec<File>> {
    let path = format!("/proc/{pid}/cgroup");
    let theirs = files::read(&path).refused(|| format!("open({path:?})"), &[])?;
    let mut entrances = Vec::new();
    for hierarchy in view::mounted()? {
        // As 4:memory:/ch10-1234; v2 has no list of controllers in the middle.
        let list = if hierarchy.version == 1 { view::word(&hierarchy) } else { String::new() };
        let cgroup = theirs.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            fields.next().filter(|found| *found == list).and_then(|_| fields.next())
        });
        let cgroup = cgroup.map(str::as_ref).filter(|cgroup| *cgroup != hierarchy.your_cgroup);
        let Some(cgroup) = cgroup else { continue };
        let path = hierarchy.folder(cgroup).join("cgroup.procs");
        let open = File::options().write(true).open(&path);
        match open.refused(|| format!("open({path:?})"), &[]) {
            Ok(file) => entrances.push(file),
            Err(error) => say(&format!("left out: a cgroup: {error:#}")),
        }
    }
    Ok(entrances)
}

/// Moves the calling process there.
fn enter(entrances: &[File]) -> Result<()> {
    let enter = |mut file: &File| file.write_all(b"0");
    entrances.iter().try_for_each(enter).refused(|| "write(cgroup.procs)".into(), &[])
}
