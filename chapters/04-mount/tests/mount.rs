//! The claims of chapter 4, each tried from outside: in `/proc/PID/mountinfo`, and on the files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::files::{self, mounts_around, on_shared_mounts, rootfs};
use harness::program::{children, differing, folder};
use harness::{Output, Role, Running, claim};

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> ExitCode {
    let userns: &[&str] = &["userns"];
    let busybox: &[&str] = &["userns", "busybox"];
    let claims = vec![
        claim!(four_namespaces_differ).needs(userns),
        claim!(nothing_shows_outside_where_mounts_are_shared).needs(userns),
        claim!(with_shared_mounts_it_leaks_onto_the_stage_alone).needs(userns),
        claim!(proc_shows_the_processes_inside).needs(userns),
        claim!(the_old_root_is_gone).needs(userns),
        claim!(no_descriptor_leads_outside).needs(userns),
        claim!(it_works_in_itself).needs(userns),
        claim!(each_mount_forbids_what_it_can).needs(userns),
        claim!(the_machine_cannot_be_written_to).needs(userns),
        claim!(devices_work_and_no_others).needs(userns),
        claim!(shared_memory_queues_and_terminals_are_new).needs(userns),
        claim!(a_root_by_chroot_is_escaped).needs(userns),
        claim!(a_root_by_pivot_is_not).needs(userns),
        claim!(a_root_file_system_may_be_anywhere).needs(busybox),
        claim!(what_is_written_stays_in_its_folder).needs(busybox),
        claim!(over_an_overlay_the_folder_stays_as_it_is).needs(busybox),
        claim!(over_an_overlay_the_old_root_is_gone_too).needs(busybox),
        claim!(links_in_the_way_lead_nowhere_outside).needs(busybox),
        claim!(a_link_to_a_place_inside_is_followed_there).needs(busybox),
        claim!(without_folders_to_mount_on_it_is_refused).needs(userns),
        claim!(what_is_no_folder_is_refused).needs(userns),
        claim!(a_closed_folder_is_refused).only(Role::User).needs(userns),
        claim!(a_mount_with_noexec_is_refused).needs(userns),
        claim!(volumes_are_mounted).needs(userns),
        claim!(the_machine_s_half_of_a_volume_is_walked_outside).needs(userns),
        claim!(a_read_only_volume_is_so_in_all_its_mounts).needs(userns),
        claim!(volumes_that_cannot_be_mounted_are_refused).needs(userns),
        claim!(a_proc_that_is_partly_hidden_forbids_a_new_one).needs(userns),
        claim!(status_passes).needs(userns),
        claim!(the_script_makes_a_whole_root_or_none).needs(busybox),
    ];
    harness::main(PACKAGE, claims)
}

/// A container that waits, and its first process.
fn start(role: Role, flags: &[&str]) -> (Running, u32) {
    let mut args = vec!["--quiet"];
    args.extend(flags);
    args.extend(["--", "sh", "-c", "echo ready; exec sleep 60"]);
    let mut running = role.start("ch04-mount", &args);
    assert_eq!(running.line(), "ready");
    let first = children(running.pid())[0];
    (running, first)
}

fn quiet(role: Role, flags: &[&str], script: &str) -> Output {
    let mut args = vec!["--quiet"];
    args.extend(flags);
    args.extend(["--", "sh", "-c", script]);
    role.run("ch04-mount", &args)
}

/// The lines of a process's mountinfo, as fields.
fn mounts(pid: u32) -> Vec<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    text.lines().map(|line| line.split(' ').map(ToOwned::to_owned).collect()).collect()
}

/// The attributes of the mount at `place`, without those that say nothing here.
fn attributes(pid: u32, place: &str) -> String {
    let mounts = mounts(pid);
    let found: Vec<_> = mounts.iter().filter(|mount| mount[4] == place).collect();
    assert_eq!(found.len(), 1, "{place}: {found:?}");
    found[0][5].split(',').filter(|word| !word.contains("atime")).collect::<Vec<_>>().join(",")
}

