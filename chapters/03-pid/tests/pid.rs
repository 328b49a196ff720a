//! The claims of chapter 3, looked at from outside.

use std::fs;
use std::process::ExitCode;

use harness::program::{children, differing, eventually, is_gone, namespace, running, status_line};
use harness::terminal::Terminal;
use harness::{Claim, Role, Running, claim};
use nix::sys::signal::Signal;

fn main() -> ExitCode {
    let claims = vec![
        claim!(with_a_terminal_of_its_own_a_shell_has_jobs).needs(&["userns"]),
        claim!(what_a_short_command_says_is_shown).needs(&["userns", "strace"]),
        claim!(without_one_it_has_a_session_alone).needs(&["userns"]),
        claim!(three_namespaces_are_new),
        claim!(one_process_has_two_numbers),
        claim!(the_old_proc_shows_the_host),
        claim!(unshare_does_not_move_the_caller),
        claim!(without_pid_1_nobody_is_born),
        claim!(a_second_unshare_is_refused),
        claim!(pid_1_ignores_what_it_has_no_handler_for),
        claim!(pid_1_cannot_be_killed_from_inside),
        claim!(everything_dies_with_pid_1),
        claim!(the_init_is_pid_1_and_the_command_its_child),
        claim!(the_init_reaps_orphans),
        claim!(without_the_init_orphans_stay_zombies),
        claim!(the_init_forwards_signals),
        claim!(the_init_passes_the_status_on),
        claim!(an_orphan_that_dies_of_a_real_time_signal_is_no_error),
        claim!(the_init_keeps_no_descriptor).only(Role::Root),
        claim!(an_error_behind_the_init_is_printed_once),
        claim!(ctrl_c_ends_a_command_behind_the_init),
        claim!(ctrl_c_does_not_end_pid_1),
        claim!(a_shell_in_it_gives_the_terminal_back),
        claim!(clocks_are_set_off_for_children_alone),
        claim!(a_clock_below_zero_is_refused),
        claim!(everything_dies_with_the_parent),
    ];
    harness::main(
        env!("CARGO_MANIFEST_DIR"),
        claims.into_iter().map(|claim: Claim| claim.needs(&["userns"])).collect(),
    )
}

/// Starts `script` as chapter 3's command, waits until it has printed `ready`, and tells the number
/// of PID 1 outside.
fn start(role: Role, flags: &[&str], script: &str) -> (Running, u32) {
    let mut running =
        role.start("ch03-pid", &[&["--quiet"], flags, &["--", "sh", "-c", script]].concat());
    assert_eq!(running.line(), "ready");
    let first = children(running.pid())[0];
    (running, first)
}

/// All processes in the PID namespace of `first`.
fn members(first: u32) -> Vec<u32> {
    let link = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    // An init shows its own only to root; who was born in there is in the same.
    let inside = link(first).or_else(|| children(first).into_iter().find_map(link));
    let inside = inside.expect("somebody lives in it");
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        *pid == first
            || link(*pid).is_some_and(|link| link == inside)
            // A zombie has no namespace any more, but it still has a parent.
            || status_line(*pid, "PPid") == first.to_string()
    })
    .collect()
}

fn zombies(first: u32) -> usize {
    members(first).into_iter().filter(|pid| status_line(*pid, "State").starts_with('Z')).count()
}

fn three_namespaces_are_new(role: Role) {
    let (running, first) = start(role, &[], "echo ready; exec sleep 60");
    assert_eq!(differing(running.pid(), first), ["ipc", "pid", "uts"]);
}

fn one_process_has_two_numbers(role: Role) {
    let (_running, first) = start(role, &[], "test $$ = 1 && echo ready; exec sleep 60");
    assert_eq!(status_line(first, "NSpid"), format!("{first} 1"));
}

/// `$$` is the number inside, and the mount of /proc is still the one that was made outside.
fn the_old_proc_shows_the_host(role: Role) {
    let script = "read pid rest < /proc/self/stat; echo $$ $pid; test -e /proc/$PPID_OUTSIDE/stat && echo seen";
    let script = script.replace("$PPID_OUTSIDE", &std::process::id().to_string());
    let output = role.run("ch03-pid", &["--quiet", "--", "sh", "-c", &script]);
    let (pids, seen) = output.stdout.trim().split_once('\n').expect("two lines");
    let (inside, outside) = pids.split_once(' ').expect("two numbers");
    assert_eq!((inside, seen), ("1", "seen"));
    assert!(outside.parse::<u32>().unwrap() > 1);
}

fn unshare_does_not_move_the_caller(role: Role) {
    let (running, first) = start(role, &["--unshare"], "test $$ = 1 && echo ready; exec sleep 60");
    assert_eq!(namespace(running.pid(), "pid"), namespace(std::process::id(), "pid"));
    assert_ne!(namespace(first, "pid"), namespace(running.pid(), "pid"));
    assert_eq!(namespace(running.pid(), "pid_for_children"), namespace(first, "pid"));
}

