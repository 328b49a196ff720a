//! Starting a child in namespaces of its own, and waiting for it: `clone3`, `clone(2)`;
//! `unshare(2)`; `pidfd_send_signal(2)`; `signalfd(2)`.

use std::convert::Infallible;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use anyhow::{Context, Error, Result, ensure};
use ch00_ground::namespace;
use ch00_ground::refusal::{FAILED, Help, Refusal, Refused};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, raise, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;

use crate::terminal;

/// A child that [`spawn`] started. Dropped without [`wait`](Child::wait), it is killed: whoever
/// gives up halfway leaves nothing behind.
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    report: PipeReader,
    reported: Vec<u8>,
    report_is_open: bool,
    signals: SignalFd,
    is_forwarded: fn(&siginfo) -> bool,
    /// Those that came before the command had begun.
    waiting: Vec<siginfo>,
    asked_to_end: bool,
    old_mask: SigSet,
    had_terminal: bool,
    reaped: bool,
}

// ANCHOR: forwarded
/// What another process may send us and means for the command.
pub const FORWARDED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
];
// ANCHOR_END: forwarded

// ANCHOR: spawn
/// Starts a child in a new namespace for each of `flags`. It runs `body`, which ends by becoming
/// another program.
///
/// If `body` fails, the child says why through a pipe and exits, and [`Child::wait`] returns that
/// error. If this process dies, so does the child, unless it has changed its user meanwhile: that
/// clears the wish, `PR_SET_PDEATHSIG(2const)`.
///
/// # Errors
///
/// Of `clone3`: EPERM without CAP_SYS_ADMIN in the user namespace that will own the new namespaces;
/// ENOSPC over a limit of `/proc/sys/user`; ENOSYS before kernel 5.3 or behind a seccomp filter.
/// And when this process has threads: the child would be left with their locks and without them.
pub fn spawn(flags: CloneFlags, body: impl FnOnce() -> Result<Infallible>) -> Result<Child> {
    spawn_into(None, flags, body)
}

/// The same, in the cgroup whose folder of a cgroup v2 file system `cgroup` is: chapter 9 has the
/// reasons.
///
/// # Errors
///
/// Those of [`spawn`]; and of `clone3`: EBUSY when the cgroup gives controllers to its children,
/// EACCES when the caller may not move a process from its own cgroup there, EOPNOTSUPP when the
/// cgroup's type is `domain invalid`.
pub fn spawn_into(
    cgroup: Option<BorrowedFd>,
    flags: CloneFlags,
    body: impl FnOnce() -> Result<Infallible>,
) -> Result<Child> {
    // This changes nothing; but a process that has threads is refused it. (Another refusal would be a
    // filter's, which has its answer to clone3 too.)
    let answer = unshare(CloneFlags::CLONE_THREAD);
    ensure!(answer != Err(Errno::EINVAL), "cannot clone a process that has threads");
    let (report, reporter) = std::io::pipe().refused(|| "pipe2(O_CLOEXEC)".into(), &[])?;
    let had_terminal = terminal::is_foreground();
    // Whoever ignores this signal is told nothing of its children, and we may have inherited that.
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .refused(|| "signal(SIGCHLD)".into(), &[])?;

    // From here on a signal waits until there is a child that it can be forwarded to.
    let forwarded: SigSet = FORWARDED.into_iter().collect();
    let mut old_mask = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&forwarded), Some(&mut old_mask))
        .refused(|| "sigprocmask()".into(), &[])?;
    let signals = SignalFd::with_flags(&forwarded, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .refused(|| "signalfd()".into(), &[])?;

    // SAFETY: this process has one thread, so the child may do whatever its parent may.
    match unsafe { clone3(flags, cgroup) }? {
        None => {
            drop(report);
            let Err(error) = become_child(&old_mask, &reporter).and_then(|()| body());
            let mut reporter = reporter;
            // Should the pipe fail too, the exit status still tells that something did.
            _ = reporter.write_all(&Refusal::to_bytes(&error));
            // SAFETY: this call takes a number. What exit(3) does besides is its parent's to do.
            unsafe { libc::_exit(FAILED.into()) }
        }
        Some((pid, pidfd)) => Ok(Child {
            pid,
            pidfd,
            report,
            reported: Vec::new(),
            report_is_open: true,
            signals,
            is_forwarded,
            waiting: Vec::new(),
            asked_to_end: false,
            old_mask,
            had_terminal,
            reaped: false,
        }),
    }
}
// ANCHOR_END: spawn

