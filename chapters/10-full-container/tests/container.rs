//! The claims of chapter 10, looked at from outside, and, what a container sees of itself, from
//! inside.

mod gallery;
mod terminal;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::cgroups::{Subtree, folder_of, v1};
use harness::files::{self, rootfs};
use harness::program::{
    KINDS, children, differing, eventually, give_key, is_gone, namespace, status_line,
};
use harness::{Output, Role, Running, claim};
use nix::sys::signal::Signal;

const PROGRAM: &str = "ch10-full-container";

fn main() -> ExitCode {
    let anywhere = vec![
        claim!(eight_namespaces_differ),
        claim!(root_inside_is_nobody_s_root_outside),
        claim!(of_subordinate_ids_there_is_a_range).only(Role::User).needs(&["subids"]),
        claim!(an_init_is_pid_1_and_reaps),
        claim!(who_is_left_dies_with_the_command),
        // An overlay, which cannot be id-mapped, cannot keep the layer of another either.
        claim!(nothing_of_the_machine_is_mounted).needs(&["busybox", "idmap"]),
        claim!(above_the_root_there_is_nothing).needs(&["busybox", "idmap"]),
        claim!(a_new_proc_sys_dev_and_queue),
        claim!(capabilities_are_given_up_for_good),
        claim!(mounts_hold),
        claim!(what_is_written_is_forgotten).needs(&["busybox"]),
        claim!(what_is_kept_goes_on).needs(&["busybox", "idmap"]),
        claim!(one_layer_is_for_one_container).needs(&["idmap"]),
        claim!(a_read_only_root_stays_as_it_is).needs(&["busybox"]),
        claim!(volumes_are_mounted),
        claim!(the_environment_is_new),
        claim!(init_shows_nothing_of_its_past),
        claim!(it_begins_where_it_is_told),
        claim!(the_user_is_who_was_asked_for).only(Role::Root),
        claim!(the_host_name_is_its_own),
        claim!(without_a_network_there_is_lo_and_it_is_up).needs(&["ping"]),
        claim!(a_cable_leads_out).needs(&["ping"]),
        claim!(the_network_of_the_machine_is_the_machine_s),
        claim!(the_status_passes),
        claim!(signals_go_to_the_command),
        claim!(it_does_not_outlive_its_parent),
        claim!(no_descriptor_leads_outside),
        claim!(links_of_a_root_file_system_lead_nowhere).needs(&["busybox"]),
        claim!(a_kept_layer_leads_nowhere).needs(&["idmap"]),
        claim!(a_pipe_can_be_opened_anew).only(Role::Root),
        claim!(a_file_stays_whose_it_is).only(Role::Root),
        claim!(what_a_root_file_system_says_of_users_may_be_anything)
            .only(Role::Root)
            .needs(&["busybox"]),
        claim!(whatever_the_umask_was_it_is_open_to_its_users).only(Role::Root),
        claim!(a_signal_that_comes_early_is_not_lost),
        claim!(keys_stay_outside).needs(&["python3"]),
        claim!(one_process_starts_it_and_no_thread).needs(&["strace"]),
        // Under strace, newuidmap has not its set-user-ID bit.
        claim!(each_step_is_told_with_its_call).only(Role::Root).needs(&["strace"]),
        claim!(what_does_not_go_is_refused),
        claim!(a_thousand_starts_eight_at_a_time),
    ];
    let with_cgroups = vec![
        claim!(limits_are_set_before_the_command),
        claim!(the_default_limits_processes),
        claim!(its_cgroup_is_the_root_it_sees),
        claim!(its_limits_are_out_of_reach).needs(&["v2"]),
        claim!(its_cgroups_are_removed),
        // A user's next run may be in another cgroup, and looks there.
        claim!(what_sigkill_leaves_the_next_run_removes).only(Role::Root),
    ];
    let without = vec![
        claim!(who_may_not_remove_its_cgroups_locks_none)
            .only(Role::Root)
            .needs(&["userns", "strace", "v1"]),
        claim!(without_cgroups_it_says_so_once).only(Role::User).needs(&["userns", "v1"]),
        claim!(limits_that_cannot_be_had_are_refused).only(Role::User).needs(&["userns", "v1"]),
    ];
    let claims = anywhere
        .into_iter()
        .chain(terminal::claims())
        .map(|claim| claim.needs(&["userns"]))
        .chain(gallery::claims())
        .chain(with_cgroups.into_iter().map(|claim| claim.needs(&["userns", "cgroups"])))
        .chain(without);
    harness::main(env!("CARGO_MANIFEST_DIR"), claims.collect())
}

/// Runs a script in a container.
fn run(role: Role, flags: &[&str], script: &str) -> Output {
    role.run(PROGRAM, &[&["--quiet"], flags, &["--", "sh", "-c", script]].concat())
}

/// What such a script prints, if all goes well.
fn inside(role: Role, flags: &[&str], script: &str) -> String {
    let output = run(role, flags, script);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{output:?}");
    output.stdout
}

/// A container that waits, and its command.
fn start(role: Role, flags: &[&str]) -> (Running, u32) {
    let mut running = role.start(
        PROGRAM,
        &[&["--quiet"], flags, &["--", "sh", "-c", "echo ready; exec sleep 60"]].concat(),
    );
    assert_eq!(running.line(), "ready");
    let command = command_of(&running);
    (running, command)
}

