//! The claims of chapter 6, looked at from outside.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::ExitCode;

use harness::program::{children, differing, eventually, namespace};
use harness::{Claim, Output, Role, Running, claim};
use nix::sys::signal::Signal;

fn main() -> ExitCode {
    let claims = vec![
        claim!(five_namespaces_are_new),
        claim!(ports_and_abstract_sockets_are_private),
        claim!(sysfs_shows_the_inside),
        claim!(loopback_is_down_at_first).needs(&["ping"]),
        claim!(loopback_is_up_and_alone),
        claim!(both_ends_are_up_and_have_their_addresses),
        claim!(a_ping_crosses_both_ways),
        claim!(the_other_end_is_the_way_to_everywhere),
        claim!(root_lays_it_into_the_machine_s_own_network).only(Role::Root),
        claim!(a_user_lays_it_into_a_namespace_of_its_own).only(Role::User),
        claim!(the_cable_goes_with_the_command),
        claim!(the_cable_goes_with_the_namespace),
        claim!(killed_before_any_of_its_messages_it_leaves_nothing).needs(&["strace"]),
        claim!(two_at_once_have_two_cables),
        claim!(a_network_that_is_in_use_is_refused),
        claim!(of_two_at_once_at_most_one_gets_the_network).needs(&["strace"]),
        claim!(both_ends_with_one_address_are_refused),
        claim!(a_name_that_is_taken_is_refused),
        claim!(a_name_that_is_none_is_refused),
        claim!(an_address_that_is_none_is_refused),
        claim!(a_gateway_out_of_reach_is_refused),
        claim!(a_dead_peer_is_refused).needs(&["strace"]),
        claim!(a_network_of_others_is_refused),
        claim!(an_error_behind_the_gate_is_printed_once),
        claim!(the_status_passes_through),
        claim!(quiet_is_quiet),
    ];
    let needs = &["userns", "ip", "ping", "nsenter"];
    harness::main(
        env!("CARGO_MANIFEST_DIR"),
        claims.into_iter().map(|claim: Claim| claim.needs(needs)).collect(),
    )
}

/// A command line that begins in a new network namespace of its caller's, where the machine's own
/// network is out of reach.
fn in_a_lab<'a>(role: Role, command: &[&'a str]) -> Vec<&'a str> {
    let lab: &[_] = match role {
        Role::Root => &["unshare", "--net", "--"],
        Role::User => &["unshare", "--user", "--map-root-user", "--net", "--"],
    };
    [lab, command].concat()
}

/// Runs a shell script in such a namespace.
fn run_in_a_lab(role: Role, script: &str) -> Output {
    let line = in_a_lab(role, &["sh", "-c", script]);
    role.run(line[0], &line[1..])
}

const PROGRAM: &[&str] = &["ch06-net", "--quiet", "--network", "veth"];
const COMMAND: &[&str] = &["--", "sh", "-c", "echo ready; exec sleep 60"];

/// Starts chapter 6 with a cable, root's in a network namespace that is not the machine's, and waits
/// until the command runs. Tells the number of the command outside.
fn start(role: Role, flags: &[&str]) -> (Running, u32) {
    let line = [PROGRAM, flags, COMMAND].concat();
    let line = if role == Role::Root { in_a_lab(role, &line) } else { line };
    ready(role.start(line[0], &line[1..]))
}

fn start_without_cable(role: Role) -> (Running, u32) {
    ready(role.start("ch06-net", &[&["--quiet"], COMMAND].concat()))
}

fn ready(mut running: Running) -> (Running, u32) {
    assert_eq!(running.line(), "ready");
    let first = children(running.pid())[0];
    (running, first)
}

/// A network namespace in which there is nothing but a sleeper.
fn lab(role: Role) -> Running {
    let line = in_a_lab(role, &["sh", "-c", "echo ready; exec sleep 60"]);
    let mut lab = role.start(line[0], &line[1..]);
    assert_eq!(lab.line(), "ready");
    lab
}

