//! The mount calls of Linux 5.2 and later, for which nix has no functions yet. They deal in
//! descriptors where `mount(2)` deals in paths, so nothing can change between a look and a mount.
//! `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `open_tree(2)`, `mount_setattr(2)`, `move_mount(2)`.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::{NixPath, Result};

// Of linux/mount.h, where libc has them not or not for every C library.
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

/// What a call that makes a descriptor answered.
fn descriptor(answer: libc::c_long) -> Result<OwnedFd> {
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Errno::result(answer).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Begins a new file system of this type.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd> {
    // SAFETY: the string ends with a NUL and lives until the call returns.
    descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })
}

/// Gives it an option; one without a value is a flag.
pub fn fsconfig(fs: impl AsFd, key: &CStr, value: Option<&CStr>) -> Result<()> {
    let (command, value) = match value {
        Some(value) => (FSCONFIG_SET_STRING, value.as_ptr()),
        None => (FSCONFIG_SET_FLAG, ptr::null()),
    };
    let fs = fs.as_fd().as_raw_fd();
    // SAFETY: the strings end with a NUL and live until the call returns; null is for no value.
    let answer = unsafe { libc::syscall(libc::SYS_fsconfig, fs, command, key.as_ptr(), value, 0) };
    Errno::result(answer).map(drop)
}

/// Makes it, and a mount of it that hangs nowhere.
pub fn fsmount(fs: impl AsFd, attributes: u64) -> Result<OwnedFd> {
    let (fs, none) = (fs.as_fd().as_raw_fd(), ptr::null::<u8>());
    // SAFETY: this command takes neither key nor value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, none, none, 0) };
    Errno::result(made)?;
    // SAFETY: three numbers go in, and no memory.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes) })
}

/// Copies the mount at a place, and all mounts below it, into a tree that hangs nowhere. An empty
/// path is the place that `from` itself is.
pub fn open_tree(from: BorrowedFd, path: &(impl NixPath + ?Sized)) -> Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_RECURSIVE | libc::AT_EMPTY_PATH) as u32;
    let from = from.as_raw_fd();
    let answer = path.with_nix_path(|path| {
        // SAFETY: the string ends with a NUL and lives until the call returns.
        unsafe { libc::syscall(libc::SYS_open_tree, from, path.as_ptr(), flags) }
    })?;
    descriptor(answer)
}

/// Changes the attributes of a mount; and, with AT_RECURSIVE, of all below it.
pub fn mount_setattr(tree: impl AsFd, flags: i32, change: &libc::mount_attr) -> Result<()> {
    let tree = tree.as_fd().as_raw_fd();
    let flags = flags | libc::AT_EMPTY_PATH;
    let size = size_of_val(change);
    // SAFETY: the change lives until the call returns, and its own size goes with it.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree,
            c"".as_ptr(),
            flags,
            ptr::from_ref(change),
            size,
        )
    };
    Errno::result(answer).map(drop)
}

/// Attaches a tree at a place: at the file or folder `name` of a folder, or with no name at that.
pub fn move_mount(tree: impl AsFd, folder: impl AsFd, name: &CStr) -> Result<()> {
    let (tree, folder) = (tree.as_fd().as_raw_fd(), folder.as_fd().as_raw_fd());
    let mut flags = MOVE_MOUNT_F_EMPTY_PATH;
    if name.is_empty() {
        flags |= MOVE_MOUNT_T_EMPTY_PATH;
    }
    let (nothing, name) = (c"".as_ptr(), name.as_ptr());
    // SAFETY: both are strings, which live until the call returns, and both descriptors are open.
    let answer = unsafe { libc::syscall(libc::SYS_move_mount, tree, nothing, folder, name, flags) };
    Errno::result(answer).map(drop)
}
