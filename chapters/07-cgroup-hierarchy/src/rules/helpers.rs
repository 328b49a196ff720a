//! Processes and folders for the rules, gone when dropped.

use std::fs;
use std::io::{Read, Write, pipe};
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result};
use ch00_ground::refusal::Refused;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, pause};

/// A process that does nothing.
pub struct Sleeper(Pid);

impl Sleeper {
    /// Starts one, in the caller's cgroups.
    pub fn start() -> Result<Sleeper> {
        Sleeper::doing(pause)
    }

    /// One that has a second thread.
    pub fn with_thread() -> Result<Sleeper> {
        let sleeper = Sleeper::doing(|| {
            thread::spawn(|| {
                loop {
                    pause();
                }
            });
            loop {
                pause();
            }
        })?;
        // It is there when its folder is.
        while sleeper.threads()?.len() < 2 {
            sleep(Duration::from_millis(1));
        }
        Ok(sleeper)
    }

    /// One that is busy.
    pub fn busy() -> Result<Sleeper> {
        Sleeper::doing(|| {
            loop {
                std::hint::spin_loop();
            }
        })
    }

    /// Its life is tied to ours before it is anything's: who is frozen first would not run to tie
    /// it, and outlive us.
    fn doing(what: impl FnOnce()) -> Result<Sleeper> {
        let (mut tied, mut ready) = pipe().refused(|| "pipe2()".into(), &[])?;
        let parent = getpid();
        // SAFETY: this process has one thread.
        match unsafe { fork() }.refused(|| "fork()".into(), &[])? {
            ForkResult::Parent { child } => {
                drop(ready);
                let sleeper = Sleeper(child);
                tied.read_exact(&mut [0]).refused(|| "read(pipe)".into(), &[])?;
                Ok(sleeper)
            }
            ForkResult::Child => {
                let is_tied = prctl::set_pdeathsig(Signal::SIGKILL).is_ok() && getppid() == parent;
                if is_tied && ready.write_all(&[1]).is_ok() {
                    what();
                }
                std::process::exit(0)
            }
        }
    }

    pub fn pid(&self) -> String {
        self.0.to_string()
    }

    /// The ids of its threads, its own first.
    pub fn threads(&self) -> Result<Vec<String>> {
        let mut threads: Vec<u32> = fs::read_dir(format!("/proc/{}/task", self.0))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        threads.sort_unstable();
        Ok(threads.iter().map(ToString::to_string).collect())
    }

    /// Waits for its end: whether SIGKILL was it.
    pub fn was_killed(self) -> Result<bool> {
        let status = waitpid(self.0, None).refused(|| "waitpid()".into(), &[])?;
        std::mem::forget(self);
        Ok(matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        _ = kill(self.0, Signal::SIGKILL);
        _ = waitpid(self.0, None);
    }
}

/// A cgroup as a rule needs it: a folder, and no more.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one; one that is there was left by an earlier run.
    pub fn make(path: PathBuf) -> Result<Folder> {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            answer => answer.refused(|| format!("mkdir({path:?})"), &[])?,
        }
        Ok(Folder(path))
    }

    pub fn below(&self, name: &str) -> Result<Folder> {
        Folder::make(self.0.join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        write(&self.0.join(file), value)
    }

    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).refused(|| format!("read({path:?})"), &[])?;
        Ok(text.trim_end().to_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }
}

pub fn write(path: &Path, value: &str) -> Result<()> {
    // Unlike `fs::write` this truncates nothing, which a cgroup's files would not know.
    fs::File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .refused(|| format!("write({path:?}, {value:?})"), &[])
}

/// The cgroup of a process or thread in the hierarchy whose line in `/proc/PID/cgroup` begins so,
/// after its number.
pub fn cgroup_of(task: &str, hierarchy: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{task}/cgroup"))?;
    let line = text.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(hierarchy));
    Ok(line.with_context(|| format!("no hierarchy {hierarchy}"))?.to_owned())
}

/// What `work` returns in a child of ours.
pub fn in_child(work: impl FnOnce() -> Result<String>) -> Result<String> {
    let (mut reader, mut writer) = pipe()?;
    let _child = Sleeper::doing(|| {
        let text = work().unwrap_or_else(|error| format!("{error:#}"));
        _ = writer.write_all(text.as_bytes());
    })?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok(text)
}
