//! Who cleans up when SIGKILL has left nobody else.

use std::io::{PipeWriter, Read, pipe};
use std::path::PathBuf;
use std::process;

use anyhow::Result;
use ch00_ground::refusal::Refused;
use nix::sys::signal::SigSet;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, setsid};

use crate::Group;
use crate::cgroup::{Cgroup, kill_and_remove};

/// A process that outlives us, but not for long.
pub struct Keeper {
    pid: Pid,
    /// It reads the other end; that it ends is the sign that we are gone, however that came.
    lives: Option<PipeWriter>,
}

// ANCHOR: keeper
impl Group {
    /// Has somebody watch over this process: when it is gone, what is still in the group is killed,
    /// and the group removed. The child that is started later does not outlive its parent anyway,
    /// but what the child has started would.
    ///
    /// # Errors
    ///
    /// EAGAIN when there are too many processes.
    pub fn keep(&self) -> Result<Keeper> {
        let paths: Vec<PathBuf> = self.cgroups().map(Cgroup::path).map(Into::into).collect();
        let (mut reader, writer) = pipe().refused(|| "pipe2(O_CLOEXEC)".into(), &[])?;
        // SAFETY: this process has one thread.
        match unsafe { fork() }.refused(|| "fork()".into(), &[])? {
            ForkResult::Parent { child } => Ok(Keeper { pid: child, lives: Some(writer) }),
            ForkResult::Child => {
                drop(writer);
                // What is meant for the command, by a terminal or for all its session, is not for us.
                _ = setsid();
                _ = SigSet::all().thread_block();
                _ = reader.read(&mut [0]);
                paths.iter().for_each(|path| kill_and_remove(path));
                process::exit(0);
            }
        }
    }
}
// ANCHOR_END: keeper

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.lives.take());
        _ = waitpid(self.pid, None);
    }
}
