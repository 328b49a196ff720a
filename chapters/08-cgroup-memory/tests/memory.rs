//! The claims of chapter 8, looked at from outside.

use std::fs;
use std::process::ExitCode;

use harness::cgroups::{Subtree, folder_of, v1, v2};
use harness::program::{children, eventually};
use harness::{Claim, Role, Running, claim};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const MIB: u64 = 1 << 20;

fn main() -> ExitCode {
    let v2 = |claim: Claim| claim.needs(&["v2"]);
    // Where the subtree is one that the tests have made.
    let given = |claim: Claim| v2(claim).only(Role::User).needs(&["users"]);
    let with_cgroups = vec![
        claim!(the_limit_is_there),
        claim!(the_limit_is_there_before_the_command).needs(&["strace"]),
        claim!(swap_is_limited_too),
        claim!(who_wants_more_is_killed_every_time),
        claim!(memory_that_is_not_touched_is_not_counted),
        claim!(who_joins_late_escapes),
        v2(claim!(above_high_it_is_slowed_down_and_not_killed)),
        v2(claim!(one_dies_or_all)),
        claim!(what_is_told_is_what_the_kernel_counted),
        claim!(what_the_command_left_running_is_killed),
        claim!(its_cgroups_are_removed),
        claim!(sigkill_leaves_nothing),
        claim!(without_a_keeper_the_next_run_removes_it),
        claim!(one_of_the_same_number_is_left_alone).only(Role::Root),
        claim!(the_cgroups_of_others_are_left_alone).only(Role::Root),
        claim!(a_limit_that_cannot_be_is_refused),
        claim!(the_status_passes_through),
        claim!(quiet_is_quiet),
        claim!(a_file_system_that_is_read_only_is_refused).only(Role::Root),
        claim!(without_a_cgroup_file_system_it_says_so).only(Role::Root),
        given(claim!(a_busy_parent_is_refused)),
        given(claim!(alone_in_its_own_cgroup_it_makes_room)),
        given(claim!(a_controller_that_was_not_given_is_refused)),
    ];
    let without = vec![
        claim!(v1_has_no_high_and_no_group).only(Role::Root).needs(&["v1"]),
        claim!(v1_is_for_root).only(Role::User).needs(&["v1"]),
        claim!(v2_is_for_those_whom_it_was_given).only(Role::User).needs(&["v2", "users"]),
        claim!(a_size_that_is_none_is_refused),
    ];
    let with_cgroups = with_cgroups.into_iter().map(|claim| claim.needs(&["cgroups"]));
    harness::main(env!("CARGO_MANIFEST_DIR"), with_cgroups.chain(without).collect())
}

const PROGRAM: &str = "ch08-cgroup-memory";

/// Starts a command under these limits, and waits until it runs. Tells its number.
fn start(subtree: &Subtree, flags: &[&str]) -> (Running, u32) {
    let command = ["--", "sh", "-c", "echo $$; exec sleep 60"];
    let mut running = subtree.start(&[&[PROGRAM, "--quiet"], flags, &command].concat());
    let pid = running.line().parse().expect("a process id");
    (running, pid)
}