/// What `nsenter` needs to run a program in the network namespace of a process.
fn entering<'a>(role: Role, pid: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    let user: &[_] = if role == Role::User { &["--user", "--preserve-credentials"] } else { &[] };
    [&["--target", pid, "--net"], user, &["--"], command].concat()
}

/// Runs a program in the network namespace of process `pid`.
fn enter(role: Role, pid: u32, command: &[&str]) -> Output {
    role.run("nsenter", &entering(role, &pid.to_string(), command))
}

/// Starts chapter 6 in the network namespace of process `pid`, as [`start`] does in its own.
fn start_in(role: Role, pid: u32, flags: &[&str]) -> (Running, u32) {
    let line = [PROGRAM, flags, COMMAND].concat();
    ready(role.start("nsenter", &entering(role, &pid.to_string(), &line)))
}

/// What `ip` says there, a line for each object.
fn ip(role: Role, pid: u32, args: &[&str]) -> String {
    let output = enter(role, pid, &[&["ip", "-oneline"], args].concat());
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "ip {args:?}");
    output.stdout
}

/// The interfaces that are up there.
fn up(role: Role, pid: u32) -> Vec<String> {
    let list = ip(role, pid, &["link", "show", "up"]);
    let name = |line: &str| {
        let name = line.split(": ").nth(1).expect("a number, a name, the rest");
        name.split('@').next().expect("there is always one").to_owned()
    };
    list.lines().map(name).collect()
}

fn assert_ping(role: Role, pid: u32, address: &str) {
    let output = enter(role, pid, &["ping", "-c", "1", "-W", "10", address]);
    assert_eq!(output.status, 0, "{output:?}");
}

fn five_namespaces_are_new(role: Role) {
    let (running, first) = start_without_cable(role);
    assert_eq!(differing(running.pid(), first), ["ipc", "mnt", "net", "pid", "uts"]);
    // Without a cable there is no need for a network outside.
    assert_eq!(namespace(running.pid(), "net"), namespace(std::process::id(), "net"));
}

fn ports_and_abstract_sockets_are_private(role: Role) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("0100007F:{:04X} ", listener.local_addr().unwrap().port());
    let name = format!("ch06-{}-{}", std::process::id(), role.uid());
    let _socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let (_running, first) = start(role, &[]);
    for (file, line) in [("tcp", &port), ("unix", &format!("@{name}"))] {
        let read = |pid| fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap();
        assert!(read(std::process::id()).contains(line), "{line}");
        assert!(!read(first).contains(line), "{line}");
    }
}

fn sysfs_shows_the_inside(role: Role) {
    let output = role.run("ch06-net", &["--quiet", "ls", "/sys/class/net"]);
    assert_eq!(output.stdout, "lo\n", "{output:?}");
    let script = "ls /sys/class/net; [ -w /sys/kernel ] && echo writable";
    let output = role.run("ch06-net", &["--quiet", "--network", "veth", "--", "sh", "-c", script]);
    assert_eq!(output.stdout, "eth0\nlo\n", "{output:?}");
}

fn loopback_is_down_at_first(role: Role) {
    let output = run_in_a_lab(role, "ip -oneline link show up; ping -c 1 127.0.0.1");
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("Network is unreachable"), "{output:?}");
    assert_ne!(output.status, 0);
}

fn loopback_is_up_and_alone(role: Role) {
    let (_running, first) = start_without_cable(role);
    assert_eq!(up(role, first), ["lo"]);
    assert_eq!(ip(role, first, &["route"]), "");
    assert_ping(role, first, "127.0.0.1");
}

fn both_ends_are_up_and_have_their_addresses(role: Role) {
    for flags in
        [&[][..], &["--interface", "cable0", "--address", "10.78.0.6/30", "--gateway", "10.78.0.5"]]
    {
        let (running, first) = start(role, flags);
        let name = flags.get(1).map_or(format!("veth{first}"), |name| (*name).to_owned());
        let (inside, outside) = match flags {
            [] => ("10.77.0.2/24", "10.77.0.1/24"),
            _ => ("10.78.0.6/30", "10.78.0.5/30"),
        };
        assert_eq!(up(role, first), ["lo", "eth0"]);
        // What they are born with is still there.
        let flags = ip(role, first, &["link", "show", "dev", "eth0"]);
        assert!(flags.contains("BROADCAST,MULTICAST,UP"), "{flags}");
        let found = ip(role, first, &["-4", "address", "show", "dev", "eth0"]);
        assert!(found.contains(&format!(" inet {inside} ")), "{found}");
        assert!(up(role, running.pid()).contains(&name));
        let found = ip(role, running.pid(), &["-4", "address", "show", "dev", &name]);
        assert!(found.contains(&format!(" inet {outside} ")), "{found}");
    }
}

