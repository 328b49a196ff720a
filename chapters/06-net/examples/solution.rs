//! Two containers and one cable: an answer.

use std::env::args_os;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, spawn};
use ch02_ipc::{Target, join};
use ch05_user::Gate;
use ch06_net::Netlink;
use ipnet::Ipv4Net;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        run(&args_os().skip(1).collect::<Vec<_>>())
    })
}

fn run(command: &[OsString]) -> Result<u8> {
    let gate = Gate::new()?;
    let first = spawn(CloneFlags::CLONE_NEWNET, || {
        gate.pass()?;
        exec(command)
    })?;
    let neighbour = spawn(CloneFlags::CLONE_NEWNET, || exec(&["sleep".into(), "infinity".into()]))?;
    let [one, other] = [first.pid(), neighbour.pid()];
    // A socket belongs for life to the namespace in which it was made: one for each.
    let netlink = netlink_of(one)?;
    // Its other end is born in the other namespace.
    netlink.add_veth(END, END, other)?;
    set_up(&netlink, 1)?;
    set_up(&netlink_of(other)?, 2)?;
    gate.open()?;
    let status = first.wait();
    // Which ends it.
    drop(neighbour);
    status
}

/// What both ends are called.
const END: &str = "eth0";

/// A socket in the network namespace of process `pid`. The caller stays there, and needs its own no
/// more.
fn netlink_of(pid: Pid) -> Result<Netlink> {
    join(&Target::Process(pid.as_raw().unsigned_abs()), CloneFlags::CLONE_NEWNET)?;
    Netlink::open()
}

/// Readies one end of the cable, the one that is in the namespace of the socket.
fn set_up(netlink: &Netlink, host: u8) -> Result<()> {
    // Two hosts are a network of 30 bits. It is the prefix that makes the route to the other end.
    netlink.add_address(END, Ipv4Net::new(Ipv4Addr::new(10, 9, 0, host), 30)?)?;
    netlink.set_up(END)?;
    netlink.set_up("lo")
}
