//! A quiet corner: three answers that are none.

use std::convert::Infallible;
use std::env::args_os;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use ch00_ground::refusal::Refused;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, spawn};
use ch04_mount::{Attribute, Tree, make_private};
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::chdir;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        let mut args = args_os().skip(1);
        let corner = match args.next().unwrap_or_default().to_str() {
            Some("1") => not_private,
            Some("2") => the_first_mount,
            Some("3") => in_the_old_tmp,
            _ => bail!("say which: 1, 2 or 3"),
        };
        let command: Vec<_> = args.collect();
        spawn(CloneFlags::CLONE_NEWNS, || corner(&command))?.wait()
    })
}

/// A new mount namespace is a copy, and its mounts are peers of their originals. Where those are
/// shared, everybody gets the read-only `/etc` and the empty `/tmp`.
fn not_private(command: &[OsString]) -> Result<Infallible> {
    // It is there on the stage of the check. Root's machine would be spoilt.
    ensure!(Path::new("/etc/below").exists(), "this answer is for the stage alone");
    read_only_etc()?;
    new_tmp()?;
    enter_tmp()?;
    exec(command)
}

/// The classic pair of calls: bind, then remount read-only, since a bind does not listen to
/// MS_RDONLY. Here the bind is recursive. The remount is not, nor can it be: it changes one mount,
/// and what is mounted below can still be written to.
fn the_first_mount(command: &[OsString]) -> Result<Infallible> {
    make_private()?;
    let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    for flags in [MsFlags::MS_BIND | MsFlags::MS_REC, remount] {
        mount(Some("/etc"), "/etc", None::<&str>, flags, None::<&str>)
            .refused(|| format!("mount(\"/etc\", {flags:?})"), &[])?;
    }
    new_tmp()?;
    enter_tmp()?;
    exec(command)
}

/// A working directory is a folder of a mount, and not a path. A mount on top of it covers the path,
/// and whoever was there is still in the old `/tmp`, the machine's.
fn in_the_old_tmp(command: &[OsString]) -> Result<Infallible> {
    make_private()?;
    enter_tmp()?;
    read_only_etc()?;
    new_tmp()?;
    exec(command)
}

fn read_only_etc() -> Result<()> {
    Tree::bind(Path::new("/etc"), &[Attribute::ReadOnly])?.attach(folder("/etc")?)
}

fn new_tmp() -> Result<()> {
    let attributes = [Attribute::NoSuid, Attribute::NoDev];
    Tree::new("tmpfs", &[("mode", "1777")], &attributes)?.attach(folder("/tmp")?)
}

fn enter_tmp() -> Result<()> {
    chdir("/tmp").refused(|| "chdir(\"/tmp\")".into(), &[])
}

fn folder(path: &str) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).refused(|| format!("open({path:?}, O_DIRECTORY)"), &[])
}