fn a_ping_crosses_both_ways(role: Role) {
    let (running, first) = start(role, &[]);
    assert_ping(role, first, "127.0.0.1");
    assert_ping(role, first, "10.77.0.1");
    assert_ping(role, running.pid(), "10.77.0.2");
}

fn the_other_end_is_the_way_to_everywhere(role: Role) {
    let (_running, first) = start(role, &[]);
    let route = ip(role, first, &["route", "get", "192.0.2.1"]);
    assert!(route.starts_with("192.0.2.1 via 10.77.0.1 dev eth0 src 10.77.0.2 "), "{route}");
}

fn root_lays_it_into_the_machine_s_own_network(role: Role) {
    // A network that no other test run has at the same moment.
    let network = format!("10.213.{}", std::process::id() % 256);
    let (address, gateway) = (format!("{network}.2/30"), format!("{network}.1"));
    let flags = ["--address", &address, "--gateway", &gateway];
    let line = [PROGRAM, &flags, COMMAND].concat();
    let (mut running, first) = ready(role.start(line[0], &line[1..]));
    assert_eq!(namespace(running.pid(), "net"), namespace(std::process::id(), "net"));
    let end = format!("/sys/class/net/veth{first}");
    assert!(fs::exists(&end).unwrap());
    assert_ping(role, std::process::id(), address.strip_suffix("/30").unwrap());
    running.signal(Signal::SIGKILL);
    running.end();
    eventually("its end", || !fs::exists(&end).unwrap());
}

fn a_user_lays_it_into_a_namespace_of_its_own(role: Role) {
    let (running, first) = start(role, &[]);
    let mine = namespace(std::process::id(), "net");
    assert_ne!(namespace(running.pid(), "net"), mine);
    assert_ne!(namespace(running.pid(), "net"), namespace(first, "net"));
    assert!(!fs::exists(format!("/sys/class/net/veth{first}")).unwrap());
    let output = role.run("ch06-net", &["--network", "veth", "true"]);
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let last = "not root: the cable ends in a network namespace of process ";
    assert!(lines[1].starts_with(last), "{lines:?}");
}

fn the_cable_goes_with_the_command(role: Role) {
    // At once, so that the next one finds the network free.
    for command in ["true", "no-such-command"] {
        let run = format!("ch06-net --quiet --network veth {command} 2>/dev/null");
        let script = format!("ip link | wc -l; {run}; ip link | wc -l; {run}; ip link | wc -l");
        let output = run_in_a_lab(role, &script);
        let counts: Vec<_> = output.stdout.lines().collect();
        assert!(counts.len() == 3 && counts.iter().all(|count| *count == counts[0]), "{output:?}");
    }
}

/// Nobody is left to remove it, and yet it goes.
fn the_cable_goes_with_the_namespace(role: Role) {
    let lab = lab(role);
    let (mut parent, _first) = start_in(role, lab.pid(), &["--interface", "cable0"]);
    let is_there = || enter(role, lab.pid(), &["ip", "link", "show", "dev", "cable0"]).status == 0;
    assert!(is_there());
    parent.signal(Signal::SIGKILL);
    parent.end();
    eventually("the end of the cable", || !is_there());
}

