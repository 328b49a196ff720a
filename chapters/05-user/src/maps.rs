//! Which ids are in a user namespace: `user_namespaces(7)`, "User and group ID mappings";
//! `newuidmap(1)`.

use std::fmt::{self, Display};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use ch00_ground::refusal::{Help, Refusal, Refused};
use ch00_ground::{capability, files, namespace, subid};
use nix::errno::Errno;
use nix::sys::stat::stat;
use nix::unistd::{Gid, Pid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};

use crate::Gate;

/// Ids that follow one another, and what they are outside: a line of `/proc/PID/uid_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first one inside.
    pub inside: u32,
    /// The first one outside, in the user namespace of who writes the map.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Range> {
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        let Some(&[inside, outside, count]) = numbers.as_deref().ok() else {
            bail!("a range is INSIDE:OUTSIDE:COUNT, three numbers below 2^32");
        };
        ensure!(count > 0, "a range has at least one id");
        // The last number stands for "no id" in setresuid(2), chown(2) and others.
        let last = u32::MAX - 1;
        ensure!(
            [inside, outside]
                .iter()
                .all(|first| first.checked_add(count - 1).is_some_and(|end| end <= last)),
            "a range ends at {last} at most"
        );
        Ok(Range { inside, outside, count })
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// By whom the maps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By us, who have CAP_SETUID and CAP_SETGID over the ids outside.
    Privileged,
    /// By us, who have not: our own id and no other.
    OwnId,
    /// By `newuidmap` and `newgidmap`, which have, and look into `/etc/subuid` and `/etc/subgid`.
    Helpers,
}

/// The ids that a user namespace is to have.
#[derive(Clone, Debug)]
pub struct Maps {
    users: Vec<Range>,
    groups: Vec<Range>,
    way: Way,
}

/// How many ids a container gets: as many as there were when ids had 16 bits.
const COUNT: u32 = 65536;

/// Where they begin when root calls and has none set aside: the first of those that
/// `systemd-nspawn(1)` takes for its containers too.
const FIRST: u32 = 0x80000;

