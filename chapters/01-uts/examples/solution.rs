//! A domain name beside the host name: an answer.

use std::env::args_os;
use std::ffi::{OsString, c_char};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal::Refused;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, set_hostname, spawn};
use nix::errno::Errno;
use nix::sched::CloneFlags;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        run(&args_os().skip(1).collect::<Vec<_>>())
    })
}

fn run(command: &[OsString]) -> Result<u8> {
    let child = spawn(CloneFlags::CLONE_NEWUTS, || {
        set_hostname("box")?;
        set_domain_name("example.org")?;
        exec(command)
    })?;
    child.wait()
}

/// `setdomainname(2)`, which takes a length and no zero at the end.
fn set_domain_name(name: &str) -> Result<()> {
    // SAFETY: the name lives until the call returns, and is as long as it says.
    let answer = unsafe { libc::setdomainname(name.as_ptr().cast::<c_char>(), name.len()) };
    Errno::result(answer).map(drop).refused(|| format!("setdomainname({name:?})"), &[])
}
