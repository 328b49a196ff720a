//! The page "From v1 to v2": every name in its tables is that of a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use harness::{Claim, Role, cgroups, claim};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../book/src/v1-to-v2.md"));

pub fn claims() -> Vec<Claim> {
    vec![
        claim!(the_dictionarys_names_of_v1).only(Role::Root).needs(&["v1"]),
        claim!(the_dictionarys_names_of_v2).only(Role::Root).needs(&["v2"]),
    ]
}

/// The names in a column of the tables.
fn names(column: usize) -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split('|').nth(column));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    // That a hierarchy has a name is an option.
    let names: Vec<_> = names.filter(|name| !name.ends_with('=')).collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

/// A cgroup that is removed at the end.
struct Fresh(PathBuf);

impl Fresh {
    fn below(root: &Path) -> Fresh {
        // Not a name of the chapters', who would take it for that of a maker who died.
        let folder = root.join(format!("dictionary-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Fresh(folder)
    }

    fn has(&self, name: &str) -> bool {
        // Of each size there is one.
        let (before, after) = name.split_once("SIZE").unwrap_or((name, ""));
        fs::read_dir(&self.0).unwrap().flatten().any(|file| {
            let file = file.file_name().into_string().unwrap();
            file == name || (!after.is_empty() && file.starts_with(before) && file.ends_with(after))
        })
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let removed = fs::remove_dir(&self.0);
        assert!(removed.is_ok() || thread::panicking(), "{removed:?}");
    }
}

fn the_dictionarys_names_of_v1(_: Role) {
    for name in names(2) {
        let controller = match name.split_once('.') {
            Some((controller, _)) if controller != "cgroup" => controller,
            _ => "memory",
        };
        match cgroups::v1(controller) {
            Some(root) if name == "release_agent" => assert!(root.join(name).exists(), "{name}"),
            Some(root) => assert!(Fresh::below(&root).has(name), "{name}"),
            // They are seldom mounted.
            None => assert!(["hugetlb", "net_cls", "net_prio"].contains(&controller), "{name}"),
        }
    }
}

fn the_dictionarys_names_of_v2(_: Role) {
    let root = cgroups::v2().expect("it is there");
    let available = fs::read_to_string(root.join("cgroup.controllers")).unwrap();
    for controller in available.split_whitespace() {
        fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    }
    let fresh = Fresh::below(&root);
    for name in names(3) {
        let is_there =
            fresh.has(name) || (name.starts_with("hugetlb.") && !available.contains("hugetlb"));
        assert!(is_there, "{name}");
    }
}
