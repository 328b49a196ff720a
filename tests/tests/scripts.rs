//! The scripts, as far as that needs no virtual machine: from any folder, by any path.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use harness::{Role, claim};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");

fn main() -> ExitCode {
    let claims = vec![
        claim!(the_lab_tells_what_it_can).only(Role::User),
        claim!(the_lab_refuses_what_it_cannot).only(Role::User),
        claim!(vagrants_scripts_tell_what_they_can).only(Role::User),
        claim!(who_measures_tells_what_it_can).only(Role::User).needs(&["python3"]),
        claim!(the_benchmark_refuses_what_it_cannot).only(Role::User).needs(&["python3"]),
    ];
    harness::main(env!("CARGO_MANIFEST_DIR"), claims)
}

/// The scripts by a path with a blank in it.
fn with_blank(test: impl FnOnce(&Path)) {
    let folder = tempfile::Builder::new().prefix("test of scripts ").tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&folder, mode).unwrap();
    let link = folder.path().join("a link");
    symlink(SCRIPTS, &link).unwrap();
    test(&link);
}

fn the_lab_tells_what_it_can(role: Role) {
    with_blank(|scripts| {
        let output = role.run(scripts.join("lab").to_str().unwrap(), &["--help"]);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        for option in ["--kernel", "--cgroup", "--user", "--systemd", "--shell", "--test"] {
            assert!(output.stdout.contains(option), "{}", output.stdout);
        }
    });
}

fn the_lab_refuses_what_it_cannot(role: Role) {
    with_blank(|scripts| {
        for (args, message) in [
            (&[][..], "say what to run: -- COMMAND, --shell or --test"),
            (&["--"], "there is no command after --"),
            (&["--frobnicate"], "what is --frobnicate?"),
            (&["--kernel", "5.4", "--", "true"], "--kernel is one of: 6.1 6.12"),
            (&["--cgroup", "v3", "--", "true"], "--cgroup is one of: v2 v1 hybrid"),
            (&["--user", "nobody", "--", "true"], "--user is one of: root reader"),
            (&["--user"], "--user needs a value"),
            (&["--memory", "2G", "--", "true"], "--memory and --timeout are numbers"),
        ] {
            let output = role.run(scripts.join("lab").to_str().unwrap(), args);
            let expected = format!("lab: {message}\n  help: scripts/lab --help\n");
            assert_eq!((output.status, output.stderr), (2, expected), "{args:?}");
        }
    });
}

fn vagrants_scripts_tell_what_they_can(role: Role) {
    with_blank(|scripts| {
        for (script, word) in [("build-box", "lab.box"), ("test-vagrant", "FILE.box")] {
            let script = scripts.join(script);
            let told = role.run(script.to_str().unwrap(), &["--help"]);
            assert_eq!((told.status, told.stderr.as_str()), (0, ""));
            assert!(told.stdout.contains(word), "{}", told.stdout);
            let refused = role.run(script.to_str().unwrap(), &["--frobnicate"]);
            assert_eq!((refused.status, refused.stdout), (2, told.stdout));
        }
    });
}

fn who_measures_tells_what_it_can(role: Role) {
    with_blank(|scripts| {
        for (script, word) in [("bench", "--alive"), ("timeline", "--explain")] {
            let output = role.run(scripts.join(script).to_str().unwrap(), &["--help"]);
            assert_eq!((output.status, output.stderr.as_str()), (0, ""));
            assert!(output.stdout.contains(word), "{}", output.stdout);
        }
        let script = scripts.join("timeline");
        assert_eq!(role.run(script.to_str().unwrap(), &["--frobnicate"]).status, 2);
    });
}

fn the_benchmark_refuses_what_it_cannot(role: Role) {
    with_blank(|scripts| {
        for (args, status, message) in [
            (&["--frobnicate"][..], 2, "--frobnicate"),
            (&["--rounds", "many"], 2, "--rounds"),
            (&["--rounds", "0"], 2, "--rounds takes a number"),
            (&["--alive", "some"], 2, "--alive some"),
            (&["--program", "/nowhere"], 1, "No such file or directory: '/nowhere'\n  help: "),
        ] {
            let output = role.run(scripts.join("bench").to_str().unwrap(), args);
            assert_eq!((output.status, output.stdout.as_str()), (status, ""), "{args:?}");
            assert!(output.stderr.contains(message), "{}", output.stderr);
        }
    });
}
