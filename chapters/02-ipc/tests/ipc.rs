//! The claims of chapter 2, looked at from outside.

use std::process::ExitCode;

use harness::program::{children, differing, namespace};
use harness::{Claim, Role, Running, claim};

const NONE: &str = "\
message queue 0x63683032  -
semaphore set 0x63683032  -
shared memory 0x63683032  -
POSIX queue /ch02         -
";
const ALL: &str = "\
message queue 0x63683032  here
semaphore set 0x63683032  here
shared memory 0x63683032  here
POSIX queue /ch02         here
";

fn main() -> ExitCode {
    let claims = vec![
        claim!(both_flags_count),
        claim!(unshare_moves_the_caller_itself),
        claim!(objects_outside_are_not_seen_inside),
        claim!(objects_inside_are_not_seen_outside),
        claim!(the_kernels_own_list_agrees),
        claim!(making_is_all_or_nothing),
        claim!(a_queue_of_another_users_is_seen).only(Role::Root).needs(&["setpriv", "nobody"]),
        claim!(join_enters_both_namespaces_of_a_process),
        claim!(join_sees_the_objects_of_the_joined),
        claim!(join_by_file_enters_that_namespace_alone).only(Role::Root),
        claim!(join_by_file_takes_its_owner).only(Role::User),
        claim!(join_ones_own_namespaces_changes_nothing),
        claim!(join_a_process_that_is_gone),
        claim!(join_a_file_that_is_no_namespace),
        claim!(join_a_file_that_is_not_there),
        claim!(join_goes_with_no_other_door),
    ];
    harness::main(
        env!("CARGO_MANIFEST_DIR"),
        claims.into_iter().map(|claim: Claim| claim.needs(&["userns"])).collect(),
    )
}

/// A command in a new namespace pair, and its process id.
fn start(role: Role) -> (Running, u32) {
    let args = [
        "--quiet",
        "--hostname",
        "joined",
        "--",
        "sh",
        "-c",
        "ch02-objects make; echo ready; exec sleep 60",
    ];
    let mut running = role.start("ch02-ipc", &args);
    assert_eq!(running.line(), "ready");
    let command = children(running.pid())[0];
    (running, command)
}

fn both_flags_count(role: Role) {
    let (running, command) = start(role);
    assert_eq!(differing(running.pid(), command), ["ipc", "uts"]);
}

fn unshare_moves_the_caller_itself(role: Role) {
    let script = "echo $$; ch02-objects; exec sleep 60";
    let mut running = role.start("ch02-ipc", &["--quiet", "--unshare", "--", "sh", "-c", script]);
    assert_eq!(running.line(), running.pid().to_string());
    assert_eq!(running.line(), NONE.lines().next().unwrap());
    let moved = differing(std::process::id(), running.pid());
    let expected: &[&str] =
        if role == Role::Root { &["ipc", "uts"] } else { &["ipc", "user", "uts"] };
    assert_eq!(moved, expected);
}

/// The outside is an IPC namespace of the test's own: nothing lands in the machine's.
fn objects_outside_are_not_seen_inside(role: Role) {
    let script = "ch02-objects make; ch02-objects; ch02-ipc --quiet ch02-objects; ch02-objects remove; ch02-objects";
    let output = role.run("unshare", &["-Ur", "--ipc", "sh", "-c", script]);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        (format!("{ALL}{NONE}{NONE}").as_str(), "")
    );
}

fn objects_inside_are_not_seen_outside(role: Role) {
    let script = "ch02-ipc --quiet ch02-objects make; ch02-objects";
    let output = role.run("unshare", &["-Ur", "--ipc", "sh", "-c", script]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (NONE, ""));
}

/// 1667772466 is 0x63683032. POSIX queues are files of a file system that shows the namespace it
/// was mounted in.
fn the_kernels_own_list_agrees(role: Role) {
    let script = "list() {
                      for kind in msg sem shm; do grep -c '^ *1667772466 ' /proc/sysvipc/$kind; done
                      ls $folder
                  }
                  folder=$(mktemp -d) && mount -t mqueue none $folder
                  ch02-objects make; list; ch02-objects remove; list
                  umount $folder; rmdir $folder";
    let output = role.run("unshare", &["-Ur", "--ipc", "--mount", "sh", "-c", script]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("1\n1\n1\nch02\n0\n0\n0\n", ""));
}

