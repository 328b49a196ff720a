//! Checks the exercise of chapter 10.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::{KINDS, children, namespace, status_line};

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch10-full-container",
    needs: &["userns"],
    hint: "chapter 2's join comes before spawn: who joins a PID namespace stays outside of it, \
           and only its children are in; \
           the capabilities and no_new_privs are chapter 5's, and come last",
    check,
    wrong: [&["the pid namespace"], &["CapPrm"], &["the mnt namespace"]],
};

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let script = ["sh", "-c", "echo ready; exec sleep 60"];
    let mut container =
        answer.role().start("ch10-full-container", &[&["--quiet", "--"], &script[..]].concat());
    // So that it can remove its cgroups.
    container.ends_gently();
    assert_eq!(container.line(), "ready");
    let first = last_of(container.pid());
    let pid = first.to_string();

    answer.succeed(&[&pid, "true"])?;
    let mut running = answer.start(&[&[pid.as_str()], &script[..]].concat());
    // So that it can reap the command: the end of a PID namespace waits for all who were in it.
    running.ends_gently();
    expect("what the command prints", "ready", running.line())?;
    let second = last_of(running.pid());
    for kind in KINDS {
        let what = format!("the {kind} namespace of the command");
        expect(&what, namespace(first, kind), namespace(second, kind))?;
    }
    for link in ["root", "cwd"] {
        let inode = |pid| match fs::metadata(format!("/proc/{pid}/{link}")) {
            Ok(folder) => format!("inode {} of device {}", folder.ino(), folder.dev()),
            Err(error) => error.to_string(),
        };
        expect(&format!("/proc/PID/{link} of the command"), inode(first), inode(second))?;
    }
    let read = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    for (theirs, its) in read(first).lines().zip(read(second).lines()) {
        expect("/proc/PID/cgroup of the command", theirs, its)?;
    }
    for line in
        ["Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs"]
    {
        let what = format!("{line} in /proc/PID/status of the command");
        expect(&what, status_line(first, line), status_line(second, line))?;
    }
    let status = answer.run(&[&pid, "sh", "-c", "exit 7"]).status;
    expect("the status of `sh -c 'exit 7'`", 7, status)
}

/// The child of the child, and so on, or the process itself if it has none: a command is begun by
/// one process or by more.
fn last_of(pid: u32) -> u32 {
    children(pid).first().map_or(pid, |child| last_of(*child))
}
