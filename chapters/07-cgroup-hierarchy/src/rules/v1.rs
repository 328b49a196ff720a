//! The rules of cgroup v1, on hierarchies without controllers, and on controllers that nobody uses.
//!
//! None of them is mounted anywhere: each hierarchy hangs on a descriptor.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ch00_ground::refusal::Refused;
use ch04_mount::Tree;
use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::helpers::{Folder, Sleeper, cgroup_of, write};
use super::{Rule, Trial, is_root};

/// The names of our hierarchies.
const NAMES: [&str; 2] = ["ch07-rules", "ch07-rules-2"];

/// Controllers that v2 does not have, and that may be taken for a moment if no v1 hierarchy has them.
const FREE: [&str; 2] = ["net_cls", "net_prio"];

/// Where the rules are tried.
pub struct Ground(Result<Place>);

struct Place {
    /// Two hierarchies without controllers.
    here: Hierarchy,
    _there: Hierarchy,
    /// One with two, if they could be had.
    pair: Result<Hierarchy>,
    /// Locked as long as it is open.
    _turn: File,
}

impl Ground {
    pub fn new() -> Ground {
        Ground(Place::make())
    }
}

impl Place {
    fn make() -> Result<Place> {
        ensure!(is_root()?, "mounting a hierarchy of v1 takes root");
        let here = Hierarchy::named(0)?;
        let turn = here.lock()?;
        let pair = free().and_then(|()| Hierarchy::mount(&FREE));
        Ok(Place { here, _there: Hierarchy::named(1)?, pair, _turn: turn })
    }