fn four_namespaces_differ(role: Role) {
    let (running, first) = start(role, &[]);
    assert_eq!(differing(running.pid(), first), ["ipc", "mnt", "pid", "uts"]);
}

fn nothing_shows_outside_where_mounts_are_shared(role: Role) {
    let states = mounts_around(role, "ch04-mount", "", "mount -t tmpfs none /tmp");
    assert!(states[0].contains(" shared:"), "{}", states[0]);
    assert_eq!(states[0], states[1], "while it ran");
    assert_eq!(states[0], states[2], "after its end");
}

fn with_shared_mounts_it_leaks_onto_the_stage_alone(role: Role) {
    let on_mnt = || {
        let mounts = mounts(std::process::id());
        mounts.into_iter().filter(|mount| mount[4] == "/mnt").collect::<Vec<_>>()
    };
    let before = on_mnt();
    let script = "mount -t tmpfs none /mnt; echo ready; exec sleep 60";
    let mut running = role.start("ch04-mount", &["--quiet", "--leak", "--", "sh", "-c", script]);
    assert_eq!(running.line(), "ready");
    assert_eq!(attributes(running.pid(), "/mnt"), "rw");
    assert_eq!(on_mnt(), before);
    let told = role.run("ch04-mount", &["--leak", "--", "mount", "-t", "tmpfs", "none", "/mnt"]);
    assert!(told.stdout.ends_with("\n\nback outside: there is a tmpfs on /mnt\n"), "{told:?}");
    let told = role.run("ch04-mount", &["--leak", "true"]);
    assert!(told.stdout.ends_with("nothing is mounted that was not before\n"), "{told:?}");
}

fn proc_shows_the_processes_inside(role: Role) {
    let output = quiet(role, &[], "cd /proc; echo [0-9]*; sleep 1 & echo [0-9]*");
    assert_eq!(output.stdout, "1\n1 2\n");
}

fn the_old_root_is_gone(role: Role) {
    let (_running, first) = start(role, &[]);
    let mounts = mounts(first);
    let roots: Vec<_> = mounts.iter().filter(|mount| mount[4] == "/").collect();
    assert_eq!(roots.len(), 1, "{roots:?}");
    let ours = |place: &str| {
        ["/", "/tmp", "/proc", "/dev"].contains(&place)
            || ["/usr", "/etc", "/bin", "/sbin", "/lib", "/dev/"]
                .iter()
                .any(|start| place.starts_with(start))
    };
    let foreign: Vec<_> = mounts.iter().filter(|mount| !ours(&mount[4])).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let root = fs::metadata(format!("/proc/{first}/root")).unwrap();
    assert_ne!(root.dev(), fs::metadata("/").unwrap().dev());
}

fn no_descriptor_leads_outside(role: Role) {
    let script = "exec 7</; exec 8>&1; exec 9</etc; exec ch04-mount --quiet ls /proc/self/fd";
    let output = role.run("sh", &["-c", script]);
    // Number 3 is the folder that ls reads.
    assert_eq!(output.stdout, "0\n1\n2\n3\n", "{output:?}");
    for redirection in ["</", "5</ >&5", "2</"] {
        let script = format!("exec ch04-mount --quiet true {redirection}");
        let output = role.run("sh", &["-c", &script]);
        assert_eq!(output.status, 125, "{redirection}: {output:?}");
    }
}

fn it_works_in_itself(role: Role) {
    let programs = format!("{}:/programs:ro", folder().display());
    let inner = "/programs/ch04-mount --quiet -- sh -c 'echo /*; cat /proc/1/comm; :'";
    let output = quiet(role, &["--volume", &programs], inner);
    assert!(output.stdout.ends_with(" /proc /sbin /tmp /usr\nsh\n"), "{output:?}");
}

