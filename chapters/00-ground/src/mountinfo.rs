//! What is mounted where: `/proc/self/mountinfo`, `proc_pid_mountinfo(5)`.

use std::path::PathBuf;

use anyhow::Result;
use nix::errno::Errno;

use crate::files;
use crate::refusal::Refused;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder of the file system that is mounted, as seen from the file system's own root.
    pub root: PathBuf,
    /// Where it is mounted, as seen from the reading process's root.
    pub mount_point: PathBuf,
    /// `shared:N`, `master:N`, `unbindable`: none of them means private.
    pub propagation: Vec<String>,
    /// Its type, as in `/proc/filesystems`.
    pub file_system: String,
    /// The options of the file system itself, which all of its mounts share.
    pub super_options: Vec<String>,
}

/// All mounts of the calling process, in the order in which they were made.
///
/// # Errors
///
/// ENOENT when there is no `/proc`.
pub fn read() -> Result<Vec<Mount>> {
    Ok(text()?.lines().filter_map(parse).collect())
}

/// Those of file systems of these types.
///
/// # Errors
///
/// As for [`read`].
pub fn read_of(types: &[&str]) -> Result<Vec<Mount>> {
    let is_wanted = |file_system: &str| types.contains(&file_system);
    Ok(text()?.lines().filter_map(|line| parse_if(is_wanted, line)).collect())
}

fn text() -> Result<String> {
    const NO_PROC: &str = "/proc is not mounted; as root: mount -t proc proc /proc";
    let path = "/proc/self/mountinfo";
    let help = &[(Errno::ENOENT, NO_PROC)];
    files::read(path).refused(|| format!("open({path:?})"), help)
}

pub(crate) fn parse(line: &str) -> Option<Mount> {
    parse_if(|_| true, line)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: the optional
/// fields in the middle are as many as they like, up to the dash. None for a type that is not wanted.
fn parse_if(is_wanted: impl Fn(&str) -> bool, line: &str) -> Option<Mount> {
    let (mount, rest) = line.split_once(" - ")?;
    let (mut mount, mut rest) = (mount.split(' ').skip(3), rest.split(' '));
    let file_system = rest.next().filter(|file_system| is_wanted(file_system))?;
    Some(Mount {
        root: unescape(mount.next()?),
        mount_point: unescape(mount.next()?),
        propagation: mount.skip(1).map(ToOwned::to_owned).collect(),
        file_system: file_system.to_owned(),
        super_options: rest.nth(1)?.split(',').map(ToOwned::to_owned).collect(),
    })
}

/// The kernel writes blank, tab, newline and backslash as `\ooo`.
fn unescape(field: &str) -> PathBuf {
    if !field.contains('\\') {
        return field.into();
    }
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_and_escapes() {
        let mount =
            parse(r"36 35 98:0 /a\040b /mnt/x\134y rw,noatime shared:2 master:1 - ext3 /dev/root rw,errors=continue")
                .unwrap();
        assert_eq!(mount.root, PathBuf::from("/a b"));
        assert_eq!(mount.mount_point, PathBuf::from(r"/mnt/x\y"));
        assert_eq!(mount.propagation, ["shared:2", "master:1"]);
        assert_eq!(mount.file_system, "ext3");
        assert_eq!(mount.super_options, ["rw", "errors=continue"]);
        assert!(parse("36 35 98:0 / / rw - ext4 /dev/root rw").unwrap().propagation.is_empty());
    }
}
