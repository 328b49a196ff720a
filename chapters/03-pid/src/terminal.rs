//! A session and a terminal of the container's own: `setsid(2)`, `pty(7)`, `pts(4)`, `termios(3)`.

use std::io::{IoSlice, IoSliceMut, IsTerminal, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ch00_ground::refusal::Refused;
use ch01_uts::{Child, is_foreground};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{posix_openpt, unlockpt};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getpgrp, read, setsid, write};

nix::ioctl_read_bad!(tiocgwinsz, libc::TIOCGWINSZ, libc::winsize);
nix::ioctl_write_ptr_bad!(tiocswinsz, libc::TIOCSWINSZ, libc::winsize);
nix::ioctl_write_int_bad!(tiocsctty, libc::TIOCSCTTY);
nix::ioctl_write_int_bad!(tiocgptpeer, libc::TIOCGPTPEER as libc::c_ulong);

/// How long a command has to end when it was asked to, as `docker stop` gives it.
const GRACE: Duration = Duration::from_secs(10);

// ANCHOR: leave_session
/// Makes the calling process the leader of a new session, which has no terminal.
///
/// The init does so before it has a child. Otherwise it gets its own copy of every Ctrl-C, which it is
/// not to pass on. While that waits to be read, one that its parent sends it is lost: there can only
/// be one SIGINT at a time.
///
/// # Errors
///
/// EPERM for who leads a process group.
pub fn leave_session() -> Result<()> {
    setsid().map(drop).refused(|| "setsid()".into(), &[])
}
// ANCHOR_END: leave_session

/// A session for a child that is about to be started; and, if we have a terminal, one for it, tied
/// to ours.
pub struct Terminal {
    /// Our end and the child's of a socket, over which its terminal comes to us.
    sockets: Option<(UnixStream, UnixStream)>,
}

impl Terminal {
    // ANCHOR: enter
    /// With a terminal if our stdin and our stdout are one, and nobody has put us into the background.
    ///
    /// # Errors
    ///
    /// EMFILE when too many files are open.
    pub fn new() -> Result<Terminal> {
        let mut is_wanted = stdin().is_terminal() && stdout().is_terminal();
        if is_wanted && !is_foreground() {
            // Now it is as its owner likes it, a shell that edits a line, and not ours to copy. Whoever
            // reads from it is stopped until it is in front, and so are we.
            _ = killpg(getpgrp(), Signal::SIGTTIN);
            is_wanted = is_foreground();
        }
        let pair = || UnixStream::pair().refused(|| "socketpair()".into(), &[]);
        Ok(Terminal { sockets: is_wanted.then(pair).transpose()? })
    }

    /// Makes the calling process the leader of a new session. It has no terminal until it opens
    /// one, and so nobody in it can type into ours. If we have one, it gets a new one, made at
    /// `/dev/ptmx` as the process finds it.
    ///
    /// # Errors
    ///
    /// ENOENT when there is no `/dev/ptmx`; ENOSPC when there are too many terminals,
    /// `/proc/sys/kernel/pty/max`.
    pub fn enter(&self) -> Result<()> {
        leave_session()?;
        let Some((_, socket)) = &self.sockets else { return Ok(()) };
        let enter = || -> Result<()> {
            let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let ours = posix_openpt(flags).refused(|| "open(\"/dev/ptmx\")".into(), &[])?;
            unlockpt(&ours).refused(|| "ioctl(TIOCSPTLCK)".into(), &[])?;
            // SAFETY: this call takes flags, and no memory.
            let theirs = unsafe { tiocgptpeer(ours.as_raw_fd(), flags.bits()) }
                .refused(|| "ioctl(TIOCGPTPEER)".into(), &[])?;
            // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
            let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
            // Of the same size, and with the same keys for Ctrl-C and the like.
            copy_size(stdin().as_fd().as_raw_fd(), theirs.as_raw_fd());
            let like = tcgetattr(stdin()).refused(|| "tcgetattr(stdin)".into(), &[])?;
            tcsetattr(&theirs, SetArg::TCSANOW, &like).refused(|| "tcsetattr()".into(), &[])?;
            send(socket, [ours.as_raw_fd(), theirs.as_raw_fd()])?;
            // When the last of its other ends is closed, SIGHUP kills us. Now that is not ours: who
            // fails here can still say why.
            // SAFETY: this call takes a number, and no memory.
            unsafe { tiocsctty(theirs.as_raw_fd(), 0) }
                .refused(|| "ioctl(TIOCSCTTY)".into(), &[])?;
            dup2_stdin(&theirs).refused(|| "dup2(0)".into(), &[])?;
            dup2_stdout(&theirs).refused(|| "dup2(1)".into(), &[])?;
            if stderr().is_terminal() {
                dup2_stderr(&theirs).refused(|| "dup2(2)".into(), &[])?;
            }
            Ok(())
        };
        enter().context("cannot make a terminal")
    }
    // ANCHOR_END: enter