/// util-linux's unshare, without --fork: the first child of the shell was PID 1.
fn without_pid_1_nobody_is_born(role: Role) {
    let output = role
        .run("unshare", &["-Ur", "--pid", "sh", "-c", "/bin/true; /bin/true; echo not reached"]);
    assert!(output.stderr.contains("fork"), "{output:?}");
    assert_ne!(output.status, 0);
}

fn a_second_unshare_is_refused(role: Role) {
    let output = role.run("unshare", &["-Ur", "--pid", "ch03-pid", "--quiet", "--unshare", "true"]);
    assert_eq!(
        output.stderr,
        "ch03-pid: cannot enter new namespaces: unshare(CLONE_NEWPID): EINVAL: Invalid argument\n  \
         help: this kernel lacks a namespace, or the caller has made a PID namespace already\n"
    );
    assert_eq!(output.status, 125);
}

fn pid_1_ignores_what_it_has_no_handler_for(role: Role) {
    let (running, first) = start(role, &[], "echo ready; exec sleep 60");
    // Until it has become sleep, it is a shell, which has a handler for SIGINT.
    eventually("sleep", || status_line(first, "Name") == "sleep");
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGINT);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(status_line(first, "State").starts_with('S'));
}

fn pid_1_cannot_be_killed_from_inside(role: Role) {
    let output = role
        .run("ch03-pid", &["--quiet", "--", "sh", "-c", "kill -KILL 1; kill -TERM 1; echo alive"]);
    assert_eq!((output.stdout.as_str(), output.status), ("alive\n", 0));
}

fn everything_dies_with_pid_1(role: Role) {
    for flags in [&[][..], &["--init"]] {
        let (mut running, first) =
            start(role, flags, "sleep 60 & sleep 60 & echo ready; sleep 2; exit 5");
        let members = members(first);
        assert!(members.len() >= 3, "{members:?}");
        assert_eq!(running.end(), 5);
        eventually("everybody's end", || members.iter().all(|pid| is_gone(*pid)));
    }
}

fn the_init_is_pid_1_and_the_command_its_child(role: Role) {
    let (_running, first) = start(role, &["--init"], "test $PPID = 1 && echo ready; exec sleep 60");
    assert_eq!(status_line(first, "Name"), "ch03-pid");
    assert_eq!(status_line(first, "NSpid"), format!("{first} 1"));
    let command = children(first)[0];
    assert_eq!(status_line(command, "NSpid"), format!("{command} 2"));
}

/// Each subshell ends at once, and leaves a child behind that ends a moment later.
const ORPHANS: &str = "for i in 1 2 3; do (sleep 0.1 &); done; echo ready; exec sleep 60";

fn the_init_reaps_orphans(role: Role) {
    let (_running, first) = start(role, &["--init"], ORPHANS);
    eventually("the orphans' end", || members(first).len() == 2);
    assert_eq!(zombies(first), 0);
}

fn without_the_init_orphans_stay_zombies(role: Role) {
    let (_running, first) = start(role, &[], ORPHANS);
    eventually("three zombies", || zombies(first) == 3);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(zombies(first), 3);
}

fn the_init_forwards_signals(role: Role) {
    for (signal, name) in
        [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP"), (Signal::SIGUSR2, "USR2")]
    {
        let script = format!("trap 'exit 42' {name}; echo ready; while :; do sleep 0.02; done");
        let (mut running, _) = start(role, &["--init"], &script);
        running.signal(signal);
        assert_eq!(running.end(), 42, "{name}");
    }
    let (mut running, _) = start(role, &["--init"], "echo ready; exec sleep 60");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end(), 143);
}

fn the_init_passes_the_status_on(role: Role) {
    for (script, status) in
        [("exit 0", 0), ("exit 9", 9), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        let output = role.run("ch03-pid", &["--quiet", "--init", "--", "sh", "-c", script]);
        assert_eq!((output.status, output.stderr.as_str()), (status, ""), "{script}");
    }
}

fn an_orphan_that_dies_of_a_real_time_signal_is_no_error(role: Role) {
    let script = "(sh -c 'sleep 0.1; kill -34 $$' &); sleep 0.4; exit 6";
    let output = role.run("ch03-pid", &["--quiet", "--init", "--", "sh", "-c", script]);
    assert_eq!((output.status, output.stderr.as_str()), (6, ""));
}

fn the_init_keeps_no_descriptor(role: Role) {
    let (_running, first) = start(role, &["--init"], "echo ready; exec sleep 60");
    // The command may be quicker than it.
    eventually("the init to close what it has inherited", || {
        let open: Vec<_> = fs::read_dir(format!("/proc/{first}/fd"))
            .unwrap()
            .filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
            .collect();
        open.len() == 4 && open.iter().any(|target| target.contains("signalfd"))
    });
}

