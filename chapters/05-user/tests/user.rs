//! The claims of chapter 5, each tried from outside: in `/proc/PID`, and by who owns which file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use harness::files::{mounts_around, rootfs};
use harness::program::{children, differing, eventually, is_gone, running, status_line};
use harness::{Output, Role, Running, claim};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> ExitCode {
    let userns: &[&str] = &["userns"];
    let busybox: &[&str] = &["userns", "busybox"];
    let claims = vec![
        claim!(five_namespaces_differ).needs(userns),
        claim!(root_inside_is_no_root_outside).needs(userns),
        claim!(the_maps_are_all_that_the_caller_can_get).needs(userns),
        claim!(who_maps_one_id_may_not_change_groups).needs(userns),
        claim!(who_maps_a_range_has_no_other_group).only(Role::Root).needs(userns),
        claim!(every_capability_is_inside_and_none_more_outside).needs(userns),
        claim!(nothing_is_done_before_the_maps_are_written).needs(&["userns", "strace"]),
        claim!(the_powers_are_those_that_commands_have).needs(userns),
        claim!(what_is_dropped_does_not_come_back).needs(userns),
        claim!(files_of_the_root_file_system_are_roots).only(Role::User).needs(busybox),
        claim!(files_of_the_root_file_system_are_roots)
            .only(Role::Root)
            .needs(&["userns", "busybox", "idmap"]),
        claim!(without_the_idmap_they_are_nobodys).only(Role::Root).needs(busybox),
        claim!(with_a_root_file_system_nothing_shows_outside).needs(busybox),
        claim!(malformed_maps_are_refused).needs(userns),
        claim!(overlapping_maps_are_refused).needs(userns),
        claim!(maps_without_a_root_are_refused).needs(userns),
        claim!(ids_of_others_are_refused).only(Role::User).needs(&["userns", "newuidmap"]),
        claim!(given_maps_are_taken).needs(userns),
        claim!(in_a_user_namespace_of_one_id_it_maps_that_one).needs(userns),
        claim!(everything_dies_with_the_parent).needs(userns),
        claim!(status_passes).needs(userns),
    ];
    harness::main(PACKAGE, claims)
}

/// A container that waits, and its first process.
fn start(role: Role, flags: &[&str]) -> (Running, u32) {
    let mut args = vec!["--quiet"];
    args.extend(flags);
    args.extend(["--", "sh", "-c", "echo ready; exec sleep 60"]);
    let mut running = role.start("ch05-user", &args);
    assert_eq!(running.line(), "ready");
    let first = children(running.pid())[0];
    (running, first)
}

fn quiet(role: Role, flags: &[&str], script: &str) -> Output {
    let mut args = vec!["--quiet"];
    args.extend(flags);
    args.extend(["--", "sh", "-c", script]);
    role.run("ch05-user", &args)
}

/// `INSIDE OUTSIDE COUNT` of each line of a map.
fn map(pid: u32, file: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What `file` sets aside for `role`.
fn set_aside(file: &str, role: Role) -> Option<(u32, u32)> {
    let name = User::from_uid(Uid::from_raw(role.uid())).unwrap().unwrap().name;
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")))?;
    let (start, count) = line.split_once(':')?;
    Some((start.parse().unwrap(), count.parse().unwrap()))
}

/// Whether `role` has more ids to give than its own.
fn has_range(role: Role) -> bool {
    let helpers = role.run("sh", &["-c", "command -v newuidmap && command -v newgidmap"]);
    role == Role::Root
        || helpers.status == 0
            && set_aside("/etc/subuid", role).is_some()
            && set_aside("/etc/subgid", role).is_some()
}

fn five_namespaces_differ(role: Role) {
    let (running, first) = start(role, &[]);
    assert_eq!(differing(running.pid(), first), ["ipc", "mnt", "pid", "user", "uts"]);
}

fn root_inside_is_no_root_outside(role: Role) {
    let (_running, first) = start(role, &[]);
    let outside = match role {
        Role::User => role.uid(),
        Role::Root => set_aside("/etc/subuid", role).map_or(524288, |(start, _)| start),
    };
    assert_eq!(status_line(first, "Uid"), format!("{outside} {outside} {outside} {outside}"));
    assert_ne!(outside, 0);
    let inside = quiet(role, &[], "id -u; id -g");
    assert_eq!(inside.stdout, "0\n0\n");
}

fn the_maps_are_all_that_the_caller_can_get(role: Role) {
    let (_running, first) = start(role, &[]);
    for (file, ids) in [("uid_map", "/etc/subuid"), ("gid_map", "/etc/subgid")] {
        let own = role.uid();
        let expected = match (role, set_aside(ids, role)) {
            (Role::Root, range) => {
                let (start, count) = range.unwrap_or((524288, 65536));
                vec![format!("0 {start} {count}")]
            }
            (Role::User, Some((start, count))) if has_range(role) => {
                vec![format!("0 {own} 1"), format!("1 {start} {count}")]
            }
            (Role::User, _) => vec![format!("0 {own} 1")],
        };
        assert_eq!(map(first, file), expected);
    }
}

fn who_maps_one_id_may_not_change_groups(role: Role) {
    let own = format!("0:{}:1", role.uid());
    let flags = ["--map-users", &own, "--map-groups", &own];
    let (_running, first) = start(role, &flags);
    let setgroups = fs::read_to_string(format!("/proc/{first}/setgroups")).unwrap();
    assert_eq!(setgroups, if role == Role::User { "deny\n" } else { "allow\n" });
}

fn who_maps_a_range_has_no_other_group(role: Role) {
    let mut command = std::process::Command::new("setpriv");
    command.args([
        "--groups",
        "4,5",
        "--",
        harness::program::folder().join("ch05-user").to_str().unwrap(),
    ]);
    command.args(["--quiet", "grep", "Groups", "/proc/self/status"]);
    _ = role;
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "Groups:", "{output:?}");
}