/// There are nine, the last of which removes the cable.
fn killed_before_any_of_its_messages_it_leaves_nothing(role: Role) {
    let lab = lab(role);
    let links = || ip(role, lab.pid(), &["link"]);
    let before = links();
    for number in 1..=10 {
        let inject = format!("inject=sendto:signal=KILL:when={number}");
        let strace = ["strace", "-qqo", "/dev/null", "-e", &inject];
        let output = enter(role, lab.pid(), &[&strace, PROGRAM, &["true"]].concat());
        assert_eq!(output.status, if number < 10 { 137 } else { 0 }, "{number}: {output:?}");
        eventually("the end of all links", || links() == before);
    }
}

fn two_at_once_have_two_cables(role: Role) {
    let lab = lab(role);
    let (_one, first) = start_in(role, lab.pid(), &[]);
    let flags = ["--address", "10.78.0.2/24", "--gateway", "10.78.0.1"];
    let (_other, second) = start_in(role, lab.pid(), &flags);
    assert_eq!(up(role, lab.pid()), [format!("veth{first}"), format!("veth{second}")]);
    assert_ping(role, lab.pid(), "10.77.0.2");
    assert_ping(role, lab.pid(), "10.78.0.2");
}

fn a_network_that_is_in_use_is_refused(role: Role) {
    let lab = lab(role);
    let (_one, first) = start_in(role, lab.pid(), &[]);
    for (flags, address) in [
        (&[][..], "10.77.0.1/24"),
        (&["--address", "10.77.0.6/30", "--gateway", "10.77.0.5"], "10.77.0.5/30"),
    ] {
        let line = [PROGRAM, &["--interface", "second"], flags, &["echo", "ran"]].concat();
        let output = enter(role, lab.pid(), &line);
        assert_eq!(
            output.stderr,
            format!(
                "ch06-net: cannot give second the address {address}: \
                 veth{first} has 10.77.0.1/24, of the same network\n"
            )
        );
        assert_eq!((output.status, output.stdout.as_str()), (125, ""));
        assert_eq!(up(role, lab.pid()), [format!("veth{first}")]);
        assert_ping(role, lab.pid(), "10.77.0.2");
    }
}

/// Both are held up before each message, so that they send theirs at the same time.
fn of_two_at_once_at_most_one_gets_the_network(role: Role) {
    let lab = lab(role);
    let pid = lab.pid().to_string();
    let strace = ["strace", "-qqo", "/dev/null", "-e", "inject=sendto:delay_enter=100000"];
    // It outlives a strace that is killed, and so it ends by itself.
    let command = ["sh", "-c", "echo ready; exec sleep 3"];
    let line = [&strace, PROGRAM, &command].concat();
    let line = entering(role, &pid, &line);
    let mut both = [(); 2].map(|()| role.start("nsenter", &line));
    // Who is refused prints nothing.
    assert_ne!(both.each_mut().map(Running::line), ["ready", "ready"]);
}

/// Runs chapter 6 with a cable that is refused: says what it complains, with the pids of the
/// children replaced, when nothing was left and no command was run.
fn refused(role: Role, flags: &str) -> String {
    refused_under("", role, flags)
}

