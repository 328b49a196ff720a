//! The rules of cgroup v2, in a cgroup of our own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ch00_ground::cgroup::Hierarchy;
use ch04_mount::Tree;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use nix::unistd::{Uid, getppid, getuid, seteuid};

use super::helpers::{Folder, Sleeper, cgroup_of, in_child};
use super::{Rule, Trial, is_root};
use crate::group::MadeRoom;
use crate::{Cgroup, group, view};

/// Where the rules are tried.
pub struct Ground(Result<Place>);

struct Place {
    /// All that they make is in here.
    base: Cgroup,
    /// Not read, but dropped after the base.
    _made_room: Option<MadeRoom>,
    hierarchy: Hierarchy,
    /// One that is given to the base, and can be given on.
    controller: &'static str,
    /// One that v1 has as well.
    shared: &'static str,
}

/// Those that take whole processes, unlike cpu, cpuset and pids, which also take threads.
const DOMAIN: [&str; 2] = ["memory", "hugetlb"];

impl Ground {
    pub fn new() -> Ground {
        Ground(Place::find())
    }
}

impl Place {
    fn find() -> Result<Place> {
        let mut all = view::mounted()?;
        all.retain(|hierarchy| hierarchy.version == 2);
        let hierarchy = all.pop().context("no cgroup2 file system is mounted")?;
        let has = |name: &str| hierarchy.controllers.iter().any(|word| word == name);
        let controller = DOMAIN
            .into_iter()
            .find(|name| has(name))
            .with_context(|| format!("v2 has none of {} here", DOMAIN.join(", ")))?;
        // A kernel may have memory in v2 alone.
        let shared = if has("pids") { "pids" } else { controller };
        let (parent, made_room) = group::find_parent("ch07", &hierarchy, &[controller, shared])?;
        let base = Cgroup::create(2, &parent, "ch07")?;
        Ok(Place { base, _made_room: made_room, hierarchy, controller, shared })
    }

    fn folder(&self, name: &str) -> Result<Folder> {
        Folder::make(self.base.path().join(name))
    }

    /// Lets the base give the controller to its children.
    fn give(&self) -> Result<()> {
        self.base.write("cgroup.subtree_control", &self.plus())
    }

    fn plus(&self) -> String {
        format!("+{}", self.controller)
    }

    /// The cgroup of a task, from the base.
    fn cgroup_of(&self, task: &str) -> Result<String> {
        let path = cgroup_of(task, ":")?;
        let base = self.base.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Ok(path.split_once(base).map_or(path.clone(), |(_, below)| below.to_owned()))
    }
}

pub fn rules(ground: &Ground) -> Vec<Rule> {
    let rule = |text, try_it| Rule::new(2, text, &ground.0, try_it);
    vec![
        rule("there is one hierarchy, and what it uses is in no other", one_hierarchy),
        rule("controllers are enabled from the top down", top_down),
        rule(
            "processes, or a controller like memory for the children: not both",
            no_internal_processes,
        ),
        rule("a process moves as a whole, but inside a threaded subtree", threads),
        rule("whoever is given a subtree moves processes within it, and no further", delegation),
        rule("a cgroup can be frozen", freeze),
        rule("a cgroup can be killed, also while it is frozen", kill),
        rule("in a cgroup namespace, one's own cgroup is the root", namespace),
    ]
}

fn one_hierarchy(place: &Place) -> Result<Vec<Trial>> {
    let device = || anyhow::Ok(fstat(Tree::new("cgroup2", &[], &[])?)?.st_dev);
    let lines = fs::read_to_string("/proc/self/cgroup")?;
    let count = lines.lines().filter(|line| line.starts_with("0::")).count();
    let mut trials =
        vec![Trial::state("grep ^0:: /proc/self/cgroup", format!("{count} line"), count == 1)];
    if is_root()? {
        let same = device()? == device()?;
        trials.push(Trial::state("mount -t cgroup2, twice", "the same hierarchy", same));
        trials.push(Trial::refused(
            format!("mount -t cgroup -o {}", place.shared),
            Errno::EBUSY,
            Tree::new("cgroup", &[(place.shared, "")], &[]),
        ));
    }
    Ok(trials)
}