fn each_mount_forbids_what_it_can(role: Role) {
    let (_running, first) = start(role, &[]);
    for (place, expected) in [
        ("/", "rw,nosuid,nodev"),
        ("/usr", "ro,nosuid,nodev"),
        ("/etc", "ro,nosuid,nodev"),
        ("/tmp", "rw,nosuid,nodev"),
        ("/proc", "rw,nosuid,nodev,noexec"),
        ("/dev", "rw,nosuid,nodev,noexec"),
        ("/dev/null", "rw,nosuid,noexec"),
        ("/dev/pts", "rw,nosuid,noexec"),
        ("/dev/shm", "rw,nosuid,nodev,noexec"),
        ("/dev/mqueue", "rw,nosuid,nodev,noexec"),
    ] {
        assert_eq!(attributes(first, place), expected, "{place}");
    }
}

fn the_machine_cannot_be_written_to(role: Role) {
    // By access(2), since a test that is red should not write to the machine's /usr.
    let output = quiet(role, &[], "for d in /usr /etc /tmp /; do [ -w $d ] && echo $d; done");
    assert_eq!(output.stdout, "/tmp\n/\n");
}

fn devices_work_and_no_others(role: Role) {
    let output = quiet(
        role,
        &[],
        "echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c; \
         echo x > /dev/full || echo full; mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero",
    );
    assert_eq!(output.stdout, " 00 00 00\n8\nfull\n");
    let refused = match role {
        Role::Root => "cannot open '/tmp/zero' for reading: Permission denied",
        Role::User => "mknod: /tmp/zero: Operation not permitted",
    };
    assert!(output.stderr.contains(refused), "{}", output.stderr);
}

fn shared_memory_queues_and_terminals_are_new(role: Role) {
    let script = "echo x > /dev/shm/x; ls /dev/shm /dev/mqueue /dev/pts; ls /dev/fd | head -1";
    let output = quiet(role, &[], script);
    assert_eq!(output.stdout, "/dev/mqueue:\n\n/dev/pts:\nptmx\n\n/dev/shm:\nx\n0\n");
}

/// Runs chapter 4's break-out inside, which prints what `/` is then.
fn attempt(role: Role, flags: &[&str]) -> (Output, String) {
    let escape = format!("{}:/escape:ro", folder().join("ch04-escape").display());
    let mut args = vec!["--quiet", "--volume", &escape];
    args.extend(flags);
    args.extend(["--", "/escape", "stat", "-c", "%d:%i", "/"]);
    let root = fs::metadata("/").unwrap();
    (role.run("ch04-mount", &args), format!("{}:{}\n", root.dev(), root.ino()))
}

fn a_root_by_chroot_is_escaped(role: Role) {
    let (output, root) = attempt(role, &["--chroot"]);
    assert_eq!((output.status, output.stdout), (0, root), "{}", output.stderr);
}

fn a_root_by_pivot_is_not(role: Role) {
    let (output, _) = attempt(role, &[]);
    assert_eq!(output.stderr, "escape: cannot escape: above this root there is nothing\n");
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn a_root_file_system_may_be_anywhere(role: Role) {
    let (folder, path) = rootfs(role);
    symlink(&path, folder.path().join("link")).unwrap();
    let ways =
        [PathBuf::from(&path), folder.path().join("link"), folder.path().join("root/../root/")];
    for way in &ways {
        let output =
            quiet(role, &["--rootfs", way.to_str().unwrap()], "echo /*; cat /proc/1/comm; :");
        assert_eq!(output.stdout, "/bin /dev /etc /proc /root /sys /tmp\nsh\n", "{output:?}");
    }
    let mut command = role.command("ch04-mount");
    command.args(["--quiet", "--rootfs", "root", "cat", "/etc/hosts"]).current_dir(&folder);
    assert!(command.output().unwrap().stdout.starts_with(b"127.0.0.1 localhost\n"));
}

fn what_is_written_stays_in_its_folder(role: Role) {
    let (folder, path) = rootfs(role);
    let output = quiet(role, &["--rootfs", &path], "echo kept > /file; echo gone > /dev/shm/file");
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(folder.path().join("root/file")).unwrap(), "kept\n");
    assert_eq!(fs::read_dir(folder.path().join("root/dev")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.path().join("root/proc")).unwrap().count(), 0);
}