    // ANCHOR: wait
    /// Waits for a child that has entered it, as [`Child::wait`] does, and meanwhile carries what
    /// is typed to it, and what it prints to us. A command that SIGTERM or SIGHUP has reached, or
    /// whose terminal is gone, has ten seconds to end, and is then killed.
    ///
    /// # Errors
    ///
    /// As for [`Child::wait`].
    pub fn wait(self, mut child: Child) -> Result<u8> {
        child.forward_all();
        let mut line = match self.sockets {
            Some((ours, theirs)) => {
                drop(theirs);
                Line::Coming(ours)
            }
            None => Line::None,
        };
        let mut deadline = None;
        loop {
            let left = deadline.map(|end: Instant| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                // Which kills it.
                drop(child);
                return Ok(128 + Signal::SIGKILL as u8);
            }
            let timeout = left.and_then(|left| PollTimeout::try_from(left).ok());
            let status = child.wait_beside(&line.wanted(), timeout.unwrap_or(PollTimeout::NONE))?;
            if let Some(status) = status {
                line.drain()?;
                return Ok(status);
            }
            line = line.carry()?;
            if child.was_asked_to_end() || matches!(line, Line::Gone) {
                deadline.get_or_insert(Instant::now() + GRACE);
            }
        }
    }
    // ANCHOR_END: wait
}

/// What leads from our terminal to the child's.
enum Line {
    /// Nothing, since we have none.
    None,
    /// The child has not sent it yet.
    Coming(UnixStream),
    /// Both ends of the child's.
    Open(Box<Relay>),
    /// Ours is gone, and so the child's is.
    Gone,
}

impl Line {
    /// What it waits for.
    fn wanted(&self) -> Vec<PollFd<'_>> {
        match self {
            Line::None | Line::Gone => Vec::new(),
            Line::Coming(socket) => vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
            Line::Open(relay) => relay.wanted(),
        }
    }

    /// Does what can be done without waiting.
    fn carry(self) -> Result<Line> {
        Ok(match self {
            Line::Coming(socket) => match receive(&socket)? {
                Some([Some(master), Some(slave)]) => {
                    Line::Open(Box::new(Relay::new(master, slave)?))
                }
                // The child has failed before.
                Some(_) => Line::None,
                None => Line::Coming(socket),
            },
            Line::Open(mut relay) => match relay.carry()? {
                true => Line::Open(relay),
                false => Line::Gone,
            },
            nothing => nothing,
        })
    }

    /// Prints what is left of what was said, if our terminal takes it.
    fn drain(mut self) -> Result<()> {
        if matches!(self, Line::Coming(_)) {
            // A short command can be through before we have looked once.
            self = self.carry()?;
        }
        let Line::Open(mut relay) = self else { return Ok(()) };
        relay.slave = None;
        loop {
            let mut bytes = [0; 4096];
            if relay.to_us.is_empty() {
                match read(&relay.master, &mut bytes) {
                    Ok(length @ 1..) => relay.to_us.extend(&bytes[..length]),
                    // Once all is read, and nobody is left to write: EIO.
                    _ => return Ok(()),
                }
            }
            let mut screen = [PollFd::new(relay.screen.as_fd(), PollFlags::POLLOUT)];
            let patience = PollTimeout::try_from(GRACE).unwrap_or(PollTimeout::MAX);
            match poll(&mut screen, patience) {
                Err(Errno::EINTR) => continue,
                answer => answer.refused(|| "poll()".into(), &[])?,
            };
            match write(&relay.screen, &relay.to_us) {
                Ok(length) => drop(relay.to_us.drain(..length)),
                Err(Errno::EINTR) => {}
                Err(_) => return Ok(()),
            }
        }
    }
}

/// The child's terminal, and ours, which is raw meanwhile: what is typed, Ctrl-C too, is for the
/// other one to interpret.
struct Relay {
    master: OwnedFd,
    /// Our terminal to write to, without waiting for it.
    screen: OwnedFd,
    /// Held open, so that the terminal lives when the command has closed it for a while.
    slave: Option<OwnedFd>,
    /// SIGWINCH, and SIGCONT: who has stopped us has had our terminal meanwhile.
    changed: SignalFd,
    raw: Termios,
    before: Termios,
    to_us: Vec<u8>,
    to_them: Vec<u8>,
}

