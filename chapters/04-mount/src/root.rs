//! A new root, what is mounted below it, and the change to it: `pivot_root(2)`, `openat2(2)`.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ch00_ground::refusal::{Help, Refused};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, fstat, mkdirat, umask};
use nix::unistd::{chroot, fchdir, pivot_root, symlinkat};

use crate::overlay::path_of;
use crate::tree::{Attribute, Tree};

/// The root of a file system that is to become `/`.
pub struct Root {
    tree: Tree,
    /// Whether it is ours alone, so that folders to mount on may be made in it.
    fresh: bool,
}

impl Root {
    // ANCHOR: of_host
    /// A fresh tmpfs with the programs and settings of the machine, read-only, and nothing else of
    /// it: no home, no `/var`, no `/run`.
    ///
    /// # Errors
    ///
    /// As for [`Tree::new`] and [`Tree::bind`].
    pub fn of_host() -> Result<Root> {
        use Attribute::{NoDev, NoSuid, ReadOnly};
        let tree = Tree::new("tmpfs", &[("mode", "755")], &[NoSuid, NoDev])?;
        let root = Root::fresh(tree)?;
        root.link_and_mount_host(|folder| Tree::bind(folder, &[ReadOnly, NoSuid, NoDev]))?;
        for name in ["proc", "dev", "tmp"] {
            root.make_folder(name)?;
        }
        Tree::new("tmpfs", &[("mode", "1777")], &[NoSuid, NoDev])?.attach(root.find("tmp")?)?;
        Ok(root)
    }
    // ANCHOR_END: of_host

