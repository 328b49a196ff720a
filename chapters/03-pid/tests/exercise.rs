//! Checks the exercise of chapter 3.

use std::process::ExitCode;
use std::time::Duration;

use harness::Running;
use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::{becomes, children, differing, eventually, is_gone, status_line};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch03-pid",
    needs: &["userns"],
    hint: "the end is when wait(2) says ECHILD, which comes after the last child and not after the \
           last signal; and from PID 1, only from there, -1 in kill(2) is everybody inside",
    check,
    wrong: [
        &["what somebody inside says"],
        &["of three who died at once"],
        &["how many inside live on"],
    ],
};

/// How long we wait for what a wrong answer never does.
const PATIENCE: Duration = Duration::from_secs(3);

fn check(answer: &Answer) -> Result<(), Mismatch> {
    for (script, status) in [("exit 7", 7), ("kill -KILL $$", 137)] {
        let what = format!("the status of `sh -c '{script}'`");
        expect_end(&what, status, answer.start(&["sh", "-c", script]))?;
    }
    it_stays_to_the_last(answer)?;
    it_reaps_all(answer)?;
    it_passes_sigterm_on(answer)
}

// Without a PID namespace nobody ends whom we start, so all end by themselves after a minute.

fn it_stays_to_the_last(answer: &Answer) -> Result<(), Mismatch> {
    let other =
        r#"trap "echo here; exit 5" USR1; echo ready; for i in $(seq 600); do sleep 0.1; done"#;
    let script = format!("sh -c '{other}' & exec sleep 60");
    let (mut running, first, command) = start(answer, &script)?;
    let other = children(command)[0];
    let new = differing(running.pid(), command).join(", ");
    expect("the namespaces in which the command and its caller differ", "pid", new)?;
    send(command, Signal::SIGKILL);
    soon(|| state(command).is_empty());
    expect("the state of the command, when it was killed", "", state(command))?;
    // It has reaped the command. What it does then, it has done when it sleeps again.
    soon(|| is_gone(first) || state(first).starts_with('S'));
    send(other, Signal::SIGUSR1);
    expect("what somebody inside says after the end of the command", "here", running.line())?;
    expect_end("the status after the end of the last one", 137, running)
}

/// While PID 1 stands still, the SIGCHLD of three deaths becomes one.
fn it_reaps_all(answer: &Answer) -> Result<(), Mismatch> {
    let script = "for i in 1 2 3; do (sleep 60 &); done; echo ready; exec sleep 60";
    let (running, first, command) = start(answer, script)?;
    let orphans: Vec<_> = children(first).into_iter().filter(|pid| *pid != command).collect();
    expect("how many orphans PID 1 has", 3, orphans.len())?;
    send(first, Signal::SIGSTOP);
    eventually("PID 1 to stop", || state(first).starts_with('T'));
    orphans.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    eventually("their death", || orphans.iter().all(|pid| state(*pid).starts_with('Z')));
    send(first, Signal::SIGCONT);
    let zombies = || orphans.iter().filter(|pid| !state(**pid).is_empty()).count();
    soon(|| zombies() == 0);
    expect("of three who died at once, how many stay zombies", 0, zombies())?;
    send(command, Signal::SIGKILL);
    expect_end("the status of a command that was killed", 137, running)
}

fn it_passes_sigterm_on(answer: &Answer) -> Result<(), Mismatch> {
    let script =
        "sleep 60 & trap 'exit 42' TERM; echo ready; for i in $(seq 600); do sleep 0.1; done";
    let (running, _, command) = start(answer, script)?;
    let inside = [&[command][..], &children(command)].concat();
    running.signal(Signal::SIGTERM);
    let alive = || inside.iter().filter(|pid| !is_gone(**pid)).count();
    soon(|| alive() == 0);
    expect("how many inside live on after SIGTERM", 0, alive())?;
    expect_end("the status of a command that ends with 42 on SIGTERM", 42, running)
}

/// Starts `script`, which says when it is ready. The numbers outside of PID 1 and of the command.
fn start(answer: &Answer, script: &str) -> Result<(Running, u32, u32), Mismatch> {
    let mut running = answer.start(&["sh", "-c", script]);
    expect("the first line that a command prints", "ready", running.line())?;
    let child = |pid: u32, number: &str| {
        let has_number = |pid: &u32| status_line(*pid, "NSpid").ends_with(number);
        let child = children(pid).into_iter().find(has_number);
        child.ok_or_else(|| Mismatch {
            what: format!("the child that is PID{number}, while the command runs"),
            expected: "it is there".to_owned(),
            found: "it is not".to_owned(),
        })
    };
    let first = child(running.pid(), " 1")?;
    let command = child(first, " 2")?;
    Ok((running, first, command))
}

/// Sends a signal to a process that may have ended.
fn send(pid: u32, signal: Signal) {
    _ = kill(Pid::from_raw(pid as i32), signal);
}

/// Waits for what a wrong answer never does.
fn soon(condition: impl Fn() -> bool) -> bool {
    becomes(PATIENCE, condition)
}

/// As [`expect`], for the status with which a program ends.
fn expect_end(what: &str, expected: i32, mut running: Running) -> Result<(), Mismatch> {
    let found = match soon(|| is_gone(running.pid())) {
        true => running.end().to_string(),
        false => "none, since it goes on".to_owned(),
    };
    expect(what, expected, found)
}

/// The letter of a process's state, and what it means; empty when there is no such process.
fn state(pid: u32) -> String {
    status_line(pid, "State")
}
