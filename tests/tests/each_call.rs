//! Whatever goes wrong at whichever system call: the container ends, says why, and leaves nothing.
//!
//! Each call is killed at, and answered with one of four errnos, the next call with the next one.
//! `EACH_CALL=all` has every call answered with all of them.

use std::collections::BTreeSet;
use std::env::var_os;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use harness::cgroups::of_chapters;
use harness::fault::{self, Fault, Place, Traced};
use harness::program::{children, eventually, is_gone};
use harness::{Claim, Role, cgroups, claim, enter_stage, files};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::{Pid, setsid};
use regex::Regex;

fn main() -> ExitCode {
    enter_stage(CloneFlags::empty());
    let needs = |claim: Claim| claim.needs(&["userns", "busybox", "idmap"]);
    let claims = vec![
        needs(claim!(killed_at_each_call)),
        needs(claim!(failed_at_each_call)),
        needs(claim!(a_signal_at_each_call_ends_it_at_once)),
        claim!(a_signal_ends_it_at_once).needs(&["userns"]),
        claim!(a_terminal_that_closes_ends_it).needs(&["userns"]),
    ];
    harness::main(env!("CARGO_MANIFEST_DIR"), claims)
}

/// What the container is asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    /// Nothing.
    Plain,
    /// A root file system of its own.
    Rootfs,
    /// That, and whatever else there is.
    Everything,
    /// Nothing, by somebody at a terminal.
    AtTerminal,
}

const KINDS: [Kind; 4] = [Kind::Plain, Kind::Rootfs, Kind::Everything, Kind::AtTerminal];

