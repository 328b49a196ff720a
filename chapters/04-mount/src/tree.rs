//! A mount before it is anywhere: made, restricted, and only then attached.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ch00_ground::refusal::{Help, Refused};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::calls;

/// What a mount forbids, whatever the files on it say: `mount_setattr(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Nothing on it can be written.
    ReadOnly,
    /// Set-user-ID bits and file capabilities give nothing.
    NoSuid,
    /// Device files do not lead to their devices.
    NoDev,
    /// Nothing on it can be executed.
    NoExec,
}

impl Attribute {
    fn bits(attributes: &[Attribute]) -> u64 {
        let bit = |attribute: &Attribute| match attribute {
            Attribute::ReadOnly => libc::MOUNT_ATTR_RDONLY,
            Attribute::NoSuid => libc::MOUNT_ATTR_NOSUID,
            Attribute::NoDev => libc::MOUNT_ATTR_NODEV,
            Attribute::NoExec => libc::MOUNT_ATTR_NOEXEC,
        };
        attributes.iter().map(bit).sum()
    }
}

/// A mount, or a tree of them, that hangs nowhere: no path leads to it. It is gone with its
/// descriptor, unless it is [attached](Tree::attach) before.
pub struct Tree {
    mount: OwnedFd,
    /// For messages.
    name: String,
}

impl Tree {
    // ANCHOR: new
    /// A new file system of type `kind`, with options as in `/proc/filesystems` and `mount(8)`; an
    /// empty value is a flag.
    ///
    /// # Errors
    ///
    /// ENODEV for a type that the kernel does not know; EINVAL for an option that the type does
    /// not; EPERM for one that a user namespace may not mount, and for a `/proc` where a part of
    /// the present one is hidden, as in an outer container.
    pub fn new(kind: &str, options: &[(&str, &str)], attributes: &[Attribute]) -> Result<Tree> {
        let text = |text: &str| CString::new(text).context("a mount option has a NUL byte in it");
        let make = || {
            let fs = calls::fsopen(&text(kind)?).refused(|| format!("fsopen({kind:?})"), NEW)?;
            for (key, value) in [("source", kind)].iter().chain(options) {
                let value = if value.is_empty() { None } else { Some(text(value)?) };
                calls::fsconfig(&fs, &text(key)?, value.as_deref())
                    .refused(|| format!("fsconfig({kind:?}, {key:?}, {value:?})"), NEW)?;
            }
            calls::fsmount(&fs, Attribute::bits(attributes))
                .refused(|| format!("fsmount({kind:?})"), NEW)
        };
        let mount = make().with_context(|| format!("cannot make a new {kind}"))?;
        Ok(Tree { mount, name: kind.to_owned() })
    }
    // ANCHOR_END: new

    /// What is at `path` now, with all that is mounted below: what `mount --rbind` mounts. These
    /// attributes are added to those that it has.
    ///
    /// All of it, since in a user namespace the kernel gives no part of a tree that it got from
    /// outside: a mount may be there to hide what is below it.
    ///
    /// # Errors
    ///
    /// ENOENT, EACCES, ENOTDIR as for `open(2)`.
    pub fn bind(path: &Path, attributes: &[Attribute]) -> Result<Tree> {
        Tree::of(AT_FDCWD, path, path, attributes)
    }