fn top_down(place: &Place) -> Result<Vec<Trial>> {
    let plus = place.plus();
    let a = place.folder("a")?;
    let too_early = a.write("cgroup.subtree_control", &plus);
    let above = place.give();
    let below = a.write("cgroup.subtree_control", &plus);
    let minus = place.base.write("cgroup.subtree_control", &plus.replace('+', "-"));
    let unknown = a.write("cgroup.subtree_control", "+nonsense");
    Ok(vec![
        Trial::refused(format!("echo {plus} > a/cgroup.subtree_control"), Errno::ENOENT, too_early),
        Trial::allowed(format!("echo {plus} > cgroup.subtree_control, above it"), above),
        Trial::allowed(format!("echo {plus} > a/cgroup.subtree_control"), below),
        Trial::refused(
            format!("echo {} > cgroup.subtree_control, above it", plus.replace('+', "-")),
            Errno::EBUSY,
            minus,
        ),
        Trial::refused("echo +nonsense > a/cgroup.subtree_control", Errno::EINVAL, unknown),
    ])
}

fn no_internal_processes(place: &Place) -> Result<Vec<Trial>> {
    place.give()?;
    let (a, b) = (place.folder("a")?, place.folder("b")?);
    let sleeper = Sleeper::start()?;
    a.write("cgroup.procs", &sleeper.pid())?;
    let give = a.write("cgroup.subtree_control", &place.plus());
    b.write("cgroup.subtree_control", &place.plus())?;
    let enter = b.write("cgroup.procs", &sleeper.pid());
    drop(sleeper);
    let mut trials = vec![
        Trial::refused(
            format!("echo {} > a/cgroup.subtree_control, with a process in a", place.plus()),
            Errno::EBUSY,
            give,
        ),
        Trial::refused("echo PID > b/cgroup.procs, when b gives it", Errno::EBUSY, enter),
    ];
    if place.shared != place.controller {
        trials.extend(threaded_by_accident(place)?);
    }
    let root = &place.hierarchy.mounted_at;
    if !root.join("cgroup.type").exists() {
        let read = |file| anyhow::Ok(fs::read_to_string(root.join(file))?);
        let (processes, gives) =
            (read("cgroup.procs")?.lines().count(), read("cgroup.subtree_control")?);
        trials.push(Trial::state(
            "the root, which is exempt",
            format!("{processes} processes, and gives {}", gives.trim()),
            !gives.trim().is_empty(),
        ));
    }
    Ok(trials)
}

/// What takes threads as well is not refused, and what comes of it is seldom wanted.
fn threaded_by_accident(place: &Place) -> Result<Vec<Trial>> {
    place.base.write("cgroup.subtree_control", "+pids")?;
    let c = place.folder("c")?;
    let inner = c.below("inner")?;
    let sleeper = Sleeper::start()?;
    c.write("cgroup.procs", &sleeper.pid())?;
    let give = c.write("cgroup.subtree_control", "+pids");
    let kind = c.read("cgroup.type")?;
    let enter = inner.write("cgroup.procs", &sleeper.pid());
    drop(sleeper);
    Ok(vec![
        Trial::allowed("echo +pids > c/cgroup.subtree_control, with a process in c", give),
        Trial::state("cat c/cgroup.type", kind.clone(), kind == "domain threaded"),
        Trial::refused("echo PID > c/inner/cgroup.procs", Errno::EOPNOTSUPP, enter),
    ])
}