impl Relay {
    fn new(master: OwnedFd, slave: OwnedFd) -> Result<Relay> {
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))
            .refused(|| "fcntl(F_SETFL)".into(), &[])?;
        let signals = SigSet::from_iter([Signal::SIGWINCH, Signal::SIGCONT]);
        signals.thread_block().refused(|| "sigprocmask()".into(), &[])?;
        let changed =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .refused(|| "signalfd()".into(), &[])?;
        // Opened anew: our stdout is also that of others, who do not expect it to refuse.
        let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let screen = match open("/proc/self/fd/1", flags, Mode::empty()) {
            Ok(screen) => screen,
            // It may be another user's, as after su(1).
            Err(_) => {
                stdout().as_fd().try_clone_to_owned().refused(|| "dup(stdout)".into(), &[])?
            }
        };
        let before = tcgetattr(stdin()).refused(|| "tcgetattr(stdin)".into(), &[])?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).refused(|| "tcsetattr()".into(), &[])?;
        copy_size(stdin().as_fd().as_raw_fd(), master.as_raw_fd());
        let (to_us, to_them) = (Vec::new(), Vec::new());
        Ok(Relay { master, screen, slave: Some(slave), changed, raw, before, to_us, to_them })
    }

    /// In each direction, either more is read or what was read is written.
    fn wanted(&self) -> Vec<PollFd<'_>> {
        // SAFETY: stdin is open as long as this process lives.
        let stdin = unsafe { BorrowedFd::borrow_raw(0) };
        let of_us = if self.to_us.is_empty() { PollFlags::POLLIN } else { PollFlags::empty() };
        let of_them = if self.to_them.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let typed = if self.to_them.is_empty() { PollFlags::POLLIN } else { PollFlags::empty() };
        let shown = if self.to_us.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        vec![
            PollFd::new(self.master.as_fd(), of_us | of_them),
            PollFd::new(self.changed.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin, typed),
            PollFd::new(self.screen.as_fd(), shown),
        ]
    }

    /// Does what can be done now. False when our terminal is gone.
    fn carry(&mut self) -> Result<bool> {
        let mut fds = self.wanted();
        poll(&mut fds, PollTimeout::ZERO).refused(|| "poll()".into(), &[])?;
        let ready: Vec<_> =
            fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect();
        let [master, changed, stdin_is, stdout_is] = ready[..] else { return Ok(true) };
        drop(fds);
        let mut bytes = [0; 4096];
        if changed.contains(PollFlags::POLLIN) {
            let signal = self.changed.read_signal().ok().flatten();
            if signal.is_some_and(|info| info.ssi_signo == Signal::SIGCONT as u32) {
                _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.raw);
            }
            copy_size(0, self.master.as_raw_fd());
        }
        if master.contains(PollFlags::POLLIN)
            && self.to_us.is_empty()
            && let Ok(length) = read(&self.master, &mut bytes)
        {
            self.to_us.extend(&bytes[..length]);
        } else if stdout_is.intersects(PollFlags::POLLOUT | PollFlags::POLLERR) {
            match write(&self.screen, &self.to_us) {
                Ok(length) => drop(self.to_us.drain(..length)),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => return Ok(false),
            }
        }
        if master.contains(PollFlags::POLLOUT)
            && let Ok(length) = write(&self.master, &self.to_them)
        {
            self.to_them.drain(..length);
        } else if !stdin_is.is_empty() {
            match read(stdin(), &mut bytes) {
                Ok(0) => return Ok(false),
                Ok(length) => self.to_them.extend(&bytes[..length]),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// A terminal that is gone has no size to copy.
fn copy_size(from: RawFd, to: RawFd) {
    // SAFETY: winsize is plain numbers.
    let mut size = unsafe { std::mem::zeroed() };
    // SAFETY: size may be written, and lives until the call returns.
    if unsafe { tiocgwinsz(from, &raw mut size) }.is_ok() {
        // SAFETY: size lives until the call returns.
        _ = unsafe { tiocswinsz(to, &raw const size) };
    }
}

/// Sends descriptors to another process: `unix(7)`, SCM_RIGHTS.
fn send(socket: &UnixStream, fds: [RawFd; 2]) -> Result<()> {
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(b"t")], &rights, MsgFlags::empty(), None)
        .refused(|| "sendmsg(SCM_RIGHTS)".into(), &[])?;
    Ok(())
}

/// What was sent, if something was; nothing in it when nothing can come any more.
fn receive(socket: &UnixStream) -> Result<Option<[Option<OwnedFd>; 2]>> {
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut bytes, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            answer => break answer.refused(|| "recvmsg()".into(), &[])?,
        }
    };
    let mut received = [None, None];
    for rights in message.cmsgs().refused(|| "recvmsg()".into(), &[])? {
        if let ControlMessageOwned::ScmRights(fds) = rights {
            for (place, fd) in received.iter_mut().zip(fds) {
                // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
                *place = Some(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    Ok(Some(received))
}