fn making_is_all_or_nothing(role: Role) {
    // No queue may be made here; a limit of 0 stops root too.
    let script =
        "echo 0 > /proc/sys/kernel/shmmni; ch02-objects make; echo status=$?; ch02-objects";
    let output = role.run("unshare", &["-Ur", "--ipc", "sh", "-c", script]);
    if output.stderr.contains("shmmni: Permission denied") {
        // Before 5.18 these limits could be set by real root only: the key that is taken stops it
        // as well.
        let script = "ch02-objects make; ch02-objects make; echo status=$?";
        assert_eq!(
            role.run("unshare", &["-Ur", "--ipc", "sh", "-c", script]).stdout,
            "status=125\n"
        );
        return;
    }
    assert_eq!(output.stdout, format!("status=125\n{NONE}"));
    assert_eq!(
        output.stderr,
        "ch02-objects: cannot make shared memory 0x63683032: shmget(0x63683032, IPC_CREAT | IPC_EXCL): \
         ENOSPC: No space left on device\n"
    );
}

fn a_queue_of_another_users_is_seen(role: Role) {
    let script =
        "ch02-objects make; setpriv --reuid=65534 --regid=65534 --clear-groups ch02-objects";
    let output = role.run("unshare", &["--ipc", "sh", "-c", script]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (ALL, ""));
}

fn join_enters_both_namespaces_of_a_process(role: Role) {
    let (_running, command) = start(role);
    let target = command.to_string();
    let mut joined = role
        .start("ch02-ipc", &["--quiet", "--join", &target, "sh", "-c", "hostname; exec sleep 60"]);
    assert_eq!(joined.line(), "joined");
    for kind in ["ipc", "uts"] {
        assert_eq!(namespace(joined.pid(), kind), namespace(command, kind), "{kind}");
    }
}

fn join_sees_the_objects_of_the_joined(role: Role) {
    let (_running, command) = start(role);
    let output = role.run("ch02-ipc", &["--quiet", "--join", &command.to_string(), "ch02-objects"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (ALL, ""));
}

fn join_by_file_enters_that_namespace_alone(role: Role) {
    let (_running, command) = start(role);
    let file = format!("/proc/{command}/ns/uts");
    let script = "hostname; exec sleep 60";
    let mut joined = role.start("ch02-ipc", &["--quiet", "--join", &file, "sh", "-c", script]);
    assert_eq!(joined.line(), "joined");
    assert_eq!(differing(std::process::id(), joined.pid()), ["uts"]);
}

fn join_by_file_takes_its_owner(role: Role) {
    let (_running, command) = start(role);
    let file = format!("/proc/{command}/ns/uts");
    let output = role.run("ch02-ipc", &["--quiet", "--join", &file, "true"]);
    assert_eq!(
        output.stderr,
        format!(
            "ch02-ipc: cannot join the namespace {file}: setns({file:?}): EPERM: Operation not permitted\n  \
             help: the namespace is not yours; join as root, or as the user who made it and by PID\n"
        )
    );
    assert_eq!(output.status, 125);
}

fn join_ones_own_namespaces_changes_nothing(role: Role) {
    let output = role.run("sh", &["-c", "ch02-ipc --quiet --join $$ readlink /proc/self/ns/uts"]);
    assert_eq!(output.stdout.trim(), namespace(std::process::id(), "uts"));
}

fn join_a_process_that_is_gone(role: Role) {
    let output = role.run("ch02-ipc", &["--join", "4194305", "true"]);
    assert_eq!(
        output.stderr,
        "ch02-ipc: cannot join the namespaces of process 4194305: pidfd_open(4194305): ESRCH: No such process\n  \
         help: there is no such process; `ps -e` lists those there are\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn join_a_file_that_is_no_namespace(role: Role) {
    let output = role.run("ch02-ipc", &["--join", "/etc/passwd", "true"]);
    assert_eq!(
        output.stderr,
        "ch02-ipc: cannot join the namespace /etc/passwd: setns(\"/etc/passwd\"): EINVAL: Invalid argument\n  \
         help: this is no namespace; they are in /proc/PID/ns\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn join_a_file_that_is_not_there(role: Role) {
    let output = role.run("ch02-ipc", &["--join", "/no/such/file", "true"]);
    assert_eq!(
        output.stderr,
        "ch02-ipc: cannot join the namespace /no/such/file: open(\"/no/such/file\"): \
         ENOENT: No such file or directory\n  help: give the id of a process, or a file of /proc/PID/ns\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn join_goes_with_no_other_door(role: Role) {
    assert_eq!(role.run("ch02-ipc", &["--join", "1", "--unshare", "true"]).status, 2);
}