fn every_capability_is_inside_and_none_more_outside(role: Role) {
    let before = status_line(std::process::id(), "CapEff");
    let (running, first) = start(role, &[]);
    let all = status_line(first, "CapEff");
    assert!(u64::from_str_radix(&all, 16).unwrap().trailing_ones() >= 38, "{all}");
    let outside = status_line(running.pid(), "CapEff");
    match role {
        Role::User => assert_eq!(outside, "0000000000000000"),
        Role::Root => assert_eq!(outside, before),
    }
}

fn nothing_is_done_before_the_maps_are_written(role: Role) {
    // Each write of the parent, and of the parent alone, comes 0.3 seconds late.
    let args = ["-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:delay_enter=300000"];
    let mut all = args.to_vec();
    let own = format!("0:{}:1", role.uid());
    all.extend(["ch05-user", "--quiet", "--map-users", &own, "--map-groups", &own, "id", "-u"]);
    let output = role.run("strace", &all);
    assert_eq!((output.status, output.stdout.as_str()), (0, "0\n"), "{output:?}");
}

fn the_powers_are_those_that_commands_have(role: Role) {
    let table = role.run("ch05-user", &["--quiet", "--powers"]);
    assert_eq!(table.status, 0, "{table:?}");
    let answer = |what: &str| {
        let line = table.stdout.lines().find(|line| line.starts_with(what)).expect(what);
        line.split_whitespace().last().unwrap().to_owned()
    };
    for (what, script, expected) in [
        ("set the host name", "hostname other", "done"),
        ("mount a tmpfs", "mount -t tmpfs none /tmp", "done"),
        ("change the root", "chroot / true", "done"),
        (
            "give a file to user 1",
            "touch /tmp/f; chown 1 /tmp/f",
            if has_range(role) { "done" } else { "EINVAL" },
        ),
        ("read the machine's passwords", "cat /etc/shadow", "EACCES"),
        ("change a kernel setting", "echo 0 > /proc/sys/kernel/panic", "EACCES"),
        ("make a device", "mknod /tmp/null c 1 3", "EPERM"),
        ("set the clock", "date -s @0", "EPERM"),
    ] {
        assert_eq!(answer(what), expected, "{what}");
        let done = quiet(role, &[], script).status == 0;
        assert_eq!(done, expected == "done", "{script}");
    }
    // A kernel without modules has no such call.
    assert!(["EPERM", "ENOSYS"].contains(&answer("load a module").as_str()));
}

fn what_is_dropped_does_not_come_back(role: Role) {
    let script = "grep -E 'Cap|NoNew' /proc/self/status; mount -t tmpfs none /tmp || hostname x || \
                  unshare --mount true || echo refused";
    let output = role.run("ch05-user", &["--quiet", "--drop", "--", "sh", "-c", script]);
    // Docker's: `docker run busybox grep Cap /proc/self/status`.
    let usual = "00000000a80425fb";
    let none = "0000000000000000";
    let expected = format!(
        "CapInh:\t{none}\nCapPrm:\t{usual}\nCapEff:\t{usual}\nCapBnd:\t{usual}\nCapAmb:\t{none}\n\
         NoNewPrivs:\t1\nrefused\n"
    );
    assert_eq!(output.stdout, expected, "{output:?}");
}

fn files_of_the_root_file_system_are_roots(role: Role) {
    let (folder, path) = rootfs(role);
    let output =
        quiet(role, &["--rootfs", &path], "stat -c %u:%g /bin /etc/passwd; echo x > /file");
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("0:0\n0:0\n", ""));
    let file = fs::metadata(folder.path().join("root/file")).unwrap();
    assert_eq!(file.uid(), role.uid());
}

