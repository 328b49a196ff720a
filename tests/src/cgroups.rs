//! Cgroups for the tests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{AccessFlags, access, getuid};

use crate::program::eventually;
use crate::{Output, Role, Running};

/// Where a file system of this type with this option is mounted.
pub(crate) fn mounted(kind: &str, option: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = fields.rfind(|mount| {
        mount[2] == kind && (option.is_empty() || mount[3].split(',').any(|word| word == option))
    });
    found.map(|mount| mount[1].into())
}

/// The root of v2, and the controllers that are there.
pub(crate) fn v2_root() -> Option<(PathBuf, Vec<String>)> {
    let root = mounted("cgroup2", "")?;
    let has = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    Some((root, has.split_whitespace().map(ToOwned::to_owned).collect()))
}

/// The root of v2, if it has the controllers of the chapters.
pub fn v2() -> Option<PathBuf> {
    let (root, has) = v2_root()?;
    ["cpu", "memory", "pids"].iter().all(|one| has.iter().any(|it| it == one)).then_some(root)
}

/// The root of the v1 hierarchy that has this controller.
pub fn v1(controller: &str) -> Option<PathBuf> {
    mounted("cgroup", controller)
}

/// The folder of the cgroup that process `pid` is in, for this controller.
pub fn folder_of(pid: u32, controller: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it is running");
    let place = |is_it: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            is_it(fields.next()?)
                .then(|| fields.next().unwrap_or("/").trim_start_matches('/').to_owned())
        })
    };
    match v1(controller) {
        Some(root) => {
            root.join(place(&|list| list.split(',').any(|one| one == controller)).unwrap())
        }
        None => v2().expect("a hierarchy has it").join(place(&str::is_empty).unwrap()),
    }
}

/// How an ordinary user gets cgroups of v2 here.
enum Way {
    /// Its own are in a subtree that is its.
    Own,
    /// systemd makes one.
    Systemd,
    /// We are root, and make one.
    Given(PathBuf),
}

fn way(role: Role) -> Option<Way> {
    let root = v2()?;
    if role == Role::User && getuid().is_root() {
        return Some(Way::Given(root));
    }
    let own = folder_of(std::process::id(), "memory");
    let is_writable = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    if is_writable(&root) || (is_writable(&own) && own.parent().is_some_and(is_writable)) {
        return Some(Way::Own);
    }
    let scope = ["--user", "--scope", "--quiet", "true"];
    (crate::find("systemd-run").is_some() && role.run("systemd-run", &scope).status == 0)
        .then_some(Way::Systemd)
}

/// Whether `role` can have cgroups with controllers, of any version.
pub fn can_have(role: Role) -> bool {
    v1("memory").is_some() || way(role).is_some()
}

/// Something that programs can be started in, so that they may make cgroups with controllers.
pub struct Subtree {
    role: Role,
    prefix: Vec<String>,
    made: Option<PathBuf>,
}

impl Subtree {
    /// One for `role`, which [can have](can_have) it.
    pub fn new(role: Role) -> Subtree {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (prefix, made) = match way(role) {
            None | Some(Way::Own) => (vec![], None),
            Some(Way::Systemd) => {
                let words = "systemd-run --user --scope --quiet -p Delegate=yes --";
                (words.split(' ').map(ToOwned::to_owned).collect(), None)
            }
            Some(Way::Given(root)) => {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let made = root.join(format!("users-{}-{number}", std::process::id()));
                let uid = role.uid();
                give(&root, &made, uid);
                // Each program is alone in a cgroup, as in a scope of systemd's.
                let script = format!(
                    "own={}/shell-$$; mkdir $own && cd $own && chown {uid} . cgroup.procs cgroup.threads \
                     cgroup.subtree_control && echo $$ >cgroup.procs && cd / && \
                     exec setpriv --reuid={uid} --regid={uid} --clear-groups -- \"$@\"",
                    made.display()
                );
                (vec!["sh".into(), "-c".into(), script, "sh".into()], Some(made))
            }
        };
        Subtree { role, prefix, made }
    }

    /// As whom, and by which line, another line is started in it.
    pub(crate) fn line<'a>(&'a self, line: &[&'a str]) -> (Role, Vec<&'a str>) {
        let role = if self.made.is_some() { Role::Root } else { self.role };
        (role, self.prefix.iter().map(String::as_str).chain(line.iter().copied()).collect())
    }

    /// Runs a program in it.
    pub fn run(&self, line: &[&str]) -> Output {
        let (role, line) = self.line(line);
        role.run(line[0], &line[1..])
    }

    /// Starts a program in it.
    pub fn start(&self, line: &[&str]) -> Running {
        let (role, line) = self.line(line);
        let mut running = role.start(line[0], &line[1..]);
        // So that it can remove its cgroups.
        running.ends_gently();
        running
    }

    /// Asserts that no cgroup is left that is named after this chapter and a process that is dead.
    pub fn assert_none_is_left(&self, chapter: &str) {
        eventually("the removal of a chapter's cgroups", || {
            let mut found = Vec::new();
            match &self.made {
                Some(made) => collect(made, true, &mut found),
                None if self.role == Role::Root => {
                    let v1 = ["memory", "cpu", "cpuacct", "pids"].into_iter().filter_map(v1);
                    v1.chain(v2()).for_each(|root| collect(&root, false, &mut found));
                }
                None => collect(Path::new("/sys/fs/cgroup"), true, &mut found),
            }
            !found.iter().any(|name| {
                let maker = name
                    .strip_prefix(chapter)
                    .and_then(|rest| rest.rsplit('-').next()?.split('.').next());
                maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
            })
        });
    }
}

/// The names of the cgroups in a folder, and in those below it.
fn collect(folder: &Path, all: bool, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.file_name().to_string_lossy().into_owned());
            if all {
                collect(&entry.path(), true, found);
            }
        }
    }
}

/// What an administrator does, or systemd for `Delegate=yes`.
fn give(root: &Path, made: &Path, uid: u32) {
    let write = |folder: &Path| {
        fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory +pids")
            .expect("we are root");
    };
    write(root);
    fs::create_dir(made).expect("we are root");
    for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        chown(made.join(file), Some(uid), Some(uid)).expect("we are root");
    }
    write(made);
}

impl Drop for Subtree {
    fn drop(&mut self) {
        if let Some(made) = &self.made
            && !std::thread::panicking()
        {
            eventually("the end of all processes in a test's cgroup", || remove(made).is_ok());
        }
    }
}

/// The chapters' cgroups in all hierarchies that are mounted at their usual place.
pub fn of_chapters() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if is_of_chapter(&entry.file_name().to_string_lossy()) {
                    found.insert(entry.path());
                }
                folders.push(entry.path());
            }
        }
    }
    found
}

/// Whether a chapter gives such a name: others come and go on a machine that is used.
pub fn is_of_chapter(name: &str) -> bool {
    name.strip_prefix("ch")
        .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

/// Removes a cgroup, and what a program that was killed has left in it.
fn remove(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}
