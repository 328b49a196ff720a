//! One cgroup of our own: made, written, entered, removed. `cgroups(7)`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use std::{io, process};

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refused};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{AccessFlags, Pid, access, mkdir};

/// A cgroup that this process has made. Dropped, it is removed, and before that all that is in it
/// killed.
pub struct Cgroup {
    version: u8,
    path: PathBuf,
    folder: OwnedFd,
    /// The file that one is entered by, open: who has left for another user namespace or another
    /// root can still write to it.
    entrance: (PathBuf, File),
}

// ANCHOR: create
impl Cgroup {
    /// Makes a cgroup below the folder `parent`, which lies in a hierarchy of this `version`; its
    /// name is `name` and this process's id. What earlier processes have left there is removed first.
    ///
    /// # Errors
    ///
    /// EACCES or EPERM when the parent is not yours; EROFS when the hierarchy is mounted
    /// read-only, as in a container; EAGAIN over `cgroup.max.descendants` or `cgroup.max.depth`.
    pub fn create(version: u8, parent: &Path, name: &str) -> Result<Cgroup> {
        remove_abandoned(parent);
        Cgroup::create_in(version, parent, name)
    }

    /// The same where somebody has removed what was left.
    pub(crate) fn create_in(version: u8, parent: &Path, name: &str) -> Result<Cgroup> {
        let help = if version == 1 { V1 } else { V2 };
        let (path, folder) = make_folder(&parent.join(format!("{name}-{}", process::id())), help)?;
        // The file that takes a thread does for a process that has but one, and costs v1 a thirtieth
        // of what `cgroup.procs` does.
        let entrance = path.join(if version == 1 { "tasks" } else { "cgroup.procs" });
        let open = File::options().write(true).open(&entrance);
        let open = open.refused(|| format!("open({entrance:?})"), help);
        match open {
            Ok(open) => Ok(Cgroup { version, path, folder, entrance: (entrance, open) }),
            Err(error) => {
                _ = remove(&path);
                Err(error)
            }
        }
    }
}

/// Makes a folder that is new, and locks it: the sign that somebody lives who will remove it.
fn make_folder(wanted: &Path, help: Help) -> Result<(PathBuf, OwnedFd)> {
    let mut path = wanted.to_owned();
    // In another PID namespace another process may have the same number.
    for other in 1.. {
        match mkdir(&path, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) if other < 1000 => {}
            answer => {
                answer
                    .refused(|| format!("mkdir({path:?})"), help)
                    .context("cannot make a cgroup")?;
                match lock(&path) {
                    Ok(Some(folder)) => return Ok((path, folder)),
                    // Somebody took it for abandoned, before it was locked.
                    Ok(None) => {}
                    Err(error) => {
                        _ = remove(&path);
                        return Err(error);
                    }
                }
            }
        }
        path = format!("{}.{other}", wanted.display()).into();
    }
    unreachable!("the loop has no end")
}

/// Opens and locks the folder of a cgroup. None if another has the lock, or has removed the folder
/// meanwhile.
fn lock(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = match open(path, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(None),
        answer => answer.refused(|| format!("open({path:?})"), &[])?,
    };
    // SAFETY: the descriptor is open.
    let answer = unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    let is_ours = match Errno::result(answer) {
        Err(Errno::EWOULDBLOCK) => false,
        answer => answer.refused(|| format!("flock({path:?})"), &[]).map(|_| true)?,
    };
    let inode = fstat(&folder).refused(|| format!("fstat({path:?})"), &[])?.st_ino;
    let is_there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        answer => answer.refused(|| format!("stat({path:?})"), &[])?.ino() == inode,
    };
    Ok((is_ours && is_there).then_some(folder))
}

/// Removes the cgroups below `parent` that a chapter made and whose maker is dead, as a lock that
/// can be had tells; and whoever is still in there. SIGKILL leaves nobody who could. Their names.
pub(crate) fn remove_abandoned(parent: &Path) -> Vec<OsString> {
    // Each folder in it is a link. Where there are many, one start in sixteen looks: to list a
    // thousand takes as long as to make six.
    let is_crowded = fs::metadata(parent).is_ok_and(|parent| parent.nlink() > 100);
    if is_crowded && !process::id().is_multiple_of(16) {
        return Vec::new();
    }
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let ours: Vec<_> = names.filter_map(|name| Some((maker(&name)?, name))).collect();
    // A lock of whoever may not remove anything would only keep others from it.
    if ours.is_empty() || access(parent, AccessFlags::W_OK).is_err() {
        return Vec::new();
    }
    // Where a thousand live, to try a thousand locks would take longer than all the rest. Whose
    // maker's number is that of a process is not tried, except for one, another each time: its
    // number may have gone to a stranger.
    let chosen = process::id() as usize % ours.len();
    let mut found = Vec::new();
    for (at, (maker, name)) in ours.into_iter().enumerate() {
        let may_live = kill(maker, None) != Err(Errno::ESRCH);
        if (!may_live || at == chosen) && remove_if_abandoned(&parent.join(&name)) {
            found.push(name);
        }
    }
    found
}

/// Removes a cgroup whose maker is dead, and says whether it was one.
pub(crate) fn remove_if_abandoned(path: &Path) -> bool {
    let Ok(Some(_lock)) = lock(path) else { return false };
    kill_and_remove(path);
    true
}

