//! The claims of chapter 9, looked at from outside.

use std::fs;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::cgroups::{Subtree, folder_of, v1};
use harness::program::{children, eventually};
use harness::{Claim, Role, Running, claim};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> ExitCode {
    let v2 = |claim: Claim| claim.needs(&["v2"]);
    let with_cgroups = vec![
        claim!(a_hog_gets_its_quota_and_no_more),
        claim!(weights_share_one_processor),
        claim!(a_comparison_can_be_interrupted),
        claim!(the_limits_are_there),
        claim!(the_limits_are_there_before_the_command).needs(&["strace"]),
        claim!(a_fork_bomb_is_stopped),
        v2(claim!(it_is_born_in_its_cgroup)).needs(&["strace"]),
        claim!(what_is_told_is_what_the_kernel_counted),
        claim!(it_draws_while_it_runs),
        claim!(it_draws_a_picture_or_nothing),
        claim!(a_disk_is_read_no_faster).only(Role::Root).needs(&["disk"]),
        claim!(what_is_no_disk_is_refused).only(Role::Root),
        claim!(more_than_there_is_is_refused),
        claim!(its_cgroups_are_removed),
        claim!(sigkill_leaves_nothing),
        claim!(the_status_passes_through),
        claim!(quiet_is_quiet),
    ];
    let without = vec![
        claim!(a_number_that_is_none_is_refused),
        claim!(the_bomb_ends_by_itself),
        claim!(v1_is_for_root).only(Role::User).needs(&["v1"]),
    ];
    let with_cgroups = with_cgroups.into_iter().map(|claim| claim.needs(&["cgroups"]));
    harness::main(env!("CARGO_MANIFEST_DIR"), with_cgroups.chain(without).collect())
}

const PROGRAM: &str = "ch09-cgroup-cpu";

/// Starts a command under these limits, and waits until it runs. Tells its number.
fn start(subtree: &Subtree, flags: &[&str], command: &str) -> (Running, u32) {
    let script = format!("echo $$; exec {command}");
    let line = [&[PROGRAM, "--quiet"], flags, &["--", "sh", "-c", &script]].concat();
    let mut running = subtree.start(&line);
    let pid = running.line().parse().expect("a process id");
    (running, pid)
}