fn over_an_overlay_the_folder_stays_as_it_is(role: Role) {
    let (folder, path) = rootfs(role);
    let root = folder.path().join("root");
    let volume = format!("{path}:/new/place");
    let output = quiet(
        role,
        &["--rootfs", &path, "--overlay", "--volume", &volume],
        "echo x > /file; rm /etc/hosts; echo y >> /etc/passwd; mv /root /home; \
         ls / /new/place; tail -n 1 /etc/passwd; cat /etc/hosts",
    );
    let expected = "/:\nbin\ndev\netc\nfile\nhome\nnew\nproc\nsys\ntmp\n\n\
                    /new/place:\nbin\ndev\netc\nproc\nroot\nsys\ntmp\ny\n";
    assert_eq!(output.stdout, expected, "{output:?}");
    assert!(output.stderr.contains("/etc/hosts"), "{output:?}");
    assert!(!root.join("file").exists() && !root.join("new").exists());
    assert!(root.join("etc/hosts").exists() && root.join("root").exists());
    assert!(!fs::read_to_string(root.join("etc/passwd")).unwrap().ends_with("y\n"));
}

fn over_an_overlay_the_old_root_is_gone_too(role: Role) {
    let (_folder, path) = rootfs(role);
    let (_running, first) = start(role, &["--rootfs", &path, "--overlay"]);
    let roots = mounts(first).into_iter().filter(|mount| mount[4] == "/").collect::<Vec<_>>();
    assert_eq!(roots.len(), 1, "{roots:?}");
    let output =
        quiet(role, &["--rootfs", &path, "--overlay"], "ls -a / >/tmp/x; ls -a /.. | cmp - /tmp/x");
    assert_eq!((output.status, output.stdout.as_str()), (0, ""), "{output:?}");
}

fn links_in_the_way_lead_nowhere_outside(role: Role) {
    let (folder, path) = rootfs(role);
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for target in [outside.as_path(), Path::new("../outside"), Path::new("/proc/self/cwd")] {
        let proc = Path::new(&path).join("proc");
        _ = fs::remove_dir(&proc);
        _ = fs::remove_file(&proc);
        symlink(target, &proc).unwrap();
        let output = quiet(role, &["--rootfs", &path], "true");
        assert!(
            output.stderr.starts_with(
                "ch04-mount: cannot find proc in the root file system: \
                 openat2(\"proc\", RESOLVE_IN_ROOT): E"
            ),
            "{output:?}"
        );
        assert_eq!(output.status, 125);
    }
}

fn a_link_to_a_place_inside_is_followed_there(role: Role) {
    let (folder, path) = rootfs(role);
    // The same path is there outside as well.
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let inside = Path::new(&path).join(place.strip_prefix("/").unwrap());
    fs::create_dir_all(&inside).unwrap();
    fs::remove_dir(Path::new(&path).join("proc")).unwrap();
    symlink(&place, Path::new(&path).join("proc")).unwrap();
    let (_running, first) = start(role, &["--rootfs", &path]);
    let escaped = place.to_str().unwrap().replace(' ', "\\040").replace('\n', "\\012");
    assert_eq!(attributes(first, &escaped), "rw,nosuid,nodev,noexec");
}

fn without_folders_to_mount_on_it_is_refused(role: Role) {
    let folder = files::folder(role);
    let path = folder.path().to_str().unwrap();
    for missing in ["proc", "dev"] {
        let output = quiet(role, &["--rootfs", path], "true");
        assert_eq!(
            output.stderr,
            format!(
                "ch04-mount: cannot find {missing} in the root file system: \
                 openat2(\"{missing}\", RESOLVE_IN_ROOT): ENOENT: No such file or directory\n  \
                 help: a root file system has places to mount on: proc, dev, and one for each volume; \
                 `scripts/rootfs FOLDER` makes a small one\n"
            )
        );
        assert_eq!(output.status, 125);
        fs::create_dir(folder.path().join(missing)).unwrap();
    }
    let output = quiet(role, &["--rootfs", path], "true");
    assert_eq!(output.status, 127, "{output:?}");
    // Nothing was made in it.
    assert_eq!(fs::read_dir(folder.path().join("dev")).unwrap().count(), 0);
}

