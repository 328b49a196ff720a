//! A domain name beside the host name: three answers that are none.

use std::env::args_os;
use std::ffi::{OsString, c_char};
use std::process::ExitCode;

use anyhow::{Result, bail};
use ch00_ground::refusal::Refused;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, set_hostname, spawn};
use nix::errno::Errno;
use nix::sched::CloneFlags;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        let mut args = args_os().skip(1);
        let which = args.next().unwrap_or_default();
        let command: Vec<_> = args.collect();
        match which.to_str() {
            Some("1") => one_name(&command),
            Some("2") => too_early(&command),
            Some("3") => own_status(&command),
            _ => bail!("say which: 1, 2 or 3"),
        }
    })
}

/// The domain name is no part of the host name, though DNS makes it look so.
fn one_name(command: &[OsString]) -> Result<u8> {
    let child = spawn(CloneFlags::CLONE_NEWUTS, || {
        set_hostname("box.example.org")?;
        exec(command)
    })?;
    child.wait()
}

/// The child's namespace is a copy, so it has the names. But they were set outside: for root, on the
/// whole machine. A user is refused.
fn too_early(command: &[OsString]) -> Result<u8> {
    set_hostname("box")?;
    set_domain_name("example.org")?;
    let child = spawn(CloneFlags::CLONE_NEWUTS, || exec(command))?;
    child.wait()
}

/// Whoever runs a command for somebody else owes them its status.
fn own_status(command: &[OsString]) -> Result<u8> {
    let child = spawn(CloneFlags::CLONE_NEWUTS, || {
        set_hostname("box")?;
        set_domain_name("example.org")?;
        exec(command)
    })?;
    child.wait()?;
    Ok(0)
}

fn set_domain_name(name: &str) -> Result<()> {
    // SAFETY: the name lives until the call returns, and is as long as it says.
    let answer = unsafe { libc::setdomainname(name.as_ptr().cast::<c_char>(), name.len()) };
    Errno::result(answer).map(drop).refused(|| format!("setdomainname({name:?})"), &[])
}
