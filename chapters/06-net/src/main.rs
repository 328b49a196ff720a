//! The experiment: a command in an empty network namespace, or at one end of a cable.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::net::Ipv4Addr;
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::facts::Facts;
use ch00_ground::{capability, refusal, rootless};
use ch01_uts::{exec, hostname, set_hostname, spawn};
use ch02_ipc::unshare;
use ch04_mount::{Root, close_inherited, let_go, make_private};
use ch05_user::Gate;
use ch06_net::{Cable, Netlink, mount_sys};
use clap::{Parser, ValueEnum};
use ipnet::Ipv4Net;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// Runs a command in a network namespace of its own, with or without a cable to the outside.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// What is in the network namespace besides `lo`.
    #[arg(long, value_enum, default_value_t = Network::None)]
    network: Network,
    /// The address of the cable's end inside, with the length of its network's prefix.
    #[arg(long, value_name = "IP/BITS", default_value = "10.77.0.2/24", requires = "network")]
    address: Ipv4Net,
    /// The address of the end outside, and so the gateway of the inside.
    #[arg(long, value_name = "IP", default_value = "10.77.0.1", requires = "network")]
    gateway: Ipv4Addr,
    /// The name of the end outside. [default: veth and the child's process id]
    #[arg(long, value_name = "NAME", requires = "network")]
    interface: Option<String>,
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

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Network {
    /// Nothing.
    None,
    /// One end of a cable, the other end of which is outside.
    Veth,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

// ANCHOR: run
const FLAGS: CloneFlags = CloneFlags::CLONE_NEWUTS
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWNET);

fn run(args: &Args) -> Result<u8> {
    close_inherited()?;
    let has_power_here = capability::holds(capability::effective()?, "sys_admin");
    let veth = args.network == Network::Veth;
    rootless::enter(args.quiet)?;
    if veth && !has_power_here {
        unshare(CloneFlags::CLONE_NEWNET)?;
        if !args.quiet {
            let pid = process::id();
            writeln!(stderr(), "not root: the cable ends in a network namespace of process {pid}")?;
        }
    }
    let outside = facts()?;
    let gate = Gate::new()?;

    let child = spawn(FLAGS, || {
        gate.pass()?;
        set_hostname(&args.hostname)?;
        Netlink::open()?.set_up("lo")?;
        if veth {
            Cable::take_end(args.address, args.gateway)?;
        }
        make_private()?;
        let root = Root::of_host()?;
        root.populate()?;
        mount_sys(&root)?;
        let_go(&root)?;
        root.pivot()?;
        if !args.quiet {
            writeln!(stdout(), "{}\n", outside.beside(&facts()?))?;
        }
        exec(&args.command)
    })?;
    // Only now is there a namespace that it can lead into; the child waits.
    let _cable = veth.then(|| lay_cable(args, child.pid())).transpose()?;
    gate.open()?;
    child.wait()
}

fn lay_cable(args: &Args, pid: Pid) -> Result<Cable> {
    // No two processes that live have one number.
    let name = args.interface.clone().unwrap_or_else(|| format!("veth{pid}"));
    let address = Ipv4Net::new(args.gateway, args.address.prefix_len())?;
    Cable::lay(&name, pid, address)
}
// ANCHOR_END: run

fn facts() -> Result<Facts> {
    let links = Netlink::open()?.links()?;
    let links: Vec<_> = links.iter().map(ToString::to_string).collect();
    Ok(Facts::take()?.with("interfaces", links.join("\n")).with("host name", hostname()?))
}
