//! An init that stays to the last: three answers that are none.

use std::convert::Infallible;
use std::env::args_os;
use std::ffi::OsString;
use std::process::{self, ExitCode};

use anyhow::{Result, bail};
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
        let mut args = args_os().skip(1);
        let init = match args.next().unwrap_or_default().to_str() {
            Some("1") => until_the_command_ends,
            Some("2") => one_a_signal,
            Some("3") => to_the_command,
            _ => bail!("say which: 1, 2 or 3"),
        };
        let command: Vec<_> = args.collect();
        spawn(CloneFlags::CLONE_NEWPID, || become_init(&command, init))?.wait()
    })
}

/// What is one of the three.
type Init = fn(Pid, &SignalFd) -> Result<u8>;

/// It has the status, and so it ends. But with PID 1 ends the namespace: the kernel kills all who are
/// still in it.
fn until_the_command_ends(command: Pid, queue: &SignalFd) -> Result<u8> {
    loop {
        if next(queue)? == Signal::SIGTERM {
            send(Pid::from_raw(-1), Some(Signal::SIGTERM))?;
        }
        while let Some((reaped, status)) = reap_one()? {
            if reaped == command {
                return Ok(status);
            }
        }
    }
}

/// Signals of one kind do not queue: while one waits to be read, the others are lost. Of three that
/// die at once, two stay zombies, and are somebody who is left, for ever.
fn one_a_signal(command: Pid, queue: &SignalFd) -> Result<u8> {
    let mut status = 0;
    loop {
        if next(queue)? == Signal::SIGTERM {
            send(Pid::from_raw(-1), Some(Signal::SIGTERM))?;
        } else {
            match reap_one()? {
                Some((reaped, its_status)) if reaped == command => status = its_status,
                _ => {}
            }
            // Signal 0 only asks whether there is somebody to send to.
            if !send(Pid::from_raw(-1), None)? {
                return Ok(status);
            }
        }
    }
}

/// The chapter's init may do so: with the command, all the others end. Here they never hear of it,
/// and the init waits for them.
fn to_the_command(command: Pid, queue: &SignalFd) -> Result<u8> {
    let mut status = 0;
    loop {
        if next(queue)? == Signal::SIGTERM {
            send(command, Some(Signal::SIGTERM))?;
        }
        while let Some((reaped, its_status)) = reap_one()? {
            if reaped == command {
                status = its_status;
            }
        }
        if !send(Pid::from_raw(-1), None)? {
            return Ok(status);
        }
    }
}

/// The next signal that comes.
fn next(queue: &SignalFd) -> Result<Signal> {
    let info = queue.read_signal().refused(|| "read(signalfd)".into(), &[])?;
    let number = info.map_or(0, |info| info.ssi_signo as i32);
    Signal::try_from(number).refused(|| "read(signalfd)".into(), &[])
}

/// Reaps a child that has died, if there is one.
fn reap_one() -> Result<Option<(Pid, u8)>> {
    match reap(Pid::from_raw(-1), libc::WNOHANG) {
        Ok((nobody, _)) if nobody.as_raw() == 0 => Ok(None),
        Err(error) if is_one_of(&error, &["ECHILD"]) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Sends a signal. Whether there was somebody to send it to.
fn send(whom: Pid, signal: Option<Signal>) -> Result<bool> {
    match kill(whom, signal) {
        Err(Errno::ESRCH) => Ok(false),
        answer => answer.map(|()| true).refused(|| format!("kill({whom})"), &[]),
    }
}

/// Leaves the caller behind as the init, and runs the command in its child.
fn become_init(command: &[OsString], init: Init) -> Result<Infallible> {
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
