//! Two containers and one cable: three answers that are none.

use std::env::args_os;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::{Result, bail};
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, spawn};
use ch02_ipc::{Target, join};
use ch05_user::Gate;
use ch06_net::{Cable, Netlink};
use ipnet::Ipv4Net;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        let mut args = args_os().skip(1);
        let which = args.next().unwrap_or_default();
        let command: Vec<_> = args.collect();
        match which.to_str() {
            Some("1") => two_cables(&command),
            Some("2") => run(&command, one_socket),
            Some("3") => run(&command, one_end_down),
            _ => bail!("say which: 1, 2 or 3"),
        }
    })
}

/// Runs the command when `connect` has connected its process with the neighbour.
fn run(command: &[OsString], connect: impl FnOnce(Pid, Pid) -> Result<()>) -> Result<u8> {
    let gate = Gate::new()?;
    let first = spawn(CloneFlags::CLONE_NEWNET, || {
        gate.pass()?;
        exec(command)
    })?;
    let neighbour = spawn(CloneFlags::CLONE_NEWNET, || exec(&["sleep".into(), "infinity".into()]))?;
    connect(first.pid(), neighbour.pid())?;
    gate.open()?;
    let status = first.wait();
    drop(neighbour);
    status
}

/// A cable is laid from where one is. These two end in the network of who has started the program,
/// with one network on both, which makes root's second one fail; a user may not lay the first.
fn two_cables(command: &[OsString]) -> Result<u8> {
    let mut cables = Vec::new();
    run(command, |one, other| {
        cables.push(Cable::lay(&format!("veth{one}"), one, address(1)?)?);
        cables.push(Cable::lay(&format!("veth{other}"), other, address(2)?)?);
        Ok(())
    })
}

/// A socket stays where it was made, wherever its owner goes: the second address is given to the
/// first end, once more.
fn one_socket(one: Pid, other: Pid) -> Result<()> {
    enter(one)?;
    let netlink = Netlink::open()?;
    netlink.add_veth(END, END, other)?;
    netlink.add_address(END, address(1)?)?;
    netlink.set_up(END)?;
    netlink.set_up("lo")?;
    enter(other)?;
    netlink.add_address(END, address(2)?)?;
    netlink.set_up(END)?;
    netlink.set_up("lo")
}

/// The two ends are two interfaces, and to bring one up is to bring up one.
fn one_end_down(one: Pid, other: Pid) -> Result<()> {
    enter(one)?;
    let netlink = Netlink::open()?;
    netlink.add_veth(END, END, other)?;
    netlink.add_address(END, address(1)?)?;
    netlink.set_up(END)?;
    netlink.set_up("lo")?;
    enter(other)?;
    let netlink = Netlink::open()?;
    netlink.add_address(END, address(2)?)?;
    netlink.set_up("lo")
}

const END: &str = "eth0";

fn address(host: u8) -> Result<Ipv4Net> {
    Ok(Ipv4Net::new(Ipv4Addr::new(10, 9, 0, host), 30)?)
}

fn enter(pid: Pid) -> Result<()> {
    join(&Target::Process(pid.as_raw().unsigned_abs()), CloneFlags::CLONE_NEWNET)
}
