//! The experiment: a command that is PID 1, or the child of one that knows its duties.

use std::ffi::OsString;
use std::fs;
use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::facts::{Facts, inode_cell};
use ch00_ground::{namespace, refusal, rootless};
use ch01_uts::{exec, hostname, set_hostname, spawn};
use ch02_ipc::unshare;
use ch03_pid::{Offsets, Terminal, become_init, leave_session, since_boot, unshare_time};
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command as PID 1 of a PID namespace of its own.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The host name inside.
    #[arg(long, value_name = "NAME", default_value = "box")]
    hostname: String,
    /// Run a small init as PID 1, and the command as its child.
    #[arg(long)]
    init: bool,
    /// Give the command a session of its own and, if you have one, a terminal.
    #[arg(long, requires = "init")]
    terminal: bool,
    /// Make the PID namespace by unshare, and only the others by clone3.
    #[arg(long)]
    unshare: bool,
    /// Set the boot clock inside ahead by so many seconds, in a time namespace of its own.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    boottime: Option<i64>,
    /// Set the monotonic clock inside ahead by so many seconds, in a time namespace of its own.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    monotonic: Option<i64>,
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
    if args.boottime.is_some() || args.monotonic.is_some() {
        unshare_time(Offsets {
            monotonic: args.monotonic.unwrap_or(0),
            boottime: args.boottime.unwrap_or(0),
        })?;
    }
    let mut flags = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    if args.unshare {
        unshare(CloneFlags::CLONE_NEWPID)?;
    } else {
        flags |= CloneFlags::CLONE_NEWPID;
    }
    let terminal = args.terminal.then(Terminal::new).transpose()?;
    let outside = facts(args)?;

    let child = spawn(flags, || {
        set_hostname(&args.hostname)?;
        if args.terminal {
            leave_session()?;
        }
        let command = || {
            terminal.as_ref().map_or(Ok(()), Terminal::enter)?;
            if !args.quiet {
                writeln!(stdout(), "{}\n", outside.beside(&facts(args)?))?;
            }
            exec(&args.command)
        };
        if args.init { become_init(command) } else { command() }
    })?;
    match terminal {
        Some(terminal) => terminal.wait(child),
        None => child.wait(),
    }
}
// ANCHOR_END: run

fn facts(args: &Args) -> Result<Facts> {
    let mut facts = Facts::take()?;
    if args.unshare {
        let children = namespace::inode_of("self", "pid_for_children")?;
        facts = facts.with("pid for children", inode_cell(children));
    }
    if args.boottime.is_some() {
        facts = facts.with("seconds since boot", since_boot()?);
    }
    Ok(facts.with("host name", hostname()?).with("NSpid", process_ids()?))
}

/// The numbers of this process, from the outermost PID namespace that /proc knows of to its own.
fn process_ids() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    Ok(line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "))
}
