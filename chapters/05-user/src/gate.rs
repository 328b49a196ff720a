//! Where a child waits until its parent has done what only the parent can: `eventfd(2)`,
//! `pidfd_open(2)`.

use std::os::fd::{AsFd, OwnedFd};
use std::process;

use anyhow::{Result, ensure};
use ch00_ground::refusal::Refused;
use ch02_ipc::pidfd_open;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// A gate between a process and the child that it is about to start.
pub struct Gate {
    opened: EventFd,
    /// Of the process that made the gate; readable when it has ended.
    parent: OwnedFd,
}

// ANCHOR: gate
impl Gate {
    /// A closed gate. The child that is started after this has it too.
    ///
    /// # Errors
    ///
    /// EMFILE when too many files are open.
    pub fn new() -> Result<Gate> {
        let opened = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)
            .refused(|| "eventfd(EFD_CLOEXEC)".into(), &[])?;
        Ok(Gate { opened, parent: pidfd_open(process::id())? })
    }

    /// Lets the child pass.
    ///
    /// # Errors
    ///
    /// None that `write(2)` of an eventfd gives here.
    pub fn open(&self) -> Result<()> {
        self.opened.write(1).refused(|| "write(eventfd)".into(), &[])?;
        Ok(())
    }

    /// Waits until the parent opens the gate.
    ///
    /// # Errors
    ///
    /// When the parent ends instead.
    pub fn pass(&self) -> Result<()> {
        loop {
            let mut fds = [self.opened.as_fd(), self.parent.as_fd()]
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                answer => answer.refused(|| "poll()".into(), &[])?,
            };
            ensure!(fds[1].any() != Some(true), "the parent is gone");
            return Ok(());
        }
    }

    /// Ties the child's life to its parent's anew. [`ch01_uts::spawn`] has done so, but the kernel
    /// forgets it when a process changes its user, `PR_SET_PDEATHSIG(2const)`.
    ///
    /// # Errors
    ///
    /// When the parent has ended meanwhile.
    pub fn tie(&self) -> Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL).refused(|| "prctl(PR_SET_PDEATHSIG)".into(), &[])?;
        let mut parent = [PollFd::new(self.parent.as_fd(), PollFlags::POLLIN)];
        poll(&mut parent, PollTimeout::ZERO).refused(|| "poll()".into(), &[])?;
        ensure!(parent[0].any() != Some(true), "the parent is gone");
        Ok(())
    }
}
// ANCHOR_END: gate
