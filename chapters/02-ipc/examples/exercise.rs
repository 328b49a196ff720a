//! A guest among another's queues.
//!
//! The first argument is the id of a process, the others are a command. Run the command in the IPC
//! namespace of that process, and in a new UTS namespace where the host name is `guest`. The host
//! name of the process stays, and every other namespace of the command is your caller's, whatever
//! else the process has for itself. Who is not root takes one more from the process: its user
//! namespace, without which the IPC namespace does not let them in. The command's status is yours.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ch00_ground::refusal;
use ch01_uts::exec;
use ch02_ipc::Target;

fn main() -> ExitCode {
    refusal::main(|| {
        let mut args = args_os().skip(1);
        let process = args.next().and_then(|pid| pid.to_str()?.parse().ok());
        let process = Target::Process(process.context("say which process, by its id")?);
        run(&process, &args.collect::<Vec<_>>())
    })
}

fn run(_process: &Target, command: &[OsString]) -> Result<u8> {
    // Your turn. This becomes the command, in the namespaces that are here.
    match exec(command)? {}
}
