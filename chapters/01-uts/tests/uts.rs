//! The claims of chapter 1, looked at from outside.

use std::process::ExitCode;

use harness::program::{children, differing, eventually, is_gone, running, status_line};
use harness::terminal::Terminal;
use harness::{Claim, Role, Running, claim};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> ExitCode {
    let claims = vec![
        claim!(only_the_uts_namespace_is_new),
        claim!(the_host_name_changes_inside_and_not_outside),
        claim!(a_name_set_inside_stays_inside).needs(&["hostname"]),
        claim!(the_exit_status_is_the_commands),
        claim!(a_command_that_is_not_found_is_127),
        claim!(a_command_that_cannot_run_is_126),
        claim!(a_host_name_that_is_too_long),
        claim!(a_wrong_command_line_is_2),
        claim!(quiet_is_the_commands_output_alone),
        claim!(an_ordinary_user_is_told).only(Role::User),
        claim!(root_is_not_told).only(Role::Root),
        claim!(user_namespaces_forbidden_by_limit),
        claim!(user_namespaces_forbidden_by_policy).needs(&["strace"]),
        claim!(clone3_hidden_by_a_filter).needs(&["strace"]),
        claim!(signals_are_forwarded),
        claim!(the_command_inherits_no_signal_state),
        claim!(the_command_inherits_no_descriptor),
        claim!(the_command_dies_with_its_parent),
        claim!(the_shell_is_interactive),
        claim!(ctrl_c_ends_the_command),
        claim!(ctrl_c_is_not_forwarded).needs(&["strace"]),
        claim!(a_parent_that_died_too_early_is_noticed).needs(&["strace"]),
        claim!(the_terminal_is_given_back),
        claim!(ctrl_z_stops_and_fg_continues),
        claim!(the_terminal_is_left_to_who_took_it),
        claim!(a_real_time_signal_is_a_death_like_others),
        claim!(the_status_is_known_to_who_ignores_children),
        claim!(a_closed_pipe_is_no_panic),
        claim!(signals_are_forwarded_before_the_exec),
        claim!(it_nests),
    ];
    harness::main(
        env!("CARGO_MANIFEST_DIR"),
        claims.into_iter().map(|claim: Claim| claim.needs(&["userns"])).collect(),
    )
}

/// Starts `script` in chapter 1's shell, and waits until it has printed `ready`.
fn start(role: Role, script: &str) -> (Running, u32) {
    let mut running = role.start("ch01-uts", &["--quiet", "--", "sh", "-c", script]);
    assert_eq!(running.line(), "ready");
    let command = children(running.pid())[0];
    (running, command)
}

fn only_the_uts_namespace_is_new(role: Role) {
    let (running, command) = start(role, "echo ready; exec sleep 60");
    assert_eq!(differing(running.pid(), command), ["uts"]);
}

fn the_host_name_changes_inside_and_not_outside(role: Role) {
    let before = nix::unistd::gethostname().unwrap();
    let output = role
        .run("ch01-uts", &["--quiet", "--hostname", "inside", "cat", "/proc/sys/kernel/hostname"]);
    assert_eq!(output.stdout, "inside\n");
    assert_eq!(nix::unistd::gethostname().unwrap(), before);
}

fn a_name_set_inside_stays_inside(role: Role) {
    let before = nix::unistd::gethostname().unwrap();
    let script = "hostname renamed; hostname";
    let output = role.run("ch01-uts", &["--quiet", "--", "sh", "-c", script]);
    assert_eq!(output.stdout, "renamed\n");
    assert_eq!(nix::unistd::gethostname().unwrap(), before);
}

fn the_exit_status_is_the_commands(role: Role) {
    for (script, status) in
        [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        assert_eq!(
            role.run("ch01-uts", &["--quiet", "--", "sh", "-c", script]).status,
            status,
            "{script}"
        );
    }
}

