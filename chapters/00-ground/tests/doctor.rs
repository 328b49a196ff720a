//! The doctor's answers, compared with what others say of the same machine.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, ExitCode};

use harness::program::{KINDS, folder, namespace};
use harness::{Role, claim, files};
use serde_json::Value;

fn main() -> ExitCode {
    let claims = vec![
        claim!(it_names_the_kernel_and_the_caller),
        claim!(its_namespaces_are_those_that_unshare_enters),
        claim!(a_limit_is_found_with_what_it_blocks_and_its_cure).needs(&["userns"]),
        claim!(forbidden_user_namespaces_are_found).needs(&["userns"]),
        claim!(its_capabilities_are_those_of_capsh).needs(&["capsh"]),
        claim!(its_hierarchies_are_those_of_proc),
        claim!(what_may_be_written_is_what_can_be_made),
        claim!(the_propagation_of_the_root_is_found).needs(&["userns"]),
        claim!(it_says_what_the_lab_was_told).needs(&["userns", "lab"]),
        claim!(its_tools_are_those_of_the_path),
        claim!(tables_and_json_agree),
        claim!(namespaces_side_by_side).needs(&["userns"]),
        claim!(namespaces_of_a_process_that_is_gone),
        claim!(namespaces_of_another_user).only(Role::User),
        claim!(progress_is_what_was_kept),
    ];
    harness::main(env!("CARGO_MANIFEST_DIR"), claims)
}

