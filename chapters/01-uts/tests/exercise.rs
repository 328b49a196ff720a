//! Checks the exercise of chapter 1.

use std::process::ExitCode;

use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::{children, differing, eventually};
use nix::sys::utsname::uname;

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch01-uts",
    needs: &["userns"],
    hint: "setdomainname(2) is called in the child, as sethostname(2) is: \
           after clone3 with CLONE_NEWUTS, and before exec",
    check,
    wrong: [
        &["the host name inside"],
        &["the end of `cat", "the host name outside"],
        &["the status of `sh"],
    ],
};

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let outside = || uname().expect("it always can");
    let before = outside();
    let inside = |file| answer.succeed(&["cat", file]).map(|name| name.trim().to_owned());
    expect("the host name inside", "box", inside("/proc/sys/kernel/hostname")?)?;
    expect("the domain name inside", "example.org", inside("/proc/sys/kernel/domainname")?)?;
    let after = outside();
    expect("the host name outside", before.nodename().display(), after.nodename().display())?;
    expect("the domain name outside", before.domainname().display(), after.domainname().display())?;
    expect("the status of `sh -c 'exit 7'`", 7, answer.run(&["sh", "-c", "exit 7"]).status)?;

    let running = answer.start(&["sleep", "60"]);
    eventually("the command", || !children(running.pid()).is_empty());
    let command = children(running.pid())[0];
    let new = differing(running.pid(), command).join(", ");
    expect("the namespaces in which the command and its parent differ", "uts", new)
}
