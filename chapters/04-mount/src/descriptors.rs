//! What leads to the machine without a path: `close_range(2)`, `dup2(2)`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};

use anyhow::{Result, bail};
use ch00_ground::refusal::Refused;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::Root;

/// Numbers are given out from below. After so many that are free in a row, none is in use by anybody
/// who might close it.
const GAP: usize = 4;

// ANCHOR: close_inherited
/// Closes what our caller has left open, but for stdin, stdout and stderr. A program does so first of
/// all, while it has nothing open itself.
///
/// # Errors
///
/// When stdin, stdout or stderr is a folder: `..` leads from it to all of the machine.
pub fn close_inherited() -> Result<()> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for (name, fd) in
        [("stdin", stdin.as_fd()), ("stdout", stdout.as_fd()), ("stderr", stderr.as_fd())]
    {
        match kind(fd) {
            Some(SFlag::S_IFDIR) => {
                bail!("cannot run a command with a folder of the machine as its {name}")
            }
            Some(_) => {}
            // The next file that is opened would get this number, and the command that file.
            None => {
                let null = open("/dev/null", OFlag::O_RDWR, Mode::empty());
                let null = null.refused(|| "open(\"/dev/null\")".into(), &[])?;
                // It has the lowest number that is free, which is this one.
                _ = null.into_raw_fd();
            }
        }
    }
    close_from(3)
}

/// Lets go of the machine's folders and files that this process has opened itself, but for the new
/// root. That they are to be closed when the command is executed is not enough: a link in the root
/// file system, to `/proc/self/fd/3/../..`, leads through them as long as they are open, and the path
/// of the command may be one.
///
/// # Errors
///
/// ENOENT when there is no `/dev/null`.
pub fn let_go(root: &Root) -> Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .refused(|| "open(\"/dev/null\")".into(), &[])?;
    let keep = root.as_fd().as_raw_fd();
    let (mut fd, mut free) = (3, 0);
    while free < GAP || fd <= keep {
        // SAFETY: if it is not open, fstat says so.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let kind = kind(borrowed);
        let is_path = matches!(kind, Some(SFlag::S_IFDIR | SFlag::S_IFREG));
        if is_path && fd != keep {
            // Replaced, not closed: whoever owns it here will close it once more.
            // SAFETY: three numbers go in, and the owner of this one has no use for it any more.
            Errno::result(unsafe { libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC) })
                .refused(|| format!("dup3({fd})"), &[])?;
        }
        free = if kind.is_none() { free + 1 } else { 0 };
        fd += 1;
    }
    close_from(fd)
}

/// Closes this descriptor and all with higher numbers.
fn close_from(first: RawFd) -> Result<()> {
    // SAFETY: three numbers go in, and nobody in this program owns any of these.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    Errno::result(answer).map(drop).refused(|| format!("close_range({first}, MAX)"), &[])
}
// ANCHOR_END: close_inherited

/// Of which type the file is that a descriptor leads to; `None` when it is not open.
fn kind(fd: BorrowedFd) -> Option<SFlag> {
    Some(SFlag::from_bits_truncate(fstat(fd).ok()?.st_mode & SFlag::S_IFMT.bits()))
}
