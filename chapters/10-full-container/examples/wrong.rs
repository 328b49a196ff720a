//! A second command for a running container: three answers that are none.

use std::env::{args_os, set_current_dir};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::chroot;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ch00_ground::refusal::{Refused, say};
use ch00_ground::{files, namespace, refusal};
use ch01_uts::{exec, spawn};
use ch02_ipc::{Target, join};
use ch04_mount::close_inherited;
use ch05_user::{USUAL, become_user, keep_only, no_new_privileges};
use ch07_cgroup_hierarchy::view;

fn main() -> ExitCode {
    refusal::main(|| {
        close_inherited()?;
        let mut args = args_os().skip(1);
        let which = args.next().unwrap_or_default();
        let pid = args.next().and_then(|pid| pid.to_str()?.parse().ok());
        let pid = pid.context("give the number of a process in the container, and a command")?;
        let command: Vec<_> = args.collect();
        match which.to_str() {
            Some("1") => without_child(pid, &command),
            Some("2") => with_all_capabilities(pid, &command),
            Some("3") => by_chroot(pid, &command),
            _ => bail!("say which: 1, 2 or 3"),
        }
    })
}

/// One `setns` for all eight, and then the command. But nobody changes their own PID namespace: this
/// is where their children would be, and there are none.
fn without_child(pid: u32, command: &[OsString]) -> Result<u8> {
    enter(&entrances(pid)?)?;
    join(&Target::Process(pid), namespace::all_but(&[]))?;
    keep_only(&USUAL)?;
    no_new_privileges()?;
    match exec(command)? {}
}

/// It is among processes that have fourteen capabilities, and has all. What they have given up is
/// no property of the namespaces.
fn with_all_capabilities(pid: u32, command: &[OsString]) -> Result<u8> {
    let entrances = entrances(pid)?;
    join(&Target::Process(pid), namespace::all_but(&[]))?;
    let child = spawn(namespace::flags(&[]), || {
        enter(&entrances)?;
        become_user("0:0")?;
        exec(command)
    })?;
    child.wait()
}

/// What `/proc/PID/root` leads to is the container's root, and looks like it. The mounts are the
/// machine's: one chroot more, and one is back (chapter 4).
fn by_chroot(pid: u32, command: &[OsString]) -> Result<u8> {
    let entrances = entrances(pid)?;
    join(&Target::Process(pid), namespace::all_but(&["mnt"]))?;
    let child = spawn(namespace::flags(&[]), || {
        enter(&entrances)?;
        chroot(format!("/proc/{pid}/root")).refused(|| "chroot()".into(), &[])?;
        set_current_dir("/").refused(|| "chdir()".into(), &[])?;
        become_user("0:0")?;
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