/// The child of the init, which is the child of the program.
fn command_of(running: &Running) -> u32 {
    children(children(running.pid())[0])[0]
}

fn eight_namespaces_differ(role: Role) {
    let (running, command) = start(role, &[]);
    assert_eq!(differing(running.pid(), command), KINDS);
}

fn root_inside_is_nobody_s_root_outside(role: Role) {
    let (_running, command) = start(role, &[]);
    let map = fs::read_to_string(format!("/proc/{command}/uid_map")).unwrap();
    let first: Vec<u32> =
        map.split_whitespace().take(3).map(|word| word.parse().unwrap()).collect();
    let owner = fs::metadata(format!("/proc/{command}")).unwrap().uid();
    assert_eq!((first[0], first[1]), (0, owner));
    match role {
        Role::Root => assert!(owner > 65535 && first[2] == 65536, "{map}"),
        Role::User => assert_eq!(owner, role.uid()),
    }
}

fn of_subordinate_ids_there_is_a_range(role: Role) {
    let (_running, command) = start(role, &[]);
    for file in ["uid_map", "gid_map"] {
        let map = fs::read_to_string(format!("/proc/{command}/{file}")).unwrap();
        let counts: u32 = map
            .lines()
            .map(|line| line.split_whitespace().nth(2).unwrap().parse::<u32>().unwrap())
            .sum();
        assert!(counts > 65535, "{map}");
    }
    assert_eq!(inside(role, &[], "touch /x && chown 7:8 /x && stat -c %u:%g /x"), "7:8\n");
}

fn an_init_is_pid_1_and_reaps(role: Role) {
    let script = "(sleep 0.1 & echo $! >/tmp/pid); until ! kill -0 $(cat /tmp/pid); do sleep 0.02; done 2>/dev/null; \
                  ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; cut -d ' ' -f 6 /proc/1/stat";
    // The init, the shell, and of a pipe's two processes the one that lists.
    let output = inside(role, &[], script);
    let lines: Vec<_> = output.lines().collect();
    assert!(["3", "4"].contains(&lines[0]) && lines[1] == "ch10-full-conta", "{output}");
    // It leads a session of its own: keys that are pressed outside do not reach it.
    assert_eq!(lines[2], "1", "{output}");
}

fn who_is_left_dies_with_the_command(role: Role) {
    let mark = format!("60.{}{}", std::process::id(), role.uid());
    let output = run(role, &[], &format!("setsid sleep {mark} & sleep 0.1"));
    assert_eq!(output.status, 0, "{output:?}");
    assert!(harness::program::running(role, &["sleep", &mark]).is_empty());
}

/// With each kind of root.
fn roots(role: Role, test: impl Fn(&[&str])) {
    let (folder, root) = rootfs(role);
    let keep = folder.path().join("keep").to_str().unwrap().to_owned();
    for flags in [
        &[][..],
        &["--rootfs", &root],
        &["--read-only"],
        &["--read-only", "--rootfs", &root],
        &["--keep", &keep],
        &["--network", "host"],
    ] {
        // The folder of a kept layer may be on a file system that cannot be id-mapped.
        if flags.contains(&"--rootfs") && role == Role::Root && !can_idmap() {
            continue;
        }
        test(flags);
    }
}

fn can_idmap() -> bool {
    let kind = Role::Root.run("stat", &["--file-system", "--format=%T", "/tmp"]).stdout;
    !["tmpfs", "overlayfs"].contains(&kind.trim())
}

fn nothing_of_the_machine_is_mounted(role: Role) {
    let outside = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let devices = |text: &str| -> Vec<(String, String)> {
        let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.map(|line| (line[2].to_owned(), line[4].to_owned())).collect()
    };
    let root_of_machine = devices(&outside).into_iter().rfind(|(_, place)| place == "/").unwrap().0;
    roots(role, |flags| {
        let (_running, command) = start(role, flags);
        let text = fs::read_to_string(format!("/proc/{command}/mountinfo")).unwrap();
        let mounts = devices(&text);
        assert_eq!(mounts.iter().filter(|(_, place)| place == "/").count(), 1, "{flags:?}: {text}");
        for (device, place) in &mounts {
            let known = ["/", "/proc", "/sys", "/dev", "/tmp", "/usr", "/etc", "/bin", "/sbin"];
            let is_known = known.contains(&place.as_str())
                || ["/dev/", "/lib", "/sys/", "/etc/"].iter().any(|start| place.starts_with(start));
            assert!(is_known, "{flags:?}: {place}");
            let is_binds = flags.contains(&"--read-only") || flags.contains(&"--keep");
            assert!(is_binds || *device != root_of_machine, "{flags:?}: {place} is the machine's");
        }
        // No path of the machine leads through.
        let root = fs::metadata(format!("/proc/{command}/root/root"));
        let machine = fs::metadata("/root").unwrap();
        assert!(root.is_err() || root.unwrap().ino() != machine.ino(), "{flags:?}");
    });
}