fn a_command_that_is_not_found_is_127(role: Role) {
    let output = role.run("ch01-uts", &["--quiet", "no-such-command"]);
    assert_eq!(
        output.stderr,
        "ch01-uts: cannot run no-such-command: execvp(\"no-such-command\"): ENOENT: No such file or directory\n  \
         help: no such program, neither as a path nor in PATH\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (127, ""));
}

fn a_command_that_cannot_run_is_126(role: Role) {
    let output = role.run("ch01-uts", &["--quiet", "/etc/passwd"]);
    assert_eq!(
        output.stderr,
        "ch01-uts: cannot run /etc/passwd: execvp(\"/etc/passwd\"): EACCES: Permission denied\n  \
         help: not a file that you may execute; `ls -l` shows why\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (126, ""));
}

fn a_host_name_that_is_too_long(role: Role) {
    let longest = "n".repeat(64);
    assert_eq!(
        role.run("ch01-uts", &["--quiet", "--hostname", &longest, "hostname"]).stdout.trim(),
        longest
    );
    let output = role.run("ch01-uts", &["--quiet", "--hostname", &"n".repeat(65), "true"]);
    assert_eq!(
        output.stderr,
        format!(
            "ch01-uts: cannot set the host name: sethostname({:?}): EINVAL: Invalid argument\n  \
             help: a host name has at most 64 bytes\n",
            "n".repeat(65)
        )
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn a_wrong_command_line_is_2(role: Role) {
    assert_eq!(role.run("ch01-uts", &["--no-such-flag"]).status, 2);
}

fn quiet_is_the_commands_output_alone(role: Role) {
    let output = role.run("ch01-uts", &["--quiet", "echo", "hello"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("hello\n", ""));
}

fn an_ordinary_user_is_told(role: Role) {
    let line = format!(
        "not root: entered a user namespace where uid {} is root (chapter 5)\n",
        role.uid()
    );
    assert_eq!(role.run("ch01-uts", &["true"]).stderr, line);
}

fn root_is_not_told(role: Role) {
    assert_eq!(role.run("ch01-uts", &["true"]).stderr, "");
}

/// A user namespace has limits of its own, so nobody else's are touched. Without its capabilities,
/// root is as anybody.
fn user_namespaces_forbidden_by_limit(role: Role) {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all ch01-uts true";
    let output = role.run("unshare", &["-Ur", "sh", "-c", script]);
    assert_eq!(
        output.stderr,
        "ch01-uts: cannot enter a user namespace: unshare(CLONE_NEWUSER): ENOSPC: No space left on device\n  \
         help: the limit on user namespaces is reached; raise it: sudo sysctl user.max_user_namespaces=15000\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn user_namespaces_forbidden_by_policy(role: Role) {
    let script = "exec setpriv --bounding-set=-all strace -o /dev/null -e inject=unshare:error=EPERM ch01-uts true";
    let output = role.run("unshare", &["-Ur", "sh", "-c", script]);
    let (message, help) = output.stderr.split_once("\n  help: ").expect("there is a way out");
    assert_eq!(
        message,
        "ch01-uts: cannot enter a user namespace: unshare(CLONE_NEWUSER): EPERM: Operation not permitted"
    );
    assert_eq!(help.lines().count(), 1);
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn clone3_hidden_by_a_filter(role: Role) {
    let output = role.run(
        "strace",
        &["-o", "/dev/null", "-e", "inject=clone3:error=ENOSYS", "ch01-uts", "--quiet", "true"],
    );
    assert_eq!(
        output.stderr,
        "ch01-uts: cannot start a child: clone3(CLONE_NEWUTS): ENOSYS: Function not implemented\n  \
         help: it takes kernel 5.3, and no seccomp filter that hides clone3, as containers may have\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn signals_are_forwarded(role: Role) {
    for (signal, name) in
        [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGUSR1, "USR1")]
    {
        let script = format!("trap 'exit 42' {name}; echo ready; while :; do sleep 0.02; done");
        let (mut running, _) = start(role, &script);
        running.signal(signal);
        assert_eq!(running.end(), 42, "{name}");
    }
}

/// Of the 31 signals that programs use; libc keeps 32 and 33 for itself.
fn the_command_inherits_no_signal_state(role: Role) {
    let state = |program: &str, args: &[&str]| {
        let args = [args, &["-hE", "^Sig(Blk|Ign)", "/proc/self/status"]].concat();
        let lines = role.run(program, &args).stdout;
        let masks =
            lines.lines().map(|line| u64::from_str_radix(&line[8..], 16).unwrap() & 0x7fff_ffff);
        masks.collect::<Vec<_>>()
    };
    assert_eq!(state("ch01-uts", &["--quiet", "--", "grep"]), state("grep", &[]));
}

fn the_command_inherits_no_descriptor(role: Role) {
    let outside = role.run("ls", &["/proc/self/fd"]).stdout;
    assert_eq!(role.run("ch01-uts", &["--quiet", "ls", "/proc/self/fd"]).stdout, outside);
}

fn the_command_dies_with_its_parent(role: Role) {
    let (mut running, command) = start(role, "echo ready; exec sleep 60");
    running.signal(Signal::SIGKILL);
    running.end();
    eventually("the command's end", || is_gone(command));
}

fn the_shell_is_interactive(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.run("ch01-uts --quiet --hostname inside");
    assert_eq!(terminal.run("cat /proc/sys/kernel/hostname"), "inside\n");
    assert_eq!(terminal.run("test -t 0 && test -t 1 && echo terminal"), "terminal\n");
    terminal.run("exit 3");
    assert_eq!(terminal.run("echo $?"), "3\n");
}

fn ctrl_c_ends_the_command(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.press("ch01-uts --quiet sleep 59; echo status=$?\n");
    eventually("sleep", || running(role, &["sleep", "59"]).len() == 1);
    terminal.press("\x03");
    terminal.read_until("status=130\n");
}

/// The terminal sends it to the whole foreground process group: forwarded, it would come twice.
fn ctrl_c_is_not_forwarded(role: Role) {
    let log = format!("/tmp/ch01-uts-{}-{}", std::process::id(), role.uid());
    let mut terminal = Terminal::open(role);
    let trace = format!("strace -o {log} -e trace=/poll,pidfd_send_signal ch01-uts --quiet");
    // The command survives it, so that the parent has nothing to do but look at the signal.
    terminal.press(&format!(
        "{trace} sh -c 'trap : INT; echo re''ady; sleep 0.3; sleep 0.3; exit 4'; echo status=$?\n"
    ));
    terminal.read_until("ready\n");
    terminal.press("\x03");
    terminal.read_until("status=4\n");
    let calls = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(calls.contains("poll"), "{calls}");
    assert!(!calls.contains("pidfd_send_signal("), "a signal is sent on: {calls}");
}

/// It is killed after it has a child, and before that child has asked to die with it.
fn a_parent_that_died_too_early_is_noticed(role: Role) {
    let delay = "inject=prctl:delay_enter=500000";
    let command = ["ch01-uts", "--quiet", "sleep", "58"];
    let trace = [&["-f", "-o", "/dev/null", "-e", delay], &command[..]].concat();
    let mut strace = role.start("strace", &trace);
    eventually("the child", || running(role, &command).len() == 2);
    let parent = children(strace.pid())[0];
    kill(Pid::from_raw(parent as i32), Signal::SIGKILL).unwrap();
    strace.end();
    assert!(running(role, &["sleep", "58"]).is_empty());
    assert!(running(role, &command).is_empty());
}

/// A shell with job control takes the terminal; killed, it cannot give it back.
fn the_terminal_is_given_back(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.run("sh -c 'ch01-uts --quiet; read line; echo got=$line'");
    terminal.press("kill -KILL $$\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.press("typed\n");
    terminal.read_until("got=typed\n");
}

fn ctrl_z_stops_and_fg_continues(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.press("ch01-uts --quiet -- sh -c 'echo re''ady; sleep 0.5; echo done'\n");
    terminal.read_until("ready\n");
    terminal.press("\x1a");
    terminal.read_until("Stopped");
    terminal.press("fg\n");
    terminal.read_until("done\n");
}

/// The shell takes the terminal when it puts us into the background, and keeps it.
fn the_terminal_is_left_to_who_took_it(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.press("ch01-uts --quiet sleep 1.7\n");
    eventually("sleep", || running(role, &["sleep", "1.7"]).len() == 1);
    terminal.press("\x1a");
    terminal.read_until("Stopped");
    terminal.press("bg\n");
    eventually("its end", || running(role, &["sleep", "1.7"]).is_empty());
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.press("echo al''ive\n");
    terminal.read_until("alive\n");
}

/// nix knows 31 signals, and the kernel 64.
fn a_real_time_signal_is_a_death_like_others(role: Role) {
    let output = role.run("ch01-uts", &["--quiet", "--", "sh", "-c", "kill -34 $$"]);
    assert_eq!((output.status, output.stderr.as_str()), (162, ""));
}

fn the_status_is_known_to_who_ignores_children(role: Role) {
    let command = ["ch01-uts", "--quiet", "--", "sh", "-c", "exit 3"];
    let output = role.run("env", &[&["--ignore-signal=CHLD"], &command[..]].concat());
    assert_eq!((output.status, output.stderr.as_str()), (3, ""));
}

fn a_closed_pipe_is_no_panic(role: Role) {
    let output = role.run("sh", &["-c", "ch01-uts true | true; ch01-uts true > /dev/full"]);
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert_eq!(output.status, 125);
}

/// Its table fills the pipe, so the child has not become the command yet.
fn signals_are_forwarded_before_the_exec(role: Role) {
    let fill = "dd if=/dev/zero of=/proc/self/fd/9 oflag=nonblock bs=4096 2>/dev/null";
    let script = format!("mkfifo $0; exec 9<>$0; rm $0; {fill}; exec ch01-uts true >&9");
    let fifo = format!("/tmp/ch01-fifo-{}-{}", std::process::id(), role.uid());
    let parent = role.start("sh", &["-c", &script, &fifo]);
    let child = || {
        let mut pids = children(parent.pid()).into_iter();
        pids.find(|pid| status_line(*pid, "Name") == "ch01-uts")
    };
    eventually("a child", || child().is_some());
    let child = child().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!is_gone(child));
    parent.signal(Signal::SIGTERM);
    eventually("the child's end", || is_gone(child));
}

fn it_nests(role: Role) {
    let inner = ["ch01-uts", "--quiet", "--hostname", "inner", "cat", "/proc/sys/kernel/hostname"];
    let output =
        role.run("ch01-uts", &[&["--quiet", "--hostname", "outer", "--"][..], &inner].concat());
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("inner\n", ""));
}