    /// Has what each folder of the machine's programs and settings is to be at its place.
    pub(crate) fn link_and_mount_host(&self, tree: impl Fn(&Path) -> Result<Tree>) -> Result<()> {
        for name in ["usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let host = Path::new("/").join(name);
            let target = match fs::read_link(&host) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                // It is no link.
                Err(error) if error.kind() == ErrorKind::InvalidInput => None,
                answer => Some(answer.refused(|| format!("readlink({host:?})"), &[])?),
            };
            match target {
                // On most systems /bin is a link to usr/bin by now.
                Some(target) if target.starts_with("usr") || target.starts_with("/usr") => {
                    made_or_there(symlinkat(&target, self, name))
                        .refused(|| format!("symlinkat({name:?})"), &[])?;
                }
                _ if is_folder(&host)? => tree(&host)?.attach(self.make_folder(name)?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The root file system `tree`, which is mounted on `/` from here on: a mount must hang
    /// somewhere before others can hang on it and before it can become the root. An absolute path
    /// still begins at the root that the process has, below it. But `..` from a folder of that root
    /// leads into the new one.
    ///
    /// # Errors
    ///
    /// As for [`Tree::attach`].
    pub fn of_tree(tree: Tree) -> Result<Root> {
        tree.attach_in(AT_FDCWD, c"/")?;
        Ok(Root { tree, fresh: false })
    }

    /// The same for a root that is ours alone.
    pub(crate) fn fresh(tree: Tree) -> Result<Root> {
        Ok(Root { fresh: true, ..Root::of_tree(tree)? })
    }

    /// Mounts a tree for a while, where the change of the root takes it away again with the old root:
    /// on top of `/` it would be in the way of that.
    pub(crate) fn mount_aside(tree: &Tree) -> Result<()> {
        let place = ["/tmp", "/mnt", "/run"].iter().find_map(|path| folder(Path::new(path)).ok());
        tree.attach(place.context("cannot find a folder to mount on: /tmp, /mnt or /run")?)
    }

    /// Takes it off `/` again, with all that is mounted on it.
    pub(crate) fn take_off(&self) -> Result<()> {
        umount2(path_of(self).as_str(), MntFlags::MNT_DETACH)
            .refused(|| "umount2(rootfs, MNT_DETACH)".into(), &[])
    }

    // ANCHOR: populate
    /// Mounts what programs expect to find in any root: `/proc`, of the PID namespace that the
    /// caller is in, and `/dev`.
    ///
    /// A real runtime also hides parts of `/proc` (`/proc/kcore`, `/proc/sysrq-trigger`) from a
    /// container whose root is the machine's root.
    ///
    /// # Errors
    ///
    /// ENOENT when the root file system has no folder for one of them; EPERM as for [`Tree::new`].
    pub fn populate(&self) -> Result<()> {
        use Attribute::{NoDev, NoExec, NoSuid};
        // First of all: in a user namespace a new /proc is only allowed while the old one is there
        // to be seen.
        Tree::new("proc", &[], &[NoSuid, NoDev, NoExec])?.attach(self.find("proc")?)?;
        crate::dev::mount(self.find("dev")?)
    }
    // ANCHOR_END: populate

    // ANCHOR: find
    /// The file or folder at `path` in this root, to mount on. Links in the path, and `..`, lead
    /// where they would if this were `/` already: never out of it.
    ///
    /// # Errors
    ///
    /// ENOENT when there is none, ELOOP for a link of `/proc`.
    pub fn find(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        let path = path.as_ref();
        self.below_itself(self.resolve(path)?, path)
    }

    fn below_itself(&self, found: OwnedFd, path: &Path) -> Result<OwnedFd> {
        let id = |fd: BorrowedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        ensure!(
            id(found.as_fd()) != id(self.as_fd()),
            "cannot mount on {}: it is the root itself",
            path.display()
        );
        Ok(found)
    }

    fn resolve(&self, path: &Path) -> Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(self, path, how)
            .refused(|| format!("openat2({path:?}, RESOLVE_IN_ROOT)"), FIND)
            .with_context(|| format!("cannot find {} in the root file system", path.display()))
    }
    // ANCHOR_END: find

    /// The folder at `path` in this root; made, with those above it, if the root is ours.
    ///
    /// # Errors
    ///
    /// As for [`find`](Root::find), and ENOTDIR when a file is in the way.
    pub fn make_folder(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        let path = path.as_ref();
        if !self.fresh {
            return self.find(path);
        }
        let (mut made, mut place) = (PathBuf::from("/"), None);
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                _ => bail!("cannot mount on {}: there must be no `..` in it", path.display()),
            };
            let parent = place.as_ref().map_or(self.as_fd(), OwnedFd::as_fd);
            made.push(name);
            made_or_there(mkdirat(parent, name, Mode::from_bits_truncate(0o755)))
                .refused(|| format!("mkdirat({made:?})"), MAKE)
                .with_context(|| format!("cannot mount on {}", path.display()))?;
            place = Some(self.resolve(&made)?);
        }
        place.map_or_else(|| self.find(path), |place| self.below_itself(place, path))
    }

    /// The file at `path` in this root; made, empty, if the root is ours.
    ///
    /// # Errors
    ///
    /// As for [`make_folder`](Root::make_folder).
    pub fn make_file(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        let path = path.as_ref();
        if let (true, Some(parent), Some(name)) = (self.fresh, path.parent(), path.file_name()) {
            let made;
            let parent = if parent == Path::new("/") {
                self.as_fd()
            } else {
                made = self.make_folder(parent)?;
                made.as_fd()
            };
            // With O_EXCL no link at this name is followed.
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            made_or_there(openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map(drop))
                .refused(|| format!("openat({path:?}, O_CREAT)"), MAKE)
                .with_context(|| format!("cannot mount on {}", path.display()))?;
        }
        self.find(path)
    }