fn above_the_root_there_is_nothing(role: Role) {
    roots(role, |flags| {
        let script = "ls -id / /.. /../../.. | sort -u | wc -l; ls -a /.. >/tmp/x; ls -a / | cmp - /tmp/x && echo same";
        let script = if flags.contains(&"--read-only") && flags.contains(&"--rootfs") {
            script.replace("/tmp/x", "/dev/shm/x")
        } else {
            script.to_owned()
        };
        let script = script.replace("ls -id / /.. /../../.. | sort -u | wc -l; ", "");
        assert_eq!(inside(role, flags, &script), "same\n", "{flags:?}");
    });
}

fn a_new_proc_sys_dev_and_queue(role: Role) {
    let (running, command) = start(role, &[]);
    let text = fs::read_to_string(format!("/proc/{command}/mountinfo")).unwrap();
    let kind = |place: &str| {
        let lines = text.lines().filter(|line| line.split(' ').nth(4) == Some(place));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 1, "{place} in {text}");
        lines[0].split(" - ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    for (place, expected) in [
        ("/", "tmpfs"),
        ("/usr", "overlay"),
        ("/etc", "overlay"),
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
    ] {
        assert_eq!(kind(place), expected);
    }
    assert_ne!(namespace(running.pid(), "time"), namespace(command, "time"));
    let script = "cd /proc; ls -d [0-9]*; ls /sys/class/net /dev/pts; echo x >/dev/null && head -c1 /dev/urandom | wc -c";
    let listed = inside(role, &[], script);
    assert_eq!(listed.replace('\n', " "), "1 2 /dev/pts: ptmx  /sys/class/net: lo 1 ", "{listed}");
}

fn capabilities_are_given_up_for_good(role: Role) {
    let (_running, command) = start(role, &[]);
    // Docker's set: `docker run busybox grep Cap /proc/self/status`.
    for (line, expected) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "00000000a80425fb"),
        ("CapEff", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        assert_eq!(status_line(command, line), expected, "{line}");
    }
    // The init has them no more than its command has.
    let script = "grep -E 'Cap(Prm|Eff|Bnd)' /proc/1/status | sort -u -k2 | wc -l; grep CapEff /proc/1/status";
    assert_eq!(inside(role, &[], script), "1\nCapEff:\t00000000a80425fb\n");
}

fn mounts_hold(role: Role) {
    let shared = files::folder(role);
    let volume = format!("{}:/v:ro", shared.path().display());
    for script in [
        "mount -t tmpfs none /tmp",
        "mount -o remount,bind,rw /v",
        "umount /v",
        "umount /proc",
        // Who makes a user namespace of its own gets what it takes to mount, over mounts that are
        // locked in there.
        "unshare -Urm mount -o remount,bind,rw /v",
        "unshare -Urm umount /v",
        "unshare -Urm umount /sys",
    ] {
        let output = run(
            role,
            &["--volume", &volume],
            &format!("{script}; echo $? >/tmp/status; touch /v/x; cat /tmp/status"),
        );
        assert_ne!(output.stdout, "0\n", "{script}: {output:?}");
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 0, "{script}");
    }
    // It is not for want of a mount program.
    let volume = format!("{}:/v", shared.path().display());
    if role == Role::User {
        inside(role, &["--volume", &volume], "touch /v/x");
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 1);
    }
    assert_eq!(inside(role, &[], "unshare -Urm mount -t tmpfs none /tmp && echo done"), "done\n");
}

fn what_is_written_is_forgotten(role: Role) {
    let (_folder, root) = rootfs(role);
    let before = files_below(&root);
    if role == Role::User || can_idmap() {
        let script = "echo x >/etc/new; rm /etc/hosts; mkdir /bin/d; ls /etc /bin/d | grep -c .";
        assert_eq!(inside(role, &["--rootfs", &root], script), "5\n");
        assert_eq!(files_below(&root), before);
        assert_eq!(inside(role, &["--rootfs", &root], "ls /etc"), "group\nhosts\npasswd\n");
    }
    // Of the machine's, an ordinary user can change nothing: they are nobody's.
    let name = format!("ch10-test-{}", std::process::id());
    inside(role, &[], &format!("echo x >/{name} && echo x >/tmp/{name}"));
    for folder in ["/", "/tmp", "/etc", "/usr"] {
        assert!(!std::path::Path::new(folder).join(&name).exists());
    }
    if role == Role::Root {
        inside(role, &[], &format!("echo x >/usr/{name} || true"));
    }
}

/// Every path below a folder, with what changes when something is written.
fn files_below(root: &str) -> String {
    Role::Root.run("find", &[root, "-printf", "%P %m %U %G %s %T@ %l\n"]).stdout
}

fn what_is_kept_goes_on(role: Role) {
    let (folder, root) = rootfs(role);
    let keep = folder.path().join("layer").to_str().unwrap().to_owned();
    let before = files_below(&root);
    let flags = ["--rootfs", &root, "--keep", &keep];
    assert_eq!(inside(role, &flags, "echo one >/etc/new; rm /etc/hosts; echo done"), "done\n");
    assert_eq!(inside(role, &flags, "cat /etc/new; ls /etc"), "one\ngroup\nnew\npasswd\n");
    assert_eq!(files_below(&root), before);
    // It belongs to who keeps it, and not to an id of the container.
    let kept = fs::metadata(folder.path().join("layer/upper/etc/new")).unwrap();
    assert_eq!(kept.uid(), role.uid());
    // Over the machine's own programs too.
    let keep = folder.path().join("other").to_str().unwrap().to_owned();
    inside(role, &["--keep", &keep], "echo two >/new");
    assert_eq!(inside(role, &["--keep", &keep], "cat /new"), "two\n");
}

