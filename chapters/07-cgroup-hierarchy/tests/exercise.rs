//! Checks the exercise of chapter 7.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::cgroups::{Subtree, folder_of, v1, v2};
use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::program::eventually;
use harness::{Output, Role, Running};

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch07-cgroup-hierarchy",
    needs: &["userns", "cgroups"],
    hint: "go through the mounts from the last to the first, and take the first of the right \
           hierarchy where the cgroup's path begins with the mount's root and the rest of it, \
           below the mount point, is a folder",
    check,
    wrong: [
        &["the folder for", "the status for a controller"],
        &["mounted elsewhere"],
        &["mounted in part"],
    ],
};

/// The controller for which the process is in a cgroup of ours.
const OURS: &str = "pids";

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let place = Place::new(answer.role());
    let Place { root, part, cgroup, .. } = &place;
    let pid = place.sleeper.pid();
    for controller in ["cpu", "memory", OURS] {
        let what = format!("the folder for {controller} of process {pid}");
        place.look(answer, &what, controller, &folder_of(pid, controller))?;
    }
    if let Some((controller, folder)) = beside_v1(pid) {
        let what = format!("the folder for {controller} of process {pid}, a controller of v2");
        place.look(answer, &what, &controller, &folder)?;
    }
    let output = answer.run(&["pid", &pid.to_string()]);
    let found = format!("{}, {:?}", output.status, output.stdout);
    let what = "the status for a controller `pid`, which there is not, and what is printed";
    expect(what, "125, \"\"", found)?;

    let below = |above: &Path| cgroup.strip_prefix(above).expect("it is below");
    // What is covered stays on the list.
    place.look_after(
        answer,
        "mounted elsewhere, and covered at the usual place: the folder",
        "mkdir /mnt/here; mount --bind \"$root\" /mnt/here; mount -t tmpfs none \"$root\"",
        Some(&Path::new("/mnt/here").join(below(root))),
    )?;
    place.look_after(
        answer,
        &format!(
            "mounted in part, {} and what is below, over the whole: the folder",
            part.display()
        ),
        "mount --bind \"$part\" \"$root\"",
        Some(&root.join(below(part))),
    )?;
    place.look_after(
        answer,
        "mounted as ever, and another cgroup elsewhere: the folder",
        "mkdir /mnt/other; mount --bind \"$other\" /mnt/other",
        Some(cgroup),
    )?;
    place.look_after(
        answer,
        "only another cgroup mounted, and the usual place covered: the folder",
        "mkdir /mnt/other; mount --bind \"$other\" /mnt/other; mount -t tmpfs none \"$root\"",
        None,
    )
}

/// A controller of v2 on a machine where v1 has the others, and the folder of a process there.
fn beside_v1(pid: u32) -> Option<(String, PathBuf)> {
    v1(OURS)?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let root = PathBuf::from(mounts.find(|words| words[2] == "cgroup2")?[1]);
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some((controllers.split_whitespace().next()?.to_owned(), root.join(cgroup)))
}

/// A process in a cgroup of ours. What is here is dropped in this order.
struct Place {
    sleeper: Running,
    _made: Made,
    _subtree: Subtree,
    /// Where the hierarchy is mounted.
    root: PathBuf,
    /// The cgroup that is mounted when a part is: the one below the root.
    part: PathBuf,
    /// Where the process is, somewhere below that.
    cgroup: PathBuf,
    /// One beside that.
    other: PathBuf,
}

impl Place {
    fn new(role: Role) -> Place {
        let subtree = Subtree::new(role);
        let mut sleeper = subtree.start(&["sh", "-c", "echo ready; exec sleep 600"]);
        assert_eq!(sleeper.line(), "ready");
        let pid = sleeper.pid();
        let root = v1(OURS).or_else(v2).expect("one of them has it");
        let mut made = Made(Vec::new());
        let own = match role {
            Role::Root => {
                if v1(OURS).is_none() {
                    fs::write(root.join("cgroup.subtree_control"), format!("+{OURS}"))
                        .expect("we are root");
                }
                made.cgroup(root.join(format!("exercise-{pid}")))
            }
            Role::User => folder_of(pid, OURS),
        };
        // It may have a colon in its name, as some of Docker's have.
        let cgroup = made.cgroup(own.join(format!("exercise:{pid}")));
        let other = made.cgroup(own.join(format!("exercise-{pid}-other")));
        fs::write(cgroup.join("cgroup.procs"), pid.to_string()).expect("it is ours to move");
        let first = cgroup.strip_prefix(&root).expect("it is below").components().next();
        let part = root.join(first.expect("it is not the root"));
        Place { sleeper, _made: made, _subtree: subtree, root, part, cgroup, other }
    }

