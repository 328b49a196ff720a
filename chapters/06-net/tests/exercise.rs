//! Checks the exercise of chapter 6.

use std::process::{self, ExitCode};

use harness::Role;
use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::{children, namespace};

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch06-net",
    needs: &["userns", "ip", "ping", "nsenter"],
    hint: "before it opens the gate, the parent can join (chapter 2) the network namespace of the \
           first child and open a Netlink there, whose add_veth takes the neighbour's pid; \
           and then the neighbour's, with another Netlink",
    check,
    wrong: [
        &["the end of `true`"],
        &["the interfaces of the command"],
        &["the interfaces of the neighbour"],
    ],
};

fn check(answer: &Answer) -> Result<(), Mismatch> {
    answer.succeed(&["true"])?;
    // There is no new PID namespace: what the command knows as its number is its number.
    let mut running = answer.start(&["sh", "-c", "echo $$; exec sleep 60"]);
    let line = running.line();
    let processes = children(running.pid());
    let command = processes.iter().copied().find(|pid| pid.to_string() == line);
    let others: Vec<_> = processes.iter().copied().filter(|pid| Some(*pid) != command).collect();
    expect("how many children the program has beside the command", 1, others.len())?;
    let (Some(command), [neighbour]) = (command, &others[..]) else {
        return expect("the command's process", "a child of the program", "none");
    };
    let ours = namespace(process::id(), "net");
    let [one, other] = [command, *neighbour].map(|pid| namespace(pid, "net"));
    expect("whether the command has the network of the caller", false, one == ours)?;
    expect("whether the neighbour has the network of the caller", false, other == ours)?;
    expect("whether the command has the network of the neighbour", false, one == other)?;

    let role = answer.role();
    let [one, other] = [command, *neighbour].map(|pid| interfaces(role, pid));
    let expected = |address| format!("lo is up with 127.0.0.1/8, eth0 is up with {address}");
    expect("the interfaces of the command", expected("10.9.0.1/30"), describe(&one))?;
    expect("the interfaces of the neighbour", expected("10.9.0.2/30"), describe(&other))?;
    let end = |interfaces: &[Interface]| {
        let end = interfaces.iter().find(|interface| interface.name == "eth0");
        end.map(|end| (end.number.clone(), end.peer.clone())).unwrap_or_default()
    };
    let ((one, peer_of_one), (other, peer_of_other)) = (end(&one), end(&other));
    let what = "the numbers of the neighbour's eth0 and of the other end of the command's";
    expect(what, format!("{other} and {other}"), format!("{other} and {peer_of_one}"))?;
    let what = "the numbers of the command's eth0 and of the other end of the neighbour's";
    expect(what, format!("{one} and {one}"), format!("{one} and {peer_of_other}"))?;

    let ping = ["ping", "-c", "1", "-W", "10", "10.9.0.1"];
    expect(
        "the status of `ping 10.9.0.1` at the neighbour's",
        0,
        enter(role, *neighbour, &ping).0,
    )?;
    answer.succeed(&["ping", "-c", "1", "-W", "10", "10.9.0.2"])?;
    expect("the status of `sh -c 'exit 7'`", 7, answer.run(&["sh", "-c", "exit 7"]).status)
}

/// What `ip` tells about an interface.
struct Interface {
    number: String,
    name: String,
    is_up: bool,
    /// The number of a cable's other end, in whichever namespace that is.
    peer: String,
    addresses: Vec<String>,
}

/// Those in the network namespace of process `pid`, but for some that a kernel may put into each
/// and nobody has brought up.
fn interfaces(role: Role, pid: u32) -> Vec<Interface> {
    let links = enter(role, pid, &["ip", "-oneline", "link"]).1;
    let all_addresses = enter(role, pid, &["ip", "-oneline", "-4", "address"]).1;
    // 2: eth0@if3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 ...
    let interface = |line: &str| {
        let (number, rest) = line.split_once(": ")?;
        let (name, rest) = rest.split_once(": <")?;
        let (name, peer) = name.split_once("@if").unwrap_or((name, ""));
        let (flags, _) = rest.split_once('>')?;
        // 2: eth0    inet 10.9.0.1/30 scope global eth0 ...
        let address = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            (words.get(1) == Some(&name)).then(|| words.get(3).map(ToString::to_string))?
        };
        Some(Interface {
            number: number.to_owned(),
            name: name.to_owned(),
            is_up: flags.split(',').any(|flag| flag == "UP"),
            peer: peer.to_owned(),
            addresses: all_addresses.lines().filter_map(address).collect(),
        })
    };
    let all = links.lines().filter_map(interface);
    all.filter(|one| one.is_up || ["lo", "eth0"].contains(&one.name.as_str())).collect()
}

fn describe(interfaces: &[Interface]) -> String {
    let describe = |one: &Interface| {
        let state = if one.is_up { "up" } else { "down" };
        let addresses = match &one.addresses[..] {
            [] => "no address".to_owned(),
            some => some.join(" and "),
        };
        format!("{} is {state} with {addresses}", one.name)
    };
    interfaces.iter().map(describe).collect::<Vec<_>>().join(", ")
}

/// Runs a program in the network namespace of process `pid`. Its status, and what it prints.
fn enter(role: Role, pid: u32, command: &[&str]) -> (i32, String) {
    let pid = pid.to_string();
    let user: &[_] = if role == Role::User { &["--user", "--preserve-credentials"] } else { &[] };
    let args = [&["--target", &pid, "--net"], user, &["--"], command].concat();
    let output = role.run("nsenter", &args);
    (output.status, output.stdout)
}