impl Maps {
    // ANCHOR: choose
    /// As many ids as are to be had. For root a range that is nobody's, so that root inside is not
    /// root outside. For anybody else their own id as root, and after it the ids that are set aside
    /// for that user. Where there are none, in another container for example, only their own id.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn choose() -> Result<Maps> {
        let (user, group) = (geteuid(), getegid());
        let users = subid::ranges("/etc/subuid", user)?.first().copied();
        let groups = subid::ranges("/etc/subgid", user)?.first().copied();
        let from_zero = |(outside, count)| vec![Range { inside: 0, outside, count }];
        if is_privileged()? {
            let (users, groups) =
                (users.unwrap_or((FIRST, COUNT)), groups.unwrap_or((FIRST, COUNT)));
            // In a user namespace that has fewer ids itself, as chapter 0's has, there is no range
            // to give.
            if is_first()? || (are_mapped("uid_map", users)? && are_mapped("gid_map", groups)?) {
                let (users, groups) = (from_zero(users), from_zero(groups));
                return Ok(Maps { users, groups, way: Way::Privileged });
            }
        } else if let (Some(users), Some(groups)) = (users, groups)
            // They map nobody who is in another group for now, as after newgrp(1).
            && subid::account(user)?.is_some_and(|(_, own)| own == group.as_raw())
            && is_installed("newuidmap")?
            && is_installed("newgidmap")?
        {
            let after = |own: u32, (outside, count)| {
                vec![
                    Range { inside: 0, outside: own, count: 1 },
                    Range { inside: 1, outside, count },
                ]
            };
            let (users, groups) = (after(user.as_raw(), users), after(group.as_raw(), groups));
            return Ok(Maps { users, groups, way: Way::Helpers });
        }
        let (users, groups) = (from_zero((user.as_raw(), 1)), from_zero((group.as_raw(), 1)));
        Ok(Maps { users, groups, way: Way::OwnId })
    }
    // ANCHOR_END: choose

    /// These ranges, written by who can.
    ///
    /// # Errors
    ///
    /// When there are more than 340, or two of them overlap, inside or outside; the kernel would
    /// answer EINVAL.
    pub fn new(users: &[Range], groups: &[Range]) -> Result<Maps> {
        for ranges in [users, groups] {
            ensure!(ranges.len() <= 340, "{} ranges: the kernel takes 340 at most", ranges.len());
            for (at, one) in ranges.iter().enumerate() {
                for other in &ranges[at + 1..] {
                    ensure!(
                        !overlap(one.inside, one.count, other.inside, other.count)
                            && !overlap(one.outside, one.count, other.outside, other.count),
                        "the ranges `{one}` and `{other}` overlap; an id stands for one other and no more"
                    );
                }
            }
        }
        let is_own = |ranges: &[Range], own: u32| matches!(ranges, [range] if range.outside == own && range.count == 1);
        let way = if is_privileged()? {
            Way::Privileged
        } else if is_own(users, geteuid().as_raw()) && is_own(groups, getegid().as_raw()) {
            Way::OwnId
        } else {
            Way::Helpers
        };
        Ok(Maps { users: users.to_vec(), groups: groups.to_vec(), way })
    }

    // ANCHOR: write
    /// Gives these ids to the user namespace of process `pid`. Whoever waits in it has none until
    /// then: it is the overflow id, 65534. A map is written once, and in one piece.
    ///
    /// # Errors
    ///
    /// EPERM when the namespace has its map already, or when an id outside is not the caller's to
    /// give, or not in the caller's own namespace; EINVAL for more than 340 ranges.
    pub fn write(&self, pid: Pid) -> Result<()> {
        match self.way {
            Way::Helpers => {
                run("newuidmap", pid, &self.users)?;
                run("newgidmap", pid, &self.groups)
            }
            Way::OwnId => {
                // A group may be there to deny something to its members. Who may not leave it
                // outside must not be able to in here: `user_namespaces(7)`, "setgroups".
                write(pid, "setgroups", "deny")?;
                write(pid, "uid_map", &lines(&self.users))?;
                write(pid, "gid_map", &lines(&self.groups))
            }
            Way::Privileged => {
                write(pid, "uid_map", &lines(&self.users))?;
                write(pid, "gid_map", &lines(&self.groups))
            }
        }
    }
    // ANCHOR_END: write

    // ANCHOR: become_root
    /// Makes the calling process root of its user namespace, after the maps were written: user 0,
    /// group 0, and no other group. Who had to give up `setgroups` keeps their groups.
    ///
    /// # Errors
    ///
    /// EINVAL when the maps have no 0 inside.
    pub fn become_root(&self, gate: &Gate) -> Result<()> {
        let become_root = || {
            // The caller's groups are still there, and inside they have no number.
            if self.way != Way::OwnId {
                setgroups(&[]).refused(|| "setgroups([])".into(), &[])?;
            }
            let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
            setresgid(group, group, group).refused(|| "setresgid(0)".into(), ROOT)?;
            setresuid(user, user, user).refused(|| "setresuid(0)".into(), ROOT)?;
            gate.tie()
        };
        become_root().context("cannot become root of the user namespace")
    }
    // ANCHOR_END: become_root

    /// Which user and which group outside root inside is.
    pub fn root(&self) -> Option<(u32, u32)> {
        let zero = |ranges: &[Range]| Some(ranges.iter().find(|range| range.inside == 0)?.outside);
        Some((zero(&self.users)?, zero(&self.groups)?))
    }

    /// Whether there is one user inside, the caller.
    pub fn are_own_id_alone(&self) -> bool {
        self.way == Way::OwnId
    }

    /// Whether the caller has the privilege to give these ids away.
    pub fn are_privileged(&self) -> bool {
        self.way == Way::Privileged
    }
}

impl Display for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |ranges: &[Range]| {
            let text = |range: &Range| match range.count {
                1 => format!("{} is {} outside", range.inside, range.outside),
                _ => format!(
                    "{} to {} are {} to {}",
                    range.inside,
                    range.inside + (range.count - 1),
                    range.outside,
                    range.outside + (range.count - 1)
                ),
            };
            ranges.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        let by = match self.way {
            Way::Privileged => ["", ""],
            Way::Helpers => [" (newuidmap)", " (newgidmap)"],
            Way::OwnId => [" (your own id alone)"; 2],
        };
        writeln!(f, "users:  {}{}", text(&self.users), by[0])?;
        write!(f, "groups: {}{}", text(&self.groups), by[1])
    }
}