fn what_is_no_folder_is_refused(role: Role) {
    for (path, errno) in [("/no-such-folder", "ENOENT"), ("/etc/passwd", "ENOTDIR")] {
        let output = quiet(role, &["--rootfs", path], "true");
        let start = format!(
            "ch04-mount: cannot take {path} for a root file system: open({path:?}, O_DIRECTORY): {errno}: "
        );
        assert!(output.stderr.starts_with(&start), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 2);
        assert_eq!((output.status, output.stdout.as_str()), (125, ""));
    }
}

fn a_closed_folder_is_refused(role: Role) {
    // Root's home is closed to everybody else.
    let output = quiet(role, &["--rootfs", "/root"], "true");
    assert!(output.stderr.contains("openat2(\"proc\", RESOLVE_IN_ROOT): EACCES"), "{output:?}");
    assert!(output.stderr.contains("\n  help: its folders must be open to you"), "{output:?}");
    assert_eq!(output.status, 125);
}

fn a_mount_with_noexec_is_refused(role: Role) {
    let output = on_shared_mounts(
        role,
        "mount -t tmpfs -o noexec none /mnt && mkdir /mnt/proc /mnt/dev && ch04-mount --quiet --rootfs /mnt true",
    );
    assert!(
        output.stderr.starts_with(
            "ch04-mount: nothing can be executed in /mnt: it is on a mount with noexec, "
        ),
        "{output:?}"
    );
    assert_eq!(output.status, 125);
}

fn volumes_are_mounted(role: Role) {
    let folder = files::folder(role);
    let path = folder.path().to_str().unwrap();
    fs::write(folder.path().join("file"), "content\n").unwrap();
    let writable = format!("{path}:/deep/below");
    let read_only = format!("{path}:/etc-like:ro");
    let file = format!("{path}/file:/deep/file:ro");
    let output = quiet(
        role,
        &["--volume", &writable, "--volume", &read_only, "--volume", &file],
        "cat /deep/file; echo new > /deep/below/new; echo x > /etc-like/no; echo x > /deep/file",
    );
    assert_eq!(output.stdout, "content\n", "{output:?}");
    assert_eq!(output.stderr.matches("Read-only file system").count(), 2, "{output:?}");
    assert_eq!(fs::read_to_string(folder.path().join("new")).unwrap(), "new\n");
    assert!(!folder.path().join("no").exists());
}

fn the_machine_s_half_of_a_volume_is_walked_outside(role: Role) {
    let folder = files::folder(role);
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("a/file"), "outside\n").unwrap();
    // Up to the root, and down again; as a path, and as what a link says.
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let up = format!("../../../../tmp/{name}/a");
    symlink(&up, folder.path().join("link")).unwrap();
    for host in [up.as_str(), "../../link", "..", "."] {
        let mut command = role.command("ch04-mount");
        command.args(["--quiet", "--volume", &format!("{host}:/v"), "sh", "-c", "ls /v"]);
        let output = command.current_dir(folder.path().join("a/b")).output().unwrap();
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(found, if host == "." { "" } else { "b\nfile\n" }, "{host}: {output:?}");
        assert!(output.status.success(), "{host}: {output:?}");
    }
    let output = quiet(role, &["--volume", "/:/machine:ro"], "stat -c %d:%i /machine");
    let root = fs::metadata("/").unwrap();
    assert_eq!(output.stdout, format!("{}:{}\n", root.dev(), root.ino()), "{output:?}");
}

