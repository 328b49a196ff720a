//! The cgroup of a container: one on v2, and one in each hierarchy on v1.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Error, Result};
use ch00_ground::cgroup::Hierarchy;
use ch00_ground::refusal::{Refusal, Refused};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use crate::cgroup::{self, Cgroup};
use crate::view::{self, words};

/// The cgroups that hold a process to what several controllers say.
pub struct Group {
    /// With the controllers that each has.
    cgroups: Vec<(Cgroup, Vec<String>)>,
    /// Inside the one of v2, if the limits are to be out of reach.
    inner: Option<Cgroup>,
    /// Dropped after the others.
    _made_room: Option<MadeRoom>,
}

// ANCHOR: group
impl Group {
    /// Makes a cgroup that has all of these controllers. On v1, each may be in a hierarchy of its
    /// own, and then it is one cgroup in each of those.
    ///
    /// # Errors
    ///
    /// When a controller is in no hierarchy that is mounted; and those of [`Cgroup::create`].
    pub fn create(name: &str, controllers: &[&str]) -> Result<Group> {
        let hierarchies = view::hierarchies()?;
        let mut groups: Vec<(&Hierarchy, Vec<&str>)> = Vec::new();
        for controller in controllers {
            let hierarchy = having(&hierarchies, controller)?;
            match groups.iter_mut().find(|(known, _)| known.mounted_at == hierarchy.mounted_at) {
                Some((_, together)) => together.push(controller),
                None => groups.push((hierarchy, vec![controller])),
            }
        }
        let (mut cgroups, mut made_room) = (Vec::new(), None);
        for (hierarchy, together) in groups {
            let parent = match hierarchy.version {
                1 => hierarchy.mounted_at.clone(),
                _ => {
                    let (parent, room) = find_parent(name, hierarchy, &together)?;
                    made_room = room;
                    parent
                }
            };
            // The run that left something may have had more controllers than this one.
            for name in cgroup::remove_abandoned(&parent) {
                for other in &hierarchies {
                    cgroup::remove_if_abandoned(&other.mounted_at.join(&name));
                }
            }
            let cgroup = Cgroup::create_in(hierarchy.version, &parent, name)?;
            cgroups.push((cgroup, together.into_iter().map(ToOwned::to_owned).collect()));
        }
        Ok(Group { cgroups, inner: None, _made_room: made_room })
    }

    /// Puts the limits out of reach of those who will be in there. If they run as the user who owns
    /// the cgroup, they could mount the file system, in a user namespace of theirs, and write the
    /// limits. A cgroup namespace whose root is one cgroup further in does not show that one.
    ///
    /// # Errors
    ///
    /// As for [`Cgroup::create`].
    pub fn enclose(&mut self, name: &str) -> Result<()> {
        if let [(cgroup, _)] = &self.cgroups[..]
            && cgroup.version() == 2
        {
            self.inner = Some(Cgroup::create_in(2, cgroup.path(), name)?);
        }
        Ok(())
    }

    /// The cgroup that has this controller.
    ///
    /// # Errors
    ///
    /// When the group was made without it.
    pub fn of(&self, controller: &str) -> Result<&Cgroup> {
        let found = self.cgroups.iter().find(|(_, has)| has.iter().any(|one| one == controller));
        let (cgroup, _) = found.with_context(|| format!("a group without {controller}"))?;
        Ok(cgroup)
    }

    /// All of its cgroups.
    pub fn cgroups(&self) -> impl Iterator<Item = &Cgroup> {
        self.cgroups.iter().map(|(cgroup, _)| cgroup)
    }

    /// Moves the calling process into each, which has one thread.
    ///
    /// # Errors
    ///
    /// As for [`Cgroup::enter`].
    pub fn enter(&self) -> Result<()> {
        self.cgroups().try_for_each(Cgroup::enter)
    }

    /// Where `clone3` can bear a child, if one place is all: the folder of a single v2 cgroup.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        match &self.cgroups[..] {
            _ if self.inner.is_some() => self.inner.as_ref().map(Cgroup::as_fd),
            [(cgroup, _)] if cgroup.version() == 2 => Some(cgroup.as_fd()),
            _ => None,
        }
    }
}

/// Whether a group was refused because there is none for this caller here: who can do without,
/// may.
pub fn is_not_given(error: &Error) -> bool {
    let errno = error.root_cause().downcast_ref::<Errno>();
    matches!(
        errno,
        None | Some(Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::ENOENT | Errno::EBUSY)
    )
}

impl Drop for Group {
    fn drop(&mut self) {
        self.inner = None;
        // The first one made is the last one removed: where it is not, the others are not either.
        while self.cgroups.pop().is_some() {}
    }
}

/// The hierarchy that has this controller here, with the calling process's place in it.
///
/// # Errors
///
/// When none has it, and when none is mounted.
pub fn hierarchy_of(controller: &str) -> Result<Hierarchy> {
    let mut hierarchies = view::hierarchies()?;
    let found = having(&hierarchies, controller)?.mounted_at.clone();
    hierarchies.retain(|hierarchy| hierarchy.mounted_at == found);
    Ok(hierarchies.swap_remove(0))
}

fn having<'a>(hierarchies: &'a [Hierarchy], controller: &str) -> Result<&'a Hierarchy> {
    let has = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|one| one == controller);
    hierarchies.iter().find(has).ok_or_else(|| {
        Refusal::ours(format!(
            "the controller {controller} is in no hierarchy that is mounted here"
        ))
        .with_help("`ch07-cgroup-hierarchy lssubsys -a` shows those that this kernel has")
        .into()
    })
}
// ANCHOR_END: group