/// Tells what the command sees, of all that keeps it in.
const VIEW: &str = "exec 2>&1
export QUOTING_STYLE=literal
cd /proc
ls -l self/ns
cat self/uid_map self/gid_map self/setgroups self/status self/stat self/mounts self/cgroup \\
    1/comm sys/kernel/hostname net/route net/fib_trie /sys/class/net/*/flags
ls -1A / /.. /dev /dev/pts /tmp self/fd /sys/class/net
export -p
exit 7";

/// The exit status of the view.
const SEEN: Option<i32> = Some(7);

/// What may take long: a mount namespace that is torn down, on a machine that is busy. Less than the
/// ten seconds in which a command may end.
const LONG: Duration = Duration::from_secs(8);

/// Whoever runs the program again and again, with another fault each time.
struct Runner {
    role: Role,
    kind: Kind,
    args: Vec<String>,
    script: &'static str,
    /// The last argument of all that is run.
    mark: String,
    /// What is seen without a fault.
    good: Run,
    /// What is seen where the root file system cannot be written to, and where that is said.
    read_only: Run,
    /// What is seen by whom nobody has told that there is a terminal.
    no_terminal: Run,
    _folder: files::Folder,
}

/// What came of one run.
#[derive(Default)]
struct Run {
    traced: Traced,
    view: String,
    /// What the lines on stderr say was left out, without the reasons.
    notices: BTreeSet<String>,
    /// All other lines there.
    messages: Vec<String>,
    took: Duration,
    left: Vec<String>,
    /// The empty cgroups of who was killed.
    abandoned: Vec<PathBuf>,
}

impl Runner {
    fn new(role: Role, kind: Kind, rootfs: &str, script: &'static str, number: usize) -> Runner {
        let folder = files::folder(role);
        let path = folder.path().to_str().expect("we named it");
        let mut args = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
        if matches!(kind, Kind::Rootfs | Kind::Everything) {
            add(&["--rootfs", rootfs]);
        }
        if kind == Kind::Everything {
            fs::write(folder.path().join("file"), "").expect("it is ours");
            add(&["--volume", &format!("{path}/file:/tmp/file")]);
            add(&["--volume", "/etc:/tmp/etc:ro", "--keep", &format!("{path}/keep")]);
            add(&["--workdir", "/tmp", "--env", "A=b", "--network", "veth"]);
            add(&["--address", &format!("10.78.{number}.2/24")]);
            add(&["--gateway", &format!("10.78.{number}.1")]);
        }
        if kind == Kind::Everything && role == Role::Root {
            add(&["--user", "nobody"]);
            if cgroups::can_have(role) {
                add(&["--memory", "64M", "--cpus", "1", "--cpu-weight", "50"]);
            }
        }
        let mark = format!("each-call-{}-{number}", std::process::id());
        let [good, read_only, no_terminal] = [(); 3].map(|()| Run::default());
        let mut runner = Runner {
            role,
            kind,
            args,
            script,
            mark,
            good,
            read_only,
            no_terminal,
            _folder: folder,
        };
        if kind == Kind::AtTerminal {
            runner.kind = Kind::Plain;
            runner.no_terminal = runner.run(None);
            runner.kind = kind;
        }
        // Where others have cgroups, there may be more to look at for a while.
        let runs = (0..3).map(|_| runner.run(None));
        runner.good = runs.min_by_key(|run| run.traced.calls[0].1.len()).expect("there are three");
        assert!(runner.good.messages.is_empty(), "{:?}", runner.good.messages);
        let inside = &runner.good.traced.calls[1].1;
        let fsopen = inside.iter().enumerate().filter(|(_, call)| **call == "fsopen");
        if let Some((call, _)) = fsopen.clone().nth(1) {
            // The layer is the first, and what lies on the root the second.
            let fault = (Place { process: 1, call }, Fault::Error(Errno::EPERM));
            runner.read_only = runner.run(Some(fault));
        }
        runner
    }

    /// All calls of the program from its first one on, before which are those of the runtime, and
    /// all of the processes inside.
    fn places(&self) -> Vec<Place> {
        let calls = self.good.traced.calls.iter().enumerate();
        let places = calls.flat_map(|(process, (_, calls))| {
            let first = calls.iter().position(|call| *call == "capget").unwrap_or(0);
            (first..calls.len()).map(move |call| Place { process, call })
        });
        places.collect()
    }

    /// What takes long is done again: the machine as a whole may have been held up.
    fn run(&self, fault: Option<(Place, Fault)>) -> Run {
        let run = self.once(fault);
        if run.took > LONG && run.left.is_empty() { self.once(fault) } else { run }
    }

    fn once(&self, fault: Option<(Place, Fault)>) -> Run {
        let mut command = self.role.command("ch10-full-container");
        command.args(&self.args).args(["--", "sh", "-c", self.script, &self.mark]);
        // Only makes the loader search in vain.
        command.env_remove("LD_LIBRARY_PATH");
        let before = Before { mounts: mounts(), cgroups: of_chapters() };
        let [mut stdout, mut stderr] =
            [(); 2].map(|()| tempfile::tempfile().expect("/tmp is there"));
        let copy = |file: &File| file.try_clone().expect("it is open");
        command.stdout(copy(&stdout)).stderr(copy(&stderr));
        let screen = (self.kind == Kind::AtTerminal).then(|| Screen::of(&mut command));

        // Who was killed a moment ago may be about to close what it held.
        if let Some(keep) = self.args.iter().find(|arg| arg.ends_with("/keep")) {
            eventually("the kept layer to be free", || {
                !Path::new(keep).exists()
                    || self.role.run("flock", &["--nonblock", keep, "true"]).status == 0
            });
        }
        let started = Instant::now();
        let traced = fault::run(command, fault, Duration::from_secs(15));
        let mut run = Run { took: started.elapsed(), traced, ..Run::default() };

        let mut view = text(&mut stdout);
        if let Some(screen) = screen {
            // Nobody is there to give it back when it was killed, or was refused just that.
            let is_killed = is_of_program(fault, Some(Signal::SIGKILL));
            if screen.is_changed() && !is_killed && !run.is_hit(&["ioctl"]) {
                run.left.push("the terminal is not as it was".to_owned());
            }
            view = screen.text();
        }
        // What was not printed to its end does not count.
        view.truncate(view.rfind('\n').map_or(0, |end| end + 1));
        run.view = plain(&view, run.pid());
        // The folders of tests have a newline in their names.
        for line in text(&mut stderr).replace("test of\n", "test of ").lines() {
            match line.strip_prefix("left out: ").and_then(|what| what.split(": ").next()) {
                Some(what) => _ = run.notices.insert(what.to_owned()),
                None => run.messages.push(line.to_owned()),
            }
        }
        self.look_for_leftovers(&mut run, &before, is_of_program(fault, None));
        run
    }

    /// What is still there a moment after the end. An empty cgroup may be.
    fn look_for_leftovers(&self, run: &mut Run, before: &Before, may_leave: bool) {
        let ended = Instant::now();
        loop {
            let mut left = processes(&self.mark);
            let links = run.traced.calls.iter().map(|(pid, _)| format!("/sys/class/net/veth{pid}"));
            left.extend(links.filter(|link| Path::new(link).exists()));
            if mounts() != before.mounts {
                left.push("another mount".to_owned());
            }
            let made = of_chapters()
                .into_iter()
                .filter(|path| is_made_by(path, run.pid()) && !before.cgroups.contains(path));
            let (abandoned, full) = made.partition(|path| may_leave && is_empty(path));
            run.abandoned = abandoned;
            left.extend(Vec::into_iter(full).map(|path: PathBuf| path.display().to_string()));
            if left.is_empty() || ended.elapsed() > LONG {
                run.left.extend(left);
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }
}

impl Run {
    /// The process id of the program.
    fn pid(&self) -> u32 {
        self.traced.calls[0].0
    }

    /// Whether the fault was at a call of one of these names.
    fn is_hit(&self, names: &[&str]) -> bool {
        let hit = self.traced.hit.as_deref().unwrap_or_default();
        names.iter().any(|name| hit.split(' ').next() == Some(name))
    }

    /// The listing of a folder in the view.
    fn listing(&self, folder: &str) -> Vec<&str> {
        let lines = self.view.lines().skip_while(|line| *line != format!("{folder}:")).skip(1);
        lines.take_while(|line| !line.is_empty()).collect()
    }
}

/// Whether it is a signal to the program itself, and this one.
fn is_of_program(fault: Option<(Place, Fault)>, which: Option<Signal>) -> bool {
    matches!(fault, Some((at, Fault::Signal(signal)))
        if at.process == 0 && which.is_none_or(|which| which == signal))
}

/// What was there before a run.
struct Before {
    mounts: String,
    /// A process may have had the same number.
    cgroups: BTreeSet<PathBuf>,
}

/// The terminal of a program: its stdin and stdout, and that of the session that it leads.
struct Screen {
    pty: OpenptyResult,
    before: Termios,
}

impl Screen {
    fn of(command: &mut Command) -> Screen {
        let pty = openpty(None, None).expect("/dev/ptmx can be opened");
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it is open");
        }
        let copy = || pty.slave.try_clone().expect("it is open");
        command.stdin(copy()).stdout(copy());
        let lead = || {
            setsid()?;
            // SAFETY: this call takes a number, and no memory.
            let answer = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
            Ok(Errno::result(answer).map(drop)?)
        };
        // SAFETY: it makes two system calls, and takes no memory.
        unsafe { command.pre_exec(lead) };
        let before = tcgetattr(&pty.slave).expect("it is a terminal");
        Screen { pty, before }
    }

    fn is_changed(&self) -> bool {
        tcgetattr(&self.pty.slave).expect("it is a terminal") != self.before
    }

    /// All that it shows.
    fn text(self) -> String {
        let flags = FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        fcntl(&self.pty.master, flags).expect("it is open");
        let mut bytes = Vec::new();
        // Ends with EAGAIN.
        _ = File::from(self.pty.master).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }
}

/// All that was written to a file.
fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("it is open");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A view without what differs each time. Namespaces are compared with ours.
fn plain(view: &str, program: u32) -> String {
    let mut plain = String::new();
    // That an overlay has a UUID is told from the second mount on.
    let view = view.replace(&format!("ch10-{program}"), "ch10-PID").replace("uuid=on,", "");
    for line in view.lines() {
        let line = match line.split_once(" -> ") {
            Some((_, link)) if link.contains(":[") => {
                let (kind, _) = link.split_once(':').expect("it has one");
                let ours = fs::read_link(format!("/proc/self/ns/{kind}"));
                let is_ours = ours.is_ok_and(|ours| ours.as_os_str() == link);
                format!("{kind} {}", if is_ours { "of the machine" } else { "of its own" })
            }
            _ if OF_THE_MOMENT.iter().any(|name| line.starts_with(name)) => continue,
            // Of `stat`: up to the group, the session, and the terminal.
            _ if line.contains(") R ") => line.split(' ').take(8).collect::<Vec<_>>().join(" "),
            _ => DESCRIPTOR.replace_all(line, "FD").into_owned(),
        };
        writeln!(plain, "{line}").expect("a string takes all");
    }
    plain
}

/// Lines of `/proc/PID/status` that are never the same.
const OF_THE_MOMENT: [&str; 6] = ["FDSize", "Rss", "SigQ", "Vm", "nonvoluntary", "voluntary"];

/// A folder of an overlay.
static DESCRIPTOR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("/proc/self/fd/[0-9]+").expect("it is one"));

fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").expect("/proc is mounted")
}

fn is_made_by(cgroup: &Path, pid: u32) -> bool {
    cgroup.to_string_lossy().ends_with(&format!("-{pid}"))
}

fn is_empty(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default().is_empty()
}

/// The processes whose last argument is `mark`.
fn processes(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let process = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words);
        let program = words.split('\0').next()?;
        words.ends_with(&format!("{mark}\0")).then(|| format!("process {pid}, {program}"))
    };
    entries.filter_map(process).collect()
}

/// One claim at a time: each takes all processors, and two cables with the same addresses.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `script` with a fault at all places, two at a time. Fails with all that `check` says is
/// wrong.
fn at_each_call(
    role: Role,
    kinds: &[Kind],
    script: &'static str,
    check: impl Fn(&Runner, Place, usize) -> Vec<String> + Sync,
) {
    let _alone = ALONE.lock();
    let (_folder, rootfs) = files::rootfs(role);
    let wrong = Mutex::new(Vec::new());
    for kind in kinds {
        let runners = [0, 1].map(|number| Runner::new(role, *kind, &rootfs, script, number));
        let places = runners[0].places();
        let next = AtomicUsize::new(0);
        let work = |runner: &Runner| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(place) = places.get(number) else { return };
                let more = check(runner, *place, number);
                let mut wrong = wrong.lock().expect("no panic");
                wrong.extend(more);
                // What is wrong everywhere takes long everywhere.
                if wrong.len() >= ENOUGH {
                    return;
                }
            }
        };
        scope(|scope| runners.iter().for_each(|runner| drop(scope.spawn(|| work(runner)))));
    }
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{} or more are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// How many wrong runs are reported.
const ENOUGH: usize = 20;

/// What is wrong, with what was tried and what came of it.
fn describe(
    runner: &Runner,
    place: Place,
    fault: Fault,
    run: &Run,
    wrong: Vec<String>,
) -> Vec<String> {
    let describe = |wrong: String| {
        format!(
            "{:?}, call {} of process {}, {}, {fault:?}: {wrong}; status {:?}, {:?}",
            runner.kind,
            place.call,
            place.process,
            run.traced.hit.as_deref().unwrap_or("not reached"),
            run.traced.status,
            run.messages,
        )
    };
    wrong.into_iter().map(describe).collect()
}

/// What must not be, whatever the fault.
fn always_wrong(run: &Run) -> Vec<String> {
    let mut wrong = run.left.clone();
    if run.took > LONG {
        wrong.push(format!("it takes {:?}", run.took));
    }
    wrong
}

fn killed_at_each_call(role: Role) {
    let abandoned = Mutex::new(Vec::new());
    at_each_call(role, &KINDS, "exit 7", |runner, place, _| {
        let fault = Fault::Signal(Signal::SIGKILL);
        let run = runner.run(Some((place, fault)));
        let mut wrong = always_wrong(&run);
        let is_end = match (&run.messages[..], run.traced.status) {
            ([], Some(137)) => true,
            // It had fewer calls this time.
            ([], SEEN) => run.traced.hit.is_none(),
            // What its parent wanted to do with it is what the parent reports.
            ([message, ..], Some(125)) => place.process == 1 && message.contains("cannot "),
            _ => false,
        };
        if !is_end {
            wrong.push("it does not end like something that was killed".to_owned());
        }
        abandoned.lock().expect("no panic").extend(run.abandoned.iter().cloned());
        describe(runner, place, fault, &run, wrong)
    });
    // A number may have gone to another process. Each run looks at one of these too.
    eventually("the removal of cgroups by the next runs", || {
        role.run("ch10-full-container", &["--quiet", "true"]);
        !abandoned.lock().expect("no panic").iter().any(|path| path.exists())
    });
}

/// Each of them is what some call answers for a good reason.
const ERRNOS: [Errno; 4] = [Errno::EPERM, Errno::ENOMEM, Errno::ENOSPC, Errno::EINTR];

fn failed_at_each_call(role: Role) {
    let all = var_os("EACH_CALL").is_some_and(|which| which == "all");
    at_each_call(role, &KINDS, VIEW, |runner, place, number| {
        let turn = (number + usize::from(role == Role::User)) % ERRNOS.len();
        let errnos = ERRNOS.iter().enumerate().filter(|(at, _)| all || turn == *at);
        let wrong = errnos.flat_map(|(_, errno)| {
            let fault = Fault::Error(*errno);
            let run = runner.run(Some((place, fault)));
            describe(runner, place, fault, &run, why_not_good(runner, &run, *errno))
        });
        wrong.collect()
    });
}

/// What may be left out where the kernel refuses it.
const MAY_BE_LEFT_OUT: [&str; 3] =
    ["no cgroup, and so no limit on processes", READ_ONLY, "the owners of the root file system"];
const READ_ONLY: &str = "the root file system is read-only";

/// What is wrong with a run in which one call has failed: it may report that, or do without what it
/// was for, but never go on as if nothing had been.
fn why_not_good(runner: &Runner, run: &Run, errno: Errno) -> Vec<String> {
    let mut wrong = always_wrong(run);
    let good = &runner.good;
    let new: Vec<_> = run.notices.difference(&good.notices).collect();
    match (&run.messages[..], run.traced.status) {
        // A terminal that cannot be read or written is gone, and its command with it.
        ([], Some(7 | 129))
            if runner.kind == Kind::AtTerminal && run.is_hit(&["read", "write"]) => {}
        ([], SEEN) => {
            let is_read_only =
                run.view == runner.read_only.view && new.iter().any(|what| *what == READ_ONLY);
            // The question was whether there is a terminal.
            let has_none = run.view == runner.no_terminal.view && run.is_hit(&["ioctl"]);
            if run.view != good.view && !is_read_only && !has_none {
                wrong.push(format!("it is ignored: {}", differences(&good.view, &run.view)));
            }
            if run.listing("/..") != run.listing("/") {
                wrong.push("there is something above the root".to_owned());
            }
            if !new.iter().all(|what| MAY_BE_LEFT_OUT.contains(&what.as_str())) {
                wrong.push(format!("it leaves out what it has: {new:?}"));
            }
            // What was not written cannot be read.
            if !good.notices.is_subset(&run.notices) && !run.is_hit(&["write"]) {
                wrong.push("it does not say what it leaves out".to_owned());
            }
        }
        ([message, help @ ..], Some(status @ 125..=127)) => {
            let call_and_errno = format!("): {errno:?}: ");
            if !message.starts_with("ch10-full-container: ") || !message.contains(&call_and_errno) {
                wrong.push("it reports another error".to_owned());
            }
            if help.len() > 1 || !help.iter().all(|line| line.starts_with("  help: ")) {
                wrong.push("it reports too much".to_owned());
            }
            if status != 125 && !run.is_hit(&["execve"]) {
                wrong.push("its status is for another error".to_owned());
            }
            // The command may have been there long before, or just then.
            if !good.view.starts_with(&run.view) {
                wrong.push(format!("it ran: {}", differences(&good.view, &run.view)));
            }
        }
        _ => wrong.push("neither an error nor the command".to_owned()),
    }
    wrong
}

/// Some of the lines that only one of them has.
fn differences(good: &str, other: &str) -> String {
    let [good, other] = [good, other].map(|text| text.lines().collect::<BTreeSet<_>>());
    let some = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
        one.difference(other).take(4).map(|line| (*line).to_owned()).collect::<Vec<_>>()
    };
    format!("without {:?}, with {:?}", some(&good, &other), some(&other, &good))
}

fn a_signal_at_each_call_ends_it_at_once(role: Role) {
    at_each_call(role, &[Kind::Plain], "exec sleep 1", |runner, place, _| {
        // Later there is nobody to end but itself.
        let end = runner.good.traced.calls[0].1.iter().position(|call| *call == "wait4");
        if place.process > 0 || Some(place.call) >= end {
            return Vec::new();
        }
        let fault = Fault::Signal(Signal::SIGTERM);
        let run = runner.run(Some((place, fault)));
        let mut wrong = always_wrong(&run);
        if run.traced.status != Some(143) || !run.messages.is_empty() {
            wrong.push("it does not end".to_owned());
        }
        describe(runner, place, fault, &run, wrong)
    });
}

/// The processes that stem from process `pid`, and it.
fn family(pid: u32) -> Vec<u32> {
    let below = children(pid).into_iter().flat_map(family);
    [pid].into_iter().chain(below).collect()
}

/// Starts a script in a container, in a terminal if there is to be one, and waits until it sleeps.
fn start(role: Role, script: &str, is_at_terminal: bool) -> (Child, Vec<u32>, Option<Screen>) {
    let mut command = role.command("ch10-full-container");
    command.args(["--quiet", "--", "sh", "-c", script]).stderr(Stdio::null());
    let screen = is_at_terminal.then(|| Screen::of(&mut command));
    let child = command.spawn().expect("it can be started");
    let pid = child.id();
    let is_asleep = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.starts_with(b"sleep\0"))
    };
    eventually("a command that sleeps", || family(pid).iter().any(is_asleep));
    (child, family(pid), screen)
}

/// Waits for the end of a container and of its family, which must leave no cgroup. Its status, and
/// how long that took.
fn end(mut child: Child, family: &[u32]) -> (Option<i32>, Duration) {
    let made = of_chapters().into_iter().filter(|path| is_made_by(path, child.id()));
    let made: Vec<_> = made.collect();
    let started = Instant::now();
    let status = child.wait().expect("it was not reaped");
    let took = started.elapsed();
    let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    eventually("the end of all in the container", || family.iter().all(|pid| is_gone(*pid)));
    assert!(!made.iter().any(|path| path.exists()), "{made:?}");
    (status, took)
}

fn a_signal_ends_it_at_once(role: Role) {
    // A program alone, one that a shell waits for, and one in the background.
    for script in ["exec sleep 600", "sleep 600; true", "sleep 600 & wait"] {
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            let (child, family, _) = start(role, script, false);
            kill(Pid::from_raw(child.id() as i32), signal).expect("it is running");
            let (status, took) = end(child, &family);
            assert_eq!(status, Some(128 + signal as i32), "{script}, {signal}");
            assert!(took < LONG, "{script}, {signal}: {took:?}");
        }
    }
    // Who does not want to end is killed, after a while.
    let (child, family, _) = start(role, "trap '' TERM; while :; do sleep 1; done", false);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it is running");
    let (status, took) = end(child, &family);
    assert_eq!(status, Some(137));
    assert!(took > LONG && took < 2 * LONG, "{took:?}");
}

fn a_terminal_that_closes_ends_it(role: Role) {
    for script in ["exec sleep 600", "sleep 600; true"] {
        let (child, family, screen) = start(role, script, true);
        drop(screen);
        let (status, took) = end(child, &family);
        assert_eq!(status, Some(129), "{script}");
        assert!(took < LONG, "{script}: {took:?}");
    }
}