/// What a file of the cgroup says that a process is in.
fn file(pid: u32, controller: &str, name: &str) -> String {
    let path = folder_of(pid, controller).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

/// The number behind a key in such a file.
fn number(pid: u32, controller: &str, name: &str, key: &str) -> u64 {
    let text = file(pid, controller, name);
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {key} in {name}: {text}")).parse().expect("a number")
}

/// Seconds of processor time that the cgroup of a process has used.
fn used(pid: u32) -> f64 {
    match v1("cpuacct") {
        Some(_) => file(pid, "cpuacct", "cpuacct.usage").parse::<f64>().unwrap() / 1e9,
        None => number(pid, "cpu", "cpu.stat", "usage_usec") as f64 / 1e6,
    }
}

/// Who measures wants the processors for itself.
static ALONE: Mutex<()> = Mutex::new(());

fn a_hog_gets_its_quota_and_no_more(role: Role) {
    let _alone = ALONE.lock();
    let subtree = Subtree::new(role);
    let (_running, pid) = start(&subtree, &["--cpus", "0.5"], "ch09-hog 600");
    // On a machine that is busy it may get less; it never gets more.
    for _ in 0..10 {
        sleep(Duration::from_millis(300));
        let (began, before) = (Instant::now(), used(pid));
        sleep(Duration::from_secs(5));
        let processors = (used(pid) - before) / began.elapsed().as_secs_f64();
        assert!(processors <= 0.55, "{processors}");
        if processors >= 0.45 {
            assert!(number(pid, "cpu", "cpu.stat", "nr_throttled") >= 10);
            return;
        }
    }
    panic!("it never gets what it may have");
}

fn weights_share_one_processor(role: Role) {
    let _alone = ALONE.lock();
    let subtree = Subtree::new(role);
    let mut running = subtree.start(&[PROGRAM, "--weights", "100,300"]);
    let hogs = || children(running.pid());
    let is_in = |hog| {
        let is_in = |controller| folder_of(hog, controller).to_string_lossy().contains("/ch09-");
        is_in("cpu") && (v1("cpu").is_none() || is_in("cpuacct"))
    };
    eventually("two hogs", || hogs().len() == 2 && hogs().into_iter().all(is_in));
    let [light, heavy] = hogs()[..] else { panic!("two hogs") };
    let weights = [light, heavy].map(|hog| match v1("cpu") {
        Some(_) => file(hog, "cpu", "cpu.shares"),
        None => file(hog, "cpu", "cpu.weight"),
    });
    assert_eq!(weights, if v1("cpu").is_some() { ["1024", "3072"] } else { ["100", "300"] });
    let before = (used(light), used(heavy));
    // They run for 5 seconds.
    sleep(Duration::from_secs(2));
    let took = (used(light) - before.0, used(heavy) - before.1);
    assert!((2.4..=3.6).contains(&(took.1 / took.0)), "{took:?}");
    // What is told afterwards is that.
    let shares: Vec<f64> = [(); 3]
        .iter()
        .filter_map(|()| running.line().split_whitespace().rev().nth(1)?.parse().ok())
        .collect();
    let [light, heavy] = shares[..] else { panic!("two shares: {shares:?}") };
    assert!((2.4..=3.6).contains(&(heavy / light)), "{shares:?}");
}

/// The program is held up after the birth of its child, which meanwhile looks at its limits.
fn the_limits_are_there_before_the_command(role: Role) {
    let subtree = Subtree::new(role);
    let (list, file, limit) = match v1("cpu") {
        // Whoever it shares its hierarchy with.
        Some(root) => (".*\\bcpu\\b.*", root.join(".").join("PATH/cpu.cfs_quota_us"), "75000\n"),
        None => ("", "/sys/fs/cgroup/PATH/cpu.max".into(), "75000 100000\n"),
    };
    let file = file.display().to_string();
    let path = format!("$(grep -E '^[0-9]+:{list}:' /proc/self/cgroup | cut -d: -f3)");
    let script = format!("cat {}", file.replace("PATH", &path));
    let strace = ["strace", "-qqo", "/dev/null", "-e", "inject=clone3:delay_exit=1000000"];
    let program = [PROGRAM, "--quiet", "--cpus", "0.75", "--", "sh", "-c", &script];
    let output = subtree.run(&[&strace[..], &program].concat());
    assert_eq!(output.stdout, limit, "{output:?}");
}

fn a_comparison_can_be_interrupted(role: Role) {
    let subtree = Subtree::new(role);
    let mut running = subtree.start(&[PROGRAM, "--weights", "100,300"]);
    let hogs = || children(running.pid());
    eventually("two hogs", || hogs().len() == 2);
    let hogs = hogs();
    // As Ctrl-C does, to each of them.
    hogs.iter().for_each(|hog| kill(Pid::from_raw(*hog as i32), Signal::SIGINT).unwrap());
    assert_eq!((running.end(), running.line().as_str()), (130, ""));
    assert!(!hogs.iter().any(|hog| std::fs::exists(format!("/proc/{hog}/exe")).unwrap_or(true)));
}

fn the_limits_are_there(role: Role) {
    let subtree = Subtree::new(role);
    let flags = ["--cpus", "0.75", "--cpu-weight", "50", "--pids-limit", "10"];
    let (_running, pid) = start(&subtree, &flags, "sleep 60");
    if v1("cpu").is_some() {
        assert_eq!(file(pid, "cpu", "cpu.cfs_quota_us"), "75000");
        assert_eq!(file(pid, "cpu", "cpu.cfs_period_us"), "100000");
        assert_eq!(file(pid, "cpu", "cpu.shares"), "512");
    } else {
        assert_eq!(file(pid, "cpu", "cpu.max"), "75000 100000");
        assert_eq!(file(pid, "cpu", "cpu.weight"), "50");
    }
    assert_eq!(file(pid, "pids", "pids.max"), "10");
    // Without a limit, half a processor.
    let (_running, pid) = start(&subtree, &[], "sleep 60");
    let quota = if v1("cpu").is_some() { "cpu.cfs_quota_us" } else { "cpu.max" };
    assert!(file(pid, "cpu", quota).starts_with("50000"));
}

fn a_fork_bomb_is_stopped(role: Role) {
    let subtree = Subtree::new(role);
    let output = subtree.run(&[PROGRAM, "--pids-limit", "20", "ch09-bomb"]);
    let made = "processes made:  19\n";
    assert!(output.stdout.starts_with(made) && output.status == 0, "{output:?}");
    assert!(output.stdout.contains("with:            EAGAIN\n"), "{output:?}");
    assert!(!output.stdout.contains("forks refused:   0\n"), "{output:?}");
    // The kernel has counted the same.
    let count = |line: &str| {
        let line = output.stdout.lines().find_map(|other| other.strip_prefix(line)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(count("forks refused:"), count("forks refused "), "{output:?}");
}

fn the_bomb_ends_by_itself(role: Role) {
    let output = role.run("ch09-bomb", &["--generations", "4"]);
    assert_eq!(output.stdout, "processes made:  30\nforks refused:   0\n", "{output:?}");
}

fn it_is_born_in_its_cgroup(role: Role) {
    let subtree = Subtree::new(role);
    let trace = "trace=clone3,write,openat";
    let line = ["strace", "-f", "-e", trace, PROGRAM, "--quiet", "cat", "/proc/self/cgroup"];
    let output = subtree.run(&line);
    assert!(output.stdout.contains("/ch09-"), "{output:?}");
    let birth = output.stderr.lines().position(|line| line.contains("CLONE_INTO_CGROUP"));
    // Nobody writes a process id anywhere after that.
    let rest = output.stderr.lines().skip(birth.expect("clone3 says where"));
    assert!(
        !rest.clone().any(|line| line.contains("write(") && line.contains("\"0\"")),
        "{output:?}"
    );
}

fn what_is_told_is_what_the_kernel_counted(role: Role) {
    let _alone = ALONE.lock();
    let subtree = Subtree::new(role);
    let output = subtree.run(&[PROGRAM, "--cpus", "0.2", "ch09-hog", "2"]);
    let row = |name: &str| -> f64 {
        let line = output.stdout.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {output:?}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(row("processor time ") > 0.1, "{output:?}");
    assert!((0.01..0.25).contains(&row("in processors ")), "{output:?}");
    assert!(row("of them throttled ") >= 3.0 && row("periods ") >= 10.0, "{output:?}");
    // Of one process, and so no longer than it took.
    let took = row("processor time ") / row("in processors ");
    assert!((0.1..took * 1.2).contains(&row("throttled for ")), "{took}: {output:?}");
}

fn it_draws_while_it_runs(role: Role) {
    let subtree = Subtree::new(role);
    // A terminal: script makes one.
    let line = format!("{PROGRAM} --quiet --plot --cpus 0.5 ch09-hog 1");
    let output = subtree.run(&["script", "-qec", &line, "/dev/null"]);
    let drawings = output.stdout.matches("processors in use").count();
    assert!((5..=12).contains(&drawings), "{drawings}: {output:?}");
    assert!(output.stdout.contains("\x1b[J"));
    // To a file it goes once.
    let output = subtree.run(&[PROGRAM, "--quiet", "--plot", "--cpus", "0.5", "ch09-hog", "1"]);
    assert_eq!(output.stderr.matches("processors in use").count(), 1, "{output:?}");
    assert!(!output.stderr.contains('\x1b'), "{output:?}");
}

fn it_draws_a_picture_or_nothing(role: Role) {
    let subtree = Subtree::new(role);
    let folder = harness::files::folder(role);
    let path = folder.path().join("plot.svg");
    let text = path.to_str().unwrap();
    let output = subtree.run(&[PROGRAM, "--quiet", "--svg", text, "ch09-hog", "0.5"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let svg = fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(svg.contains("processors in use"), "{svg}");
    // The area is higher than its base.
    let polygon = svg.split("<polygon").nth(1).unwrap_or_else(|| panic!("no area in {svg}"));
    let points = polygon.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
    let heights =
        points.split_whitespace().filter_map(|point| point.split(',').nth(1)?.parse().ok());
    let heights: Vec<i32> = heights.collect();
    assert!(heights.iter().max().unwrap() - heights.iter().min().unwrap() > 50, "{heights:?}");
    let output = subtree.run(&[PROGRAM, "--quiet", "--svg", "/no/where.svg", "echo", "ran"]);
    assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{output:?}");
    assert!(
        output
            .stderr
            .starts_with("ch09-cgroup-cpu: cannot save the picture: stat(\"/no\"): ENOENT: "),
        "{output:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn a_disk_is_read_no_faster(role: Role) {
    let disk = harness::files::disk().unwrap();
    let read = |flags: &[&str]| {
        let from = format!("if={disk}");
        let dd = ["dd", &from, "of=/dev/null", "bs=64k", "count=32", "iflag=direct"];
        let began = Instant::now();
        let output = role.run(PROGRAM, &[&["--quiet"], flags, &["--"], &dd].concat());
        assert_eq!(output.status, 0, "{output:?}");
        began.elapsed().as_secs_f64()
    };
    let limit = format!("{disk}:1M");
    // Two mebibytes.
    let (fast, slow) = (read(&["--cpus", "1"]), read(&["--device-read-bps", &limit]));
    assert!(slow > 1.5 && slow > 2.0 * fast, "{fast} s, and {slow} s under the limit");
}

fn what_is_no_disk_is_refused(role: Role) {
    let subtree = Subtree::new(role);
    for (rate, error) in [
        (
            "/dev/null:1M",
            "/dev/null is no block device\n  help: `lsblk` lists those that are here\n",
        ),
        ("/dev/nothing:1M", "stat(\"/dev/nothing\"): ENOENT: No such file or directory\n"),
    ] {
        let output = role.run(PROGRAM, &["--device-write-bps", rate, "echo", "ran"]);
        assert_eq!(output.stderr, format!("ch09-cgroup-cpu: {error}"));
        assert_eq!((output.status, output.stdout.as_str()), (125, ""));
    }
    subtree.assert_none_is_left("ch09");
}

fn more_than_there_is_is_refused(role: Role) {
    let subtree = Subtree::new(role);
    let output = subtree.run(&[PROGRAM, "--cpus", "5000", "echo", "ran"]);
    let start = "ch09-cgroup-cpu: cannot give 5000 processors: you have ";
    assert!(output.stderr.starts_with(start), "{output:?}");
    let help = "\n  help: a limit that cannot be reached is none; give less, or leave it out\n";
    assert!(output.stderr.ends_with(help), "{output:?}");
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
    subtree.assert_none_is_left("ch09");
}

fn a_number_that_is_none_is_refused(role: Role) {
    for (flag, value) in [
        ("--cpus", "0"),
        ("--cpus", "-1"),
        ("--cpus", "0.001"),
        ("--cpus", "nan"),
        ("--cpus", "inf"),
        ("--cpus", "half"),
        ("--cpu-weight", "0"),
        ("--cpu-weight", "10001"),
        ("--pids-limit", "0"),
        ("--pids-limit", "max"),
        ("--device-read-bps", "/dev/null"),
        ("--device-read-bps", "/dev/null:64Q"),
        ("--weights", "100,0"),
    ] {
        let output = role.run(PROGRAM, &[&format!("{flag}={value}"), "echo", "ran"]);
        assert!(output.stderr.starts_with("error: invalid value '"), "{output:?}");
        assert!(output.stderr.contains(&format!("for '{flag} <")), "{output:?}");
        assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    }
}

fn v1_is_for_root(role: Role) {
    let output = role.run(PROGRAM, &["echo", "ran"]);
    let help = "  help: run as root (sudo): cgroup v1 controllers cannot safely be given to ordinary users\n";
    assert!(output.stderr.ends_with(help), "{output:?}");
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn its_cgroups_are_removed(role: Role) {
    let subtree = Subtree::new(role);
    for command in [&["true"][..], &["no-such-command"], &["sh", "-c", "kill -9 $$"]] {
        subtree.run(&[&[PROGRAM, "--quiet", "--pids-limit", "9"], command].concat());
        subtree.assert_none_is_left("ch09");
    }
    let (running, pid) = start(&subtree, &[], "sleep 60");
    let folder = folder_of(pid, "cpu");
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).unwrap();
    eventually("the removal of its cgroup", || !folder.exists());
    drop(running);
}

fn sigkill_leaves_nothing(role: Role) {
    let subtree = Subtree::new(role);
    let command = "setsid sleep 60 & echo $$ $!; exec sleep 60";
    let line = [PROGRAM, "--quiet", "--pids-limit", "9", "--", "sh", "-c", command];
    let mut running = subtree.start(&line);
    let pids: Vec<u32> = running.line().split(' ').map(|pid| pid.parse().unwrap()).collect();
    let folders = ["cpu", "pids"].map(|controller| folder_of(pids[0], controller));
    assert!(folders.iter().all(|folder| folder.exists()), "{folders:?}");
    running.signal(Signal::SIGKILL);
    running.end();
    eventually("the end of all", || {
        let is_there = |pid: &u32| std::fs::exists(format!("/proc/{pid}/exe")).unwrap_or(true);
        !folders.iter().any(|folder| folder.exists()) && !pids.iter().any(is_there)
    });
}

fn the_status_passes_through(role: Role) {
    let subtree = Subtree::new(role);
    for (command, status) in [(&["sh", "-c", "exit 7"][..], 7), (&["no-such-command"], 127)] {
        let output = subtree.run(&[&[PROGRAM, "--quiet"], command].concat());
        assert_eq!(output.status, status, "{output:?}");
    }
}

fn quiet_is_quiet(role: Role) {
    let output = Subtree::new(role).run(&[PROGRAM, "--quiet", "echo", "only this"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("only this\n", ""));
}