// ANCHOR: clone3
/// `clone3(2)` without a stack: as `fork(2)`, but with `flags`, in a cgroup if one is given, and with
/// a pidfd. `None` in the child.
///
/// # Safety
///
/// As for [`nix::unistd::fork`]: the calling process has one thread.
unsafe fn clone3(flags: CloneFlags, cgroup: Option<BorrowedFd>) -> Result<Option<(Pid, OwnedFd)>> {
    let mut pidfd = -1;
    // SAFETY: clone_args is plain numbers, and zero in a field means that nothing is asked for.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (flags.bits() | libc::CLONE_PIDFD) as u32 as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: args lives until the call returns, and says its own size; pidfd is an int that may be
    // written.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match Errno::result(pid)
        .refused(
            || match (cgroup, namespace::flag_names(flags)) {
                (None, names) => format!("clone3({names})"),
                (Some(_), none) if none.is_empty() => "clone3(CLONE_INTO_CGROUP)".into(),
                (Some(_), names) => format!("clone3({names} | CLONE_INTO_CGROUP)"),
            },
            if cgroup.is_some() { INTO_CGROUP } else { HELP },
        )
        .context("cannot start a child")?
    {
        0 => Ok(None),
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        pid => Ok(Some((Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) }))),
    }
}
// ANCHOR_END: clone3

/// libc's is an int, and too small for it.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

const INTO_CGROUP: Help = &[
    (
        Errno::EBUSY,
        "a cgroup that gives controllers to its children takes no processes (chapter 7)",
    ),
    (Errno::EACCES, "you may not move a process from your own cgroup to that one (chapter 7)"),
    (
        Errno::EOPNOTSUPP,
        "the cgroup above has become threaded; cat cgroup.type shows it (chapter 7)",
    ),
    namespace::TAKES_CAPABILITY,
];

const HELP: Help = &[
    namespace::TAKES_CAPABILITY,
    namespace::LIMIT_REACHED,
    (
        Errno::ENOSYS,
        "it takes kernel 5.3, and no seccomp filter that hides clone3, as containers may have",
    ),
    (Errno::EINVAL, "this kernel lacks a namespace; `cargo run -p ch00-ground` shows which"),
];

// ANCHOR: become_child
/// What a child does first: take the signals as they were, and tie its life to its parent's.
fn become_child(old_mask: &SigSet, reporter: &PipeWriter) -> Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(old_mask), None)
        .refused(|| "sigprocmask()".into(), &[])?;
    prctl::set_pdeathsig(Signal::SIGKILL).refused(|| "prctl(PR_SET_PDEATHSIG)".into(), &[])?;
    // A parent that died before that call sends nothing. Its end of the pipe tells; getppid() would
    // not, since it is 0 in a new PID namespace whether the parent lives or not.
    let mut pipe = [PollFd::new(reporter.as_fd(), PollFlags::empty())];
    poll(&mut pipe, PollTimeout::ZERO).refused(|| "poll()".into(), &[])?;
    ensure!(pipe[0].revents() == Some(PollFlags::empty()), "the parent is gone");
    Ok(())
}
// ANCHOR_END: become_child

impl Child {
    /// The child's process id, as its parent sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    // ANCHOR: wait
    /// Waits until the child ends, and returns its exit status: 128 + n when signal n ended it.
    /// Until then, a signal that some process sends to this one goes on to the child.
    ///
    /// # Errors
    ///
    /// The child's own error when it failed before it became another program.
    pub fn wait(mut self) -> Result<u8> {
        loop {
            if let Some(status) = self.wait_beside(&[], PollTimeout::NONE)? {
                return Ok(status);
            }
        }
    }

    /// One round of [`wait`](Child::wait): until the child has ended or said something, a signal has
    /// come, one of `others` is ready, or the time is up. The status, if the child has ended.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Child::wait).
    pub fn wait_beside(&mut self, others: &[PollFd], timeout: PollTimeout) -> Result<Option<u8>> {
        let mut fds = vec![
            PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        // End of file means that exec has closed the child's end: it is marked close-on-exec.
        if self.report_is_open {
            fds.push(PollFd::new(self.report.as_fd(), PollFlags::POLLIN));
        }
        let own = fds.len();
        fds.extend_from_slice(others);
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => return Ok(None),
            answer => answer.refused(|| "poll()".into(), &[])?,
        };
        let is_ready = |at: usize| at < own && fds[at].any() == Some(true);
        let [ended, signal, reported] = [0, 1, 2].map(is_ready);
        if reported && !ended {
            let mut bytes = [0; 4096];
            let length = self.report.read(&mut bytes).refused(|| "read(pipe)".into(), &[])?;
            self.reported.extend(&bytes[..length]);
            self.report_is_open = length > 0;
        }
        if signal {
            self.take_signal()?;
        }
        if !self.report_is_open {
            std::mem::take(&mut self.waiting).iter().try_for_each(|info| self.forward(info))?;
        }
        if !ended {
            return Ok(None);
        }
        let status = self.reap()?;
        self.report.read_to_end(&mut self.reported).refused(|| "read(pipe)".into(), &[])?;
        if !self.reported.is_empty() {
            return Err(Refusal::from_bytes(&self.reported)
                .context("the child's report is not readable")?
                .into());
        }
        Ok(Some(status))
    }
    // ANCHOR_END: wait

