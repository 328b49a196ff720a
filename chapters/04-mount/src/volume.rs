//! A file or folder of the machine at a place in the new root.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, ensure};

use crate::root::Root;
use crate::tree::{Attribute, Tree};

/// What to mount where: `HOST:INSIDE`, or `HOST:INSIDE:ro` for a mount that is read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    host: PathBuf,
    inside: PathBuf,
    read_only: bool,
}

impl FromStr for Volume {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Volume> {
        let (paths, read_only) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, true),
            None => (text, false),
        };
        let parts: Vec<_> = paths.split(':').collect();
        ensure!(
            matches!(parts[..], [host, inside] if !host.is_empty() && Path::new(inside).is_absolute()),
            "a volume is HOST:/INSIDE or HOST:/INSIDE:ro, and neither path has a colon in it"
        );
        Ok(Volume { host: parts[0].into(), inside: parts[1].into(), read_only })
    }
}
/// What a [`Volume`] mounts, taken from the machine and not yet in the new root.
pub struct Bound {
    tree: Tree,
    inside: PathBuf,
}

impl Volume {
    /// Takes the file or folder from the machine: before there is another root on `/`, which a path
    /// with `..` in it, or a link with such a path, would lead into.
    ///
    /// # Errors
    ///
    /// As for [`Tree::bind`].
    pub fn bind(&self) -> Result<Bound> {
        let read_only = self.read_only.then_some(Attribute::ReadOnly);
        let attributes: Vec<_> =
            [Attribute::NoSuid, Attribute::NoDev].into_iter().chain(read_only).collect();
        let tree = Tree::bind(&self.host, &attributes)?;
        Ok(Bound { tree, inside: self.inside.clone() })
    }
}

impl Bound {
    /// Mounts it in `root`. In a fresh root its place is made, and in another volume too, as Docker
    /// does it.
    ///
    /// # Errors
    ///
    /// As for [`Root::make_folder`].
    pub fn attach(&self, root: &Root) -> Result<()> {
        let place = match self.tree.is_folder()? {
            true => root.make_folder(&self.inside)?,
            false => root.make_file(&self.inside)?,
        };
        self.tree.attach(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let volume = |text: &str| text.parse::<Volume>();
        let plain = Volume { host: "a b".into(), inside: "/c\nd".into(), read_only: false };
        assert_eq!(volume("a b:/c\nd").unwrap(), plain);
        assert_eq!(volume("a b:/c\nd:ro").unwrap(), Volume { read_only: true, ..plain });
        for wrong in ["", "/a", ":/b", "/a:", "/a:b", "/a:/b:rw", "/a:/b:/c", "/a:ro"] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }
}
