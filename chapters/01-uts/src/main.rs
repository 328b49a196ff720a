//! The experiment: a command with a host name of its own.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::facts::Facts;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, hostname, set_hostname, spawn};
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command in a UTS namespace of its own, with another host name.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The host name inside.
    #[arg(long, value_name = "NAME", default_value = "box")]
    hostname: String,
    /// Print nothing but what the command prints.
    #[arg(long)]
    quiet: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, default_value = "/bin/sh")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    rootless::enter(args.quiet)?;
    let outside = facts()?;

    let child = spawn(CloneFlags::CLONE_NEWUTS, || {
        set_hostname(&args.hostname)?;
        if !args.quiet {
            writeln!(stdout(), "{}\n", outside.beside(&facts()?))?;
        }
        exec(&args.command)
    })?;
    let status = child.wait()?;

    if !args.quiet {
        writeln!(stdout(), "\nback outside: the host name is {}", hostname()?)?;
    }
    Ok(status)
}

fn facts() -> Result<Facts> {
    Ok(Facts::take()?.with("host name", hostname()?))
}
// ANCHOR_END: run