fn overlap(one: u32, count: u32, other: u32, other_count: u32) -> bool {
    one <= other + (other_count - 1) && other <= one + (count - 1)
}

/// Whether the caller may give away all ids that it has, and drop its groups. Where `setgroups` was
/// given up once, so it is in every user namespace inside.
fn is_privileged() -> Result<bool> {
    let effective = capability::effective()?;
    if !["setuid", "setgid"].iter().all(|name| capability::holds(effective, name)) {
        return Ok(false);
    }
    let path = "/proc/self/setgroups";
    let may_drop = || files::read(path).refused(|| format!("open({path:?})"), &[]);
    Ok(is_first()? || may_drop()?.trim() == "allow")
}

/// Whether the calling process is in the user namespace that was there first, in which are all ids.
/// Its number is fixed: `PROC_USER_INIT_INO` of the kernel's `proc_ns.h`.
fn is_first() -> Result<bool> {
    Ok(namespace::inode_of("self", "user")? == Some(0xefff_fffd))
}

/// Whether the ids exist in the calling process's own user namespace.
fn are_mapped(file: &str, (first, count): (u32, u32)) -> Result<bool> {
    let path = format!("/proc/self/{file}");
    let text = files::read(&path).refused(|| format!("open({path:?})"), &[])?;
    Ok(text.lines().any(|line| {
        let numbers: Vec<u32> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [inside, _, all]
            if inside <= first && first - inside <= all && count <= all - (first - inside))
    }))
}

fn is_installed(program: &str) -> Result<bool> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for file in std::env::split_paths(&path).map(|folder| folder.join(program)) {
        match stat(&file) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
            answer => {
                answer.refused(|| format!("stat({file:?})"), &[])?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn lines(ranges: &[Range]) -> String {
    ranges.iter().map(|range| format!("{range}\n")).collect()
}

fn write(pid: Pid, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text)
        .refused(|| format!("write({path:?})"), WRITE)
        .context("cannot map the ids")
}

/// Has a set-user-ID program of the package uidmap write one map.
fn run(program: &str, pid: Pid, ranges: &[Range]) -> Result<()> {
    let numbers = ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
    let mut helper = Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .refused(|| format!("execvp({program:?})"), HELPERS)
        .context("cannot map the ids")?;
    let mut said = Vec::new();
    let read = helper.stderr.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut said));
    // It is waited for, whatever it has said.
    let status = helper.wait().refused(|| format!("wait4({program})"), &[])?;
    read.refused(|| format!("read({program})"), &[])?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.trim().trim_start_matches(program).trim_start_matches(':').trim();
    Err(Refusal::new(format!("{program}: {said}"), Errno::EPERM).with_help(
        "it gives you your own id, and those that /etc/subuid and /etc/subgid set aside for you",
    ))
    .context("cannot map the ids")
}

const WRITE: Help = &[(
    Errno::EPERM,
    "an ordinary user may map only their own id, and root those that this user namespace has: /proc/self/uid_map",
)];
const ROOT: Help = &[(Errno::EINVAL, "the maps must have an id 0 inside")];
const HELPERS: Help = &[(
    Errno::ENOENT,
    "install the package uidmap; or map your own id alone: --map-users 0:$(id -u):1 --map-groups 0:$(id -g):1",
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_three_numbers() {
        let range = |text: &str| text.parse::<Range>();
        assert_eq!(range("0:1000:1").unwrap(), Range { inside: 0, outside: 1000, count: 1 });
        assert_eq!(range("0:4294967294:1").unwrap().outside, 4294967294);
        for wrong in [
            "",
            "x:0:1:1",
            "0:1:1:x",
            "0::1:1",
            "0",
            "0:1",
            "0:1:2:3",
            "0:x:1",
            "0:1:0",
            "-1:0:1",
            "0:4294967295:1",
            "0:4294967294:2",
        ] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_may_touch_and_not_overlap() {
        assert!(!overlap(0, 10, 10, 5) && !overlap(10, 5, 0, 10));
        assert!(overlap(0, 11, 10, 5) && overlap(10, 5, 0, 11) && overlap(3, 1, 0, 10));
        assert!(overlap(u32::MAX - 1, 1, u32::MAX - 1, 1));
    }
}