fn threads(place: &Place) -> Result<Vec<Trial>> {
    let (a, b) = (place.folder("a")?, place.folder("b")?);
    let inner = b.below("inner")?;
    let sleeper = Sleeper::with_thread()?;
    let threads = sleeper.threads()?;
    let [first, second] = &threads[..] else { bail!("not two threads") };
    let of = |thread| place.cgroup_of(&format!("{first}/task/{thread}"));
    let whole = a.write("cgroup.procs", second);
    let after_whole = (of(first)?, of(second)?);
    let alone = b.write("cgroup.threads", second);
    let threaded = inner.write("cgroup.type", "threaded");
    b.write("cgroup.procs", first)?;
    let inside = inner.write("cgroup.threads", second);
    let after_inside = (of(first)?, of(second)?);
    let back = inner.write("cgroup.type", "domain");
    drop(sleeper);
    let both = |pair: &(String, String)| format!("{} and {}", pair.0, pair.1);
    Ok(vec![
        Trial::allowed("echo THREAD > a/cgroup.procs", whole),
        Trial::state(
            "the two threads now",
            both(&after_whole),
            after_whole == ("/a".into(), "/a".into()),
        ),
        Trial::refused("echo THREAD > b/cgroup.threads", Errno::EOPNOTSUPP, alone),
        Trial::allowed("echo threaded > b/inner/cgroup.type", threaded),
        Trial::allowed("echo THREAD > b/inner/cgroup.threads, from b", inside),
        Trial::state(
            "the two threads now",
            both(&after_inside),
            after_inside == ("/b".into(), "/b/inner".into()),
        ),
        Trial::refused("echo domain > b/inner/cgroup.type", Errno::EINVAL, back),
    ])
}

fn delegation(place: &Place) -> Result<Vec<Trial>> {
    ensure!(getuid().is_root() && is_root()?, "it takes root, who can be two users");
    place.give()?;
    let (a, given) = (place.folder("a")?, place.folder("given")?);
    for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        chown(given.path().join(file), Some(NOBODY), Some(NOBODY))?;
    }
    let sleeper = Sleeper::start()?;
    let pid = sleeper.pid();
    a.write("cgroup.procs", &pid)?;
    let pull = as_nobody(|| given.write("cgroup.procs", &pid))?;
    let push = given.write("cgroup.procs", &pid);
    let inner = as_nobody(|| given.below("inner"))??;
    let moved = as_nobody(|| inner.write("cgroup.procs", &pid))?;
    let enable = as_nobody(|| given.write("cgroup.subtree_control", &place.plus()))?;
    let file = limit_file(given.path(), place.controller)?;
    let own = as_nobody(|| given.write(&file, "0"))?;
    let below = as_nobody(|| inner.write(&file, "max"))?;
    drop(sleeper);
    Ok(vec![
        Trial::refused(
            "the user: echo PID > given/cgroup.procs, from outside",
            Errno::EACCES,
            pull,
        ),
        Trial::allowed("root: the same", push),
        Trial::allowed("the user: mkdir given/inner; echo PID > given/inner/cgroup.procs", moved),
        Trial::allowed(
            format!("the user: echo {} > given/cgroup.subtree_control", place.plus()),
            enable,
        ),
        Trial::allowed(format!("the user: echo max > given/inner/{file}"), below),
        Trial::refused(format!("the user: echo 0 > given/{file}"), Errno::EACCES, own),
    ])
}

const NOBODY: u32 = 65534;

/// Works as an ordinary user for a moment.
fn as_nobody<T>(work: impl FnOnce() -> T) -> Result<T> {
    let parent = getppid();
    seteuid(Uid::from_raw(NOBODY))?;
    let done = work();
    seteuid(Uid::from_raw(0))?;
    // With another user, the kernel has forgotten that this process is to die with its parent.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    ensure!(getppid() == parent, "the parent is gone");
    Ok(done)
}

