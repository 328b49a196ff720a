//! An init that stays to the last.
//!
//! The arguments are a command. It runs as PID 2 of a new PID namespace, and all is written but what
//! PID 1 does. The chapter's init ends with its command, and whoever else is inside is killed. Yours
//! stays until nobody is left inside. Then it ends with the status of the command, which is 128 + n
//! if signal n has killed that. Meanwhile it leaves no zombie, however many die at once; and a
//! SIGTERM that it gets goes on to everybody inside.

use std::convert::Infallible;
use std::env::args_os;
use std::ffi::OsString;
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::refusal::Refused;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, reap, spawn};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
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
fn init(command: Pid, _queue: &SignalFd) -> Result<u8> {
    // Your turn. This waits for the command and for nobody else.
    let (_, status) = reap(command, 0)?;
    Ok(status)
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