/// The process that gave a cgroup its name, if it was a chapter: `ch08-1234`.
fn maker(name: &OsStr) -> Option<Pid> {
    let (chapter, maker) = name.to_str()?.rsplit_once('-')?;
    let is_chapters = matches!(
        chapter.as_bytes(),
        [b'c', b'h', b'0'..=b'9', b'0'..=b'9'] | [b'c', b'h', b'0'..=b'9', b'0'..=b'9', b'-', ..]
    );
    let number = maker.split('.').next()?.parse().ok().filter(|number| *number > 0)?;
    is_chapters.then(|| Pid::from_raw(number))
}
// ANCHOR_END: create

impl Cgroup {
    /// 1 or 2: what its files are called, and what they mean.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    // ANCHOR: enter
    /// Moves the calling process in, which has one thread.
    ///
    /// # Errors
    ///
    /// EACCES when it is not yours to move from where it is now to here; EBUSY when this cgroup
    /// gives controllers to its children.
    pub fn enter(&self) -> Result<()> {
        self.write_entrance("0")
    }

    /// Moves another process in, if it has one thread.
    ///
    /// # Errors
    ///
    /// As for [`enter`](Cgroup::enter), and ESRCH when it has ended.
    pub fn add(&self, pid: Pid) -> Result<()> {
        self.write_entrance(&pid.to_string())
    }

    fn write_entrance(&self, pid: &str) -> Result<()> {
        let (path, mut file) = (&self.entrance.0, &self.entrance.1);
        file.write_all(pid.as_bytes())
            .refused(|| format!("write({path:?}, {pid:?})"), self.help())
            .context("cannot enter a cgroup")
    }

    /// Writes one of its files.
    ///
    /// # Errors
    ///
    /// ENOENT when the controller is not enabled for it; EINVAL or ERANGE for a value that the
    /// file does not take; EBUSY when the kernel cannot get below a new limit, or when processes
    /// are in the way of a controller; EACCES or EPERM when the file is not yours.
    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        self.open(file, OFlag::O_WRONLY)
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .refused(|| format!("write({:?}, {value:?})", self.path.join(file)), self.help())
    }
    // ANCHOR_END: enter

    /// What one of its files says, without the newline at its end.
    ///
    /// # Errors
    ///
    /// ENOENT when this kernel has no such file, or when the controller is not enabled for it.
    pub fn read(&self, file: &str) -> Result<String> {
        let mut text = String::new();
        self.open(file, OFlag::O_RDONLY)
            .and_then(|mut file| file.read_to_string(&mut text))
            .refused(|| format!("read({:?})", self.path.join(file)), self.help())?;
        Ok(text.trim_end().to_owned())
    }

    /// The number behind `key` in a file of lines that are each a key and a number.
    ///
    /// # Errors
    ///
    /// As for [`read`](Cgroup::read), and when there is no such line.
    pub fn number(&self, file: &str, key: &str) -> Result<u64> {
        let text = self.read(file)?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("{:?} has no line {key}", self.path.join(file)))
    }

    fn open(&self, file: &str, flags: OFlag) -> io::Result<File> {
        Ok(openat(&self.folder, file, flags | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    fn help(&self) -> Help {
        if self.version == 1 { V1 } else { V2 }
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

// ANCHOR: remove
impl Drop for Cgroup {
    fn drop(&mut self) {
        kill_and_remove(&self.path);
    }
}

/// Kills all in a cgroup, and removes it; but not with ourselves in it.
pub(crate) fn kill_and_remove(path: &Path) {
    if fs::remove_dir(path).is_ok() {
        return;
    }
    let ourselves = process::id().to_string();
    // Who is in there is dead in a moment.
    for _ in 0..1000 {
        let pids = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        if remove(path).is_ok() || !path.exists() || pids.lines().any(|pid| pid == ourselves) {
            return;
        }
        kill_all(path);
        sleep(Duration::from_millis(1));
    }
}

/// Removes a cgroup and those in it, if there is no process in any.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Kills what is in a cgroup and in those in it. v2 has a file for that, since Linux 5.14; without
/// it whoever forks can be quicker, and so this is done again until nobody is left.
fn kill_all(path: &Path) {
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            kill_all(&entry.path());
        }
    }
    let pids = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0) {
        _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
// ANCHOR_END: remove

const READ_ONLY: (Errno, &str) = (
    Errno::EROFS,
    "this cgroup file system is mounted read-only, as in a container; run outside of it",
);
const TOO_MANY: (Errno, &str) = (
    Errno::EAGAIN,
    "a cgroup above has a limit on how many may be below it: cgroup.max.descendants, cgroup.max.depth",
);
const NOT_ENABLED: (Errno, &str) = (
    Errno::ENOENT,
    "this kernel has no such file, or the cgroup was not given the controller, as systemd gives users no io (chapter 7)",
);
const V1: Help = &[
    (
        Errno::EACCES,
        "run as root (sudo): cgroup v1 controllers cannot safely be given to ordinary users",
    ),
    NOT_ENABLED,
    READ_ONLY,
];
pub(crate) const V2: Help = &[
    (Errno::EACCES, DELEGATE),
    (Errno::EPERM, DELEGATE),
    NOT_ENABLED,
    READ_ONLY,
    TOO_MANY,
    (
        Errno::EBUSY,
        "a cgroup cannot both have processes and give controllers to its children (chapter 7)",
    ),
];
/// How an ordinary user gets cgroups.
pub(crate) const DELEGATE: &str = "it is not yours; get a subtree that is: systemd-run --user --scope -p Delegate=yes bash; \
     or run as root (sudo)";
