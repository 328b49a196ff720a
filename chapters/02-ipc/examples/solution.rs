//! A guest among another's queues: an answer.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ch00_ground::refusal;
use ch01_uts::{exec, set_hostname};
use ch02_ipc::{Target, join, unshare};
use nix::sched::CloneFlags;

fn main() -> ExitCode {
    refusal::main(|| {
        let mut args = args_os().skip(1);
        let process = args.next().and_then(|pid| pid.to_str()?.parse().ok());
        let process = Target::Process(process.context("say which process, by its id")?);
        run(&process, &args.collect::<Vec<_>>())
    })
}

fn run(process: &Target, command: &[OsString]) -> Result<u8> {
    // The third door before the second. Who is not root enters the user namespace of the process
    // with this call, and has in there the capability that the new namespace takes. From a user
    // namespace of their own, beside that one, they could not join.
    join(process, CloneFlags::CLONE_NEWIPC)?;
    unshare(CloneFlags::CLONE_NEWUTS)?;
    set_hostname("guest")?;
    match exec(command)? {}
}
