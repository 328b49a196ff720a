//! A container with one ingredient taken out, and what gets through; and the whole one, where it
//! does not.

use std::fs;

use harness::cgroups::Subtree;
use harness::program::folder;
use harness::{Claim, Role, claim};

use crate::{PROGRAM, run};

pub fn claims() -> Vec<Claim> {
    let userns = |claim: Claim| claim.needs(&["userns"]);
    let cgroups = |claim: Claim| claim.needs(&["userns", "cgroups"]);
    vec![
        userns(claim!(without_mount_privacy).only(Role::Root)),
        userns(claim!(without_the_change_of_the_root)),
        userns(claim!(without_the_user_namespace).only(Role::Root)),
        userns(claim!(without_closing_what_is_inherited)),
        userns(claim!(what_an_ordinary_user_cannot_leave_out).only(Role::User)),
        cgroups(claim!(without_the_limit_on_processes)),
        cgroups(claim!(without_the_limit_on_memory)),
        cgroups(claim!(with_a_limit_that_comes_late)),
    ]
}

/// The chapters' programs, inside.
fn programs() -> String {
    format!("{}:/programs:ro", folder().display())
}

fn without_mount_privacy(role: Role) {
    // Three walls stand there: the mounts are private; a user namespace gets copies that nothing
    // comes back from; and the kernel changes no root while it is shared.
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let told = |without: &[&str]| {
        let flags: Vec<_> = without.iter().flat_map(|one| ["--without", one]).collect();
        run(role, &flags, "mount -t tmpfs none /tmp; echo ran")
    };
    let leaked = "back outside: there is a tmpfs on /";
    let nothing = "back outside: nothing is mounted that was not before";
    let output = told(&["mount-privacy", "user-namespace"]);
    assert!(output.stdout.contains(leaked) && !output.stdout.contains("ran\n"), "{output:?}");
    assert!(output.stderr.contains("pivot_root(\".\", \".\"): EINVAL"), "{output:?}");
    // Nothing of it has left the stage either.
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    let output = told(&["mount-privacy"]);
    assert!(output.stdout.contains("ran\n") && output.stdout.contains(nothing), "{output:?}");
    let output = told(&["user-namespace"]);
    assert_eq!(output.stdout, "ran\n", "{output:?}");
}

fn without_the_change_of_the_root(role: Role) {
    // A folder that is on the machine and in no container.
    let script = "/programs/ch04-escape ls -d /home /proc/1/root/home 2>/dev/null; :";
    let programs = programs();
    let volume = ["--volume", &programs];
    let without = run(role, &[&volume[..], &["--without", "pivot-root"]].concat(), script);
    assert!(without.stdout.contains("/home\n"), "{without:?}");
    let with = run(role, &volume, script);
    assert_eq!(with.stdout, "", "{with:?}");
}

fn without_the_user_namespace(role: Role) {
    let script =
        "cat /proc/sys/kernel/panic >/tmp/x && cat /tmp/x >/proc/sys/kernel/panic && echo written";
    let without = run(role, &["--without", "user-namespace"], script);
    assert_eq!(without.stdout, "written\n", "{without:?}");
    let with = run(role, &[], script);
    assert_eq!(with.stdout, "", "{with:?}");
    assert!(with.stderr.contains("Permission denied"), "{with:?}");
}

fn without_closing_what_is_inherited(role: Role) {
    let line = |without: &str| {
        let script =
            format!("exec 9</; exec {PROGRAM} --quiet {without} -- ls -d /proc/self/fd/9/home");
        role.run("sh", &["-c", &script])
    };
    let without = line("--without closed-descriptors");
    assert_eq!(without.stdout, "/proc/self/fd/9/home\n", "{without:?}");
    let with = line("");
    assert_eq!(with.stdout, "", "{with:?}");
}

fn what_an_ordinary_user_cannot_leave_out(role: Role) {
    for ingredient in ["user-namespace", "mount-privacy"] {
        let output = run(role, &["--without", ingredient], "echo ran");
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{output:?}");
    }
}

fn without_the_limit_on_processes(role: Role) {
    let subtree = Subtree::new(role);
    let programs = programs();
    let bomb = |limit: &str| {
        let flags = ["--volume", &programs, "--pids-limit", limit];
        let output = subtree.run(
            &[
                &[PROGRAM, "--quiet"],
                &flags[..],
                &["--", "/programs/ch09-bomb", "--generations", "6"],
            ]
            .concat(),
        );
        output.stdout
    };
    let (without, with) = (bomb("2048"), bomb("20"));
    assert!(without.contains("made:  126\n") && !without.contains("EAGAIN"), "{without}");
    assert!(with.contains("EAGAIN"), "{with}");
}

fn hog(subtree: &Subtree, flags: &[&str], command: &str) -> i32 {
    let programs = programs();
    let line = ["--volume", &programs, "--", "sh", "-c", command];
    subtree.run(&[&[PROGRAM, "--quiet"], flags, &line].concat()).status
}

fn without_the_limit_on_memory(role: Role) {
    let subtree = Subtree::new(role);
    assert_eq!(hog(&subtree, &[], "/programs/ch08-hog 200M"), 0);
    assert_eq!(hog(&subtree, &["--memory", "64M"], "/programs/ch08-hog 200M"), 137);
}

fn with_a_limit_that_comes_late(role: Role) {
    let subtree = Subtree::new(role);
    // Long after the limit has come.
    let command = "sleep 0.5; /programs/ch08-hog 200M";
    assert_eq!(hog(&subtree, &["--memory", "64M", "--late", "0.1"], command), 0);
    assert_eq!(hog(&subtree, &["--memory", "64M"], command), 137);
}
