//! Checks the exercise of chapter 2.

use std::process::ExitCode;

use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::differing;
use harness::{Role, Running};

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch02-ipc",
    needs: &["userns"],
    hint: "the third door first, for the IPC namespace alone: it takes an ordinary user into the user \
           namespace in which the first or the second door may make the other one",
    check,
    wrong: [
        &["the host name of the process"],
        &["the namespaces in which the command and the process differ"],
        &["the end of `", "the namespaces in which the command and the process differ"],
    ],
};

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let process = start(answer.role());
    let pid = process.pid().to_string();
    let name = answer.succeed(&[&pid, "cat", "/proc/sys/kernel/hostname"])?;
    expect("the host name of the command", "guest", name.trim())?;
    expect("the host name of the process", "host", host_name(answer.role(), &pid))?;

    let mut running = answer.start(&[&pid, "sh", "-c", "echo $$; exec sleep 60"]);
    let line = running.line();
    let Ok(command) = line.parse() else {
        return expect("what `PID sh -c 'echo $$'` prints", "the id of the command", line);
    };
    let differences = |other| differing(other, command).join(", ");
    let found = differences(process.pid());
    expect("the namespaces in which the command and the process differ", "net, uts", found)?;
    let expected = if answer.role() == Role::Root { "ipc, uts" } else { "ipc, user, uts" };
    let found = differences(std::process::id());
    expect("the namespaces in which the command and its caller differ", expected, found)?;

    let status = answer.run(&[&pid, "sh", "-c", "exit 7"]).status;
    expect("the status of `PID sh -c 'exit 7'`", 7, status)
}

/// A process with three namespaces of its own, made by no code of the book.
fn start(role: Role) -> Running {
    let script = "hostname host && echo ready; exec sleep 60";
    let unshare = ["--uts", "--ipc", "--net", "sh", "-c", script];
    let mut process = role.start("unshare", &[as_root(role, &["-Ur"]), &unshare].concat());
    assert_eq!(process.line(), "ready");
    process
}

/// The host name in the UTS namespace of process `pid`.
fn host_name(role: Role, pid: &str) -> String {
    let user = as_root(role, &["--user", "--preserve-credentials"]);
    let nsenter = ["--target", pid, "--uts", "cat", "/proc/sys/kernel/hostname"];
    role.run("nsenter", &[user, &nsenter].concat()).stdout.trim().to_owned()
}

/// What a tool is told, so that it acts as root in a user namespace, where it is not root.
fn as_root<'a>(role: Role, words: &'a [&'a str]) -> &'a [&'a str] {
    if role == Role::Root { &[] } else { words }
}
