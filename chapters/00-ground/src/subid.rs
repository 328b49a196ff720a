//! The ids that an administrator has set aside for a user: `subuid(5)`, `subgid(5)`.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use nix::unistd::{Uid, getegid, geteuid};

use crate::files;
use crate::refusal::Refused;

/// The ranges that the file at `path` gives the user with this id, as first id and count. None when
/// there is no such file.
///
/// # Errors
///
/// When a file is there and cannot be read.
pub fn ranges(path: impl AsRef<Path>, uid: Uid) -> Result<Vec<(u32, u32)>> {
    let text = text_of(path.as_ref())?;
    // What is in no line needs no name.
    if text.is_empty() || (uid.is_root() && !text.contains("root:") && !text.contains("\n0:")) {
        return Ok(Vec::new());
    }
    let (name, number) = (account(uid)?.map(|(name, _)| name), uid.to_string());
    // Lines are `name:start:count`, the name a user's or a uid.
    let range = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (start, count): (u32, u32) =
            (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        let is_ours = Some(owner) == name.as_deref() || owner == number;
        (is_ours && count > 0 && start.checked_add(count - 1).is_some()).then_some((start, count))
    };
    Ok(text.lines().filter_map(range).collect())
}

/// The name of a user, and the number of its group. One who is not in the file comes from elsewhere,
/// by a network for example, and login has left their name in the environment. (The C library would
/// ask for it whatever `/etc/nsswitch.conf` names, and a static program can hardly do that.)
///
/// # Errors
///
/// When the file is there and cannot be read.
pub fn account(uid: Uid) -> Result<Option<(String, u32)>> {
    let passwd = text_of(Path::new("/etc/passwd"))?;
    let accounts = passwd.lines().filter_map(|line| {
        let [name, _, uid, gid, ..] = line.split(':').collect::<Vec<_>>()[..] else { return None };
        Some((name, uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?))
    });
    let accounts: Vec<_> = accounts.collect();
    if let Some((name, _, gid)) = accounts.iter().find(|(_, known, _)| *known == uid.as_raw()) {
        return Ok(Some(((*name).to_owned(), *gid)));
    }
    let name = std::env::var("USER").ok().filter(|_| uid == geteuid());
    let is_another = |name: &String| accounts.iter().any(|(known, ..)| known == name);
    Ok(name.filter(|name| !is_another(name)).map(|name| (name, getegid().as_raw())))
}

fn text_of(path: &Path) -> Result<String> {
    match files::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        answer => answer.refused(|| format!("open({path:?})"), &[]),
    }
}
