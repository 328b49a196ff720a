//! The claims about the rules.

use std::fs;
use std::time::{Duration, Instant};

use harness::cgroups::{Subtree, v2};
use harness::program::eventually;
use harness::{Claim, Output, Role, claim};
use nix::sys::signal::Signal;

const PROGRAM: &str = "ch07-cgroup-hierarchy";

pub fn claims() -> Vec<Claim> {
    vec![
        claim!(every_rule_of_v1_holds).only(Role::Root),
        claim!(every_rule_of_v2_holds).needs(&["v2", "cgroups"]),
        claim!(some_rules_of_v2_hold_beside_v1).only(Role::Root).needs(&["v1", "cgroup2"]),
        claim!(what_cannot_be_tried_says_why).only(Role::User).needs(&["users"]),
        claim!(a_rule_that_does_not_hold_is_seen)
            .only(Role::Root)
            .needs(&["strace", "cgroup2 controller"]),
        claim!(nothing_is_left_and_nothing_else_touched).only(Role::Root),
        claim!(interrupted_it_cleans_up).only(Role::Root),
        claim!(the_next_run_removes_what_sigkill_has_left).only(Role::Root),
        claim!(two_at_once_wait_for_each_other).only(Role::Root),
        claim!(a_full_disk_is_no_verdict).only(Role::User),
    ]
}

/// The verdicts on the rules of a version, in the order of the table.
fn verdicts(output: &Output, version: &str) -> Vec<String> {
    let rules = output.stdout.lines().filter(|line| line.starts_with(version));
    rules.map(|line| line.rsplit("  ").next().expect("a rule has a verdict").to_owned()).collect()
}

/// Whether somebody has mounted the controllers that two rules need.
fn are_taken() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.contains("net_cls") || line.contains("net_prio"))
}

fn every_rule_of_v1_holds(role: Role) {
    let _machine = crate::MACHINE.lock();
    let output = role.run(PROGRAM, &["rules"]);
    let mut expected = ["holds"; 6];
    if are_taken() {
        expected[1] = "not tried: 1";
    }
    assert_eq!(
        (verdicts(&output, "v1: "), output.status),
        (expected.map(String::from).into(), 0),
        "{output:?}"
    );
}

fn every_rule_of_v2_holds(role: Role) {
    let _machine = crate::MACHINE.lock();
    let output = Subtree::new(role).run(&[PROGRAM, "rules"]);
    let mut verdicts = verdicts(&output, "v2: ");
    if role == Role::User {
        assert!(verdicts.remove(4).starts_with("not tried: "), "{output:?}");
        assert!(output.stdout.contains(": it takes root, who can be two users\n"), "{output:?}");
    }
    let count = if role == Role::User { 7 } else { 8 };
    assert_eq!((verdicts, output.status), (vec!["holds".to_owned(); count], 0), "{output:?}");
}

/// Where v2 has no controller but hugetlb, which nobody uses.
fn some_rules_of_v2_hold_beside_v1(role: Role) {
    let _machine = crate::MACHINE.lock();
    assert_eq!(v2(), None);
    let output = role.run(PROGRAM, &["rules"]);
    let verdicts = verdicts(&output, "v2: ");
    let hold = verdicts.iter().filter(|verdict| *verdict == "holds").count();
    assert!(
        output.status == 0
            && (hold == 8 || output.stdout.contains(": v2 has none of memory, hugetlb here\n")),
        "{output:?}"
    );
}

fn what_cannot_be_tried_says_why(role: Role) {
    let output = role.run(PROGRAM, &["rules"]);
    assert_eq!(output.status, 0);
    assert!(
        verdicts(&output, "v").iter().all(|verdict| verdict.starts_with("not tried: ")),
        "{output:?}"
    );
    assert!(
        output.stdout.contains("\n1: mounting a hierarchy of v1 takes root\n2: "),
        "{output:?}"
    );
}

