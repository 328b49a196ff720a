//! The experiment: a command that is root inside, and somebody else outside.

use std::ffi::OsString;
use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::facts::{Facts, plain_table};
use ch00_ground::{capability, refusal};
use ch01_uts::{exec, hostname, set_hostname, spawn};
use ch04_mount::{Root, Tree, close_inherited, let_go, make_private};
use ch05_user::{Gate, Maps, Range, USUAL, idmap, keep_only, no_new_privileges, powers};
use clap::Parser;
use nix::sched::CloneFlags;
use nix::unistd::{getegid, geteuid};

/// Runs a command as root of a user namespace of its own.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The host name inside.
    #[arg(long, value_name = "NAME", default_value = "box")]
    hostname: String,
    /// The folder with the root file system; without it, a fresh one that has the machine's
    /// programs, read-only.
    #[arg(long, value_name = "FOLDER")]
    rootfs: Option<PathBuf>,
    /// Leave the files of the root file system to their owners outside, when root calls.
    #[arg(long, requires = "rootfs")]
    no_idmap: bool,
    /// Which users there are inside, and who they are outside; without it, as many as you can get.
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT", requires = "map_groups")]
    map_users: Vec<Range>,
    /// The same for groups.
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT", requires = "map_users")]
    map_groups: Vec<Range>,
    /// Give up, inside, all capabilities but those that containers usually have.
    #[arg(long)]
    drop: bool,
    /// Try what root can do inside, instead of running a command.
    #[arg(long, conflicts_with_all = ["command", "rootfs"])]
    powers: bool,
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
    close_inherited()?;
    let maps = if args.map_users.is_empty() {
        Maps::choose()?
    } else {
        Maps::new(&args.map_users, &args.map_groups)?
    };
    if !args.quiet {
        writeln!(stderr(), "{maps}")?;
    }
    let mapped = match &args.rootfs {
        Some(folder) if maps.are_privileged() && !args.no_idmap => Some(Tree::of_folder(folder)?),
        _ => None,
    };
    let outside = facts()?;
    let gate = Gate::new()?;

    let flags = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWPID;
    let child = spawn(flags | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER, || {
        gate.pass()?;
        maps.become_root(&gate)?;
        set_hostname(&args.hostname)?;
        make_private()?;
        let root = match (&mapped, &args.rootfs) {
            (Some(tree), _) => Root::of_tree(tree.try_clone()?)?,
            (None, Some(folder)) => Root::of_tree(Tree::of_folder(folder)?)?,
            (None, None) => Root::of_host()?,
        };
        root.populate()?;
        let_go(&root)?;
        root.pivot()?;
        if args.drop {
            keep_only(&USUAL)?;
            no_new_privileges()?;
        }
        if !args.quiet {
            writeln!(stdout(), "{}\n", outside.beside(&facts()?))?;
        }
        if args.powers {
            tell_powers()?;
            process::exit(0);
        }
        exec(&args.command)
    })?;
    maps.write(child.pid())?;
    // Whose files are whose is decided where the file system is at home: out here.
    if let Some(tree) = &mapped {
        idmap(tree, child.pid())?;
    }
    gate.open()?;
    child.wait()
}
// ANCHOR_END: run

fn tell_powers() -> Result<()> {
    let mut table = plain_table(["", "call", "answer"]);
    for attempt in powers::attempt_all() {
        let answer = attempt.refused.map_or("done".to_owned(), |errno| format!("{errno:?}"));
        table.add_row([attempt.what, attempt.call, &answer]);
    }
    Ok(writeln!(stdout(), "{}", table.trim_fmt())?)
}

/// Who the calling process is.
fn facts() -> Result<Facts> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let ranges = map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(Facts::take()?
        .with("host name", hostname()?)
        .with("uid map", ranges.collect::<Vec<_>>().join(", "))
        .with("capabilities", capability::describe(capability::effective()?))
        .with("group", getegid())
        .with("user", geteuid()))
}
