//! The second door and the third: `unshare(2)`, `setns(2)`.

use std::fmt::{self, Display};
use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refused};
use ch00_ground::{capability, namespace};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

// ANCHOR: unshare
/// Puts the calling process into a new namespace for each of `flags`. For `CLONE_NEWPID` and
/// `CLONE_NEWTIME` it stays where it is, and its next children go; into a time namespace, newer
/// kernels also take who calls `execve`.
///
/// # Errors
///
/// EPERM without CAP_SYS_ADMIN; ENOSPC over a limit of `/proc/sys/user`; EINVAL for a flag that
/// this kernel lacks, for a second `CLONE_NEWPID`, and for `CLONE_NEWUSER` in a process with
/// threads.
pub fn unshare(flags: CloneFlags) -> Result<()> {
    nix::sched::unshare(flags)
        .refused(|| format!("unshare({})", namespace::flag_names(flags)), UNSHARE)
        .context("cannot enter new namespaces")
}
// ANCHOR_END: unshare

const UNSHARE: Help = &[
    namespace::TAKES_CAPABILITY,
    namespace::LIMIT_REACHED,
    (
        Errno::EINVAL,
        "this kernel lacks a namespace, or the caller has made a PID namespace already",
    ),
];

/// Whose namespaces to join.
#[derive(Clone)]
pub enum Target {
    /// Those of the process with this id.
    Process(u32),
    /// The one that this file stands for: a link of `/proc/PID/ns`, or a bind mount of one.
    File(PathBuf),
}

impl From<&str> for Target {
    fn from(text: &str) -> Target {
        text.parse().map_or_else(|_| Target::File(text.into()), Target::Process)
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Process(pid) => write!(f, "the namespaces of process {pid}"),
            Target::File(path) => write!(f, "the namespace {}", path.display()),
        }
    }
}

// ANCHOR: join
/// Puts the calling process into namespaces that are there already: of a process, those of `flags`
/// that differ from the caller's own, in one call (kernel 5.8); of a file, whatever it is.
///
/// Who has no CAP_SYS_ADMIN also enters the user namespace of the process: its owner has every
/// capability there.
///
/// # Errors
///
/// ESRCH when there is no such process; EINVAL when the file is no namespace; EPERM when they
/// belong to a user namespace in which the caller has no CAP_SYS_ADMIN.
pub fn join(target: &Target, flags: CloneFlags) -> Result<()> {
    match target {
        Target::Process(pid) => join_process(*pid, flags),
        Target::File(path) => {
            File::open(path).refused(|| format!("open({path:?})"), OPEN).and_then(|file| {
                setns(file, CloneFlags::empty()).refused(|| format!("setns({path:?})"), SETNS)
            })
        }
    }
    .with_context(|| format!("cannot join {target}"))
}

fn join_process(pid: u32, flags: CloneFlags) -> Result<()> {
    let wanted = match capability::holds(capability::effective()?, "sys_admin") {
        true => flags,
        false => flags | CloneFlags::CLONE_NEWUSER,
    };
    let process = pidfd_open(pid)?;
    // The kernel refuses to enter the user namespace that one is in.
    let (ours, theirs) = (namespace::of("self")?, namespace::of(pid)?);
    let kinds = namespace::KINDS.iter().zip(ours.into_iter().zip(theirs));
    let flags: CloneFlags = kinds
        .filter(|(kind, (ours, theirs))| wanted.contains(kind.flag) && ours != theirs)
        .map(|(kind, _)| kind.flag)
        .collect();
    if flags.is_empty() {
        return Ok(());
    }
    setns(process, flags)
        .refused(|| format!("setns({pid}, {})", namespace::flag_names(flags)), SETNS)
}
// ANCHOR_END: join

const OPEN: Help = &[(Errno::ENOENT, "give the id of a process, or a file of /proc/PID/ns")];
const SETNS: Help = &[
    (Errno::EINVAL, "this is no namespace; they are in /proc/PID/ns"),
    (
        Errno::EPERM,
        "the namespace is not yours; join as root, or as the user who made it and by PID",
    ),
];
const PIDFD: Help = &[
    (Errno::ESRCH, "there is no such process; `ps -e` lists those there are"),
    (Errno::EINVAL, "this is no process id; `ps -e` lists those there are"),
];

/// A descriptor that means this process, and never one that got its number later: `pidfd_open(2)`.
/// It becomes readable when the process ends.
///
/// # Errors
///
/// ESRCH when there is no such process.
pub fn pidfd_open(pid: u32) -> Result<OwnedFd> {
    // SAFETY: two numbers go in, and no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd).refused(|| format!("pidfd_open({pid})"), PIDFD)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