    /// The same for a path that begins at a descriptor, and is called `name` in messages.
    pub(crate) fn of(
        from: BorrowedFd,
        path: &Path,
        name: &Path,
        attributes: &[Attribute],
    ) -> Result<Tree> {
        let mount = calls::open_tree(from, path)
            .refused(|| format!("open_tree({name:?}, OPEN_TREE_CLONE | AT_RECURSIVE)"), BIND)
            .with_context(|| format!("cannot bind {}", name.display()))?;
        let name = name.display().to_string();
        let tree = Tree { mount, name };
        // The copy of a shared mount is its peer: what is mounted on one would show on the other.
        let attr_set = Attribute::bits(attributes);
        let change = libc::mount_attr { attr_set, propagation: libc::MS_PRIVATE, ..NONE };
        tree.change(&format!("{attributes:?} | MS_PRIVATE"), &change, SETATTR)
            .context("cannot make a copy private")?;
        Ok(tree)
    }
    /// The root file system in the folder `path`. A folder is no mount, and a new root must be one:
    /// hence the bind.
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR or EACCES when there is no such folder for you; and when it lies on a mount
    /// with noexec.
    pub fn of_folder(path: &Path) -> Result<Tree> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open(path, flags, Mode::empty())
            .refused(|| format!("open({path:?}, O_DIRECTORY)"), FOLDER)
            .with_context(|| format!("cannot take {} for a root file system", path.display()))?;
        let flags = fstatvfs(&folder).refused(|| format!("fstatvfs({path:?})"), &[])?.flags();
        ensure!(
            !flags.contains(FsFlags::ST_NOEXEC),
            "nothing can be executed in {}: it is on a mount with noexec, as \
             `findmnt --target FOLDER` shows; copy it elsewhere",
            path.display()
        );
        Tree::of(folder.as_fd(), Path::new(""), path, &[Attribute::NoDev])
    }

    // ANCHOR: restrict
    /// Forbids more, on every mount of the tree; what was forbidden stays so.
    ///
    /// `mount(2)` needs a second call for this too: a bind mount takes over the attributes of the
    /// mount it copies, and the flags given with MS_BIND are ignored without a word. Here there is
    /// no moment in which the tree is visible and still writable.
    ///
    /// # Errors
    ///
    /// EPERM without CAP_SYS_ADMIN.
    pub fn restrict(&self, attributes: &[Attribute]) -> Result<()> {
        let attr_set = Attribute::bits(attributes);
        let change = libc::mount_attr { attr_set, ..NONE };
        self.change(&format!("{attributes:?}"), &change, SETATTR)
            .with_context(|| format!("cannot restrict {}", self.name))
    }
    // ANCHOR_END: restrict

    /// Forbids that anything be written on its first mount, and lets those below be.
    pub(crate) fn seal(&self) -> Result<()> {
        let change = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, ..NONE };
        calls::mount_setattr(self, 0, &change)
            .refused(|| format!("mount_setattr({:?}, ReadOnly)", self.name), SETATTR)
            .with_context(|| format!("cannot restrict {}", self.name))
    }

    /// Another descriptor of the same mount, for a child to take along.
    ///
    /// # Errors
    ///
    /// EMFILE when too many files are open.
    pub fn try_clone(&self) -> Result<Tree> {
        let mount = self.mount.try_clone().refused(|| "fcntl(F_DUPFD_CLOEXEC)".into(), &[])?;
        Ok(Tree { mount, name: self.name.clone() })
    }

    /// Whether its root is a folder.
    pub(crate) fn is_folder(&self) -> Result<bool> {
        let stat = fstat(self).refused(|| format!("fstat({:?})", self.name), &[])?;
        Ok(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR)
    }

    /// Changes attributes of every mount of the tree, as `mount_setattr(2)` does; `what` names the
    /// change in a message.
    ///
    /// # Errors
    ///
    /// Those of the call, each with the `help` for it.
    pub fn change(&self, what: &str, change: &libc::mount_attr, help: Help) -> Result<()> {
        calls::mount_setattr(self, libc::AT_RECURSIVE, change)
            .refused(|| format!("mount_setattr({:?}, {what})", self.name), help)
    }

    // ANCHOR: attach
    /// Mounts it on the file or folder that `place` is.
    ///
    /// # Errors
    ///
    /// EINVAL when one is a file and the other a folder, and when the place is in another mount
    /// namespace than the caller.
    pub fn attach(&self, place: impl AsFd) -> Result<()> {
        self.attach_in(place, c"")
    }
    // ANCHOR_END: attach

    /// The same for the file or folder `name` in a folder that nobody else can change; or for `/`.
    pub(crate) fn attach_in(&self, folder: impl AsFd, name: &CStr) -> Result<()> {
        calls::move_mount(self, folder, name)
            .refused(|| format!("move_mount({:?})", self.name), ATTACH)
            .with_context(|| format!("cannot mount {}", self.name))
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

/// No change at all.
const NONE: libc::mount_attr =
    libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };

const NEW: Help = &[
    (
        Errno::EINVAL,
        "an option is wrong; an overlay says so too when its layer is on another overlay, or on a file system of the network",
    ),
    (Errno::ENODEV, "this kernel does not know it; `cat /proc/filesystems` lists what it does"),
    (
        Errno::EPERM,
        "it takes CAP_SYS_ADMIN; and inside another container, where a part of /proc is hidden, no new one may be mounted: run outside of it",
    ),
    (Errno::ENOSYS, "it takes kernel 5.12, and no seccomp filter that hides the new mount calls"),
];
const BIND: Help = &[
    (Errno::ENOENT, "there is nothing at this path"),
    (Errno::EACCES, "you may not search one of the folders above it; `namei -l` shows which"),
];
const SETATTR: Help =
    &[(Errno::ENOSYS, "it takes kernel 5.12, and no seccomp filter that hides mount_setattr")];
const ATTACH: Help = &[(Errno::EINVAL, "a folder is mounted on a folder, and a file on a file")];
const FOLDER: Help = &[
    (Errno::ENOENT, "there is no such folder; `scripts/rootfs FOLDER` makes a small one"),
    (Errno::ENOTDIR, "a root file system is a folder here, not an image or an archive of one"),
    (Errno::EACCES, "you may not search one of the folders above it; `namei -l` shows which"),
];