fn one_layer_is_for_one_container(role: Role) {
    if role == Role::Root && !can_idmap() {
        return;
    }
    let folder = files::folder(role);
    let keep = folder.path().join("layer").to_str().unwrap().to_owned();
    let (running, _) = start(role, &["--keep", &keep]);
    let output = run(role, &["--keep", &keep], "true");
    assert_eq!(output.status, 125, "{output:?}");
    assert!(
        output.stderr.contains("EAGAIN") && output.stderr.contains("another container"),
        "{output:?}"
    );
    drop(running);
    eventually("the layer to be free again", || run(role, &["--keep", &keep], "true").status == 0);
}

fn a_read_only_root_stays_as_it_is(role: Role) {
    let (_folder, root) = rootfs(role);
    let mut kinds = vec![vec!["--read-only"]];
    if role == Role::User || can_idmap() {
        kinds.push(vec!["--read-only", "--rootfs", &root]);
    }
    for flags in kinds {
        let output =
            run(role, &flags, "echo x >/new; echo x >/etc/new; echo x >/dev/shm/new && echo shm");
        assert_eq!(output.stdout, "shm\n", "{output:?}");
        assert_eq!(output.stderr.matches("Read-only file system").count(), 2, "{output:?}");
    }
}

fn volumes_are_mounted(role: Role) {
    let folder = files::folder(role);
    fs::write(folder.path().join("file"), "of the machine\n").unwrap();
    let path = folder.path().display();
    let (all, one) = (format!("{path}:/a/b"), format!("{path}/file:/f:ro"));
    let script = "cat /a/b/file /f; echo x >/f";
    let output = run(role, &["--volume", &all, "--volume", &one], script);
    assert_eq!(output.stdout, "of the machine\nof the machine\n", "{output:?}");
    assert!(output.stderr.contains("Read-only file system"), "{output:?}");
}

fn the_environment_is_new(role: Role) {
    let mut command = role.command(PROGRAM);
    command.env("SECRET", "s").env("WANTED", "w").env_remove("TERM");
    command.args(["--quiet", "--env", "A=1=2", "--env", "WANTED", "--env", "ABSENT", "--", "env"]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["A=1=2", "HOME=/root", path, "WANTED=w"]);
}

fn init_shows_nothing_of_its_past(role: Role) {
    for file in ["environ", "exe", "cwd", "fd/0", "ns/mnt", "mem"] {
        let output =
            run(role, &[], &format!("cat /proc/1/{file} >/tmp/x || readlink /proc/1/{file}"));
        assert_ne!(output.status, 0, "{file}: {output:?}");
        assert!(output.stderr.contains("Permission denied"), "{file}: {output:?}");
    }
}

fn it_begins_where_it_is_told(role: Role) {
    assert_eq!(inside(role, &[], "pwd"), "/\n");
    assert_eq!(inside(role, &["--workdir", "/usr/bin"], "pwd"), "/usr/bin\n");
    let output = run(role, &["--workdir", "/no/such"], "pwd");
    assert_eq!(output.status, 125, "{output:?}");
    assert!(output.stderr.contains("openat2(\"/no/such\"): ENOENT"), "{output:?}");
    // What the link leads to would be the folder to begin in, wherever that is.
    let output = run(role, &["--workdir", "/proc/self/cwd"], "pwd");
    assert!(output.stderr.contains("openat2(\"/proc/self/cwd\"): ELOOP"), "{output:?}");
}

fn the_user_is_who_was_asked_for(role: Role) {
    let id =
        "id -u; id -g; id -G; grep -E 'CapEff|CapPrm' /proc/self/status | sort -u -k2 | cut -f2";
    let none = "0000000000000000";
    let nobody = format!("65534\n65534\n65534\n{none}\n");
    assert_eq!(inside(role, &["--user", "nobody"], id), nobody);
    assert_eq!(inside(role, &["--user", "65534"], id), nobody);
    assert_eq!(inside(role, &["--user", "1234"], id), format!("1234\n0\n0\n{none}\n"));
    assert_eq!(inside(role, &["--user", "1234:daemon"], id), format!("1234\n1\n1\n{none}\n"));
    let output = run(role, &["--user", "no-such-user"], id);
    assert_eq!(output.status, 125, "{output:?}");
    assert!(output.stderr.contains("no-such-user in /etc/passwd of the container"), "{output:?}");
    let output = run(role, &["--user", "70000"], id);
    assert!(output.stderr.contains("setresuid(70000): EINVAL"), "{output:?}");
    // Where no map has taken them, the caller's groups would be the command's as well.
    let flags = ["--quiet", "--without", "user-namespace", "--user", "1234", "id", "-G"];
    let output = role.run("setpriv", &[&["--groups", "54321", "--", PROGRAM][..], &flags].concat());
    assert_eq!(output.stdout, "0\n", "{output:?}");
}

