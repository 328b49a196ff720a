//! Checks the exercise of chapter 9.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::cgroups::{Subtree, folder_of, v1};
use harness::exercise::{Answer, Exercise, Mismatch, expect, expect_gone};
use harness::program::{PATIENCE, is_gone};

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch09-cgroup-cpu",
    needs: &["cgroups"],
    hint: "`seconds_used` tells what the whole group has used, with those who have ended; and a \
           group that is dropped takes along whoever is in it",
    check,
    wrong: [
        &["the status of `sleep"],
        // The limit of a process is looked at in ticks, and that may take longer than the second.
        &["what `while", "what `exec"],
        &["what `ch09-hog 600 &"],
    ],
};

/// The budget, in seconds.
const BUDGET: f64 = 1.0;

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let subtree = Subtree::new(answer.role());
    let asleep = "sleep 2; exit 7";
    let output = subtree.run(&answer.line(&["1", "sh", "-c", asleep]));
    expect(&format!("the status of `{asleep}` with a budget of 1 s"), 7, output.status)?;
    for (command, at_a_time) in [
        ("exec ch09-hog 600", 1.0),
        ("while :; do ch09-hog 0.2; done", 1.0),
        ("ch09-hog 600 & ch09-hog 600", 2.0),
    ] {
        spends_its_budget(answer, &subtree, command, at_a_time)?;
    }
    // What it has started is no child of its own any more.
    let away = "setsid sleep 60 >/dev/null 2>&1 & echo $!";
    let output = subtree.run(&answer.line(&["1", "sh", "-c", away]));
    let pid = output.stdout.trim().parse().ok();
    expect_gone(&format!("the sleep of `{away}`, at the end"), pid)
}

/// Watches how a command spends its budget, with so many of its processes at a time.
fn spends_its_budget(
    answer: &Answer,
    subtree: &Subtree,
    command: &str,
    at_a_time: f64,
) -> Result<(), Mismatch> {
    let started = Instant::now();
    let script = format!("echo $$; {command}");
    let mut running = subtree.start(&answer.line(&["1", "sh", "-c", &script]));
    let pid: u32 = running.line().parse().expect("a process id");
    let controller = if v1("cpuacct").is_some() { "cpuacct" } else { "cpu" };
    let folder = folder_of(pid, controller);
    let is_own = folder != folder_of(running.pid(), controller);
    let what = format!("the cgroup of the command, {}", folder.display());
    let found = if is_own { "its own" } else { "that of this program as well" };
    expect(&what, "its own", found)?;
    // On a machine that is busy it takes longer until the budget is spent, and that is all.
    let mut used = 0.0;
    while !is_gone(running.pid()) && used < BUDGET + 1.0 && started.elapsed() < PATIENCE {
        used = seconds_used(&folder).unwrap_or(used);
        sleep(Duration::from_millis(10));
    }
    let is_over = is_gone(running.pid());
    let what = format!("what `{command}` uses with a budget of 1 s");
    let found = format!("{used:.1} s, and it goes on");
    expect(&what, "1 s, and it is over", if is_over { "1 s, and it is over" } else { &found })?;
    expect(&format!("the status of `{command}`"), 137, running.end())?;
    let seconds = started.elapsed().as_secs_f64();
    let is_spent = seconds * at_a_time >= BUDGET;
    let found = format!("less, since it was killed after {seconds:.1} s");
    expect(&what, "1 s", if is_spent { "1 s" } else { &found })?;
    // At once: the next program of a chapter, whosever it is, removes it for whoever has not.
    let found = if folder.exists() { "it is there" } else { "it is removed" };
    expect(&format!("{}, at the end", folder.display()), "it is removed", found)
}

/// Processor time that a cgroup has used, if it is still there.
fn seconds_used(folder: &Path) -> Option<f64> {
    if v1("cpuacct").is_some() {
        let used = fs::read_to_string(folder.join("cpuacct.usage")).ok()?;
        return Some(used.trim().parse::<f64>().ok()? / 1e9);
    }
    let stat = fs::read_to_string(folder.join("cpu.stat")).ok()?;
    let used = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(used.parse::<f64>().ok()? / 1e6)
}
