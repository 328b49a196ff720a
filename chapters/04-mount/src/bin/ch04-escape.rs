//! The break-out: a command outside of the root that `chroot` made.

use std::ffi::OsString;
use std::process::ExitCode;

use ch00_ground::refusal;
use clap::Parser;

/// Breaks out of its root, if that was made by chroot, and runs a command outside.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, default_value = "/bin/sh")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    refusal::main(|| {
        ch04_mount::escape()?;
        match ch01_uts::exec(&args.command)? {}
    })
}