fn a_read_only_volume_is_so_in_all_its_mounts(role: Role) {
    let folder = files::folder(role);
    let path = folder.path().to_str().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    let output = on_shared_mounts(
        role,
        &format!(
            "mount -t tmpfs none '{path}/below' && \
             ch04-mount --quiet --volume '{path}:/v:ro' -- sh -c 'echo x > /v/below/x'; \
             ls '{path}/below'"
        ),
    );
    assert_eq!(output.stdout, "", "{output:?}");
    assert!(output.stderr.contains("Read-only file system"), "{output:?}");
}

fn volumes_that_cannot_be_mounted_are_refused(role: Role) {
    let closed = files::folder(role);
    let closed = format!("{}:/closed:ro", closed.path().display());
    for (volume, message) in [
        (
            "/no-such:/x",
            "cannot bind /no-such: open_tree(\"/no-such\", OPEN_TREE_CLONE | AT_RECURSIVE): ENOENT: ",
        ),
        (
            "/tmp:/closed/no-such",
            "cannot mount on /closed/no-such: mkdirat(\"/closed/no-such\"): EROFS: ",
        ),
        ("/tmp:/etc/passwd", "cannot mount /tmp: move_mount(\"/tmp\"): EINVAL: "),
        (
            "/tmp:/etc/passwd/x",
            "cannot mount on /etc/passwd/x: mkdirat(\"/etc/passwd/x\"): ENOTDIR: ",
        ),
        ("/tmp:/", "cannot mount on /: it is the root itself"),
        ("/tmp:/x/../y", "cannot mount on /x/../y: there must be no `..` in it"),
    ] {
        let output = quiet(role, &["--volume", &closed, "--volume", volume], "true");
        assert!(output.stderr.starts_with(&format!("ch04-mount: {message}")), "{output:?}");
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{volume}");
    }
    let output = role.run("ch04-mount", &["--volume", "/tmp", "true"]);
    assert!(output.stderr.contains("a volume is HOST:/INSIDE"), "{output:?}");
    assert_eq!(output.status, 2);
}

fn a_proc_that_is_partly_hidden_forbids_a_new_one(role: Role) {
    // As an outer container has it. Who is root in no user namespace may do it all the same.
    let script = "mount --bind /dev/null /proc/version; \
                  unshare --user --map-root-user ch04-mount --quiet true";
    let output = on_shared_mounts(role, script);
    assert!(
        output.stderr.starts_with("ch04-mount: cannot make a new proc: fsmount(\"proc\"): EPERM: "),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("\n  help: it takes CAP_SYS_ADMIN; and inside another container")
    );
    assert_eq!(output.status, 125);
}

fn status_passes(role: Role) {
    for (script, status) in [("exit 7", 7), ("no-such-command", 127), ("kill -KILL $$", 0)] {
        let output = quiet(role, &[], script);
        assert_eq!((output.status, output.stdout.as_str()), (status, ""), "{script}");
    }
    let output = role.run("ch04-mount", &["--quiet", "no-such-command"]);
    assert_eq!(output.status, 127);
    assert!(output.stderr.starts_with("ch04-mount: cannot run no-such-command: "));
}

fn the_script_makes_a_whole_root_or_none(role: Role) {
    let (folder, path) = rootfs(role);
    let script = Path::new(PACKAGE).join("../../scripts/rootfs");
    let script = script.to_str().unwrap();
    let output = role.run(script, &[&path]);
    assert_eq!(
        (output.status, output.stderr),
        (1, format!("rootfs: {path} is there, and is no empty folder; take another name\n"))
    );
    let output = role.run(script, &["/no-such-folder/root"]);
    assert!(
        output.stderr.ends_with("rootfs: cannot write to /no-such-folder; take another folder\n")
    );
    assert_eq!(output.status, 1);
    for wrong in [&[][..], &["--help"], &["a", "b"]] {
        assert_eq!(role.run(script, wrong).status, 2);
    }
    // What it removes at its end is its own, whatever the caller's environment names.
    let named = [format!("made={path}"), format!("package={path}")];
    let other = format!("{path}-2");
    assert_eq!(role.run("env", &[&named[0], &named[1], script, &other]).status, 0);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["root", "root-2"]);
}
