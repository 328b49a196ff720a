//! Checks the exercise of chapter 8.

use std::process::ExitCode;

use harness::Output;
use harness::cgroups::{Subtree, folder_of, v1, v2};
use harness::exercise::{Answer, Exercise, Mismatch, expect, expect_gone};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch08-cgroup-memory",
    needs: &["cgroups", "strace"],
    hint: "take the order of the chapter's own `run`: the limit, the child that enters the group \
           itself, the command; and read the counters between the command's end and the group's",
    check,
    wrong: [
        &["whether the OOM killer struck in"],
        &["the limit that the command finds"],
        &["the peak of"],
    ],
};

const MIB: u64 = 1 << 20;

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let subtree = Subtree::new(answer.role());
    let run = |command: &[&str]| subtree.run(&answer.line(&[&["64M"], command].concat()));

    // Who is late may be in time by chance: so the program is held up when it has a child.
    let script = find_limit();
    let inject = "inject=?fork,?vfork,clone,clone3:delay_exit=500000";
    let held_up = ["strace", "-qqo", "/dev/null", "-e", inject];
    let line = answer.line(&["64M", "sh", "-c", &script]);
    let output = subtree.run(&[&held_up, &line[..]].concat());
    let found = match output.stdout.trim() {
        "" => format!("none, status {}, {:?}", output.status, output.stderr),
        limit => limit.to_owned(),
    };
    expect("the limit that the command finds at its beginning", 64 * MIB, found)?;
    stays_outside(answer, &subtree)?;

    let hog = ["ch08-hog", "200M"];
    outcome("ch08-hog 200M", &run(&hog), 137, 60..=64, true)?;
    let survived = "ch08-hog 200M; exit 3";
    outcome(survived, &run(&["sh", "-c", survived]), 3, 60..=64, true)?;
    let killed = "kill -KILL $$";
    outcome(killed, &run(&["sh", "-c", killed]), 137, 0..=20, false)?;

    // The second one begins when the first one has all that it wants, and keeps it.
    let folder = harness::files::folder(answer.role());
    let log = folder.path().join("log");
    let two = "ch08-hog 24M --hold 60 >\"$0\" & echo $!
               until grep -q '24.0 MiB' \"$0\"; do sleep 0.01; done
               ch08-hog 24M >&2";
    let output = run(&["sh", "-c", two, log.to_str().expect("we named it")]);
    outcome("ch08-hog 24M & ch08-hog 24M", &output, 0, 48..=64, false)?;
    let left = output.stdout.trim().parse().expect("a process id");
    expect_gone("what the command has left running, at the end", Some(left))
}

/// A script for a shell that prints the limit of the cgroup that it is in, first of all and by
/// itself.
fn find_limit() -> String {
    let (root, list, file) = match v1("memory") {
        Some(root) => (root, "*,memory,*", "memory.limit_in_bytes"),
        None => (v2().expect("one of them has it"), ",,", "memory.max"),
    };
    let file = format!("{}$path/{file}", root.display());
    format!(
        "while IFS=: read -r number list path; do case ,$list, in {list})
         read -r limit <\"{file}\" && echo \"$limit\";; esac; done </proc/self/cgroup"
    )
}

/// The program is elsewhere than the command, and removes its cgroup when it is asked to end.
fn stays_outside(answer: &Answer, subtree: &Subtree) -> Result<(), Mismatch> {
    let command = ["64M", "sh", "-c", "echo $$; exec sleep 60"];
    let mut running = subtree.start(&answer.line(&command));
    let pid = running.line().parse().expect("a process id");
    let folder = folder_of(pid, "memory");
    let is_same = folder_of(running.pid(), "memory") == folder;
    let what = format!("the cgroup of this program, when the command is in {}", folder.display());
    expect(&what, "another", if is_same { "the same" } else { "another" })?;
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("it is running");
    expect("the status of a command that SIGTERM ended", 143, running.end())?;
    // At once: the next program of a chapter, whosever it is, removes it for whoever has not.
    let found = if folder.exists() { "it is there" } else { "it is removed" };
    expect(&format!("{}, at the end", folder.display()), "it is removed", found)
}

/// Compares what a command took, and how it ended, with how it should be. The peak is in MiB.
fn outcome(
    command: &str,
    output: &Output,
    status: i32,
    peak: std::ops::RangeInclusive<u64>,
    is_killed: bool,
) -> Result<(), Mismatch> {
    expect(&format!("the status of `{command}`"), status, output.status)?;
    let line = output.stderr.lines().next_back().unwrap_or_default();
    let told = line.strip_prefix("peak ").and_then(|line| line.split_once(", killed "));
    let told = told.and_then(|(bytes, killed)| Some((bytes.parse::<u64>().ok()?, killed)));
    let what = format!("the last line on stderr after `{command}`");
    let form = "peak BYTES, killed yes or no";
    expect(&what, form, if told.is_some() { form } else { line })?;
    let (bytes, killed) = told.expect("it was looked at");
    let what = format!("whether the OOM killer struck in `{command}` under 64 MiB");
    expect(&what, if is_killed { "yes" } else { "no" }, killed)?;
    let what = format!("the peak of `{command}` under 64 MiB");
    let expected = format!("{} to {} MiB", peak.start(), peak.end());
    let is_right = (peak.start() * MIB..=peak.end() * MIB).contains(&bytes);
    let found = format!("{:.1} MiB", bytes as f64 / MIB as f64);
    expect(&what, &expected, if is_right { &expected } else { &found })
}
