//! A root file system that can be written to and stays as it is: `overlayfs.rst` of the kernel's
//! documentation.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result, anyhow};
use ch00_ground::refusal::{Help, Refusal, Refused};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat, mkdirat};
use nix::unistd::{geteuid, mkdir};

use crate::root::{Root, made_or_there};
use crate::tree::{Attribute, Tree};

// ANCHOR: overlay
/// Where what is written to a root goes: a layer above it, which stays as it is.
pub struct Layer {
    /// What was written.
    upper: OwnedFd,
    /// Where the kernel prepares it.
    work: OwnedFd,
}

/// The claim of one container on the folder that keeps its layer; it goes with the process.
pub struct Claim(#[expect(dead_code, reason = "it is held, and never read")] OwnedFd);

impl Layer {
    /// Claims the folder in which a layer is to be kept; made, if it is not there. Of two containers
    /// that wrote to one layer at once, the kernel says that what they see is undefined.
    ///
    /// # Errors
    ///
    /// When it holds something else; EWOULDBLOCK when another container has it; and those of `mkdir(2)`
    /// and `open(2)`.
    pub fn claim(path: &Path) -> Result<Claim> {
        let claim = || {
            made_or_there(mkdir(path, Mode::from_bits_truncate(0o700)))
                .refused(|| format!("mkdir({path:?})"), KEEP)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let folder = open(path, flags, Mode::empty())
                .refused(|| format!("open({path:?}, O_DIRECTORY)"), KEEP)?;
            let refuse =
                |what: &str| Err(Refusal::ours(what.into()).with_help(NAME_A_NEW_ONE).into());
            let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let entries = entries.refused(|| format!("readdir({path:?})"), KEEP)?;
            if !entries.is_empty() && !entries.iter().any(|entry| entry.file_name() == "upper") {
                return refuse("it is neither empty nor a layer");
            }
            // What the container's root writes there as root may have a set-user-ID bit.
            let stat = fstat(&folder).refused(|| format!("fstat({path:?})"), &[])?;
            if geteuid().is_root() && (stat.st_uid != 0 || stat.st_mode & 0o077 != 0) {
                return refuse("it is open to others than root");
            }
            // SAFETY: the descriptor is open.
            let answer = unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            Errno::result(answer).map(|_| folder).refused(|| format!("flock({path:?})"), KEEP)
        };
        claim().map(Claim).with_context(|| format!("cannot keep a layer in {}", path.display()))
    }

    /// In memory, and gone with the mount namespace.
    ///
    /// # Errors
    ///
    /// As for [`Tree::new`].
    pub fn in_memory() -> Result<Layer> {
        Layer::on(&Tree::new("tmpfs", &[("mode", "755")], &[Attribute::NoDev])?)
    }

    /// In `tree`, on a folder of the machine, where it stays: what was written is in its folder
    /// `upper`, and a later container can go on with it.
    ///
    /// # Errors
    ///
    /// EACCES, EROFS and ENOSPC as for `mkdir(2)`.
    pub fn on(tree: &Tree) -> Result<Layer> {
        Root::mount_aside(tree)?;
        let make = |name| folder_at(tree, name);
        Ok(Layer { upper: make("upper")?, work: make("work")? })
    }
}

impl Root {
    /// The root file system `lower`, under a layer in memory.
    ///
    /// # Errors
    ///
    /// As for [`overlay_under`](Root::overlay_under).
    pub fn overlay(lower: &Tree) -> Result<Root> {
        Root::overlay_under(&Layer::in_memory()?, lower)
    }

    /// The root file system `lower`, under this layer.
    ///
    /// # Errors
    ///
    /// ENODEV when this kernel has no overlay; EPERM before kernel 5.11 in a user namespace; EINVAL
    /// before 5.19 when `lower` is id-mapped.
    pub fn overlay_under(layer: &Layer, lower: &Tree) -> Result<Root> {
        // An overlay takes its layers by path, and only from mounts that hang somewhere.
        Root::mount_aside(lower)?;
        Root::fresh(overlay(&path_of(lower), &layer.upper, &layer.work)?)
    }

    /// The programs and settings of the machine, as in [`of_host`](Root::of_host), each of the folders
    /// under this layer; all the rest is in the layer alone.
    ///
    /// # Errors
    ///
    /// As for [`overlay_under`](Root::overlay_under).
    pub fn overlay_of_host(layer: &Layer) -> Result<Root> {
        let name = Path::new("the layer");
        let tree = Tree::of(layer.upper.as_fd(), Path::new(""), name, &[Attribute::NoDev])?;
        let root = Root::fresh(tree)?;
        root.fill_from_host(layer).or_else(|error| {
            // A root on top of this one would take its place, and the old root would stay. If this is
            // refused too, it must not look as if there were no overlays here.
            root.take_off().map_err(|refusal| anyhow!("{refusal:#}")).and(Err(error))
        })?;
        Ok(root)
    }

    fn fill_from_host(&self, layer: &Layer) -> Result<()> {
        self.link_and_mount_host(|folder| {
            let name = folder.file_name().unwrap_or_default();
            let (upper, work) = (folder_at(&layer.upper, name)?, folder_at(&layer.work, name)?);
            overlay(&folder.display().to_string(), &upper, &work)
        })?;
        for name in ["proc", "dev", "root", "run", "var"] {
            self.make_folder(name)?;
        }
        // One that is there is a kept layer's, and whoever was in it may have made it anything.
        let open = Mode::from_bits_truncate(0o1777);
        match mkdirat(self, "tmp", open) {
            Err(Errno::EEXIST) => Ok(()),
            answer => {
                answer.refused(|| "mkdirat(\"tmp\")".into(), &[])?;
                // Whatever the umask was. Nobody is in here yet who could exchange it.
                fchmodat(self, "tmp", open, FchmodatFlags::FollowSymlink)
                    .refused(|| "fchmodat(\"tmp\")".into(), &[])
            }
        }
    }
}

/// `lower` is a path without colon or comma, at which a mount hangs.
fn overlay(lower: &str, upper: &OwnedFd, work: &OwnedFd) -> Result<Tree> {
    let (upper, work) = (path_of(upper), path_of(work));
    let options = [
        ("lowerdir", lower),
        ("upperdir", &upper),
        ("workdir", &work),
        // Its own notes go where an ordinary user may write them.
        ("userxattr", ""),
    ];
    Tree::new("overlay", &options, &[Attribute::NoDev])
        .context("cannot lay a layer on the root file system")
}
// ANCHOR_END: overlay

pub(crate) fn path_of(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// A folder in another, made if it is not there.
fn folder_at(parent: &impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    made_or_there(mkdirat(parent, name, Mode::from_bits_truncate(0o755)))
        .refused(|| format!("mkdirat({name:?})"), KEEP)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).refused(|| format!("openat({name:?})"), KEEP)
}

const NAME_A_NEW_ONE: &str = "name a folder that is not there yet";

const KEEP: Help = &[
    (Errno::EAGAIN, "another container keeps its layer there, and has not ended"),
    (Errno::EACCES, "the folder that keeps the layer must be yours"),
    (
        Errno::EROFS,
        "the folder that keeps the layer must be on a file system that can be written to",
    ),
];