/// A kernel that refuses what it should allow, as far as the program can see.
fn a_rule_that_does_not_hold_is_seen(role: Role) {
    let _machine = crate::MACHINE.lock();
    let inject = "inject=unshare:error=EPERM";
    let output = role.run("strace", &["-fqqo", "/dev/null", "-e", inject, PROGRAM, "rules"]);
    assert_eq!(verdicts(&output, "v2: ").last().unwrap(), "DOES NOT HOLD", "{output:?}");
    assert!(output.stdout.contains("not expected"), "{output:?}");
    assert_eq!(output.status, 1);
}

/// What is left of a run: hierarchies, cgroups.
fn left() -> Vec<String> {
    let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap();
    let hierarchies = hierarchies
        .lines()
        .filter(|line| line.contains("ch07") || (line.contains("net_") && !are_taken()));
    let mut left: Vec<_> = hierarchies.map(ToOwned::to_owned).collect();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for line in mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2")) {
        let root = line.split(' ').nth(1).unwrap();
        let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
        left.extend(
            names
                .filter_map(|name| name.into_string().ok())
                .filter(|name| name.starts_with("ch07-")),
        );
    }
    left
}

fn nothing_is_left_and_nothing_else_touched(role: Role) {
    let _machine = crate::MACHINE.lock();
    let hierarchies = || -> Vec<String> {
        let table = fs::read_to_string("/proc/cgroups").unwrap();
        let numbers =
            table.lines().map(|line| line.split('\t').take(2).collect::<Vec<_>>().join(" "));
        numbers.filter(|line| !line.starts_with("net_")).collect()
    };
    let before = hierarchies();
    role.run(PROGRAM, &["rules"]);
    assert_eq!(hierarchies(), before);
    eventually("the end of what it made", || left().is_empty());
}

fn interrupted_it_cleans_up(role: Role) {
    let _machine = crate::MACHINE.lock();
    let mut left_to_the_next = 0;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        for moment in [20, 60, 100, 140] {
            let mut running = role.start(PROGRAM, &["rules"]);
            std::thread::sleep(Duration::from_millis(moment));
            running.signal(signal);
            let status = running.end();
            // Before there was a child to forward it to, after, or at its own end.
            assert!([0, 128 + signal as i32].contains(&status), "{signal}: {status}");
            // A signal that comes just before there is a child finds nobody who could clean up, as
            // SIGKILL does.
            let ended = Instant::now();
            while !left().is_empty() && ended.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
            if !left().is_empty() {
                left_to_the_next += 1;
                role.run(PROGRAM, &["rules"]);
                eventually("the end of what it made", || left().is_empty());
            }
        }
    }
    assert!(left_to_the_next <= 2, "{left_to_the_next} of 12");
}

fn the_next_run_removes_what_sigkill_has_left(role: Role) {
    let _machine = crate::MACHINE.lock();
    for moment in [20, 60, 100, 140] {
        let mut running = role.start(PROGRAM, &["rules"]);
        std::thread::sleep(Duration::from_millis(moment));
        running.signal(Signal::SIGKILL);
        running.end();
        let output = role.run(PROGRAM, &["rules"]);
        assert_eq!(output.status, 0, "{output:?}");
        eventually("the end of what it made", || left().is_empty());
    }
}

/// A table that nobody gets is no table.
fn a_full_disk_is_no_verdict(role: Role) {
    let output = role.run("sh", &["-c", &format!("{PROGRAM} rules >/dev/full")]);
    assert_eq!(output.status, 125, "{output:?}");
    assert!(output.stderr.contains("No space left on device"), "{output:?}");
}

fn two_at_once_wait_for_each_other(role: Role) {
    let _machine = crate::MACHINE.lock();
    let mut first = role.start(PROGRAM, &["rules"]);
    let output = role.run(PROGRAM, &["rules"]);
    assert_eq!((output.status, first.end()), (0, 0), "{output:?}");
}
