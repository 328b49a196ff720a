//! A quiet corner: an answer.

use std::env::args_os;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal::Refused;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, spawn};
use ch04_mount::{Attribute, Tree, make_private};
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::chdir;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        run(&args_os().skip(1).collect::<Vec<_>>())
    })
}

fn run(command: &[OsString]) -> Result<u8> {
    use Attribute::{NoDev, NoSuid, ReadOnly};
    let child = spawn(CloneFlags::CLONE_NEWNS, || {
        // Before there is anything to show.
        make_private()?;
        // A folder need be no mount, and only a mount can be read-only for us and for nobody else: a
        // copy, on top of itself.
        Tree::bind(Path::new("/etc"), &[ReadOnly])?.attach(folder("/etc")?)?;
        let tmp = Tree::new("tmpfs", &[("mode", "1777")], &[NoSuid, NoDev])?;
        tmp.attach(folder("/tmp")?)?;
        // Last of all. Whoever is in /tmp already stays in the one that is below.
        chdir("/tmp").refused(|| "chdir(\"/tmp\")".into(), &[])?;
        exec(command)
    })?;
    child.wait()
}

/// A folder to mount on.
fn folder(path: &str) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).refused(|| format!("open({path:?}, O_DIRECTORY)"), &[])
}