    fn pair(&self) -> Result<&Hierarchy> {
        self.pair.as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    fn folder(&self, name: &str) -> Result<Folder> {
        Folder::make(self.here.root().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What a run that was killed has left would keep the hierarchies alive.
        for name in ["a", "b"] {
            _ = self.folder(name);
        }
    }
}

pub fn rules(ground: &Ground) -> Vec<Rule> {
    let rule = |text, try_it| Rule::new(1, text, &ground.0, try_it);
    vec![
        rule("a new hierarchy holds every process in its root cgroup", holds_everybody),
        rule("a hierarchy may have many subsystems", many_subsystems),
        rule("a subsystem is attached to one hierarchy only", one_hierarchy),
        rule(
            "a process is in one cgroup of each hierarchy, and in all hierarchies",
            one_cgroup_each,
        ),
        rule("a child is born in its parent's cgroup, and may be moved later", born_with_parent),
        rule("a task is a thread: one process may be in two cgroups", threads_apart),
    ]
}

/// A v1 hierarchy, mounted nowhere.
struct Hierarchy(Tree);

impl Hierarchy {
    fn mount(options: &[&str]) -> Result<Hierarchy> {
        let options: Vec<_> =
            options.iter().map(|option| option.split_once('=').unwrap_or((option, ""))).collect();
        Ok(Hierarchy(Tree::new("cgroup", &options, &[])?))
    }

    fn named(number: usize) -> Result<Hierarchy> {
        let name = format!("name={}", NAMES[number]);
        // One that was given up a moment ago takes its time to die, and until then is busy.
        for _ in 0..100 {
            if let Ok(hierarchy) = Hierarchy::mount(&["none", &name]) {
                return Ok(hierarchy);
            }
            sleep(Duration::from_millis(50));
        }
        Hierarchy::mount(&["none", &name])
    }

    /// Waits until nobody else tries the rules: a hierarchy is the whole machine's, whatever the
    /// namespaces, and so is a lock on its root.
    fn lock(&self) -> Result<File> {
        let root = File::open(self.root())?;
        for _ in 0..600 {
            // SAFETY: the descriptor is open.
            let answer = unsafe { libc::flock(root.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            match Errno::result(answer) {
                Err(Errno::EWOULDBLOCK) => sleep(Duration::from_millis(50)),
                answer => return answer.map(|_| root).refused(|| "flock()".into(), &[]),
            }
        }
        bail!("another run of the rules has not ended for half a minute")
    }

    fn root(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_fd().as_raw_fd()).into()
    }

    fn device(&self) -> Result<u64> {
        Ok(fstat(&self.0)?.st_dev)
    }
}

fn holds_everybody(place: &Place) -> Result<Vec<Trial>> {
    // Processes begin and end meanwhile: who is missed must have been there before and after.
    let before = living();
    let held = fs::read_to_string(place.here.root().join("cgroup.procs"))?;
    let held: Vec<_> = held.lines().map(ToOwned::to_owned).collect();
    let after = living();
    let missed = before.iter().filter(|pid| after.contains(pid) && !held.contains(pid)).count();
    Ok(vec![
        Trial::allowed("mount -t cgroup -o none,name=ch07-rules", Ok(())),
        Trial::state(
            "cat cgroup.procs, beside the processes of /proc",
            format!("{} processes, {missed} missed", held.len()),
            missed == 0 && held.len() > 1,
        ),
    ])
}

/// The processes that are alive: a zombie is in no cgroup.
fn living() -> Vec<String> {
    let lives = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.parse::<u32>().is_ok()).filter(lives).collect()
}

fn many_subsystems(place: &Place) -> Result<Vec<Trial>> {
    let hierarchy = place.pair()?;
    let both = FREE.join(",");
    let lines = fs::read_to_string("/proc/self/cgroup")?;
    let lists: Vec<_> = lines
        .lines()
        .filter_map(|line| line.split(':').nth(1))
        .filter(|list| list.split(',').any(|word| FREE.contains(&word)))
        .collect();
    let again = Hierarchy::mount(&FREE)?.device()? == hierarchy.device()?;
    Ok(vec![
        Trial::allowed(format!("mount -t cgroup -o {both}"), Ok(())),
        Trial::state("grep net_ /proc/self/cgroup", lists.join(" and "), lists == [both.as_str()]),
        Trial::state("the same mount once more", "the same hierarchy", again),
    ])
}

fn one_hierarchy(place: &Place) -> Result<Vec<Trial>> {
    let [one, other] = FREE;
    if let Err(why) = place.pair() {
        // What is refused changes nothing: two that are in use do as well, if they are apart.
        let lines = fs::read_to_string("/proc/self/cgroup")?;
        let firsts = lines.lines().filter_map(|line| line.split([':', ',']).nth(1));
        let used: Vec<_> = firsts.filter(|name| !name.is_empty() && !name.contains('=')).collect();
        let [one, other, ..] = used[..] else { return Err(why) };
        return Ok(vec![Trial::refused(
            format!("mount -t cgroup -o {one},{other}, which are in two hierarchies"),
            Errno::EBUSY,
            Hierarchy::mount(&[one, other]),
        )]);
    }
    Ok(vec![
        Trial::allowed(format!("mount -t cgroup -o {one},{other}"), Ok(())),
        Trial::refused(format!("mount -t cgroup -o {one}"), Errno::EBUSY, Hierarchy::mount(&[one])),
        Trial::refused(
            format!("mount -t cgroup -o {other},name=ch07-rules-3"),
            Errno::EBUSY,
            Hierarchy::mount(&[other, "name=ch07-rules-3"]),
        ),
    ])
}

/// Whether both are in no v1 hierarchy. One that was given up a moment ago takes its time to die.
fn free() -> Result<()> {
    let is_free = |table: &str, name: &str| {
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // Name, hierarchy, number of cgroups, enabled.
        lines.any(|line| matches!(&line[..], [this, "0", _, "1"] if *this == name))
    };
    for _ in 0..40 {
        let table = fs::read_to_string("/proc/cgroups").context("this kernel has no cgroup v1")?;
        if FREE.into_iter().all(|name| is_free(&table, name)) {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    bail!(
        "it takes two controllers that nobody uses, {}: one of them is in use or missing",
        FREE.join(" and ")
    )
}

fn one_cgroup_each(place: &Place) -> Result<Vec<Trial>> {
    let (a, b) = (place.folder("a")?, place.folder("b")?);
    let sleeper = Sleeper::start()?;
    let pid = sleeper.pid();
    let into_a = a.write("cgroup.procs", &pid);
    let into_b = b.write("cgroup.procs", &pid);
    let in_here = cgroup_of(&pid, "name=ch07-rules:")?;
    let in_there = cgroup_of(&pid, "name=ch07-rules-2:")?;
    let left_a = a.read("cgroup.procs")?.is_empty();
    drop(sleeper);
    Ok(vec![
        Trial::allowed("echo PID > a/cgroup.procs", into_a),
        Trial::allowed("echo PID > b/cgroup.procs", into_b),
        Trial::state("its cgroup in this hierarchy", in_here.clone(), in_here == "/b" && left_a),
        Trial::state("its cgroup in another one", in_there.clone(), in_there == "/"),
    ])
}

fn born_with_parent(place: &Place) -> Result<Vec<Trial>> {
    let (a, b) = (place.folder("a")?, place.folder("b")?);
    a.write("cgroup.procs", "0")?;
    let child = Sleeper::start()?;
    let born_in = cgroup_of(&child.pid(), "name=ch07-rules:")?;
    let moved = b.write("cgroup.procs", &child.pid());
    let child_in = cgroup_of(&child.pid(), "name=ch07-rules:")?;
    let parent_in = cgroup_of("self", "name=ch07-rules:")?;
    write(&place.here.root().join("cgroup.procs"), "0")?;
    drop(child);
    Ok(vec![
        Trial::state("fork() in a", format!("born in {born_in}"), born_in == "/a"),
        Trial::allowed("echo CHILD > b/cgroup.procs", moved),
        Trial::state(
            "child and parent now",
            format!("{child_in} and {parent_in}"),
            child_in == "/b" && parent_in == "/a",
        ),
    ])
}

fn threads_apart(place: &Place) -> Result<Vec<Trial>> {
    let a = place.folder("a")?;
    let sleeper = Sleeper::with_thread()?;
    let threads = sleeper.threads()?;
    let [first, second] = &threads[..] else { bail!("not two threads") };
    let moved = a.write("tasks", second);
    let of = |thread| cgroup_of(&format!("{first}/task/{thread}"), "name=ch07-rules:");
    let (first, second) = (of(first)?, of(second)?);
    drop(sleeper);
    Ok(vec![
        Trial::allowed("echo THREAD > a/tasks", moved),
        Trial::state(
            "the two threads of the process now",
            format!("{first} and {second}"),
            first == "/" && second == "/a",
        ),
    ])
}

/// Waits until our hierarchies are gone. A hierarchy whose cgroups were removed a moment before its
/// last mount outlives it, until it is mounted once more and let go.
pub fn wait_for_end() {
    let is_there = |name: &str| {
        fs::read_to_string("/proc/self/cgroup")
            .is_ok_and(|text| text.contains(&format!(":name={name}:")))
    };
    for _ in 0..100 {
        if !NAMES.into_iter().any(is_there) {
            return;
        }
        sleep(Duration::from_millis(20));
        for name in NAMES.into_iter().filter(|name| is_there(name)) {
            _ = Hierarchy::mount(&["none", &format!("name={name}")]);
        }
    }
}
