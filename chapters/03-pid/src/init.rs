//! PID 1 and its duties: `pid_namespaces(7)`, `wait(2)`, `signal(7)`.

use std::convert::Infallible;

use anyhow::{Context, Result};
use ch00_ground::refusal::{self, Help, Refused};
use ch01_uts::{FORWARDED, is_forwarded, reap};
use nix::errno::Errno;
use nix::sched::{CloneFlags, clone};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

// ANCHOR: become_init
/// Splits the calling process in two. The caller stays as the init, does its duties and never
/// returns, unless `command` fails: this is run by its new child, and ends by becoming the command.
///
/// # Errors
///
/// That of `command`. Of `clone`: EAGAIN over a limit on processes, ENOMEM when PID 1 of this
/// namespace has died.
pub fn become_init(command: impl FnOnce() -> Result<Infallible>) -> Result<Infallible> {
    // Blocked before there is a child, so that not even its first signal is lost.
    let signals: SigSet = FORWARDED.into_iter().chain([Signal::SIGCHLD]).collect();
    let mut old_mask = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut old_mask))
        .refused(|| "sigprocmask()".into(), &[])?;
    // The init stays the program that was called, with its environment, and /proc/1 would show it to
    // everybody in here who runs as its user. The command becomes another program.
    prctl::set_dumpable(false).refused(|| "prctl(PR_SET_DUMPABLE)".into(), &[])?;
    let begin = || {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&old_mask), None)
            .refused(|| "sigprocmask()".into(), &[])?;
        command()
    };
    let child = lend_to_child(begin).context("cannot leave an init behind")??;
    let status = init(child, &signals).unwrap_or_else(|error| {
        refusal::print(&error);
        refusal::FAILED
    });
    // SAFETY: this call takes a number. What exit(3) does besides is our parent's to do.
    unsafe { libc::_exit(status.into()) }
}

/// Starts a child that has our memory, as from `vfork(2)`, and meanwhile waits: until it becomes
/// another program, or has failed. That is quicker than `fork`, which would copy all that the
/// child only leaves behind; and the child's error is ours without a pipe.
fn lend_to_child(body: impl FnOnce() -> Result<Infallible>) -> Result<Result<Pid>> {
    let (mut body, mut error) = (Some(body), None);
    let run = || {
        error = body.take().map(|body| {
            let Err(error) = body();
            error
        });
        refusal::FAILED.into()
    };
    // Its frames must not be where ours are. Of this, only what is touched is there.
    let mut stack = vec![0; 1 << 20];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: we stand still while the child uses our memory, so it is as if we called the function;
    // a child of chapter 1's spawn has one thread; and the stack is larger than what spawn has used.
    let child = unsafe { clone(Box::new(run), &mut stack, flags, Some(libc::SIGCHLD)) }
        .refused(|| "clone(CLONE_VM | CLONE_VFORK)".into(), CLONE)?;
    Ok(error.map_or(Ok(child), Err))
}
// ANCHOR_END: become_init

const CLONE: Help =
    &[(Errno::EAGAIN, "a limit on processes is reached; the init and the command are two")];

// ANCHOR: init
/// Forwards signals to `command` and reaps whoever dies, until `command` itself has: its status is
/// the result. When the init then exits, the kernel kills everybody else in the namespace.
fn init(command: Pid, signals: &SigSet) -> Result<u8> {
    // Among all that is open is the pipe on which chapter 1's parent waits for the exec: only the
    // command may hold it.
    // SAFETY: no descriptor above stderr is used by the init after this, and it never returns to
    // whoever owns one.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) })
        .refused(|| "close_range(3, MAX)".into(), &[])?;
    let queue = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC)
        .refused(|| "signalfd()".into(), &[])?;
    loop {
        let Some(info) = queue.read_signal().refused(|| "read(signalfd)".into(), &[])? else {
            continue;
        };
        if info.ssi_signo == Signal::SIGCHLD as u32 {
            if let Some(status) = reap_all(command)? {
                return Ok(status);
            }
        } else if is_forwarded(&info) {
            let signal =
                Signal::try_from(info.ssi_signo as i32).refused(|| "read(signalfd)".into(), &[])?;
            send(command, signal)?;
        }
    }
}

/// Sends a signal on. What a keyboard would have sent goes to the whole group of the command, if it
/// leads one: a shell script waits for the program that it has called, whatever comes.
fn send(command: Pid, signal: Signal) -> Result<()> {
    let call = |whom| move || format!("kill({whom}, {signal})");
    if matches!(signal, Signal::SIGINT | Signal::SIGQUIT) {
        match killpg(command, signal) {
            Err(Errno::ESRCH) => {}
            answer => return answer.refused(call(-command.as_raw()), &[]),
        }
    }
    kill(command, signal).refused(call(command.as_raw()), &[])
}

/// Reaps every child that has died, the orphans too that the kernel has given to PID 1, and returns
/// the status of `command` if it was among them. One SIGCHLD may stand for many deaths.
fn reap_all(command: Pid) -> Result<Option<u8>> {
    loop {
        match reap(Pid::from_raw(-1), libc::WNOHANG)? {
            (reaped, status) if reaped == command => return Ok(Some(status)),
            // There are children, and they are alive.
            (nobody, _) if nobody.as_raw() == 0 => return Ok(None),
            _ => {}
        }
    }
}
// ANCHOR_END: init