    // ANCHOR: pivot
    /// Makes this the root of the mount namespace and of every process in it, and lets go of the
    /// old one: no path leads to it any more. A descriptor still would:
    /// [`close_inherited`](crate::close_inherited) comes before.
    ///
    /// # Errors
    ///
    /// EINVAL when the mounts are shared: [`make_private`](crate::make_private) comes before this.
    pub fn pivot(self) -> Result<()> {
        let pivot = || -> Result<()> {
            fchdir(&self).refused(|| "fchdir(rootfs)".into(), &[])?;
            // The old root is put on the same folder, on top of the new one. So there needs to be
            // no folder for it.
            pivot_root(".", ".").refused(|| "pivot_root(\".\", \".\")".into(), PIVOT)?;
            // Here `.` is what lies on top. Detached: it is still in use elsewhere, and busy.
            umount2(".", MntFlags::MNT_DETACH)
                .refused(|| "umount2(\".\", MNT_DETACH)".into(), &[])?;
            Ok(())
        };
        pivot().context("cannot change to the new root")
    }
    // ANCHOR_END: pivot

    /// Lets nobody write to it any more. What is mounted below it stays as it is.
    ///
    /// # Errors
    ///
    /// EPERM without CAP_SYS_ADMIN; who keeps that can undo it.
    pub fn seal(&self) -> Result<()> {
        self.tree.seal()
    }

    /// Makes this the folder at which the calling process's paths begin, and nothing more. Kept to
    /// show what is wrong with it: [`escape`](crate::escape) gets out.
    ///
    /// # Errors
    ///
    /// EPERM without CAP_SYS_CHROOT.
    pub fn chroot(self) -> Result<()> {
        // Into a folder, as one does it with chroot: there is something above.
        self.tree.attach(folder(Path::new("/tmp"))?)?;
        fchdir(&self).refused(|| "fchdir(rootfs)".into(), &[])?;
        chroot(".").refused(|| "chroot(\".\")".into(), &[])
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }
}

/// Makes `path` the folder in which the command begins.
///
/// # Errors
///
/// ENOENT, ENOTDIR and EACCES as for `chdir(2)`; ELOOP for a link of `/proc`.
pub fn work_in(path: &Path) -> Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let work_in = || {
        let folder = openat2(AT_FDCWD, path, how).refused(|| format!("openat2({path:?})"), WORK)?;
        fchdir(folder).refused(|| format!("fchdir({path:?})"), WORK)
    };
    work_in().with_context(|| format!("cannot begin in {}", path.display()))
}

/// The folder at `path`, to mount on.
fn folder(path: &Path) -> Result<OwnedFd> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .refused(|| format!("open({path:?}, O_DIRECTORY)"), &[])
}

/// Lets folders that are made from here on be open to all, whatever our caller's `umask(2)` was: who
/// runs in the container may be another user than who makes it.
pub fn reset_umask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// Whether there is a folder at `path`, and not merely a link that leads nowhere.
fn is_folder(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        answer => Ok(answer.refused(|| format!("stat({path:?})"), &[])?.is_dir()),
    }
}

/// What is there already is as good as made.
pub(crate) fn made_or_there(answer: nix::Result<()>) -> nix::Result<()> {
    if answer == Err(Errno::EEXIST) { Ok(()) } else { answer }
}

const FIND: Help = &[
    (
        Errno::ENOENT,
        "a root file system has places to mount on: proc, dev, and one for each volume; `scripts/rootfs FOLDER` makes a small one",
    ),
    (Errno::EACCES, "its folders must be open to you: owned by you, or with x for everybody"),
    (Errno::ENOTDIR, "a file is in the way"),
    (Errno::ELOOP, MAGIC),
    (Errno::ENOSYS, "it takes kernel 5.12, and no seccomp filter that hides openat2"),
];
const MAGIC: &str =
    "some links in /proc lead out of every root, and so none is followed; give the path itself";
const MAKE: Help = &[
    (
        Errno::EROFS,
        "in the folders of the machine nothing can be made to mount on; take a path outside of them",
    ),
    (Errno::ENOTDIR, "a file is in the way"),
];
const WORK: Help = &[
    (Errno::ENOENT, "there is no such folder in the container; a volume can bring one"),
    (Errno::EACCES, "the command's user may not enter it"),
    (Errno::ELOOP, MAGIC),
];
const PIVOT: Help = &[(
    Errno::EINVAL,
    "the mounts are shared with other namespaces, and must be made private first; or / is the initial RAM disk",
)];