/// What a file of the cgroup says that a process is in.
fn file(pid: u32, name: &str) -> String {
    let path = folder_of(pid, "memory").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

fn limit(pid: u32) -> u64 {
    let name = if v1("memory").is_some() { "memory.limit_in_bytes" } else { "memory.max" };
    file(pid, name).parse().expect("a number")
}

/// The program is held up after the birth of its child, which meanwhile asks for too much.
fn the_limit_is_there_before_the_command(role: Role) {
    let strace = ["strace", "-qqo", "/dev/null", "-e", "inject=clone3:delay_exit=2000000"];
    let program = [PROGRAM, "--quiet", "--memory", "64M", "ch08-hog", "200M"];
    let output = Subtree::new(role).run(&[&strace[..], &program].concat());
    assert_eq!(output.status, 137, "{output:?}");
}

fn the_limit_is_there(role: Role) {
    let subtree = Subtree::new(role);
    for (flag, bytes) in
        [("64M", 64 * MIB), ("70000k", 70000 * 1024), ("100MiB", 100 * MIB), ("33554432", 32 * MIB)]
    {
        let (running, pid) = start(&subtree, &["--memory", flag]);
        assert_eq!(limit(pid), bytes, "{flag}");
        // The program that waits is not under it.
        assert_ne!(folder_of(running.pid(), "memory"), folder_of(pid, "memory"));
    }
}

fn swap_is_limited_too(role: Role) {
    let subtree = Subtree::new(role);
    let (_running, pid) = start(&subtree, &[]);
    let (_more, with_swap) = start(&subtree, &["--memory", "64M", "--memory-swap", "96M"]);
    if v1("memory").is_some() {
        assert_eq!(file(pid, "memory.swappiness"), "0");
        assert_eq!(file(with_swap, "memory.memsw.limit_in_bytes"), (96 * MIB).to_string());
    } else {
        assert_eq!(file(pid, "memory.swap.max"), "0");
        assert_eq!(file(with_swap, "memory.swap.max"), (32 * MIB).to_string());
    }
}

fn who_wants_more_is_killed_every_time(role: Role) {
    let subtree = Subtree::new(role);
    // A hundred starts of the program, one after another.
    let script = format!(
        "for start in $(seq 5); do {PROGRAM} --quiet --memory 64M ch08-hog 200M >/dev/null; \
         echo $?; done 2>/dev/null"
    );
    for _ in 0..20 {
        let output = subtree.run(&["sh", "-c", &script]);
        assert_eq!(output.stdout, "137\n".repeat(5), "{output:?}");
    }
}

fn memory_that_is_not_touched_is_not_counted(role: Role) {
    let output = Subtree::new(role).run(&[PROGRAM, "--quiet", "ch08-hog", "--untouched", "200M"]);
    assert_eq!(output.status, 0, "{output:?}");
    // What the old texts take for a hog: one piece of a mebibyte, over and over.
    let dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1M", "count=200"];
    let output = Subtree::new(role).run(&[&[PROGRAM, "--quiet"], &dd[..]].concat());
    assert_eq!(output.status, 0, "{output:?}");
}

fn who_joins_late_escapes(role: Role) {
    let subtree = Subtree::new(role);
    let command = ["--", "sh", "-c", "ch08-hog 200M | tail -1; echo $$; exec sleep 60"];
    let late = [PROGRAM, "--quiet", "--memory", "64M", "--late", "4"];
    let mut running = subtree.start(&[&late[..], &command].concat());
    assert!(running.line().starts_with(" 200.0 MiB"), "the hog is not killed");
    // In time for what comes after: the limit is real, and too late.
    let pid = running.line().parse().unwrap();
    eventually("the limit", || {
        let folder = folder_of(pid, "memory").to_string_lossy().into_owned();
        folder.contains("/ch08-") && !folder.contains("/ch08-leaf-") && limit(pid) == 64 * MIB
    });
}

fn above_high_it_is_slowed_down_and_not_killed(role: Role) {
    let subtree = Subtree::new(role);
    let command = ["--", "sh", "-c", "echo $$; exec ch08-hog 80M --step 1M"];
    let flags = [PROGRAM, "--quiet", "--memory", "128M", "--memory-high", "64M"];
    let mut running = subtree.start(&[&flags[..], &command].concat());
    let pid = running.line().parse().unwrap();
    let folder = folder_of(pid, "memory");
    let event = |key: &str| -> u64 {
        let events = fs::read_to_string(folder.join("memory.events")).unwrap_or_default();
        let line = events.lines().find_map(|line| line.strip_prefix(key)).unwrap_or(" 0");
        line.trim().parse().expect("a number")
    };
    eventually("high", || event("high ") > 0);
    // How long the next one takes grows with what is above already.
    let lines = std::iter::from_fn(|| Some(running.line())).take(66);
    let steps = lines.filter(|line| !line.is_empty()).count();
    assert_eq!((steps, event("oom_kill ")), (66, 0));
}

fn one_dies_or_all(role: Role) {
    let subtree = Subtree::new(role);
    let command = ["--", "sh", "-c", "ch08-hog >/dev/null; echo survived $?"];
    let one = subtree.run(&[&[PROGRAM, "--quiet"], &command[..]].concat());
    assert_eq!((one.status, one.stdout.as_str()), (0, "survived 137\n"), "{one:?}");
    let all = subtree.run(&[&[PROGRAM, "--quiet", "--oom-group"], &command[..]].concat());
    assert_eq!((all.status, all.stdout.as_str()), (137, ""), "{all:?}");
}

fn what_is_told_is_what_the_kernel_counted(role: Role) {
    let subtree = Subtree::new(role);
    let output = subtree.run(&[PROGRAM, "ch08-hog", "200M"]);
    let row = |name: &str| -> f64 {
        let line = output.stdout.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {output:?}"));
        line[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    assert_eq!(row("killed"), 1.0);
    // memory.peak is there since 5.19, and what is counted per processor makes it no exact number.
    if v1("memory").is_some() || output.stdout.contains("memory.peak") {
        assert!((63.0..=64.0).contains(&row("most at a time")), "{output:?}");
    }
    let met =
        if v1("memory").is_some() { "times the limit was met" } else { "times memory.max was met" };
    assert!(row(met) >= 1.0, "{output:?}");
    // What stays below the limit tells the two apart.
    let small = subtree.run(&[PROGRAM, "ch08-hog", "16M"]).stdout;
    let peak = small.lines().find_map(|line| line.strip_prefix("most at a time"));
    let peak = peak.map_or(16.0, |peak| peak.split_whitespace().next().unwrap().parse().unwrap());
    assert!((16.0..40.0).contains(&peak), "{small}");
    // The last line of the hog's own that came through, and the limit beside that of the outside.
    assert!(output.stdout.contains("56.0 MiB #######\n"), "{output:?}");
    assert!(!output.stdout.contains("64.0 MiB ########"), "{output:?}");
    let is_limit = |line: &str| line.starts_with("memory.") && line.contains(" 67108864 ");
    assert!(output.stdout.lines().any(is_limit), "{output:?}");
}

fn what_the_command_left_running_is_killed(role: Role) {
    let subtree = Subtree::new(role);
    let output =
        subtree.run(&[PROGRAM, "--quiet", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]);
    let pid = output.stdout.trim();
    assert_eq!((output.status, pid.is_empty()), (0, false), "{output:?}");
    eventually("its end", || is_dead(pid.parse().unwrap()));
    subtree.assert_none_is_left("ch08");
}

fn its_cgroups_are_removed(role: Role) {
    let subtree = Subtree::new(role);
    for command in [&["true"][..], &["no-such-command"], &["ch08-hog"], &["sh", "-c", "kill -9 $$"]]
    {
        subtree.run(&[&[PROGRAM, "--quiet"], command].concat());
        subtree.assert_none_is_left("ch08");
    }
    let (mut running, _) = start(&subtree, &[]);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end(), 143);
    subtree.assert_none_is_left("ch08");
}

/// A shell that stays beside the program, so that all runs make their cgroups in one place; and a
/// command that has started something, which does not die with it. The shell, and the numbers of
/// the command and of what it has started.
fn start_both(subtree: &Subtree) -> (Running, u32, u32) {
    let command = "setsid sleep 60 & echo $$ $!; exec sleep 60";
    let script = format!("{PROGRAM} --quiet -- sh -c '{command}' & wait");
    let mut shell = subtree.start(&["sh", "-c", &script]);
    let pids: Vec<u32> = shell.line().split(' ').map(|pid| pid.parse().unwrap()).collect();
    (shell, pids[0], pids[1])
}

fn sigkill_leaves_nothing(role: Role) {
    let subtree = Subtree::new(role);
    let (mut shell, command, started) = start_both(&subtree);
    let folder = folder_of(command, "memory");
    assert!(folder.exists());
    kill(parent(command), Signal::SIGKILL).expect("it is running");
    shell.end();
    eventually("the end of all", || is_dead(command) && is_dead(started) && !folder.exists());
}

fn without_a_keeper_the_next_run_removes_it(role: Role) {
    let subtree = Subtree::new(role);
    let (mut shell, command, started) = start_both(&subtree);
    let folder = folder_of(command, "memory");
    // Another, which lives on.
    let (_living, pid) = start(&subtree, &[]);
    let program = parent(command);
    let beside_it = |child: &u32| *child != command;
    let keepers: Vec<u32> =
        children(program.as_raw() as u32).into_iter().filter(beside_it).collect();
    let [keeper] = keepers[..] else { panic!("{keepers:?} watch over the program") };
    kill(Pid::from_raw(keeper as i32), Signal::SIGKILL).expect("it is running");
    eventually("the keeper's end", || is_dead(keeper));
    assert!(folder.exists() && !is_dead(started));
    kill(program, Signal::SIGKILL).expect("it is running");
    shell.end();
    eventually("the command's end", || is_dead(command));
    // The next run, if it is not another test's that came first.
    let beside = format!("{PROGRAM} --quiet true; true");
    eventually("the removal", || {
        subtree.run(&["sh", "-c", &beside]);
        !folder.exists() && is_dead(started)
    });
    assert_eq!(limit(pid), 64 * MIB);
}

/// In a PID namespace others may have the same number, and some of them live.
fn one_of_the_same_number_is_left_alone(role: Role) {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let command = ["--memory", "96M", "--", "sh", "-c", "echo ready; exec sleep 60"];
    let mut living =
        role.start("unshare", &[&unshare[1..], &[PROGRAM, "--quiet"], &command].concat());
    assert_eq!(living.line(), "ready");
    let inside = children(living.pid())[0];
    let first = children(inside)
        .into_iter()
        .find(|child| folder_of(*child, "memory") != folder_of(inside, "memory"));
    let first = first.expect("the command");
    assert_eq!(limit(first), 96 * MIB);
    let output =
        role.run("unshare", &[&unshare[1..], &[PROGRAM, "--quiet", "echo", "ran"]].concat());
    assert_eq!((output.status, output.stdout.as_str()), (0, "ran\n"), "{output:?}");
    assert_eq!(limit(first), 96 * MIB);
}

/// Whatever has another kind of name was made by others.
fn the_cgroups_of_others_are_left_alone(role: Role) {
    let root = v1("memory").or_else(v2).unwrap();
    let others = ["chrome-999999", "ch-999999", "chapter-08-999999"].map(|name| root.join(name));
    others.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    role.run(PROGRAM, &["--quiet", "true"]);
    let are_there = others.each_ref().map(|folder| folder.exists());
    others.iter().for_each(|folder| _ = fs::remove_dir(folder));
    assert_eq!(are_there, [true; 3]);
}

fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or(") X".into());
    stat.contains(") Z") || stat.contains(") X")
}

fn parent(pid: u32) -> Pid {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is running");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).expect("it has one");
    Pid::from_raw(line.parse().expect("a number"))
}

/// Runs it with these flags, and returns what it complains when nothing was run and nothing left.
fn refused(subtree: &Subtree, flags: &[&str]) -> String {
    let output = subtree.run(&[&[PROGRAM], flags, &["echo", "ran"]].concat());
    assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{output:?}");
    subtree.assert_none_is_left("ch08");
    output.stderr
}

fn a_limit_that_cannot_be_is_refused(role: Role) {
    let subtree = Subtree::new(role);
    assert_eq!(
        refused(&subtree, &["--memory", "4k"]),
        "ch08-cgroup-memory: cannot limit the memory to 4096 bytes\n  \
         help: hardly a command can begin with so little; give it 1048576 or more\n"
    );
    let error = refused(&subtree, &["--memory", "64M", "--memory-high", "65M"]);
    assert!(
        error.contains("cannot slow down beyond 65.0 MiB: at 64.0 MiB it is killed\n"),
        "{error}"
    );
    let error = refused(&subtree, &["--memory", "1T"]);
    assert!(error.contains("to 1048576.0 MiB: this machine has "), "{error}");
    assert_eq!(
        refused(&subtree, &["--memory", "64M", "--memory-swap", "63M"]),
        "ch08-cgroup-memory: cannot limit memory and swap together to 63.0 MiB\n  \
         help: it counts both, and so is at least the memory alone, 64.0 MiB\n"
    );
    // Under the least that is taken a command does start.
    let output = subtree.run(&[PROGRAM, "--quiet", "--memory", "1M", "echo", "ran"]);
    assert_eq!((output.status, output.stdout.as_str()), (0, "ran\n"), "{output:?}");
}

fn a_size_that_is_none_is_refused(role: Role) {
    for (size, why) in [
        ("64Q", "a size is a number and k, M, G or T, as in 64M"),
        ("-1", "a size is a number and k, M, G or T, as in 64M"),
        ("", "a size is a number and k, M, G or T, as in 64M"),
        ("0", "it must be more than nothing"),
    ] {
        let output = role.run(PROGRAM, &["--memory", size, "echo", "ran"]);
        let error = format!("error: invalid value '{size}' for '--memory <SIZE>': {why}\n");
        assert!(output.stderr.starts_with(&error) || size.is_empty(), "{output:?}");
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{output:?}");
    }
}

fn v1_has_no_high_and_no_group(role: Role) {
    let subtree = Subtree::new(role);
    for (flags, file) in [(&["--memory-high", "16M"][..], "high"), (&["--oom-group"], "oom.group")]
    {
        assert_eq!(
            refused(&subtree, flags),
            format!(
                "ch08-cgroup-memory: cgroup v1 has no memory.{file}\n  \
                 help: it takes a machine with cgroup v2, as in scripts/lab --cgroup v2\n"
            )
        );
    }
}

fn v1_is_for_root(role: Role) {
    let output = role.run(PROGRAM, &["echo", "ran"]);
    let (line, help) = output.stderr.split_once('\n').unwrap();
    assert!(line.starts_with("ch08-cgroup-memory: cannot make a cgroup: mkdir(\"/"), "{line}");
    assert!(line.ends_with("\"): EACCES: Permission denied"), "{line}");
    assert_eq!(
        help,
        "  help: run as root (sudo): cgroup v1 controllers cannot safely be given to ordinary users\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn v2_is_for_those_whom_it_was_given(role: Role) {
    let output = role.run(PROGRAM, &["echo", "ran"]);
    let (line, help) = output.stderr.split_once('\n').unwrap();
    assert!(
        line.starts_with("ch08-cgroup-memory: cannot make a cgroup in your own: access("),
        "{line}"
    );
    assert!(line.ends_with(", W_OK): EACCES: Permission denied"), "{line}");
    assert!(help.contains("systemd-run --user --scope -p Delegate=yes bash"), "{help}");
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

/// A shell in a cgroup of its own, from whose parent nothing more can be had.
const IN_A_CORNER: &str = "above=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); own=$above/own; \
                           mkdir $own; echo $$ > $own/cgroup.procs; \
                           echo +memory > $above/cgroup.subtree_control; \
                           chmod a-w $above/cgroup.subtree_control; ";

fn a_busy_parent_is_refused(role: Role) {
    let subtree = Subtree::new(role);
    let script = format!("{IN_A_CORNER} exec 2>&1; {PROGRAM} echo ran; echo $?");
    let output = subtree.run(&["sh", "-c", &script]);
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(lines.len() == 3 && lines[2] == "125", "{output:?}");
    let start = "ch08-cgroup-memory: cannot make a cgroup in /sys/fs/cgroup/";
    assert!(lines[0].starts_with(start), "{output:?}");
    let end = "/own: it has other processes, and so can give no controllers";
    assert!(lines[0].ends_with(end), "{output:?}");
    // The way out that it shows is one, for a shell that types it there.
    let (help, way_out) = lines[1].split_once(" it: ").unwrap();
    assert_eq!(help, "  help: move your shell into a cgroup inside");
    let (folder, _) = way_out.split_once("/own").unwrap();
    let way_out = way_out.replace(&folder["mkdir ".len()..], "$above");
    let script = format!("{IN_A_CORNER} {way_out} && exec {PROGRAM} --quiet echo ran");
    let output = subtree.run(&["sh", "-c", &script]);
    assert_eq!((output.status, output.stdout.as_str()), (0, "ran\n"), "{output:?}");
}

fn alone_in_its_own_cgroup_it_makes_room(role: Role) {
    let subtree = Subtree::new(role);
    // The shell gives its place to the program, which then is alone.
    let inside = "sed -n s/^0:://p /proc/self/cgroup; sed -n s/^0:://p /proc/$PPID/cgroup";
    let script = format!("{IN_A_CORNER} exec {PROGRAM} --quiet -- sh -c '{inside}'");
    let output = subtree.run(&["sh", "-c", &script]);
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(lines.len() == 2 && output.status == 0, "{output:?}");
    let places = [lines[0], lines[1]].map(|line| line.rsplit_once('/').unwrap());
    assert!(places[0].0.ends_with("/own") && places[0].0 == places[1].0, "{output:?}");
    assert!(
        places[0].1.starts_with("ch08-") && places[1].1.starts_with("ch08-leaf-"),
        "{output:?}"
    );
    // All is as it was.
    let own = format!("/sys/fs/cgroup{}", places[0].0);
    let read = |file: &str| fs::read_to_string(format!("{own}/{file}")).unwrap();
    assert_eq!((read("cgroup.subtree_control").trim(), read("cgroup.procs").trim()), ("", ""));
    subtree.assert_none_is_left("ch08");
}

fn a_controller_that_was_not_given_is_refused(role: Role) {
    let subtree = Subtree::new(role);
    let script = format!(
        "above=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); mkdir -p $above/poor/own; \
         echo $$ > $above/poor/own/cgroup.procs; exec {PROGRAM} echo ran"
    );
    let output = subtree.run(&["sh", "-c", &script]);
    let start = "ch08-cgroup-memory: cannot enable the controller memory: write(\"/sys/fs/cgroup/";
    assert!(output.stderr.starts_with(start), "{output:?}");
    let end = "/poor/cgroup.subtree_control\", \"+memory\"): ENOENT: No such file or directory\n";
    assert!(output.stderr.contains(end), "{output:?}");
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn a_file_system_that_is_read_only_is_refused(role: Role) {
    let root = v1("memory").or_else(v2).unwrap();
    let script =
        format!("mount -o remount,bind,ro {root}; exec {PROGRAM} echo ran", root = root.display());
    let output = role.run("unshare", &["--mount", "sh", "-c", &script]);
    assert!(output.stderr.contains("EROFS: Read-only file system\n  help: this cgroup file system is mounted read-only, as in a container; run outside of it\n"), "{output:?}");
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn without_a_cgroup_file_system_it_says_so(role: Role) {
    let script = format!("umount --recursive --lazy /sys/fs/cgroup; exec {PROGRAM} echo ran");
    let output = role.run("unshare", &["--mount", "sh", "-c", &script]);
    assert_eq!(
        output.stderr,
        "ch08-cgroup-memory: no cgroup file system is mounted here\n  \
         help: mount one: sudo mount -t cgroup2 none /sys/fs/cgroup\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn the_status_passes_through(role: Role) {
    let subtree = Subtree::new(role);
    for (command, status) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let output = subtree.run(&[&[PROGRAM, "--quiet"], command].concat());
        assert_eq!(output.status, status, "{output:?}");
    }
}

fn quiet_is_quiet(role: Role) {
    let output = Subtree::new(role).run(&[PROGRAM, "--quiet", "echo", "only this"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("only this\n", ""));
}
