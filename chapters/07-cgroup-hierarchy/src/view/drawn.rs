//! A hierarchy as a tree in the terminal, and what of a great one is left out.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ch00_ground::cgroup::Hierarchy;
use termtree::Tree;

use super::tree::{Branch, sum};
use super::{printable, word};

// A drawing is to fit a screen or two, and a picture the width of a phone.
const FEW: usize = 5;
const DEPTH: usize = 6;
const BUDGET: usize = 60;

/// A hierarchy as it is drawn: without what would be too much.
pub struct Drawn<'a> {
    /// The hierarchy.
    pub hierarchy: &'a Hierarchy,
    /// The cgroup at the top: its root, unless another was asked for, or this is a container.
    pub root: Branch,
}

impl Drawn<'_> {
    /// Reads cgroups, each from a path in its hierarchy, and leaves out what would be too much.
    ///
    /// # Errors
    ///
    /// As for [`Branch::read`].
    pub fn all<'a>(wanted: &[(&'a Hierarchy, PathBuf)]) -> Result<Vec<Drawn<'a>>> {
        let budget = BUDGET / wanted.len().clamp(1, 4);
        let draw = |(hierarchy, path): &(&'a Hierarchy, PathBuf)| {
            let mut root = Branch::read(hierarchy, path)?;
            root.fold(&hierarchy.your_cgroup, budget);
            Ok(Drawn { hierarchy, root })
        };
        wanted.iter().map(draw).collect()
    }

    /// What it is, and where.
    pub fn heading(&self) -> String {
        let Hierarchy { version, mounted_at, .. } = self.hierarchy;
        format!("{}: v{version}, mounted at {}", word(self.hierarchy), printable(mounted_at))
    }

    /// Whether anything is left out.
    pub fn is_folded(&self) -> bool {
        self.root.all().iter().any(|cgroup| cgroup.folded.0 > 0)
    }

    fn tree(&self, cgroup: &Branch) -> Tree<String> {
        let mut text = format!("{}  {}", cgroup.name(), cgroup.census());
        if !cgroup.few().is_empty() {
            let named: Vec<_> = cgroup.few().iter().map(|pid| with_name(*pid)).collect();
            text += &format!(": {}", named.join(", "));
        }
        if !cgroup.controllers.is_empty() {
            text += &format!("  [{}]", cgroup.controllers.join(" "));
        }
        if cgroup.path == self.hierarchy.your_cgroup {
            text += "  (yours)";
        }
        let folded = folded(cgroup).map(Tree::new);
        Tree::new(text)
            .with_leaves(cgroup.children.iter().map(|child| self.tree(child)).chain(folded))
    }
}

impl Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.heading(), self.tree(&self.root))
    }
}

impl Branch {
    /// Leaves out what is too deep, and more than `budget`: the way to `yours` stays, then whatever
    /// leads to most processes, then what is higher up.
    fn fold(&mut self, yours: &Path, budget: usize) {
        let depth = |cgroup: &Branch| cgroup.path.components().count();
        let deepest = depth(self) + DEPTH;
        let mut all = self.all();
        all.retain(|cgroup| depth(cgroup) <= deepest);
        // No cgroup comes before the one that it is in.
        all.sort_by_cached_key(|cgroup| {
            let is_on_way = yours.starts_with(&cgroup.path);
            (!is_on_way, Reverse(cgroup.count().1), depth(cgroup), &cgroup.path)
        });
        let kept = all.into_iter().take(budget).map(|cgroup| cgroup.path.clone()).collect();
        self.keep(&kept);
    }

    fn keep(&mut self, kept: &HashSet<PathBuf>) {
        let children = std::mem::take(&mut self.children).into_iter();
        let folded: Vec<_>;
        (self.children, folded) = children.partition(|child| kept.contains(&child.path));
        self.folded = folded.iter().map(Branch::count).fold((0, 0), sum);
        self.children.iter_mut().for_each(|child| child.keep(kept));
    }

    /// Its name, which for the root is `/`.
    pub fn name(&self) -> String {
        printable(self.path.file_name().unwrap_or("/".as_ref()))
    }

    /// `3 processes`, as far as that is known.
    pub fn census(&self) -> String {
        match &self.processes {
            None => "processes that you may not see".to_owned(),
            Some(ids) if self.threaded => number(ids.len(), "thread", "threads"),
            Some(ids) => number(ids.len(), "process", "processes"),
        }
    }

    /// Its processes, when they are few enough to be told one by one.
    pub fn few(&self) -> &[u32] {
        self.processes.as_deref().filter(|ids| ids.len() <= FEW).unwrap_or_default()
    }
}

/// What is left out below it, in words.
pub(super) fn folded(cgroup: &Branch) -> Option<String> {
    let (cgroups, processes) = cgroup.folded;
    let more = if cgroup.children.is_empty() { "" } else { "more " };
    let cgroups = (cgroups > 0).then(|| number(cgroups, "cgroup", "cgroups"))?;
    let cgroups = cgroups.replacen(' ', &format!(" {more}"), 1);
    Some(format!("… {cgroups}, {}", number(processes, "process", "processes")))
}

pub(super) fn number(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `812 bash`, or only the number when it is gone meanwhile.
pub(super) fn with_name(pid: u32) -> String {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let comm = printable(String::from_utf8_lossy(&comm).trim_end_matches('\n'));
    format!("{pid} {comm}").trim_end().to_owned()
}