    /// Has the answer find the process where the machine has its mounts.
    fn look(
        &self,
        answer: &Answer,
        what: &str,
        controller: &str,
        folder: &Path,
    ) -> Result<(), Mismatch> {
        compare(what, &self.find(answer, controller, ""), folder, Some(folder))
    }

    /// The same after these commands, in mounts of its own, where the folder has this name, if any.
    fn look_after(
        &self,
        answer: &Answer,
        what: &str,
        commands: &str,
        name: Option<&Path>,
    ) -> Result<(), Mismatch> {
        let commands = format!("mount -t tmpfs none /mnt; {commands}");
        compare(what, &self.find(answer, OURS, &commands), &self.cgroup, name)
    }

    /// What the answer prints after these commands, and then which folder that is.
    fn find(&self, answer: &Answer, controller: &str, commands: &str) -> Output {
        let script = format!(
            "set -e; root=$1 part=$2 other=$3; shift 3; {commands}
             echo ready >&2; folder=$(\"$@\"); printf '%s\\n' \"$folder\"; stat -c %d:%i -- \"$folder\""
        );
        let (role, pid) = (answer.role(), self.sleeper.pid().to_string());
        let user: &[&str] = if role == Role::Root { &[] } else { &["--user", "--map-root-user"] };
        let unshare = [&["unshare", "--mount"], user].concat();
        let stage: &[&str] = if commands.is_empty() { &[] } else { &unshare };
        let folders = [&self.root, &self.part, &self.other];
        let [root, part, other] = folders.map(|path| path.to_str().expect("it is text"));
        let shell = ["sh", "-c", &script, "sh", root, part, other];
        let line = [stage, &shell, &answer.line(&[controller, &pid])].concat();
        let mut output = role.run(line[0], &line[1..]);
        let stderr = output.stderr.strip_prefix("ready\n");
        output.stderr = stderr.unwrap_or_else(|| panic!("{output:?}")).to_owned();
        output
    }
}

/// Whether what was found is this folder, or an error when it has no name there. It is compared by
/// its number, since it may have several names.
fn compare(
    what: &str,
    output: &Output,
    folder: &Path,
    name: Option<&Path>,
) -> Result<(), Mismatch> {
    let number = fs::metadata(folder).map(|stat| format!("{}:{}", stat.dev(), stat.ino()));
    let number = number.expect("it is there");
    let lines: Vec<_> = output.stdout.lines().collect();
    let (expected, is_right) = match name {
        Some(name) => {
            let is_right = matches!(lines[..], [path, it] if path.starts_with('/') && it == number);
            (name.components().collect::<PathBuf>().display().to_string(), is_right)
        }
        None => {
            let is_right = output.status == 125 && lines.is_empty();
            ("an error, with status 125".to_owned(), is_right)
        }
    };
    let found = match lines[..] {
        [path, _] => format!("{path}, which is another one"),
        [path] => format!("{path}, where no folder is"),
        _ => format!("{:?}, status {}, {:?}", output.stdout, output.status, output.stderr),
    };
    expect(what, &expected, if is_right { &expected } else { &found })
}

/// Cgroups that are removed at the end.
struct Made(Vec<PathBuf>);

impl Made {
    fn cgroup(&mut self, folder: PathBuf) -> PathBuf {
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        self.0.push(folder.clone());
        folder
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // Whoever was in it takes a moment to go. systemd may have been quicker than we.
            eventually("the removal of a cgroup", || {
                fs::remove_dir(folder).is_ok() || !folder.exists()
            });
        }
    }
}