fn without_the_idmap_they_are_nobodys(role: Role) {
    let (folder, path) = rootfs(role);
    let flags = ["--no-idmap", "--rootfs", &path];
    let output = quiet(role, &flags, "stat -c %u:%g /bin; echo x > /file");
    assert_eq!(output.stdout, "65534:65534\n");
    assert!(output.stderr.contains("Permission denied"), "{output:?}");
    assert!(!folder.path().join("root/file").exists());
}

fn with_a_root_file_system_nothing_shows_outside(role: Role) {
    let (_folder, path) = rootfs(role);
    let states = mounts_around(role, "ch05-user", &format!("--rootfs '{path}'"), "true");
    assert!(states[0].contains(" shared:"), "{}", states[0]);
    assert_eq!(states[0], states[1], "while it ran");
    assert_eq!(states[0], states[2], "after its end");
}

fn malformed_maps_are_refused(role: Role) {
    for range in
        ["", "0", "0:0", "a:0:1", "0:0:0", "0:-1:1", "0:4294967295:1", "0:0:1:2", "x:0:0:1"]
    {
        let output =
            role.run("ch05-user", &["--map-users", range, "--map-groups", "0:0:1", "true"]);
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{range}: {output:?}");
    }
    let output = role.run("ch05-user", &["--map-users", "0:0:1", "true"]);
    assert_eq!(output.status, 2, "{output:?}");
}

fn overlapping_maps_are_refused(role: Role) {
    for (one, other) in [("0:1000:10", "9:5000:10"), ("0:1000:10", "10:1009:1")] {
        let output = quiet(
            role,
            &["--map-users", one, "--map-users", other, "--map-groups", "0:0:1"],
            "true",
        );
        assert_eq!(
            output.stderr,
            format!(
                "ch05-user: the ranges `{}` and `{}` overlap; an id stands for one other and no more\n",
                one.replace(':', " "),
                other.replace(':', " ")
            )
        );
        assert_eq!(output.status, 125);
    }
}

fn maps_without_a_root_are_refused(role: Role) {
    let own = format!("5:{}:1", role.uid());
    let output = quiet(role, &["--map-users", &own, "--map-groups", &own], "true");
    assert_eq!(
        output.stderr,
        "ch05-user: cannot become root of the user namespace: setresgid(0): EINVAL: Invalid argument\n  \
         help: the maps must have an id 0 inside\n"
    );
    assert_eq!(output.status, 125);
}

fn ids_of_others_are_refused(role: Role) {
    let output = quiet(role, &["--map-users", "0:0:1", "--map-groups", "0:0:1"], "sleep 0.77");
    assert!(
        output.stderr.starts_with("ch05-user: cannot map the ids: newuidmap: uid range [0-1) -> [0-1) not allowed: EPERM: "),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("\n  help: it gives you your own id, and those that /etc/subuid")
    );
    assert_eq!(output.status, 125);
    assert!(running(role, &["sh", "-c", "sleep 0.77"]).is_empty());
}

fn given_maps_are_taken(role: Role) {
    let own = role.uid();
    let (_running, first) = match role {
        Role::User => start(
            role,
            &["--map-users", &format!("0:{own}:1"), "--map-groups", &format!("0:{own}:1")],
        ),
        Role::Root => {
            let flags = [
                "--map-users",
                "0:70000:5",
                "--map-users",
                "5:80000:1",
                "--map-groups",
                "0:70000:6",
            ];
            start(role, &flags)
        }
    };
    let expected = match role {
        Role::User => vec![format!("0 {own} 1")],
        Role::Root => vec!["0 70000 5".to_owned(), "5 80000 1".to_owned()],
    };
    assert_eq!(map(first, "uid_map"), expected);
}

fn in_a_user_namespace_of_one_id_it_maps_that_one(role: Role) {
    let given: &[&str] = &["--map-users", "0:0:1", "--map-groups", "0:0:1"];
    for maps in [&[], given] {
        let mut args = vec!["--user", "--map-root-user", "ch05-user", "--quiet"];
        args.extend(maps);
        args.extend(["cat", "/proc/self/uid_map"]);
        let output = role.run("unshare", &args);
        let map: Vec<_> = output.stdout.split_whitespace().collect();
        assert_eq!(map, ["0", "0", "1"], "{output:?}");
    }
}

/// As root the kernel has forgotten the first tie by then: the user has changed.
fn everything_dies_with_the_parent(role: Role) {
    let (mut running, first) = start(role, &[]);
    running.signal(Signal::SIGKILL);
    running.end();
    eventually("the child's end", || is_gone(first));
}

fn status_passes(role: Role) {
    for (script, status) in [("exit 7", 7), ("no-such-command", 127)] {
        let output = quiet(role, &[], script);
        assert_eq!((output.status, output.stdout.as_str()), (status, ""), "{script}");
    }
}
