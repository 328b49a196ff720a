//! The terminal: keys are pressed, and the screen is read.

use harness::terminal::Terminal;
use harness::{Claim, Role, claim};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::PROGRAM;

pub fn claims() -> Vec<Claim> {
    vec![
        claim!(it_has_a_terminal_of_its_own),
        claim!(keys_stop_and_end_jobs_inside),
        claim!(its_size_follows),
        claim!(the_outer_terminal_is_as_it_was),
        claim!(without_a_terminal_it_has_a_session_alone),
        claim!(ctrl_c_reaches_a_script_in_a_pipe),
        claim!(from_the_background_it_comes_as_it_should),
        claim!(it_is_raw_again_after_a_stop),
    ]
}

/// A shell in a container, in a terminal.
fn open(role: Role) -> Terminal {
    let mut terminal = Terminal::open(role);
    terminal.press(&format!("exec {PROGRAM} --quiet --env PS1='%> ' -- sh\n"));
    terminal.read_until("\n%> ");
    terminal
}

fn it_has_a_terminal_of_its_own(role: Role) {
    let mut terminal = open(role);
    terminal.press("tty; ls /dev/pts; exec 2>&1; echo x >/dev/tty && echo =\n");
    let shown = terminal.read_until("\n=\n");
    assert!(
        shown.contains("/dev/pts/0\n0\nptmx\n") || shown.contains("/dev/pts/0\n0  ptmx\n"),
        "{shown}"
    );
}

fn keys_stop_and_end_jobs_inside(role: Role) {
    let mut terminal = open(role);
    // The shell would complain if it had no jobs.
    terminal.press("echo $-\n");
    assert!(terminal.read_until("\n%> ").contains('m'));
    terminal.press("sleep 60\n");
    terminal.read_until("sleep 60\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.press("\x1a");
    assert!(terminal.read_until("%> ").contains("Stopped"));
    terminal.press("fg\n");
    terminal.read_until("sleep 60\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.press("\x03");
    terminal.read_until("%> ");
    terminal.press("echo =$?=\n");
    assert!(terminal.read_until("\n%> ").contains("=130="));
}

fn its_size_follows(role: Role) {
    let mut terminal = open(role);
    for (rows, columns) in [(33, 77), (12, 140)] {
        terminal.resize(rows, columns);
        terminal.press("sleep 0.2; stty size\n");
        let shown = terminal.read_until("\n%> ");
        assert!(shown.contains(&format!("{rows} {columns}")), "{shown}");
    }
}

fn the_outer_terminal_is_as_it_was(role: Role) {
    let mut terminal = Terminal::open(role);
    let before = terminal.run("stty -g");
    for command in ["true", "no-such-command", "stty raw -echo", "sh -c 'kill -9 $$'"] {
        terminal.run(&format!("{PROGRAM} --quiet {command}"));
        assert_eq!(terminal.run("stty -g"), before, "{command}");
    }
}

fn without_a_terminal_it_has_a_session_alone(role: Role) {
    let mut terminal = Terminal::open(role);
    // What is no terminal of its own it cannot type into: TIOCSTI takes one.
    let shown = terminal.run(&format!("{PROGRAM} --quiet -- sh -c ': </dev/tty' 2>&1 | cat"));
    assert!(shown.contains("No such device or address"), "{shown}");
}

fn ctrl_c_reaches_a_script_in_a_pipe(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal
        .press(&format!("{PROGRAM} --quiet -- sh -c 'echo begun; sleep 60; echo after' | cat\n"));
    terminal.read_until("\nbegun\n");
    // A shell that is about to start a program defers it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.press("\x03");
    let started = std::time::Instant::now();
    assert!(!terminal.run("").contains("after"));
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

/// A shell that edits its line has the terminal in a state that no other program wants.
fn from_the_background_it_comes_as_it_should(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal.press(&format!(
        "stty -icanon -echo; {PROGRAM} --quiet --env PS1='%> ' -- sh & \
         sleep 0.5; stty icanon echo; fg\n"
    ));
    terminal.read_until("\n%> ");
    terminal.press("stty -a | tr ' ;' '\\n' | grep -e icanon -e '^.\\?echo$'\n");
    let shown = terminal.read_until("\n%> ");
    assert!(shown.contains("\nicanon\necho"), "{shown}");
}

fn it_is_raw_again_after_a_stop(role: Role) {
    let mut terminal = Terminal::open(role);
    terminal
        .press(&format!("sh -c 'echo pid $$.; exec {PROGRAM} --quiet --env PS1=\"%> \" -- sh'\n"));
    let shown = terminal.read_until("\n%> ");
    let pid = shown.rsplit_once("\npid ").unwrap().1.split('.').next().unwrap();
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGSTOP).unwrap();
    // Each time with the command.
    terminal.read_until("Stopped");
    terminal.read_until("-- sh\"\n");
    terminal.press("stty sane; fg\n");
    terminal.read_until("-- sh\"\n");
    terminal.press("sleep 60\n");
    terminal.read_until("sleep 60\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.press("\x03");
    terminal.read_until("%> ");
    terminal.press("echo =$?=\n");
    assert!(terminal.read_until("\n%> ").contains("=130="));
}
