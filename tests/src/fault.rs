//! A fault at one system call of a program, or of a process that it forks: a signal, or an errno.
//! What strace's `inject` does to all of them, or to the program alone. `ptrace(2)`.

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

/// What happens when a process is about to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is sent this signal.
    Signal(Signal),
    /// The call is not made, and answers this. [`NEVER_FAIL`] has those to which it does not happen.
    Error(Errno),
}

/// Calls whose errno would teach nothing: most have none; `brk` answers with the old break instead;
/// whatever `close` answers, the descriptor is gone; and at a `futex` that fails, which cannot be, the
/// C library gives up.
pub const NEVER_FAIL: [&str; 10] = [
    "brk",
    "close",
    "exit_group",
    "futex",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getuid",
    "umask",
];

/// A call of a program or of a process that it has forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the processes, in the order of their birth; the program itself is 0.
    pub process: usize,
    /// Which of its calls; its first one is 0.
    pub call: usize,
}

/// What was seen of a program that ran with a fault.
#[derive(Debug, Default)]
pub struct Traced {
    /// Its exit status, 128 + n when signal n ended it; None when it was killed since it had not
    /// ended in time.
    pub status: Option<i32>,
    /// The processes, in the order of their birth, each with the names of its calls, up to the fault.
    /// What is done by a program that one of them becomes is not in it.
    pub calls: Vec<(u32, Vec<&'static str>)>,
    /// The name of the call with the fault, and the how-manieth of that name it was: `openat 3`.
    pub hit: Option<String>,
}

/// Runs a program with a fault in it, or with none: then all of its calls are seen. After so much
/// `patience` it is killed.
///
/// Another program that it starts itself with `vfork`, as the standard library does, is left alone:
/// one that is set-user-ID does not get its rights while it is traced.
pub fn run(mut command: Command, fault: Option<(Place, Fault)>, patience: Duration) -> Traced {
    // SAFETY: it makes one system call, and takes no memory.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    // A thread may trace what it has started itself, and waits for nobody else's.
    std::thread::spawn(move || Tracer::new(command, fault).run(patience)).join().expect("no panic")
}

struct Tracee {
    /// In the order of birth.
    number: usize,
    is_in_call: bool,
}

struct Tracer {
    program: Pid,
    fault: Option<(Place, Fault)>,
    tracees: HashMap<Pid, Tracee>,
    /// Whose call was skipped, and what it is to answer.
    failing: Option<(Pid, Errno)>,
    /// Nothing remains to be done, and nobody to be traced.
    is_done: bool,
    /// Whom to kill when it takes too long: those who cannot end before we hear of it.
    known: Arc<Mutex<Vec<Pid>>>,
    traced: Traced,
}

impl Tracer {
    fn new(mut command: Command, fault: Option<(Place, Fault)>) -> Tracer {
        #[expect(clippy::zombie_processes, reason = "it is waited for with all the others")]
        let child = command.spawn().expect("it can be started");
        let program = Pid::from_raw(child.id() as i32);
        Tracer {
            program,
            fault,
            tracees: HashMap::new(),
            failing: None,
            is_done: false,
            known: Arc::default(),
            traced: Traced::default(),
        }
    }

