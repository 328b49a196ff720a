//! Nothing is left behind: however a chapter's program ends, the machine is as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use harness::cgroups::{is_of_chapter, of_chapters};
use harness::program::PATIENCE;
use harness::{Role, claim};

/// What the chapters can be asked to do, and be interrupted in.
const RUNS: [&[&str]; 24] = [
    &["ch00-ground", "--json"],
    &["ch01-uts", "--quiet", "sleep", SECONDS],
    &["ch01-uts", "--quiet", "no-such-command"],
    &["ch02-ipc", "--quiet", "sleep", SECONDS],
    &["ch02-ipc", "--quiet", "--unshare", "ch02-objects", "make"],
    &["ch03-pid", "--quiet", "sleep", SECONDS],
    &[
        "ch03-pid",
        "--quiet",
        "--init",
        "--boottime",
        "60",
        "--",
        "sh",
        "-c",
        "sleep 0.05 & exec sleep $0",
        SECONDS,
    ],
    &["ch03-pid", "--quiet", "--init", "--unshare", "no-such-command"],
    &["ch04-mount", "--quiet", "sleep", SECONDS],
    &["ch04-mount", "--quiet", "--volume", "/etc:/deep/below:ro", "no-such-command"],
    &[
        "ch04-mount",
        "--quiet",
        "--leak",
        "--",
        "sh",
        "-c",
        "mount -t tmpfs none /mnt; exec sleep $0",
        SECONDS,
    ],
    &["ch05-user", "--quiet", "sleep", SECONDS],
    &["ch05-user", "--quiet", "--powers"],
    &["ch06-net", "--quiet", "sleep", SECONDS],
    &["ch06-net", "--quiet", "--network", "veth", "sleep", SECONDS],
    &["ch06-net", "--quiet", "--network", "veth", "--gateway", "10.78.0.1", "true"],
    &["ch07-cgroup-hierarchy", "rules"],
    &["ch08-cgroup-memory", "--quiet", "sleep", SECONDS],
    &["ch08-cgroup-memory", "--quiet", "no-such-command"],
    &["ch09-cgroup-cpu", "--quiet", "--cpus", "1", "--pids-limit", "9", "sleep", SECONDS],
    &["ch10-full-container", "--quiet", "sleep", SECONDS],
    &["ch10-full-container", "--quiet", "no-such-command"],
    &[
        "ch10-full-container",
        "--quiet",
        "--network",
        "veth",
        "--volume",
        "/etc:/deep/below:ro",
        "sleep",
        SECONDS,
    ],
    &[
        "ch10-full-container",
        "--quiet",
        "--read-only",
        "--",
        "sh",
        "-c",
        "setsid sleep $0 & sleep $0",
        SECONDS,
    ],
];

static BEFORE: LazyLock<Machine> = LazyLock::new(Machine::now);
static ALONE: Mutex<()> = Mutex::new(());

/// Stands for how long a command sleeps: a moment, or long enough to be found.
const SECONDS: &str = "SECONDS";

fn args(run: &[&'static str], seconds: &'static str) -> Vec<&'static str> {
    run[1..].iter().map(|arg| if *arg == SECONDS { seconds } else { arg }).collect()
}

fn main() -> ExitCode {
    // Before anything was started, be it only to look what can be tried here.
    LazyLock::force(&BEFORE);
    harness::main(env!("CARGO_MANIFEST_DIR"), vec![claim!(nothing_is_left).needs(&["userns"])])
}

/// After 25 ordinary ends of each run, and after a kill at 25 moments, 0.5 ms apart: from before the
/// program's first line to after its last.
fn nothing_is_left(role: Role) {
    // One role after the other: what this process has just forked for one is nobody's leftover,
    // and root's cable is a link of the machine, for everybody to see.
    let _alone = ALONE.lock();
    for run in RUNS {
        for _ in 0..25 {
            role.run(run[0], &args(run, "0"));
        }
    }
    BEFORE.eventually_again(|| {});
    for run in RUNS {
        for moment in 0..25 {
            let mut running = role.start(run[0], &args(run, "600"));
            std::thread::sleep(Duration::from_micros(moment * 500));
            running.signal(nix::sys::signal::Signal::SIGKILL);
            running.end();
        }
    }
    // SIGKILL may leave a cgroup, empty as soon as the command has died too. The next run removes it.
    BEFORE.eventually_again(|| {
        for run in RUNS.iter().filter(|run| run[0] >= "ch07") {
            role.run(run[0], &args(run, "0"));
        }
    });
}

/// What a program could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: String,
    cgroups: BTreeSet<PathBuf>,
    hierarchies: Vec<String>,
    links: BTreeSet<String>,
    ipc: Vec<String>,
    temporary: BTreeSet<String>,
    processes: BTreeSet<String>,
}

impl Machine {
    fn now() -> Machine {
        Machine {
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            cgroups: of_chapters(),
            hierarchies: hierarchies(),
            links: names("/sys/class/net"),
            ipc: ["msg", "sem", "shm"]
                .map(|kind| fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap())
                .into(),
            temporary: names("/tmp").into_iter().filter(|name| is_of_chapter(name)).collect(),
            processes: chapter_processes(),
        }
    }

    /// The kernel tears a namespace down in its own time.
    fn eventually_again(&self, meanwhile: impl Fn()) {
        let started = Instant::now();
        loop {
            meanwhile();
            let mut now = Machine::now();
            // What another test has left sleeping may have ended meanwhile.
            now.processes.extend(self.processes.iter().cloned());
            if now == *self {
                return;
            }
            if started.elapsed() > PATIENCE {
                assert_eq!(now, *self);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn names(folder: &str) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

fn pids() -> impl Iterator<Item = String> {
    names("/proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The hierarchies of v1, without their numbers.
fn hierarchies() -> Vec<String> {
    let lines = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut names: Vec<_> =
        lines.lines().filter_map(|line| Some(line.split(':').nth(1)?.to_owned())).collect();
    names.sort();
    names
}

/// The processes that stem from a chapter, whoever they are by now: each carries the PATH that the harness gave
/// it.
fn chapter_processes() -> BTreeSet<String> {
    let mark = format!("PATH={}:", harness::program::folder().display());
    let is_ours = |pid: &String| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|line| line.starts_with(mark.as_bytes()))
        }) && *pid != std::process::id().to_string()
    };
    // With what it runs, for the message.
    let with_command = |pid: String| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid}: {}", command.replace('\0', " "))
    };
    pids().filter(is_ours).map(with_command).collect()
}
