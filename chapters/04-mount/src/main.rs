//! The experiment: a command that sees files, processes and devices of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::facts::Facts;
use ch00_ground::mountinfo;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, hostname, set_hostname, spawn};
use ch04_mount::{Root, Stage, Tree, Volume, close_inherited, let_go, make_private};
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command in a mount namespace of its own, with another root.
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
    /// Keep what is written to the root file system in memory, and forget it at the end.
    #[arg(long, requires = "rootfs")]
    overlay: bool,
    /// Mount a file or folder of the machine inside; with `:ro`, read-only.
    #[arg(long = "volume", value_name = "HOST:INSIDE[:ro]")]
    volumes: Vec<Volume>,
    /// Change to the new root by chroot instead of pivot_root.
    #[arg(long)]
    chroot: bool,
    /// Keep the old root, and leave the mounts shared, on a stage that shares them with nobody
    /// else; tell what got out.
    #[arg(long, conflicts_with_all = ["rootfs", "volumes", "chroot"])]
    leak: bool,
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
    rootless::enter(args.quiet)?;
    let stage = args.leak.then(Stage::enter).transpose()?;
    let outside = facts()?;

    let flags = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWPID;
    let child = spawn(flags | CloneFlags::CLONE_NEWNS, || {
        set_hostname(&args.hostname)?;
        if !args.leak {
            make_private()?;
            change_root(args)?;
        }
        if !args.quiet {
            writeln!(stdout(), "{}\n", outside.beside(&facts()?))?;
        }
        exec(&args.command)
    })?;
    let status = child.wait()?;

    if let Some(stage) = stage.filter(|_| !args.quiet) {
        stage.tell()?;
    }
    Ok(status)
}

fn change_root(args: &Args) -> Result<()> {
    let volumes: Vec<_> = args.volumes.iter().map(Volume::bind).collect::<Result<_>>()?;
    let root = match &args.rootfs {
        Some(folder) if args.overlay => Root::overlay(&Tree::of_folder(folder)?)?,
        Some(folder) => Root::of_tree(Tree::of_folder(folder)?)?,
        None => Root::of_host()?,
    };
    root.populate()?;
    for volume in volumes {
        volume.attach(&root)?;
    }
    let_go(&root)?;
    if args.chroot { root.chroot() } else { root.pivot() }
}
// ANCHOR_END: run

/// What the calling process sees of files and processes.
fn facts() -> Result<Facts> {
    let mounts = mountinfo::read()?;
    let root = mounts.iter().rfind(|mount| mount.mount_point == Path::new("/"));
    let processes = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(Facts::take()?
        .with("host name", hostname()?)
        .with("processes in /proc", processes.count())
        .with("mounts", mounts.len())
        .with("root", root.map_or("-", |root| &root.file_system)))
}