    /// Ends the child, since its parent has met with `error` and goes no further. What is to be said
    /// of that: the child's own error, if it had one before, which may well be the cause of the other.
    pub fn give_up(self, error: Error) -> Error {
        // It may have ended by itself, which is as good.
        _ = kill(self.pid, Signal::SIGKILL);
        self.wait().err().unwrap_or(error)
    }

    // ANCHOR: forward
    /// Takes a signal that has come, and forwards it; once more when the command has begun, if it has
    /// not yet. It ends a child that is still on its way, but for one that is PID 1: which signals
    /// that one heeds, it must say.
    fn take_signal(&mut self) -> Result<()> {
        let signal = self.signals.read_signal().refused(|| "read(signalfd)".into(), &[])?;
        if let Some(info) = signal.filter(self.is_forwarded) {
            let ending = [Signal::SIGTERM, Signal::SIGHUP];
            self.asked_to_end |= ending.iter().any(|one| info.ssi_signo == *one as u32);
            self.forward(&info)?;
            if self.report_is_open {
                self.waiting.push(info);
            }
        }
        Ok(())
    }

    fn forward(&self, info: &siginfo) -> Result<()> {
        // SAFETY: the pidfd is open, and no siginfo is given.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                info.ssi_signo,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match Errno::result(answer) {
            // It ended a moment ago, and is about to be reaped.
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => {
                Err(errno).refused(|| format!("pidfd_send_signal({})", info.ssi_signo), &[])
            }
        }
    }
    // ANCHOR_END: forward

    /// From here on all signals go on to the child: it has left our process group, and what the
    /// terminal sends to that does not reach it.
    pub fn forward_all(&mut self) {
        self.is_forwarded = |_| true;
    }

    /// Whether it has become another program, as far as we have heard.
    pub fn has_begun(&self) -> bool {
        !self.report_is_open
    }

    /// Whether somebody wants it to end: SIGTERM or SIGHUP was forwarded.
    pub fn was_asked_to_end(&self) -> bool {
        self.asked_to_end
    }

    fn reap(&mut self) -> Result<u8> {
        let (_, status) = reap(self.pid, 0)?;
        self.reaped = true;
        Ok(status)
    }
}

// ANCHOR: is_forwarded
/// Whether a signal that came to the parent goes on to its command.
///
/// Ctrl-C comes from the kernel, which has sent it to the whole foreground process group: the
/// command has it already. Codes of 0 and below are of signals that a process has sent, and most
/// often to us alone; sent to the whole group, they come twice. A terminal that closes tells only
/// the leader of its session, and so that goes on whoever says it.
pub fn is_forwarded(info: &siginfo) -> bool {
    info.ssi_code <= 0 || info.ssi_signo == Signal::SIGHUP as u32
}
// ANCHOR_END: is_forwarded

/// Reaps the child `pid`, or any if it is -1, as `waitpid(2)` does with these `options`: which one
/// it was, and the exit status by which a shell tells how it ended. nix knows no real-time signals.
///
/// # Errors
///
/// ECHILD when there is no such child.
pub fn reap(pid: Pid, options: i32) -> Result<(Pid, u8)> {
    let mut status = 0;
    loop {
        // SAFETY: status is an int that may be written.
        let answer = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, options) };
        match Errno::result(answer) {
            Err(Errno::EINTR) => {}
            answer => {
                let reaped = answer.refused(|| format!("waitpid({pid})"), &[])?;
                let status = match libc::WIFSIGNALED(status) {
                    true => 128 + libc::WTERMSIG(status),
                    false => libc::WEXITSTATUS(status),
                };
                return Ok((Pid::from_raw(reaped), status as u8));
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // It may have ended by itself, which is as good.
            _ = kill(self.pid, Signal::SIGKILL);
            _ = self.reap();
        }
        if self.had_terminal {
            terminal::take_back();
        }
        // The Ctrl-C that ended the child is waiting for us as well, and was not meant for us. What
        // a process has sent meanwhile was.
        let mut ours = Vec::new();
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_code <= 0 {
                ours.push(info.ssi_signo as i32);
            }
        }
        for signal in ours.into_iter().filter_map(|number| Signal::try_from(number).ok()) {
            _ = raise(signal);
        }
        _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.old_mask), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_refused() {
        let start = || spawn(CloneFlags::empty(), || anyhow::bail!("it was started")).map(drop);
        let refusal = std::thread::spawn(start).join().unwrap().unwrap_err();
        assert_eq!(refusal.to_string(), "cannot clone a process that has threads");
    }
}
