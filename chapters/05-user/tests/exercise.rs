//! Checks the exercise of chapter 5.

use std::fs;
use std::process::ExitCode;

use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::{children, differing, status_line};

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch05-user",
    needs: &["userns", "chroot"],
    hint: "after keep_only, capset(2) makes the capability inheritable too, and \
           prctl(PR_CAP_AMBIENT) with PR_CAP_AMBIENT_RAISE then has it pass execve(2)",
    check,
    wrong: [&["CapEff"], &["CapBnd"], &["CapInh"]],
};

/// Bit 18, which is CAP_SYS_CHROOT's.
const SYS_CHROOT: &str = "0000000000040000";

fn check(answer: &Answer) -> Result<(), Mismatch> {
    answer.succeed(&["true"])?;
    // Executed twice, by the answer and by the shell: one that lasts lasts both times.
    let mut running = answer.start(&["sh", "-c", "echo ready; exec sleep 60"]);
    expect("what the command prints", "ready", running.line())?;
    let command = children(running.pid()).first().copied().unwrap_or_default();
    expect("how many children the program has", 1, children(running.pid()).len())?;
    let different = differing(running.pid(), command).join(", ");
    expect("the namespaces in which the command and its parent differ", "user", different)?;
    let map = fs::read_to_string(format!("/proc/{command}/uid_map")).unwrap_or_default();
    let map = map.split_whitespace().collect::<Vec<_>>().join(" ");
    let uid = answer.role().uid();
    expect("the uid_map of the command", format!("1000 {uid} 1"), map)?;
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        let what = format!("{set} in /proc/PID/status, where 40000 is CAP_SYS_CHROOT");
        expect(&what, SYS_CHROOT, status_line(command, set))?;
    }
    expect("NoNewPrivs in /proc/PID/status", 1, status_line(command, "NoNewPrivs"))?;
    let user = answer.succeed(&["chroot", "/", "id", "-u"])?;
    expect("what `chroot / id -u` prints", 1000, user.trim())?;
    expect("the status of `sh -c 'exit 7'`", 7, answer.run(&["sh", "-c", "exit 7"]).status)
}