fn the_host_name_is_its_own(role: Role) {
    assert_eq!(inside(role, &[], "hostname"), "box\n");
    assert_eq!(inside(role, &["--hostname", "other"], "hostname"), "other\n");
}

fn without_a_network_there_is_lo_and_it_is_up(role: Role) {
    let script = "ls /sys/class/net; cat /sys/class/net/lo/operstate; ping -c1 -W1 127.0.0.1 >/dev/null && echo answers";
    assert_eq!(inside(role, &[], script), "lo\nunknown\nanswers\n");
}

fn a_cable_leads_out(role: Role) {
    let script = "ls /sys/class/net; ping -c1 -W2 10.79.0.1 >/dev/null && echo answers";
    let flags = ["--network", "veth", "--address", "10.79.0.2/24", "--gateway", "10.79.0.1"];
    assert_eq!(inside(role, &flags, script), "eth0\nlo\nanswers\n");
    let left: Vec<_> = fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("veth") && inside_link(name) == "10.79.0.1")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn inside_link(name: &str) -> String {
    let shown = Role::Root.run("ip", &["-4", "-o", "address", "show", "dev", name]).stdout;
    shown
        .split_whitespace()
        .nth(3)
        .unwrap_or_default()
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn the_network_of_the_machine_is_the_machine_s(role: Role) {
    let (running, command) = start(role, &["--network", "host"]);
    assert_eq!(namespace(running.pid(), "net"), namespace(command, "net"));
    let differ: Vec<_> = KINDS.into_iter().filter(|kind| *kind != "net").collect();
    assert_eq!(differing(running.pid(), command), differ);
    assert_eq!(
        inside(
            role,
            &["--network", "host"],
            "touch /sys/x 2>/dev/null || ls /sys/class/net | head -1 | grep -c ."
        ),
        "1\n"
    );
}

fn the_status_passes(role: Role) {
    for (command, status) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
    ] {
        let output = role.run(PROGRAM, &[&["--quiet", "--"], command].concat());
        assert_eq!(output.status, status, "{command:?}: {output:?}");
    }
    assert_eq!(role.run(PROGRAM, &["--no-such-flag"]).status, 2);
}

fn signals_go_to_the_command(role: Role) {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGTERM] {
        let script = format!(
            "trap 'echo caught; exit 9' {}; echo ready; while :; do sleep 0.05; done",
            &signal.as_str()[3..]
        );
        let mut running = role.start(PROGRAM, &["--quiet", "--", "sh", "-c", &script]);
        assert_eq!(running.line(), "ready");
        running.signal(signal);
        assert_eq!((running.line().as_str(), running.end()), ("caught", 9), "{signal}");
    }
}

fn it_does_not_outlive_its_parent(role: Role) {
    let (mut running, command) = start(role, &[]);
    running.signal(Signal::SIGKILL);
    running.end();
    eventually("the end of the command", || is_gone(command));
}

fn no_descriptor_leads_outside(role: Role) {
    let script =
        format!("exec 7</; exec 8>&1; exec 9</etc; exec {PROGRAM} --quiet ls /proc/self/fd");
    let output = role.run("sh", &["-c", &script]);
    assert_eq!(output.stdout, "0\n1\n2\n3\n", "{output:?}");
    for redirection in ["</", "2</", "5</ >&5"] {
        let output = role.run("sh", &["-c", &format!("exec {PROGRAM} --quiet true {redirection}")]);
        assert_eq!(output.status, 125, "{redirection}: {output:?}");
    }
}

fn links_of_a_root_file_system_lead_nowhere(role: Role) {
    let (folder, root) = rootfs(role);
    // It runs without the libraries that it would not find in there, and does what it is called.
    let outside = fs::canonicalize("/bin/busybox").unwrap();
    let command = std::path::Path::new(&root).join("echo");
    // The lock on a layer is open meanwhile, and lies on the machine's root.
    let keep = folder.path().join("keep");
    let keep = ["--keep", keep.to_str().unwrap()];
    let keep = if can_idmap() { &keep[..] } else { &[] };
    // That is among the first ones. An end with a layer on a disk takes long: it is synchronised.
    let places = (3..14).map(|fd| (&[][..], fd)).chain((3..6).map(|fd| (keep, fd)));
    for (flags, fd) in places {
        _ = fs::remove_file(&command);
        let link = format!("/proc/self/fd/{fd}/../../../../../../..{}", outside.display());
        std::os::unix::fs::symlink(link, &command).unwrap();
        let script = "exec 9</; exec \"$@\"";
        let start = ["-c", script, "sh", PROGRAM, "--quiet", "--rootfs", &root];
        let output = role.run("sh", &[&start[..], flags, &["/echo", "out"]].concat());
        assert!(matches!(output.status, 126 | 127) && output.stdout.is_empty(), "{output:?}");
        _ = fs::remove_file(&command);
        std::os::unix::fs::symlink(format!("/proc/self/fd/{fd}"), &command).unwrap();
        let into = ["--rootfs", &root, "--workdir", "/echo"];
        let output = run(role, &[&into[..], flags].concat(), "pwd");
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{output:?}");
    }
}