    fn run(mut self, patience: Duration) -> Traced {
        let (ended, end) = channel::<()>();
        let known = self.known.clone();
        let guard = std::thread::spawn(move || {
            let timeout = Err(RecvTimeoutError::Timeout);
            let is_late = end.recv_timeout(patience) == timeout;
            // And who is born meanwhile.
            while is_late && end.recv_timeout(Duration::from_millis(10)) == timeout {
                for pid in known.lock().expect("no panic").iter() {
                    _ = kill(*pid, Signal::SIGKILL);
                }
            }
            is_late
        });
        let mut status = None;
        let options = Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD);
        loop {
            let (pid, signal) = match waitpid(None, options) {
                Err(Errno::ECHILD) => break,
                Ok(WaitStatus::Exited(pid, code)) => {
                    self.forget(pid);
                    status = status.or((pid == self.program).then_some(code));
                    continue;
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.forget(pid);
                    status = status.or((pid == self.program).then_some(128 + signal as i32));
                    continue;
                }
                Ok(WaitStatus::PtraceSyscall(pid)) => {
                    self.at_call(pid);
                    (pid, None)
                }
                // A child, as we first hear of it, or its program's first stop.
                Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP | Signal::SIGTRAP))
                    if !self.tracees.contains_key(&pid) =>
                {
                    self.know(pid);
                    (pid, None)
                }
                Ok(WaitStatus::Stopped(pid, signal)) => (pid, Some(signal)),
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => {
                    if event == Event::PTRACE_EVENT_EXEC as i32 {
                        // From here on it is another program.
                        self.let_go(pid, None);
                        continue;
                    }
                    (pid, None)
                }
                other => panic!("{other:?}"),
            };
            match self.is_of_interest(pid) {
                // One that was killed has gone meanwhile.
                true => _ = ptrace::syscall(pid, signal),
                false => self.let_go(pid, signal),
            }
        }
        drop(ended);
        let is_late = guard.join().expect("no panic");
        Traced { status: status.filter(|_| !is_late), ..self.traced }
    }

    fn know(&mut self, pid: Pid) {
        self.known.lock().expect("no panic").push(pid);
        let number = self.traced.calls.len();
        self.traced.calls.push((pid.as_raw() as u32, Vec::new()));
        self.tracees.insert(pid, Tracee { number, is_in_call: false });
        let mut options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        if number > 0 {
            options |= Options::PTRACE_O_TRACEVFORK;
        }
        _ = ptrace::setoptions(pid, options);
    }

    /// Whether the fault may still be this one's, or its child's.
    fn is_of_interest(&self, pid: Pid) -> bool {
        let Some((at, _)) = self.fault else { return true };
        let number = self.tracees.get(&pid).map_or(0, |tracee| tracee.number);
        let is_born = self.traced.calls.len() > at.process;
        !self.is_done && (number == at.process || (number < at.process && !is_born))
    }

    fn let_go(&mut self, pid: Pid, signal: Option<Signal>) {
        if pid != self.program {
            self.forget(pid);
        }
        _ = ptrace::detach(pid, signal);
    }

    fn forget(&mut self, pid: Pid) {
        self.tracees.remove(&pid);
        self.known.lock().expect("no panic").retain(|known| *known != pid);
    }

    fn at_call(&mut self, pid: Pid) {
        let Some(tracee) = self.tracees.get_mut(&pid) else { return };
        tracee.is_in_call = !tracee.is_in_call;
        if !tracee.is_in_call {
            if let Some((_, errno)) = self.failing.take_if(|(failing, _)| *failing == pid) {
                registers::answer(pid, errno);
                self.is_done = true;
            }
            return;
        }
        let calls = &mut self.traced.calls[tracee.number].1;
        let place = Place { process: tracee.number, call: calls.len() };
        let name = registers::call(pid).map_or("unknown", |call| call.name());
        calls.push(name);
        let Some((_, fault)) = self.fault.filter(|(at, _)| *at == place) else { return };
        match fault {
            Fault::Error(_) if NEVER_FAIL.contains(&name) => return,
            Fault::Error(errno) => {
                registers::skip(pid);
                self.failing = Some((pid, errno));
            }
            Fault::Signal(signal) => {
                _ = kill(pid, signal);
                self.is_done = true;
            }
        }
        let same = calls.iter().filter(|one| **one == name).count();
        self.traced.hit = Some(format!("{name} {same}"));
    }
}

/// Where the number of a call and its answer are.
#[cfg(target_arch = "x86_64")]
mod registers {
    use super::*;

    pub fn call(pid: Pid) -> Option<Sysno> {
        Sysno::new(ptrace::getregs(pid).ok()?.orig_rax as usize)
    }

    pub fn skip(pid: Pid) {
        change(pid, |registers| registers.orig_rax = u64::MAX);
    }

    pub fn answer(pid: Pid, errno: Errno) {
        change(pid, |registers| registers.rax = -(errno as i64) as u64);
    }

    fn change(pid: Pid, change: impl Fn(&mut libc::user_regs_struct)) {
        // Who was killed meanwhile has none.
        if let Ok(mut registers) = ptrace::getregs(pid) {
            change(&mut registers);
            _ = ptrace::setregs(pid, registers);
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod registers {
    use super::*;

    pub fn call(pid: Pid) -> Option<Sysno> {
        Sysno::new(ptrace::getregs(pid).ok()?.regs[8] as usize)
    }

    pub fn skip(pid: Pid) {
        /// Of linux/elf.h: the one register that is not among the general ones.
        const NT_ARM_SYSTEM_CALL: libc::c_int = 0x404;
        let mut none = -1_i32;
        let mut register =
            libc::iovec { iov_base: (&raw mut none).cast(), iov_len: size_of_val(&none) };
        let kind = NT_ARM_SYSTEM_CALL;
        // SAFETY: the iovec is of a number that lives until the call returns.
        unsafe { libc::ptrace(libc::PTRACE_SETREGSET, pid.as_raw(), kind, &raw mut register) };
    }

    pub fn answer(pid: Pid, errno: Errno) {
        // Who was killed meanwhile has none.
        if let Ok(mut registers) = ptrace::getregs(pid) {
            registers.regs[0] = -(errno as i64) as u64;
            _ = ptrace::setregs(pid, registers);
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod registers {
    use super::*;

    pub fn call(_: Pid) -> Option<Sysno> {
        unimplemented!("calls are only changed on x86_64 and aarch64")
    }

    pub fn skip(_: Pid) {}

    pub fn answer(_: Pid, _: Errno) {}
}
