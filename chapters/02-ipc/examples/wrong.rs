//! A guest among another's queues: three answers that are none.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, set_hostname, spawn};
use ch02_ipc::{Target, join};
use nix::sched::CloneFlags;

fn main() -> ExitCode {
    refusal::main(|| {
        let mut args = args_os().skip(1);
        let which = args.next().unwrap_or_default();
        let process = args.next().and_then(|pid| pid.to_str()?.parse().ok());
        let process = Target::Process(process.context("say which process, by its id")?);
        let command: Vec<_> = args.collect();
        match which.to_str() {
            Some("1") => in_both(&process, &command),
            Some("2") => both_flags(&process, &command),
            Some("3") => too_late(&process, &command),
            _ => bail!("say which: 1, 2 or 3"),
        }
    })
}

/// Who has joined is no copy: what they set there is set for all who are in. The process has got
/// another host name.
fn in_both(process: &Target, command: &[OsString]) -> Result<u8> {
    join(process, CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
    set_hostname("guest")?;
    match exec(command)? {}
}

/// A process is in one namespace of each kind. The flag for the second one does not say that there
/// is to be one, it makes one, and it is empty.
fn both_flags(process: &Target, command: &[OsString]) -> Result<u8> {
    join(process, CloneFlags::CLONE_NEWIPC)?;
    let child = spawn(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS, || {
        set_hostname("guest")?;
        exec(command)
    })?;
    child.wait()
}

/// `setns` moves its caller. A child has the namespaces that its parent had when it was born, and
/// does not follow. And a user is refused: in a user namespace of their own they have no power over one
/// beside it.
fn too_late(process: &Target, command: &[OsString]) -> Result<u8> {
    rootless::enter(true)?;
    let child = spawn(CloneFlags::CLONE_NEWUTS, || {
        set_hostname("guest")?;
        exec(command)
    })?;
    join(process, CloneFlags::CLONE_NEWIPC)?;
    child.wait()
}