fn refused_under(strace: &str, role: Role, flags: &str) -> String {
    let script = format!(
        "ip link | wc -l; {strace} ch06-net --quiet --network veth {flags} echo ran; echo $?; \
         ip link | wc -l"
    );
    let output = run_in_a_lab(role, &script);
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(lines.len() == 3 && lines[0] == lines[2], "{output:?}");
    assert_eq!(lines[1], "125", "{output:?}");
    let (before, after) = match output.stderr.split_once(" in ") {
        Some((before, after)) if before.contains("RTM_NEWLINK") => (before, after),
        _ => return output.stderr,
    };
    format!("{before} in PID{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

fn both_ends_with_one_address_are_refused(role: Role) {
    let error = "ch06-net: cannot use the cable: both of its ends have the address 10.77.0.2\n";
    assert_eq!(refused(role, "--gateway 10.77.0.2"), error);
}

fn a_name_that_is_taken_is_refused(role: Role) {
    assert_eq!(
        refused(role, "--interface lo"),
        "ch06-net: cannot make the cable: RTM_NEWLINK(\"lo\", \"eth0\" in PID): EEXIST: File exists\n  \
         help: an interface of this name is there already; `ip link` lists them\n"
    );
}

fn a_name_that_is_none_is_refused(role: Role) {
    for (name, errno, help) in [
        ("sixteen-bytes-it", "ERANGE", "the name of an interface has at most 15 bytes"),
        ("a/b", "EINVAL", "the name of an interface has 1 to 15 bytes, and no blank, `/` or `:`"),
        ("''", "EINVAL", "the name of an interface has 1 to 15 bytes, and no blank, `/` or `:`"),
    ] {
        let error = refused(role, &format!("--interface {name}"));
        let (line, rest) = error.split_once('\n').unwrap();
        assert!(line.contains(&format!("in PID): {errno}: ")), "{error}");
        assert_eq!(rest, format!("  help: {help}\n"));
    }
}

fn an_address_that_is_none_is_refused(role: Role) {
    for (flag, value) in [
        ("--address", "10.77.0.2"),
        ("--address", "10.77.0.256/24"),
        ("--address", "10.77.0.2/33"),
        ("--gateway", "here"),
    ] {
        let args = ["--network", "veth", flag, value, "echo", "ran"];
        let output = role.run("ch06-net", &args);
        let error = format!("error: invalid value '{value}' for '{flag} <IP");
        assert!(output.stderr.starts_with(&error), "{output:?}");
        assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    }
}

fn a_gateway_out_of_reach_is_refused(role: Role) {
    assert_eq!(
        refused(role, "--gateway 10.78.0.1"),
        "ch06-net: cannot set the default route: RTM_NEWROUTE(default via 10.78.0.1): \
         ENETUNREACH: Network is unreachable\n  help: a gateway must be in a network that is reached \
         without one: that of an interface which is up\n"
    );
    assert_eq!(
        refused(role, "--gateway 10.77.0.255"),
        "ch06-net: cannot set the default route: RTM_NEWROUTE(default via 10.77.0.255): \
         EINVAL: Invalid argument\n  help: a gateway is one host, and this is the address of all \
         hosts in a network\n"
    );
}

/// The child ends at its first `prctl`; its parent is held up on the way out of `clone3`.
fn a_dead_peer_is_refused(role: Role) {
    let strace =
        "strace -fqqo /dev/null -e inject=clone3:delay_exit=1000000 -e inject=prctl:signal=KILL";
    assert_eq!(
        refused_under(strace, role, "--interface cable"),
        "ch06-net: cannot make the cable: RTM_NEWLINK(\"cable\", \"eth0\" in PID): ESRCH: No such \
         process\n  help: the process at the other end has ended, and its network namespace with it\n"
    );
}

/// Root in a user namespace, and the network is that of whoever is outside.
fn a_network_of_others_is_refused(role: Role) {
    let args = ["--user", "--map-root-user", "ch06-net", "--quiet", "--network", "veth", "true"];
    let output = role.run("unshare", &args);
    assert!(output.stderr.contains("): EPERM: Operation not permitted\n  help: "), "{output:?}");
    assert_eq!((output.status, output.stderr.lines().count()), (125, 2));
}

fn an_error_behind_the_gate_is_printed_once(role: Role) {
    let error = refused(role, &format!("--hostname {}", "x".repeat(65)));
    assert!(error.starts_with("ch06-net: cannot set the host name: "), "{error}");
    assert_eq!(error.lines().count(), 2, "{error}");
}

fn the_status_passes_through(role: Role) {
    for network in ["none", "veth"] {
        for (script, status) in [("exit 0", 0), ("exit 9", 9)] {
            let args = in_a_lab(
                role,
                &["ch06-net", "--quiet", "--network", network, "--", "sh", "-c", script],
            );
            assert_eq!(role.run(args[0], &args[1..]).status, status, "{network}: {script}");
        }
    }
}

fn quiet_is_quiet(role: Role) {
    for network in ["none", "veth"] {
        let line = in_a_lab(role, &["ch06-net", "--quiet", "--network", network, "true"]);
        let line = if role == Role::User { &line[5..] } else { &line[..] };
        let output = role.run(line[0], &line[1..]);
        assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (0, "", ""));
    }
}
