//! An init that stays to the last: an answer.

use std::convert::Infallible;
use std::env::args_os;
use std::ffi::OsString;
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::refusal::{Refused, is_one_of};
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, reap, spawn};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        let command: Vec<_> = args_os().skip(1).collect();
        spawn(CloneFlags::CLONE_NEWPID, || become_init(&command))?.wait()
    })
}

/// What PID 1 does, as long as it is there: `command` is its first child, and `queue` has its SIGCHLD
/// and SIGTERM. The result is the status with which it ends.
fn init(command: Pid, queue: &SignalFd) -> Result<u8> {
    let mut status = 0;
    loop {
        let Some(info) = queue.read_signal().refused(|| "read(signalfd)".into(), &[])? else {
            continue;
        };
        if info.ssi_signo == Signal::SIGTERM as u32 {
            terminate_all()?;
        } else if reap_all(command, &mut status)? {
            return Ok(status);
        }
    }
}

/// Reaps every child that has died, and takes down the status of `command` if it is among them.
/// Whether nobody is left: orphans become children of PID 1, so who has no child is alone. (But for
/// those that have come in by `setns(2)`: their parents are outside.)
fn reap_all(command: Pid, status: &mut u8) -> Result<bool> {
    // One SIGCHLD may stand for many deaths.
    loop {
        match reap(Pid::from_raw(-1), libc::WNOHANG) {
            Ok((reaped, its_status)) if reaped == command => *status = its_status,
            // There are children, and they are alive.
            Ok((nobody, _)) if nobody.as_raw() == 0 => return Ok(false),
            Ok(_) => {}
            Err(error) if is_one_of(&error, &["ECHILD"]) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// Sends SIGTERM to everybody inside: -1 means all processes that the caller can see and may send
/// to, but itself and PID 1. For root outside that would be the machine. `kill(2)`.
fn terminate_all() -> Result<()> {
    match kill(Pid::from_raw(-1), Signal::SIGTERM) {
        // The last one has just ended, and its SIGCHLD is next.
        Err(Errno::ESRCH) => Ok(()),
        answer => answer.refused(|| "kill(-1, SIGTERM)".into(), &[]),
    }
}

/// Leaves the caller behind as the init, and runs the command in its child.
fn become_init(command: &[OsString]) -> Result<Infallible> {
    // Blocked before there is a child, so that not even its first signal is lost.
    let signals = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM]);
    let mut old_mask = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut old_mask))
        .refused(|| "sigprocmask()".into(), &[])?;
    // SAFETY: a child of spawn has one thread.
    let child = match unsafe { fork() }.refused(|| "fork()".into(), &[])? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&old_mask), None)
                .refused(|| "sigprocmask()".into(), &[])?;
            return exec(command);
        }
    };
    // The pipe of spawn is the command's now.
    // SAFETY: the init uses no descriptor above stderr that is open by now, and never returns to
    // whoever owns one.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    let queue =
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).refused(|| "signalfd()".into(), &[]);
    let status = queue.and_then(|queue| init(child, &queue));
    process::exit(status.unwrap_or_else(|error| refusal::print(&error)).into())
}
