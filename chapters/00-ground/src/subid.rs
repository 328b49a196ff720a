//! The ids that an administrator has set aside for a user: `subuid(5)`, `subgid(5)`.

use std::fs;
use std::path::Path;

use nix::unistd::{Uid, User};

/// The ranges that the file at `path` gives the user with this id, as first id and count. None when
/// there is no such file.
pub fn ranges(path: impl AsRef<Path>, uid: Uid) -> Vec<(u32, u32)> {
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let number = uid.to_string();
    // Lines are `name:start:count`, the name a user's or a uid.
    let range = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (start, count): (u32, u32) =
            (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        let is_ours = Some(owner) == name.as_deref() || owner == number;
        (is_ours && count > 0 && start.checked_add(count - 1).is_some()).then_some((start, count))
    };
    fs::read_to_string(path).unwrap_or_default().lines().filter_map(range).collect()
}
