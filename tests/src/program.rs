//! Programs started by a test: a chapter's, or any other, in one of the two roles.

use std::env::var_os;
use std::ffi::CString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};

use crate::{NOBODY, Role};

/// How long anything may take before it counts as hung: the lab's processor may be a program as well,
/// which has others beside it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long a claim may take, all its programs and those of who is before it together.
const HANGS: Duration = Duration::from_secs(900);
const HANGS_IN_LAB: Duration = Duration::from_secs(3600);

/// Ends the test program with an error when the answer is not dropped in time: for whoever waits
/// for something that does not come, and has set no limit. Says what its processes wait for.
pub fn watch(claim: String) -> Sender<()> {
    let (watched, end) = channel();
    let hangs = if var_os("LAB").is_some() { HANGS_IN_LAB } else { HANGS };
    std::thread::spawn(move || {
        if end.recv_timeout(hangs) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{claim}: it hangs");
            tell_state(std::process::id(), 0);
            std::process::exit(101);
        }
    });
    watched
}

/// Where a process, its threads and its children are, one below the other.
fn tell_state(pid: u32, depth: usize) {
    let indent = " ".repeat(depth);
    let [name, state] = ["Name", "State"].map(|name| status_line(pid, name));
    eprintln!("{indent}{pid} {name}: {state}");
    for thread in threads(pid) {
        let read = |name| std::fs::read_to_string(thread.join(name)).unwrap_or_default();
        let [call, place, stack] = ["syscall", "wchan", "stack"].map(read);
        let stack = stack.replace('\n', " ");
        eprintln!("{indent}  thread in {place:?}, call {}, {stack}", call.trim());
    }
    children(pid).into_iter().for_each(|child| tell_state(child, depth + 2));
}

/// The folders in /proc of the threads of process `pid`.
fn threads(pid: u32) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path()).collect()
}

/// The folder with the chapters' programs: the one above the test program's own.
pub fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("/proc is mounted");
    let folder = test.ancestors().nth(2).expect("cargo puts tests into target/PROFILE/deps");
    folder.to_owned()
}

/// PATH with the chapters' programs first, and root's tools last, which ordinary users may call as
/// well.
pub fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:/usr/sbin:/sbin", folder().display())
}

/// What a program left when it ended.
#[derive(Debug)]
pub struct Output {
    /// Its exit status, 128 + n when signal n ended it.
    pub status: i32,
    /// All that it printed.
    pub stdout: String,
    /// All that it complained.
    pub stderr: String,
}

impl Role {
    /// The uid in this role.
    pub fn uid(self) -> u32 {
        if self == Role::User && getuid().is_root() { NOBODY } else { getuid().as_raw() }
    }

    /// A program, looked up among the chapters' first, ready to be started in this role.
    pub fn command(self, program: &str) -> Command {
        let own = folder().join(program);
        let mut command = if own.is_file() { Command::new(own) } else { Command::new(program) };
        command.current_dir("/").env("PATH", path()).env("LC_ALL", "C").stdin(Stdio::null());
        if self.uid() != getuid().as_raw() {
            // Which also drops the supplementary groups.
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs a program to its end.
    pub fn run(self, program: &str, args: &[&str]) -> Output {
        let mut command = self.command(program);
        command.args(args);
        let output = snapbox::cmd::Command::from_std(command)
            .timeout(PATIENCE)
            .output()
            .expect("it can be started");
        Output {
            status: code(output.status),
            stdout: String::from_utf8(output.stdout).expect("it prints text"),
            stderr: String::from_utf8(output.stderr).expect("it prints text"),
        }
    }

    /// Starts a program, and leaves it running until the test ends it or gives up.
    pub fn start(self, program: &str, args: &[&str]) -> Running {
        let mut command = self.command(program);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it can be started");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        Running { child, stdout, gently: false }
    }
}

/// A program that is running; killed when the test forgets it.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Whether it is asked to end before it is killed.
    gently: bool,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it prints text");
        line.trim_end().to_owned()
    }

    /// When the test forgets it, it is asked to end, and has the time for it.
    pub fn ends_gently(&mut self) {
        self.gently = true;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("it is running");
    }

    /// Waits for its end: its exit status as in [`Output`].
    pub fn end(&mut self) -> i32 {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it was not reaped") {
                return code(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("process {} does not end", self.pid());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.gently && matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            let started = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Both fail when it has ended, which is what is wanted.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| Some(128 + status.signal()?)).expect("it ended in one of two ways")
}

/// Waits until `condition` holds, or fails with `what` was waited for, unless the test has failed:
/// a second panic, while what it made is dropped, would be the end of all tests.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = becomes(PATIENCE, condition);
    assert!(holds || std::thread::panicking(), "waited in vain for: {what}");
}

/// Waits for so long until `condition` holds. Whether it does.
pub fn becomes(patience: Duration, condition: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The namespace of `kind` that process `pid` is in, as its link in /proc reads.
pub fn namespace(pid: u32, kind: &str) -> String {
    let path = format!("/proc/{pid}/ns/{kind}");
    std::fs::read_link(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .display()
        .to_string()
}

/// The eight kinds that the kernel has, by the names of their links.
pub const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The kinds in which two processes differ.
pub fn differing(one: u32, other: u32) -> Vec<&'static str> {
    KINDS.into_iter().filter(|kind| namespace(one, kind) != namespace(other, kind)).collect()
}

/// Has a program begin in a new session keyring, `session-keyring(7)`, with a key of this name.
pub fn give_key(command: &mut Command, name: &str) {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    const SESSION_KEYRING: libc::c_long = -3;
    let name = CString::new(name).expect("we named it");
    let give = move || {
        let nameless = std::ptr::null::<libc::c_char>();
        // SAFETY: null stands for no name.
        let answer = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nameless) };
        Errno::result(answer)?;
        let (kind, name, secret) = (c"user".as_ptr(), name.as_ptr(), c"secret".as_ptr());
        // SAFETY: all three are strings, and the third has six bytes.
        let answer =
            unsafe { libc::syscall(libc::SYS_add_key, kind, name, secret, 6, SESSION_KEYRING) };
        Ok(Errno::result(answer).map(drop)?)
    };
    // SAFETY: it makes two system calls, and takes no memory.
    unsafe { command.pre_exec(give) };
}

/// The children of process `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let list = |thread: PathBuf| std::fs::read_to_string(thread.join("children")).ok();
    let lists: String = threads(pid).into_iter().filter_map(list).collect();
    lists.split_whitespace().map(|pid| pid.parse().expect("a pid is a number")).collect()
}

/// The processes that run `command`, word by word, with the uid of `role`.
pub fn running(role: Role, command: &[&str]) -> Vec<u32> {
    let line: String = command.iter().flat_map(|word| [word, "\0"]).collect();
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|found| found == line.as_bytes())
        })
        .filter(|pid| status_line(*pid, "Uid").starts_with(&format!("{} ", role.uid())))
        .collect()
}

/// A line of `/proc/PID/status`, without its name; empty when the process is gone.
pub fn status_line(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether process `pid` has ended. Not every PID 1 reaps the orphans that it is given.
pub fn is_gone(pid: u32) -> bool {
    let state = status_line(pid, "State");
    state.is_empty() || state.starts_with('Z')
}
