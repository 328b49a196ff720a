//! Without root: a user namespace in which you are root. Chapter 5 explains it; until then it is
//! only the door that lets the chapters work for everybody. `user_namespaces(7)`.

use std::fs;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

use crate::capability;
use crate::refusal::{self, Refusal};

// ANCHOR: enter
/// Makes sure that the calling process may create namespaces. With CAP_SYS_ADMIN it already may.
/// Without, it enters a new user namespace that maps its user to root, and says so on stderr unless
/// `quiet`.
///
/// # Errors
///
/// EPERM, ENOSPC, ENOSYS or EINVAL when this machine forbids it; the help names the setting. EINVAL
/// also when the process has more than one thread: `unshare(2)`.
pub fn enter(quiet: bool) -> Result<()> {
    if capability::holds(capability::effective()?, "sys_admin") {
        return Ok(());
    }
    let user = getuid();
    unshare_user().context("cannot enter a user namespace")?;
    if !quiet {
        refusal::say(&format!(
            "not root: entered a user namespace where uid {user} is root (chapter 5)"
        ));
    }
    Ok(())
}

/// Enters a new user namespace, with the caller's user and group as its root, whatever the caller
/// may already do.
///
/// # Errors
///
/// As for [`enter`].
pub fn unshare_user() -> Result<()> {
    let (user, group) = (getuid(), getgid());
    let refused = |call: String| move |errno| Refusal::new(call, errno).with_help(why_not(errno));
    unshare(CloneFlags::CLONE_NEWUSER).map_err(refused("unshare(CLONE_NEWUSER)".into()))?;
    for (file, line) in [
        // Who has no privilege outside may not map a group before giving up setgroups(2): it could
        // drop a group that is there to deny access.
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        fs::write(&path, line)
            .map_err(|error| refusal::errno(&error))
            .map_err(refused(format!("write({path:?})")))?;
    }
    Ok(())
}
// ANCHOR_END: enter

/// What forbids a user namespace on this machine, and how to allow it, when the kernel answered
/// `errno`.
pub fn why_not(errno: Errno) -> String {
    let reads =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let seccomp =
        fs::read_to_string("/proc/self/status").is_ok_and(|text| text.contains("\nSeccomp:\t2"));
    let cure = match errno {
        Errno::ENOSPC => {
            "the limit on user namespaces is reached; raise it: sudo sysctl user.max_user_namespaces=15000"
        }
        Errno::EINVAL => "this kernel was built without user namespaces (CONFIG_USER_NS)",
        _ if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") => {
            "this system forbids user namespaces to ordinary users; \
             allow them: sudo sysctl kernel.unprivileged_userns_clone=1"
        }
        _ if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") => {
            "AppArmor forbids user namespaces to programs without a profile; \
             allow them: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        }
        _ if seccomp => {
            "a seccomp filter forbids it, as inside a container; \
             run outside of that container, or start it with --security-opt seccomp=unconfined"
        }
        _ => "run as root (sudo), or outside of the chroot or sandbox that forbids user namespaces",
    };
    cure.to_owned()
}