fn a_kept_layer_leads_nowhere(role: Role) {
    let folder = files::folder(role);
    let (keep, victim) = (folder.path().join("layer"), folder.path().join("victim"));
    let (keep, victim) = (keep.to_str().unwrap(), victim.to_str().unwrap());
    assert_eq!(role.run("mkdir", &["-m", "700", victim]).status, 0);
    if role == Role::User || can_idmap() {
        inside(role, &["--keep", keep], &format!("rm -rf /tmp; ln -s '{victim}' /tmp"));
        run(role, &["--keep", keep], "true");
    }
    assert_eq!(fs::metadata(victim).unwrap().mode() & 0o7777, 0o700);
    // Root's may not be open to others.
    if role == Role::Root {
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        let output = run(role, &["--keep", open.to_str().unwrap()], "true");
        assert_eq!(output.status, 125, "{output:?}");
        assert!(output.stderr.contains("open to others than root"), "{output:?}");
    }
    // What is not a layer does not become one.
    let output = run(role, &["--keep", "/etc"], "true");
    assert_eq!(output.status, 125, "{output:?}");
    let help = "it is neither empty nor a layer\n  help: name a folder that is not there yet";
    assert!(output.stderr.contains(help), "{output:?}");
}

fn keys_stay_outside(role: Role) {
    let name = format!("ch10-key-{}", std::process::id());
    // KEYCTL_SEARCH in the keyring of the session.
    let search = format!(
        "import ctypes; \
         print(ctypes.CDLL(None).syscall({}, 10, -3, b'user', b'{name}', 0) > 0)",
        libc::SYS_keyctl
    );
    let is_found = |start: &[&str]| {
        let words = [start, &["python3", "-c", &search]].concat();
        let mut command = role.command(words[0]);
        give_key(&mut command, &name);
        String::from_utf8(command.args(&words[1..]).output().unwrap().stdout).unwrap()
    };
    assert_eq!(is_found(&[]), "True\n");
    assert_eq!(is_found(&[PROGRAM, "--quiet"]), "False\n");
}

fn a_pipe_can_be_opened_anew(role: Role) {
    let script = "echo out >/dev/stdout; echo err >/dev/stderr";
    for flags in [&[][..], &["--user", "nobody"]] {
        let output = run(role, flags, script);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    }
}

fn a_file_stays_whose_it_is(role: Role) {
    let folder = files::folder(role);
    let path = folder.path().join("file");
    for flags in [&[][..], &["--user", "nobody"]] {
        let mut command = role.command(PROGRAM);
        command.args([&["--quiet"], flags, &["echo", "out"]].concat());
        command
            .stdin(fs::File::open("/dev/null").unwrap())
            .stdout(fs::File::create(&path).unwrap());
        assert!(command.status().unwrap().success());
        assert_eq!(fs::read_to_string(&path).unwrap(), "out\n");
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
        assert_eq!(fs::metadata("/dev/null").unwrap().uid(), 0);
    }
}

fn what_a_root_file_system_says_of_users_may_be_anything(role: Role) {
    let (_folder, root) = rootfs(role);
    let passwd = std::path::Path::new(&root).join("etc/passwd");
    let nobody = |text: &[u8]| {
        fs::write(&passwd, text).unwrap();
        run(role, &["--rootfs", &root, "--user", "nobody"], "id -u")
    };
    let said = "there is no nobody in /etc/passwd of the container";
    for text in [&b"nobody:x:4294967295:0::/:/bin/sh"[..], b"nobody:x:+7:7", b"nobody:x", b"nobody"]
    {
        assert!(nobody(text).stderr.contains(said), "{text:?}");
    }
    // One byte that is no UTF-8 makes not all of it unreadable.
    if role == Role::Root {
        assert_eq!(nobody(b"\xff:x:1:1::/:/bin/sh\nnobody:x:7:8::/:/bin/sh\n").stdout, "7\n");
    }
    fs::remove_file(&passwd).unwrap();
    assert_eq!(Role::Root.run("mkfifo", &[passwd.to_str().unwrap()]).status, 0);
    let output = run(role, &["--rootfs", &root, "--user", "nobody"], "true");
    assert!(output.stderr.contains(said), "{output:?}");
}

fn whatever_the_umask_was_it_is_open_to_its_users(role: Role) {
    let script = format!(
        "umask 077; exec {PROGRAM} --quiet --user nobody -- sh -c 'umask; cd /tmp && ls -d .'"
    );
    let output = role.run("sh", &["-c", &script]);
    assert_eq!(output.stdout, "0022\n.\n", "{output:?}");
}