// ANCHOR: find_parent
/// Where a new cgroup of v2 can have these controllers: in our own, if it is the root, or if we are
/// alone in it and can make room; else beside our own; else, if we may, in the root.
pub(crate) fn find_parent(
    name: &str,
    hierarchy: &Hierarchy,
    controllers: &[&str],
) -> Result<(PathBuf, Option<MadeRoom>)> {
    let root = &hierarchy.mounted_at;
    let own = hierarchy.folder(&hierarchy.your_cgroup);
    // This file is missing in the real root alone, the one cgroup that may have processes and give
    // any controller away.
    if !own.join("cgroup.type").exists() && may_write(&own).is_ok() {
        enable(&own, controllers)?;
        return Ok((own, None));
    }
    let above = own.parent().filter(|above| above.starts_with(root) && may_write(above).is_ok());
    let gives = |above: &&Path| {
        let may_give =
            words(&above.join("cgroup.procs")).is_empty() || !above.join("cgroup.type").exists();
        may_give && enable(above, controllers).is_ok()
    };
    let is_leaf = own.to_string_lossy().ends_with(&format!("{LEAF}-{}", process::id()));
    let is_alone =
        words(&own.join("cgroup.procs")) == [process::id().to_string()] && may_write(&own).is_ok();
    if is_alone && !is_leaf {
        let has_all = || all_in(&own.join("cgroup.controllers"), controllers);
        // What the one above could give us, it may not have given so far.
        if has_all() || (above.filter(gives).is_some() && has_all()) {
            let made_room = MadeRoom::in_cgroup(name, &own, controllers)?;
            return Ok((own, Some(made_room)));
        }
    }
    // Where we have made room before, that is the place for all.
    if let Some(above) = above.filter(gives) {
        return Ok((above.to_owned(), None));
    }
    if may_write(root).is_ok() {
        enable(root, controllers)?;
        return Ok((root.clone(), None));
    }
    // What stands in the way is the kernel's to say.
    if let Some(above) = above.filter(|above| words(&above.join("cgroup.procs")).is_empty()) {
        enable(above, controllers)?;
    }
    Err(why_not(&own, is_alone, controllers))
}
// ANCHOR_END: find_parent

/// Why neither this cgroup of ours nor the one above it can have children with controllers.
fn why_not(own: &Path, is_alone: bool, controllers: &[&str]) -> Error {
    if let Err(error) = may_write(own).refused(|| format!("access({own:?}, W_OK)"), cgroup::V2) {
        return error.context("cannot make a cgroup in your own");
    }
    let own = own.display();
    let (what, help) = match is_alone {
        true => (
            format!("your cgroup {own} was not given {}", controllers.join(" and ")),
            "systemd gives what Delegate= names: -p Delegate='cpu io memory pids'".to_owned(),
        ),
        false => (
            format!(
                "cannot make a cgroup in {own}: it has other processes, and so can give no controllers"
            ),
            format!(
                "move your shell into a cgroup inside it: \
                 mkdir {own}/shell && echo $$ > {own}/shell/cgroup.procs"
            ),
        ),
    };
    Refusal::ours(what).with_help(help).into()
}

/// Lets the children of a cgroup have these controllers. They keep them: another may have come to
/// rely on it meanwhile.
fn enable(parent: &Path, controllers: &[&str]) -> Result<()> {
    let file = parent.join("cgroup.subtree_control");
    if all_in(&file, controllers) {
        return Ok(());
    }
    for controller in controllers {
        let word = format!("+{controller}");
        let call = || format!("write({file:?}, {word:?})");
        fs::write(&file, &word)
            .refused(call, cgroup::V2)
            .with_context(|| format!("cannot enable the controller {controller}"))?;
    }
    Ok(())
}

/// Whether a file lists all of these.
fn all_in(file: &Path, controllers: &[&str]) -> bool {
    let listed = words(file);
    controllers.iter().all(|controller| listed.iter().any(|one| one == controller))
}

/// Whether one may make cgroups here, move processes in, and enable controllers.
fn may_write(cgroup: &Path) -> nix::Result<()> {
    ["cgroup.procs", "cgroup.subtree_control", ""]
        .iter()
        .try_for_each(|file| access(&cgroup.join(file), AccessFlags::W_OK))
}

/// The end of the name of such a cgroup inside, before the process id.
const LEAF: &str = "-leaf";

/// Our own cgroup, which we have left for one inside it, so that it could give controllers to its
/// children. Dropped, all is as it was.
pub(crate) struct MadeRoom {
    own: PathBuf,
    controllers: Vec<String>,
    /// Where we are.
    _leaf: Cgroup,
}

impl MadeRoom {
    fn in_cgroup(name: &str, own: &Path, controllers: &[&str]) -> Result<MadeRoom> {
        let leaf = Cgroup::create(2, own, &format!("{name}{LEAF}"))?;
        leaf.enter()?;
        let given: Vec<_> = controllers.iter().map(|controller| (*controller).to_owned()).collect();
        let made_room = MadeRoom { own: own.to_owned(), controllers: given, _leaf: leaf };
        enable(own, controllers)?;
        Ok(made_room)
    }
}

impl Drop for MadeRoom {
    fn drop(&mut self) {
        for controller in &self.controllers {
            _ = fs::write(self.own.join("cgroup.subtree_control"), format!("-{controller}"));
        }
        _ = fs::write(self.own.join("cgroup.procs"), "0");
    }
}
