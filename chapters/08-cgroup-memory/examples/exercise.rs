//! What a command took.
//!
//! `ch08-exercise LIMIT COMMAND...` runs the command in a cgroup that may have LIMIT bytes of memory,
//! swap included: from its first moment on, and this program itself is not in there. When it has
//! ended, one line on stderr says `peak BYTES, killed yes`, or `no`: what all of the cgroup had at
//! most at a time, and whether the OOM killer has struck in it, whatever became of the command. Its
//! exit status passes through, and neither a cgroup nor a process is left. The page has the counters
//! of both versions; `memory.peak` is there since Linux 5.19.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal::{self, say};
use ch01_uts::{exec, spawn};
use ch08_cgroup_memory::size;
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command under a limit on its memory, and tells what it took.
#[derive(Parser)]
struct Args {
    #[arg(value_parser = size)]
    limit: u64,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    // Your turn. This runs the command where this program is, and guesses.
    let child = spawn(CloneFlags::empty(), || exec(&args.command))?;
    let status = child.wait()?;
    say(&format!("peak {}, killed no", args.limit));
    Ok(status)
}