fn a_signal_that_comes_early_is_not_lost(role: Role) {
    for moment in 0..40 {
        let mut running = role.start(PROGRAM, &["--quiet", "sleep", "60"]);
        std::thread::sleep(Duration::from_micros(moment * 300));
        let started = Instant::now();
        running.signal(Signal::SIGTERM);
        assert_eq!(running.end(), 143, "after {moment} x 0.3 ms");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// The names of the system calls that were made, one line each, by the program alone or with all its
/// children.
fn traced(role: Role, follow: bool, args: &[&str]) -> (Output, String) {
    let folder = files::folder(role);
    let log = folder.path().join("log").to_str().unwrap().to_owned();
    let mut line = vec!["-qq", "-o", &log];
    if follow {
        line.insert(0, "-f");
    }
    let program = harness::program::folder().join(PROGRAM);
    let output = role.run("strace", &[&line[..], &[program.to_str().unwrap()], args].concat());
    (output, fs::read_to_string(&log).unwrap())
}

fn one_process_starts_it_and_no_thread(role: Role) {
    let (_, log) = traced(role, false, &["--quiet", "true"]);
    let count = |name: &str| log.lines().filter(|line| line.starts_with(name)).count();
    // Two more for newuidmap and newgidmap, if the caller has ids set aside.
    let helpers = count("vfork(") + count("clone(");
    assert_eq!((count("execve("), count("clone3({flags=CLONE_PIDFD")), (1, 1), "{log}");
    assert!(helpers == 0 || role == Role::User, "{log}");
    // This asks whether there is a thread, and makes none.
    let log = log.replace("unshare(CLONE_THREAD)", "");
    assert!(!log.contains("CLONE_THREAD"), "{log}");
}

fn each_step_is_told_with_its_call(role: Role) {
    let (output, log) = traced(role, true, &["--explain", "--quiet", "true"]);
    assert_eq!(output.status, 0, "{output:?}");
    let rows: Vec<_> = output.stderr.lines().skip(1).collect();
    assert!(rows.len() > 15, "{output:?}");
    for row in &rows {
        let fields: Vec<_> =
            row.split("  ").map(str::trim).filter(|field| !field.is_empty()).collect();
        let [.., call, chapter] = fields[..] else { panic!("{row}") };
        let chapter: u8 = chapter.parse().unwrap();
        assert!((1..=9).contains(&chapter), "{row}");
        let made = match call {
            "RTM_SETLINK" | "RTM_NEWLINK" | "RTM_NEWADDR" => "AF_NETLINK".to_owned(),
            "write(uid_map)" => "/uid_map\", O_WRONLY".to_owned(),
            "prctl(NO_NEW_PRIVS)" => "prctl(PR_SET_NO_NEW_PRIVS".to_owned(),
            "mount(MS_PRIVATE)" => "MS_REC|MS_PRIVATE".to_owned(),
            "read(/etc/subuid)" => "\"/etc/subuid\"".to_owned(),
            // By glibc.
            "fork" => "clone(child_stack=NULL".to_owned(),
            call => format!("{call}("),
        };
        assert!(log.contains(&made), "{row}: no such call");
    }
}

fn what_does_not_go_is_refused(role: Role) {
    for (flags, status, said) in [
        (&["--rootfs", "/no/such"][..], 125, "there is no such folder"),
        (&["--rootfs", "/etc/passwd"], 125, "ENOTDIR"),
        (&["--keep", "/proc/x"], 125, "ENOENT"),
        (&["--hostname", &"x".repeat(65)], 125, "at most 64 bytes"),
        (&["--volume", "/etc"], 2, "a volume is HOST:/INSIDE"),
        (&["--volume", "/no/such:/x"], 125, "nothing at this path"),
        (&["--memory", "lots"], 2, "--memory"),
        (&["--cpus", "0"], 2, "0.01 or more"),
        (&["--pids-limit", "0"], 2, "1 to 4194304"),
        (&["--env", "=x"], 2, "NAME=VALUE"),
        (&["--network", "bridge"], 2, "[possible values: none, veth, host]"),
        (&["--user", ""], 125, "in /etc/passwd of the container"),
        (&["--read-only", "--keep", "/tmp/x"], 2, "cannot be used with"),
        (&["--address", "10.0.0.300/8"], 2, "--address"),
    ] {
        let output = role.run(PROGRAM, &[flags, &["--quiet", "--", "echo", "ran"]].concat());
        assert_eq!((output.status, output.stdout.as_str()), (status, ""), "{flags:?}: {output:?}");
        assert!(output.stderr.contains(said), "{flags:?}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{output:?}");
    }
}

fn a_thousand_starts_eight_at_a_time(role: Role) {
    let script = format!(
        "seq 1000 | xargs -P8 -n1 sh -c '{PROGRAM} --quiet sh -c \"exit 7\" 2>&1; echo $?' | sort | uniq -c"
    );
    let mut command = role.command("sh");
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "1000 7");
}

fn start_in(subtree: &Subtree, flags: &[&str]) -> (Running, u32) {
    let command = ["--", "sh", "-c", "echo ready; exec sleep 60"];
    let mut running = subtree.start(&[&[PROGRAM, "--quiet"], flags, &command].concat());
    assert_eq!(running.line(), "ready");
    let command = command_of(&running);
    (running, command)
}

fn file(pid: u32, controller: &str, names: [&str; 2]) -> String {
    let name = if v1(controller).is_some() { names[0] } else { names[1] };
    let folder = folder_of(pid, controller);
    // On v2 they are those of the cgroup around its own, out of its reach.
    let folder = if v1(controller).is_some() { &folder } else { folder.parent().unwrap() };
    let path = folder.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

fn limits_are_set_before_the_command(role: Role) {
    let subtree = Subtree::new(role);
    let flags = ["--memory", "64M", "--cpus", "0.5", "--cpu-weight", "50", "--pids-limit", "99"];
    let (running, command) = start_in(&subtree, &flags);
    let is_v1 = v1("memory").is_some();
    assert_eq!(
        file(command, "memory", ["memory.limit_in_bytes", "memory.max"]),
        (64 << 20).to_string()
    );
    assert_eq!(file(command, "pids", ["pids.max", "pids.max"]), "99");
    let quota = if is_v1 { "50000" } else { "50000 100000" };
    assert_eq!(file(command, "cpu", ["cpu.cfs_quota_us", "cpu.max"]), quota);
    let weight = if is_v1 { "512" } else { "50" };
    assert_eq!(file(command, "cpu", ["cpu.shares", "cpu.weight"]), weight);
    // The program that waits is not under them.
    assert_ne!(folder_of(running.pid(), "pids"), folder_of(command, "pids"));
}

fn the_default_limits_processes(role: Role) {
    let subtree = Subtree::new(role);
    let (_running, command) = start_in(&subtree, &[]);
    assert_eq!(file(command, "pids", ["pids.max", "pids.max"]), "2048");
}

fn its_cgroup_is_the_root_it_sees(role: Role) {
    let subtree = Subtree::new(role);
    let output = subtree.run(&[PROGRAM, "--quiet", "cat", "/proc/self/cgroup"]);
    let is_v1 = v1("memory").is_some();
    let line = output
        .stdout
        .lines()
        .find(|line| if is_v1 { line.contains(":pids") } else { line.starts_with("0:") });
    assert!(line.is_some_and(|line| line.ends_with(":/")), "{output:?}");
}

fn its_limits_are_out_of_reach(role: Role) {
    let subtree = Subtree::new(role);
    let script = "mount -t cgroup2 none /tmp && cd /tmp && for file in memory.max pids.max; do \
                  echo max >$file; cat $file; done; rmdir ../tmp/* 2>/dev/null; ls -d /tmp/..";
    let line = ["unshare", "-UrmC", "sh", "-c", script];
    let output = subtree.run(
        &[&[PROGRAM, "--quiet", "--memory", "64M", "--pids-limit", "99", "--"], &line[..]].concat(),
    );
    assert!(!output.stdout.contains("max\n"), "{output:?}");
}

fn its_cgroups_are_removed(role: Role) {
    let subtree = Subtree::new(role);
    for command in [&["true"][..], &["no-such-command"], &["sh", "-c", "sleep 60 & kill -9 $$"]] {
        subtree.run(&[&[PROGRAM, "--quiet", "--memory", "64M", "--"], command].concat());
        subtree.assert_none_is_left("ch10");
    }
}

fn what_sigkill_leaves_the_next_run_removes(role: Role) {
    let subtree = Subtree::new(role);
    let flags = ["--memory", "64M", "--cpus", "0.5"];
    let (mut running, command) = start_in(&subtree, &flags);
    let folder = folder_of(command, "memory");
    // The last to end in there; it has the locks too.
    let init = children(running.pid())[0];
    running.signal(Signal::SIGKILL);
    running.end();
    eventually("the end of the init", || is_gone(init));
    // With other limits than it had.
    assert_eq!(subtree.run(&[PROGRAM, "--quiet", "true"]).status, 0);
    // Or another has begun to, of another test.
    eventually("the removal of its cgroup", || !folder.exists());
    subtree.assert_none_is_left("ch10");
}

/// It is held up between a cgroup and the lock on it, and meanwhile an ordinary user looks for what
/// was left.
fn who_may_not_remove_its_cgroups_locks_none(role: Role) {
    let inject = "inject=mkdir,mkdirat:delay_exit=500000:when=1";
    let strace = ["-qqo", "/dev/null", "-e", inject, PROGRAM, "--quiet", "sh", "-c", "echo ready"];
    let mut running = role.start("strace", &strace);
    let root = v1("pids").expect("it is there");
    let folder = || {
        let mut folders =
            children(running.pid()).into_iter().map(|pid| root.join(format!("ch10-{pid}")));
        folders.find(|folder| folder.exists())
    };
    eventually("its cgroup", || folder().is_some());
    let folder = folder().expect("it is held up");
    assert_eq!(Role::User.run(PROGRAM, &["--quiet", "true"]).status, 0);
    assert_eq!((running.line(), running.end()), ("ready".to_owned(), 0));
    assert!(!folder.exists());
}

fn without_cgroups_it_says_so_once(role: Role) {
    let output = role.run(PROGRAM, &["echo", "ran"]);
    assert_eq!((output.status, output.stdout.as_str()), (0, "ran\n"), "{output:?}");
    let lines: Vec<_> = output.stderr.lines().filter(|line| line.contains("no cgroup")).collect();
    assert_eq!(lines.len(), 1, "{output:?}");
    assert!(lines[0].starts_with("left out: ") && lines[0].contains("EACCES"), "{output:?}");
}

fn limits_that_cannot_be_had_are_refused(role: Role) {
    for flags in
        [["--memory", "64M"], ["--cpus", "0.5"], ["--cpu-weight", "9"], ["--pids-limit", "9"]]
    {
        let output = role.run(PROGRAM, &[&flags[..], &["echo", "ran"]].concat());
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{output:?}");
        assert!(output.stderr.contains("help: run as root"), "{output:?}");
    }
}