fn an_error_behind_the_init_is_printed_once(role: Role) {
    let output = role.run("ch03-pid", &["--quiet", "--init", "no-such-command"]);
    assert_eq!(
        output.stderr,
        "ch03-pid: cannot run no-such-command: execvp(\"no-such-command\"): ENOENT: No such file or directory\n  \
         help: no such program, neither as a path nor in PATH\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (127, ""));
}

fn ctrl_c_ends_a_command_behind_the_init(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal
        .press("ch03-pid --quiet --init -- sh -c 'echo re''ady; exec sleep 60'; echo status=$?\n");
    terminal.read_until("ready\n");
    terminal.press("\x03");
    terminal.read_until("status=130\n");
}

fn ctrl_c_does_not_end_pid_1(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.press("ch03-pid --quiet sleep 0.9; echo status=$?\n");
    eventually("sleep", || running(role, &["sleep", "0.9"]).len() == 1);
    terminal.press("\x03");
    terminal.read_until("status=0\n");
}

fn a_shell_in_it_gives_the_terminal_back(role: Role) {
    for flags in ["", "--init"] {
        let mut terminal = Terminal::open(role);
        terminal.run(&format!("sh -c 'ch03-pid --quiet {flags}; read line; echo got=$line'"));
        assert_eq!(terminal.run("echo $$"), if flags.is_empty() { "1\n" } else { "2\n" });
        terminal.press("exit\n");
        std::thread::sleep(std::time::Duration::from_millis(300));
        terminal.press("typed\n");
        terminal.read_until("got=typed\n");
    }
}

fn clocks_are_set_off_for_children_alone(role: Role) {
    let uptime = || {
        let text = fs::read_to_string("/proc/uptime").unwrap();
        text.split('.').next().unwrap().parse::<u64>().unwrap()
    };
    let before = uptime();
    let script = "read up rest < /proc/uptime; echo ${up%.*}; exec sleep 60";
    let args = ["--quiet", "--boottime", "86400", "--monotonic", "3600", "--", "sh", "-c", script];
    let mut running = role.start("ch03-pid", &args);
    let inside: u64 = running.line().parse().unwrap();
    assert!((before + 86400..=uptime() + 86400).contains(&inside), "{inside}");
    let first = children(running.pid())[0];
    assert_eq!(differing(running.pid(), first), ["ipc", "pid", "time", "uts"]);
    let offsets = fs::read_to_string(format!("/proc/{first}/timens_offsets")).unwrap();
    let offsets: Vec<_> = offsets.split_whitespace().collect();
    assert_eq!(offsets, ["monotonic", "3600", "0", "boottime", "86400", "0"]);
}

fn a_clock_below_zero_is_refused(role: Role) {
    let output = role.run("ch03-pid", &["--quiet", "--boottime", "-99999999999", "true"]);
    assert!(output.stderr.starts_with(
        "ch03-pid: cannot set the clocks of the time namespace: \
         write(\"/proc/self/timens_offsets\", \"monotonic 0 0\\nboottime -99999999999 0\\n\"): ERANGE: "
    ));
    assert_eq!(output.stderr.lines().count(), 2);
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn everything_dies_with_the_parent(role: Role) {
    for flags in [&[][..], &["--init"]] {
        let (mut running, first) = start(role, flags, "sleep 60 & echo ready; exec sleep 60");
        let members = members(first);
        running.signal(Signal::SIGKILL);
        running.end();
        eventually("everybody's end", || members.iter().all(|pid| is_gone(*pid)));
    }
}

fn with_a_terminal_of_its_own_a_shell_has_jobs(role: Role) {
    let mut terminal = Terminal::open(role);
    let outer = terminal.run("tty");
    let inner = terminal.run("ch03-pid --quiet --init --terminal");
    assert_eq!(inner, "", "nothing to complain of");
    assert_ne!(terminal.run("tty"), outer);
    terminal.press("sleep 60\n");
    terminal.read_until("sleep 60\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.press("\x1a");
    terminal.read_until("Stopped");
    terminal.read_until("\x1e");
    assert!(terminal.run("kill -9 %1; sleep 0.2; jobs; echo $-").contains('m'));
    assert_eq!(terminal.run("exit"), "");
    assert_eq!(terminal.run("tty"), outer);
}

fn what_a_short_command_says_is_shown(role: Role) {
    // When its parent first looks, it is gone.
    let late = "strace -qqo /dev/null -e inject=poll,ppoll:delay_enter=500000";
    let mut terminal = Terminal::open(role);
    assert_eq!(
        terminal.run(&format!("{late} ch03-pid --quiet --init --terminal echo said")),
        "said\n"
    );
}

fn without_one_it_has_a_session_alone(role: Role) {
    let mut terminal = Terminal::open(role);
    let opens = "sh -c ': </dev/tty' 2>&1 | cat";
    assert!(
        !terminal.run(&format!("ch03-pid --quiet --init -- {opens}")).contains("No such device")
    );
    let alone = terminal.run(&format!("ch03-pid --quiet --init --terminal -- {opens}"));
    assert!(alone.contains("No such device or address"), "{alone}");
}
