//! Giving up what a container does not need: `capabilities(7)`, `PR_SET_NO_NEW_PRIVS(2const)`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use ch00_ground::refusal::{Help, Refusal, Refused};
use ch00_ground::{capability, files};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::prctl;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Gid, Uid, fchown, setgroups, setresgid, setresuid};

/// What root of a container may do with Docker, over what its namespaces own.
pub const USUAL: [&str; 14] = [
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

// ANCHOR: keep_only
/// Keeps these capabilities, and gives up all others for good: in this user namespace, no program that
/// is executed later gets them back.
///
/// Two sets are written. The bounding set is what a program may get by `execve`; root gets all of
/// it. The thread's own are what the caller can do from here on. To change one of the two, or a
/// copy of either, changes nothing that a command could feel.
///
/// # Errors
///
/// EPERM without CAP_SETPCAP.
pub fn keep_only(kept: &[&str]) -> Result<()> {
    let mut bits = 0_u64;
    for (number, name) in capability::NAMES.iter().enumerate() {
        if kept.contains(name) {
            bits |= 1 << number;
            continue;
        }
        // SAFETY: two numbers go in, and no memory.
        let answer = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong) };
        match Errno::result(answer) {
            // This kernel is older than the capability.
            Err(Errno::EINVAL) => {}
            answer => {
                answer.refused(
                    || format!("prctl(PR_CAPBSET_DROP, CAP_{})", name.to_uppercase()),
                    CAPS,
                )?;
            }
        }
    }
    // Effective, permitted, inheritable: 64 bits, of which the lower half comes first.
    let (low, high) = (bits as u32, (bits >> 32) as u32);
    let sets = [low, low, 0, high, high, 0];
    // SAFETY: the header says that two times three numbers follow, and both live until the call
    // returns.
    let answer =
        unsafe { libc::syscall(libc::SYS_capset, capability::HEADER.as_ptr(), sets.as_ptr()) };
    Errno::result(answer).map(drop).refused(|| "capset()".into(), CAPS)
}
// ANCHOR_END: keep_only

// ANCHOR: no_new_privileges
/// From here on no program gets more than its caller has: set-user-ID bits and file capabilities
/// give nothing.
///
/// # Errors
///
/// None that the kernel documents for this use.
pub fn no_new_privileges() -> Result<()> {
    prctl::set_no_new_privs().refused(|| "prctl(PR_SET_NO_NEW_PRIVS)".into(), &[])
}
// ANCHOR_END: no_new_privileges

/// Leaves the keys of our caller's session behind, `session-keyring(7)`: a new session keyring, with
/// nothing in it.
///
/// # Errors
///
/// EDQUOT when the user has too many, `/proc/sys/kernel/keys/maxkeys`; ENOSYS without them.
pub fn leave_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let nameless = std::ptr::null::<libc::c_char>();
    // SAFETY: null stands for no name.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nameless) };
    Errno::result(answer).map(drop).refused(|| "keyctl(JOIN_SESSION_KEYRING)".into(), &[])
}

/// Gives the pipes among stdin, stdout and stderr to this user and group: `/dev/stdout` opens the
/// pipe anew, and that takes the right to. Nothing else is given away: a file or `/dev/null` stays
/// whose it is.
///
/// # Errors
///
/// EPERM when a pipe is not the caller's to give away.
pub fn give_pipes(user: u32, group: u32) -> Result<()> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        let is_pipe = fstat(fd).is_ok_and(|stat| {
            SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFIFO
        });
        if is_pipe {
            fchown(fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
                .refused(|| format!("fchown(pipe, {user}, {group})"), &[])?;
        }
    }
    Ok(())
}

/// Makes the calling process this user, named as in `/etc/passwd` of its root or by number, and with
/// `:` a group: `nobody`, `1000`, `1000:50`. Its home, if it has one.
///
/// # Errors
///
/// When there is no such name; EINVAL for an id that this user namespace lacks.
pub fn become_user(user: &str) -> Result<Option<String>> {
    let (user, group) =
        user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
    let Entry { id: uid, rest } = find("/etc/passwd", user)?;
    let gid = match group {
        Some(group) => find("/etc/group", group)?.id,
        None => rest.first().and_then(|group| id(group)).unwrap_or(0),
    };
    let become_user = || -> Result<()> {
        // By one who can do so only if the caller could.
        _ = give_pipes(uid, gid);
        let path = "/proc/self/setgroups";
        let may_set = files::read(path).refused(|| format!("open({path:?})"), &[])?;
        if may_set.trim() == "allow" {
            setgroups(&[]).refused(|| "setgroups([])".into(), &[])?;
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        setresgid(gid, gid, gid).refused(|| format!("setresgid({gid})"), USER)?;
        setresuid(uid, uid, uid).refused(|| format!("setresuid({uid})"), USER)
    };
    become_user().with_context(|| format!("cannot become user {user}"))?;
    Ok(rest.get(2).cloned())
}

/// A user or a group.
#[derive(Default)]
struct Entry {
    id: u32,
    /// What stands behind the number: for a user its group, its name in full, its home.
    rest: Vec<String>,
}

/// The entry of a user or a group: `passwd(5)`, `group(5)`. The C library's own way would run what the
/// container's `/etc/nsswitch.conf` names.
fn find(file: &str, name: &str) -> Result<Entry> {
    let wanted = id(name);
    for line in text_of(file)?.lines() {
        if let [known, _, number, rest @ ..] = &line.split(':').collect::<Vec<_>>()[..]
            && let Some(id) = id(number)
            && (*known == name || wanted == Some(id))
        {
            return Ok(Entry { id, rest: rest.iter().map(|&field| field.into()).collect() });
        }
    }
    match wanted {
        Some(id) => Ok(Entry { id, ..Entry::default() }),
        None => bail!(
            Refusal::ours(format!("there is no {name} in {file} of the container"))
                .with_help("give a number instead, from 0 to 4294967294")
        ),
    }
}

/// A number of a user or a group; the largest stands for none.
fn id(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_number && *id != u32::MAX)
}

/// The beginning of a file of the container, which may be anything: a link, a pipe that nobody
/// writes to, as large as it likes.
fn text_of(path: &str) -> Result<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match openat2(AT_FDCWD, path, how) {
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(String::new()),
        answer => File::from(answer.refused(|| format!("openat2({path:?})"), &[])?),
    };
    let read = || format!("read({path:?})");
    let mut bytes = Vec::new();
    if file.metadata().refused(read, &[])?.is_file() {
        file.take(1 << 20).read_to_end(&mut bytes).refused(read, &[])?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const CAPS: Help = &[(Errno::EPERM, "it takes CAP_SETPCAP, which root of a user namespace has")];
const USER: Help = &[(
    Errno::EINVAL,
    "there is no such id in this user namespace; `cat /proc/self/uid_map` shows which there are",
)];