/// The doctor's report; `within` is a command that runs the doctor, or nothing.
fn report(role: Role, within: &[&str]) -> Value {
    let command = [within, &["ch00-ground", "--json"]].concat();
    let output = role.run(command[0], &command[1..]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    serde_json::from_str(&output.stdout).expect("it is JSON")
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array()
        .expect("it is a list")
        .iter()
        .map(|word| word.as_str().expect("of words"))
        .collect()
}

fn it_names_the_kernel_and_the_caller(role: Role) {
    let report = report(role, &[]);
    assert_eq!(report["kernel"], fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
    assert_eq!(report["uid"], role.uid());
}

/// util-linux's unshare is the witness, with the same eight questions.
fn its_namespaces_are_those_that_unshare_enters(role: Role) {
    let report = report(role, &[]);
    let options = ["-C", "-i", "-m", "-n", "-pf", "-Tf", "-U", "-u"];
    assert_eq!(report["namespaces"].as_array().unwrap().len(), KINDS.len());
    for (kind, option) in KINDS.into_iter().zip(options) {
        let found = report["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .find(|found| found["name"] == kind)
            .unwrap();
        let as_you = role.run("unshare", &[option, "true"]).status == 0;
        let in_user_namespace =
            role.run("unshare", &["-Ur", "unshare", option, "true"]).status == 0;
        assert_eq!(found["as_you"]["allowed"], as_you, "{kind}: {found}");
        assert_eq!(found["in_user_namespace"]["allowed"], in_user_namespace, "{kind}: {found}");
        assert_eq!(found["as_you"]["errno"].is_null(), as_you, "{kind}: {found}");
    }
}

/// A user namespace has limits of its own, so nobody else's are touched.
fn a_limit_is_found_with_what_it_blocks_and_its_cure(role: Role) {
    let script = "echo 0 > /proc/sys/user/max_uts_namespaces; exec \"$@\"";
    let report = report(role, &["unshare", "-Ur", "sh", "-c", script, "sh"]);
    assert_eq!(report["settings"]["user.max_uts_namespaces"], "0");
    let finding = &report["findings"][0];
    assert_eq!(
        finding["what"],
        "uts namespace: unshare(CLONE_NEWUTS): ENOSPC: No space left on device"
    );
    assert_eq!(finding["blocks"], "chapters 1 to 6 and 10");
    assert_eq!(finding["cure"], "raise user.max_uts_namespaces, which is 0 in this user namespace");
}

fn forbidden_user_namespaces_are_found(role: Role) {
    let script =
        "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all \"$@\"";
    let report = report(role, &["unshare", "-Ur", "sh", "-c", script, "sh"]);
    let finding = &report["findings"][0];
    assert_eq!(
        finding["what"],
        "user namespaces: unshare(CLONE_NEWUSER): ENOSPC: No space left on device"
    );
    assert_eq!(finding["blocks"], "chapters 1 to 6 and 10");
    assert_eq!(
        finding["cure"],
        "the limit on user namespaces is reached; raise it: sudo sysctl user.max_user_namespaces=15000"
    );
}

fn its_capabilities_are_those_of_capsh(role: Role) {
    let status = role.run("grep", &["-h", "^CapEff", "/proc/self/status"]).stdout;
    let mask = status.split_whitespace().nth(1).unwrap();
    let decoded = role.run("capsh", &[&format!("--decode={mask}")]).stdout;
    let names = decoded.trim().split_once('=').unwrap().1;
    let expected: BTreeSet<_> =
        names.split(',').filter_map(|name| name.strip_prefix("cap_")).collect();
    assert_eq!(words(&report(role, &[])["capabilities"]), expected);
}

fn its_hierarchies_are_those_of_proc(role: Role) {
    let report = report(role, &[]);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let hierarchies = report["hierarchies"].as_array().unwrap();
    let mut expected = BTreeSet::new();
    let (mut v1, mut v2) = (false, false);
    for mount in mounts.lines() {
        let fields: Vec<_> = mount.split(' ').collect();
        match fields[2] {
            "cgroup" => {
                expected.insert((1, fields[1]));
                v1 |= !fields[3].contains("name=");
            }
            "cgroup2" => {
                expected.insert((2, fields[1]));
                v2 = true;
            }
            _ => {}
        }
    }
    let found: BTreeSet<_> = hierarchies
        .iter()
        .map(|found| (found["version"].as_u64().unwrap(), found["mounted_at"].as_str().unwrap()))
        .collect();
    assert_eq!(found, expected);
    let mode = [["none", "v2"], ["v1", "hybrid"]][usize::from(v1)][usize::from(v2)];
    assert_eq!(report["cgroup_mode"], mode);
    for hierarchy in hierarchies {
        if hierarchy["version"] == 1 {
            let options = mounts
                .lines()
                .map(|mount| mount.split(' ').collect::<Vec<_>>())
                .find(|fields| fields[1] == hierarchy["mounted_at"])
                .unwrap()[3];
            for controller in words(&hierarchy["controllers"]) {
                assert!(
                    options.split(',').any(|option| option == controller),
                    "{controller}: {options}"
                );
            }
        }
    }
}

/// Tried where it can do no harm: in a named v1 hierarchy or in v2, which limit nothing by having
/// one more cgroup.
fn what_may_be_written_is_what_can_be_made(role: Role) {
    let report = report(role, &[]);
    for hierarchy in report["hierarchies"].as_array().unwrap() {
        if hierarchy["version"] == 1 && hierarchy["name"].is_null() {
            continue;
        }
        let below = hierarchy["your_cgroup"].as_str().unwrap();
        let mounted_at = hierarchy["mounted_at"].as_str().unwrap();
        let folder = format!("{mounted_at}{below}/doctor-{}", std::process::id());
        let made = role.run("mkdir", &[&folder]).status == 0;
        assert_eq!(hierarchy["may_make_cgroups"], made, "{hierarchy}");
        assert!(!made || role.run("rmdir", &[&folder]).status == 0);
    }
}

fn the_propagation_of_the_root_is_found(role: Role) {
    for propagation in ["private", "shared"] {
        // Private first: what is shared outside would be a slave in here as well.
        let script = "mount --make-r$0 / && exec \"$@\"";
        let unshare = ["unshare", "-Urm", "--propagation", "private", "sh", "-c", script];
        let report = report(role, &[&unshare[..], &[propagation]].concat());
        assert_eq!(report["root_propagation"], propagation);
        assert_eq!(report["overlay"]["allowed"], true, "{propagation}: {report}");
    }
}

/// `LAB` is what `scripts/lab` was told: kernel, cgroups, user, and whether systemd is PID 1.
fn it_says_what_the_lab_was_told(role: Role) {
    let report = report(role, &[]);
    let lab = std::env::var("LAB").unwrap();
    let words: Vec<_> = lab.split(' ').collect();
    let [kernel, cgroup, user, systemd] = words[..] else { panic!("{lab}") };
    assert!(report["kernel"].as_str().unwrap().starts_with(&format!("{kernel}.")), "{report}");
    assert_eq!(report["cgroup_mode"], cgroup);
    assert_eq!(report["root_propagation"], if systemd == "yes" { "shared" } else { "private" });
    let expected = match (role, user) {
        (Role::Root, _) => "root",
        (Role::User, "root") => "nobody",
        (Role::User, user) => user,
    };
    assert_eq!(report["user"], expected);
    let has_controllers = |hierarchy: &serde_json::Value| {
        hierarchy["controllers"].as_array().is_some_and(|all| !all.is_empty())
    };
    let hierarchies = report["hierarchies"].as_array().unwrap();
    assert!(hierarchies.iter().any(has_controllers), "{report}");
    // The lab gives its reader a subtree, where there is no systemd to ask for one.
    let may = role == Role::Root || (user, cgroup, systemd) == ("reader", "v2", "no");
    for hierarchy in hierarchies.iter().filter(|hierarchy| has_controllers(hierarchy)) {
        assert_eq!(hierarchy["may_make_cgroups"], may, "{hierarchy}");
    }
}

fn its_tools_are_those_of_the_path(role: Role) {
    let report = report(role, &[]);
    for (tool, path) in report["tools"].as_object().unwrap() {
        let found = role.run("sh", &["-c", &format!("command -v {tool}")]).stdout;
        assert_eq!(path.as_str().unwrap_or_default(), found.trim(), "{tool}");
    }
}

fn tables_and_json_agree(role: Role) {
    let report = report(role, &[]);
    let tables = role.run("ch00-ground", &[]).stdout;
    for finding in report["findings"].as_array().unwrap() {
        for part in ["what", "blocks", "cure"] {
            assert!(tables.contains(finding[part].as_str().unwrap()), "{finding}");
        }
    }
    for found in report["namespaces"].as_array().unwrap() {
        let line =
            tables.lines().find(|line| line.starts_with(found["name"].as_str().unwrap())).unwrap();
        let cells: Vec<_> = line.split_whitespace().skip(2).collect();
        let word = |answer: &Value| answer["errno"].as_str().unwrap_or("yes").to_owned();
        assert_eq!(cells, [word(&found["as_you"]), word(&found["in_user_namespace"])]);
    }
}

fn namespaces_side_by_side(role: Role) {
    let mut other =
        role.start("unshare", &["-Ur", "--uts", "sh", "-c", "echo ready; exec sleep 60"]);
    assert_eq!(other.line(), "ready");
    let output = role.run("ch00-ground", &["namespaces", &other.pid().to_string()]);
    assert_eq!(output.stderr, "");
    for kind in KINDS {
        let line =
            output.stdout.lines().find(|line| line.starts_with(&format!("{kind} "))).unwrap();
        let ours = namespace(std::process::id(), kind);
        let theirs = namespace(other.pid(), kind);
        let number = |link: &str| link.split(['[', ']']).nth(1).unwrap().to_owned();
        let cells: Vec<_> = line.split_whitespace().skip(4).map(ToOwned::to_owned).collect();
        let mut expected = vec![number(&ours), number(&theirs)];
        if ours != theirs {
            assert!(["user", "uts"].contains(&kind));
            expected.push("*".to_owned());
        }
        assert_eq!(cells, expected, "{kind}");
    }
}

fn namespaces_of_a_process_that_is_gone(role: Role) {
    let output = role.run("ch00-ground", &["namespaces", "4194305"]);
    assert_eq!(
        output.stderr,
        "ch00-ground: cannot read the namespaces of process 4194305: readlink(\"/proc/4194305/ns/cgroup\"): \
         ENOENT: No such file or directory\n  help: there is no such process, or it has ended; `ps -e` lists those there are\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

/// Process 1 is the init of this machine, or of the container that this is.
fn namespaces_of_another_user(role: Role) {
    let output = role.run("ch00-ground", &["namespaces", "1"]);
    assert_eq!(
        output.stderr,
        "ch00-ground: cannot read the namespaces of process 1: readlink(\"/proc/1/ns/cgroup\"): \
         EACCES: Permission denied\n  help: this process is not yours to look into; ask as root, or for one of your own\n"
    );
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

/// The program looks beside the folder that it is in.
fn progress_is_what_was_kept(role: Role) {
    let target = files::folder(role);
    for folder in ["debug", "exercises"] {
        fs::create_dir(target.path().join(folder)).unwrap();
    }
    let program = target.path().join("debug/ch00-ground");
    // By another process: what one of ours has open for writing, another thread's child has too, and
    // then it cannot be executed.
    let copy = Command::new("cp").args([&folder().join("ch00-ground"), &program]).status();
    assert!(copy.unwrap().success());
    for (kept, told) in [("1", "tried once"), ("12", "tried 12 times"), ("solved", "solved")] {
        fs::write(target.path().join("exercises/ch01-uts"), kept).unwrap();
        let output = role.run(program.to_str().unwrap(), &["progress"]);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        let lines: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("ch0")).collect();
        let first: Vec<_> =
            lines[0].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(first, ["ch01-uts", "A domain name beside the host name", told]);
        assert!(!lines[1..].iter().any(|line| line.contains("tried") || line.contains("solved")));
    }
}