/// The file with the limit of a controller, like `memory.max`.
fn limit_file(cgroup: &Path, controller: &str) -> Result<String> {
    let names =
        fs::read_dir(cgroup)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_limit = |name: &String| {
        name.starts_with(controller)
            && name.ends_with(".max")
            && !name.contains("rsvd")
            && !name.contains("swap")
    };
    names.filter(is_limit).min_by_key(String::len).context("it has no limit")
}

fn freeze(place: &Place) -> Result<Vec<Trial>> {
    let a = place.folder("a")?;
    let hog = Sleeper::busy()?;
    a.write("cgroup.procs", &hog.pid())?;
    let frozen = a.write("cgroup.freeze", "1");
    wait_until(&a, "frozen 1")?;
    let used = || -> Result<String> {
        let stat = a.read("cpu.stat")?;
        Ok(stat.lines().next().unwrap_or_default().to_owned())
    };
    // Who is said to be frozen may still be on the way out of the processor.
    let mut before = used()?;
    let mut stands_still = false;
    for _ in 0..10 {
        sleep(Duration::from_millis(100));
        let now = used()?;
        stands_still = now == before;
        if stands_still {
            break;
        }
        before = now;
    }
    let thawed = a.write("cgroup.freeze", "0");
    wait_until(&a, "frozen 0")?;
    sleep(Duration::from_millis(100));
    let goes_on = used()? != before;
    drop(hog);
    Ok(vec![
        Trial::allowed("echo 1 > a/cgroup.freeze", frozen),
        Trial::state("a busy process in it, by cpu.stat", "stands still", stands_still),
        Trial::allowed("echo 0 > a/cgroup.freeze", thawed),
        Trial::state("the same", "goes on", goes_on),
    ])
}

fn wait_until(cgroup: &Folder, line: &str) -> Result<()> {
    for _ in 0..5000 {
        if cgroup.read("cgroup.events")?.lines().any(|other| other == line) {
            return Ok(());
        }
        sleep(Duration::from_millis(1));
    }
    bail!("cgroup.events never says {line:?}")
}

fn kill(place: &Place) -> Result<Vec<Trial>> {
    let a = place.folder("a")?;
    let inner = a.below("inner")?;
    ensure!(a.path().join("cgroup.kill").exists(), "cgroup.kill takes Linux 5.14");
    let (outer_one, inner_one) = (Sleeper::start()?, Sleeper::start()?);
    a.write("cgroup.procs", &outer_one.pid())?;
    inner.write("cgroup.procs", &inner_one.pid())?;
    a.write("cgroup.freeze", "1")?;
    wait_until(&a, "frozen 1")?;
    let zero = a.write("cgroup.kill", "0");
    let killed = a.write("cgroup.kill", "1");
    let both = killed.is_ok() && outer_one.was_killed()? && inner_one.was_killed()?;
    Ok(vec![
        Trial::refused("echo 0 > a/cgroup.kill", Errno::ERANGE, zero),
        Trial::allowed("echo 1 > a/cgroup.kill, with a frozen", killed),
        Trial::state("the processes in a and in a/inner", "ended by SIGKILL", both),
    ])
}

fn namespace(place: &Place) -> Result<Vec<Trial>> {
    let a = place.folder("a")?;
    let flags = match is_root()? {
        true => CloneFlags::CLONE_NEWCGROUP,
        false => CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWUSER,
    };
    let parent = std::process::id().to_string();
    let seen = in_child(|| {
        a.write("cgroup.procs", "0")?;
        unshare(flags)?;
        Ok(format!("{} {}", cgroup_of("self", ":")?, cgroup_of(&parent, ":")?))
    })?;
    let (own, above) = seen.split_once(' ').unwrap_or((&seen, ""));
    Ok(vec![
        Trial::state(
            "unshare --cgroup in a: cat /proc/self/cgroup",
            format!("0::{own}"),
            own == "/",
        ),
        Trial::state(
            "a process outside, seen from there",
            format!("0::{above}"),
            above.starts_with("/.."),
        ),
    ])
}
