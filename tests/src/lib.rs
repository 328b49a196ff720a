//! What the chapters' tests share: the two roles in which a claim is tried, skips that say why, and
//! programs that are started from outside and looked at from outside.
//!
//! A claim is tried as root and as an ordinary user, by whoever can be both: root lends its
//! programs the uid of `nobody`. `REQUIRE`, a list of words, makes a failure of every skip for one of
//! these reasons: `root`, `user`, `userns`, `tools`, `cargo`, `python3`, `subids`, `idmap`, `cgroups`,
//! `v1`, `v2`, `cgroup2`, `disk`, `lab`, `examples`, `runtimes`; and `all` for all.

pub mod cgroups;
pub mod exercise;
pub mod fault;
pub mod files;
pub mod program;
pub mod terminal;
pub mod transcript;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{User, getuid};

pub use program::{Output, Running};

/// As whom a claim is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Root: uid 0 with its capabilities.
    Root,
    /// An ordinary user: the caller, or `nobody` when the caller is root.
    User,
}

/// The uid and gid that root gives to the programs of an ordinary user.
const NOBODY: u32 = 65534;

/// One claim of a page.
pub struct Claim {
    name: String,
    roles: Vec<Role>,
    needs: Vec<&'static str>,
    test: Box<dyn Fn(Role) + Send + Sync>,
}

impl Claim {
    /// A claim that holds in both roles. [`claim!`] gives it the name of its function.
    pub fn new(name: impl Into<String>, test: impl Fn(Role) + Send + Sync + 'static) -> Claim {
        Claim {
            name: name.into(),
            roles: vec![Role::Root, Role::User],
            needs: Vec::new(),
            test: Box::new(test),
        }
    }

    /// A claim about one role alone.
    pub fn only(self, role: Role) -> Claim {
        Claim { roles: vec![role], ..self }
    }

    /// The claim can only be tried where these are: `userns`, or a program in PATH.
    pub fn needs(mut self, needs: &[&'static str]) -> Claim {
        self.needs.extend(needs);
        self
    }

    fn trials(self) -> Vec<Trial> {
        let test = std::sync::Arc::new(self.test);
        let trial = |role: Role| {
            let (test, needs) = (test.clone(), self.needs.clone());
            let name =
                format!("{} as {}", self.name, if role == Role::Root { "root" } else { "user" });
            Trial::ignorable_test(name.clone(), move || match missing(role, &needs) {
                Some((need, why)) if is_required(need) => {
                    Err(Failed::from(format!("REQUIRE names {need}: {why}")))
                }
                Some((_, why)) => Ok(Completion::ignored_with(why)),
                None => {
                    let _watch = program::watch(name);
                    test(role);
                    Ok(Completion::Completed)
                }
            })
        };
        self.roles.iter().copied().map(trial).collect()
    }
}

/// A [`Claim`] named after its function.
#[macro_export]
macro_rules! claim {
    ($test:ident) => {
        $crate::Claim::new(stringify!($test), $test)
    };
}

/// The whole of a chapter's test program: its claims, and its transcripts, each in every role it
/// has.
pub fn main(package: &str, claims: Vec<Claim>) -> ExitCode {
    // Whoever was started in the background ignores these, and so would all that we start.
    for ignored in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default action runs no code of ours.
        _ = unsafe { signal(ignored, SigHandler::SigDfl) };
    }
    let transcripts = transcript::claims(&Path::new(package).join("transcripts"));
    let trials = claims.into_iter().chain(transcripts).flat_map(Claim::trials).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Has mounts of our own, so that nobody else's come and go; and shares them, so that none stays
/// unseen. Has what is in `others` too. Who is not root does without.
pub fn enter_stage(others: CloneFlags) {
    let none = None::<&str>;
    let set = |flags| mount(none, "/", none, MsFlags::MS_REC | flags, none);
    _ = unshare(CloneFlags::CLONE_NEWNS | others)
        .and_then(|()| set(MsFlags::MS_PRIVATE))
        .and_then(|()| set(MsFlags::MS_SHARED));
}

/// The first need that is not met, by its `REQUIRE` name, and why.
fn missing(role: Role, needs: &[&'static str]) -> Option<(&'static str, String)> {
    let root = getuid().is_root();
    match role {
        Role::Root if !root => return Some(("root", "needs root".into())),
        Role::User if root && closed(role).is_some() => return closed(role),
        _ => {}
    }
    needs.iter().find_map(|need| match *need {
        // An independent witness: not the code under test.
        "userns" => {
            let can = succeeds(role.command("unshare").args(["-Ur", "true"]));
            (!can).then(|| ("userns", "needs user namespaces for ordinary users".to_owned()))
        }
        // An interactive shell says other things at its end.
        "sh=dash" => {
            let is_dash = Path::new("/bin/sh").canonicalize().is_ok_and(|sh| sh.ends_with("dash"));
            (!is_dash).then(|| ("tools", "needs /bin/sh to be dash".to_owned()))
        }
        // Whose test programs run as another user has no cargo there, and the lab has neither.
        tool @ ("cargo" | "python3") => {
            find(tool).is_none().then(|| (tool, format!("needs {tool} in PATH")))
        }
        // More ids than one's own: `nobody` seldom has any.
        "subids" => {
            let user = User::from_uid(role.uid().into())
                .ok()
                .flatten()
                .map_or(String::new(), |user| user.name);
            let has = |file: &str| {
                std::fs::read_to_string(file).is_ok_and(|text| {
                    text.lines().any(|line| line.starts_with(&format!("{user}:")))
                })
            };
            let can = has("/etc/subuid") && has("/etc/subgid") && find("newuidmap").is_some();
            (!can).then(|| ("subids", "needs newuidmap, and ids set aside for the user".to_owned()))
        }
        // What tmpfs can do since Linux 6.3, and an overlay cannot.
        "idmap" => {
            let kind = role.run("stat", &["--file-system", "--format=%T", "/tmp"]).stdout;
            let kernel = role.run("uname", &["-r"]).stdout;
            let mut version = kernel.split('.').map(|part| part.parse().unwrap_or(0));
            let version = (version.next().unwrap_or(0), version.next().unwrap_or(0));
            let can = match kind.trim() {
                "tmpfs" => version >= (6, 3),
                "overlayfs" => false,
                _ => true,
            };
            let why = || format!("needs a /tmp that can be id-mapped, and it is a {}", kind.trim());
            (!can).then(|| ("idmap", why()))
        }
        "cgroups" if role == Role::User && cgroups::v1("memory").is_some() => {
            Some(("v2", "needs cgroup v2: v1 is for root".to_owned()))
        }
        "cgroups" => (!cgroups::can_have(role))
            .then(|| ("cgroups", "needs a subtree of cgroups that was delegated".to_owned())),
        "users" => (!root).then(|| ("root", "needs root, who can be two users".to_owned())),
        "v1" => cgroups::v1("memory").is_none().then(|| ("v1", "needs cgroup v1".to_owned())),
        "v2" => cgroups::v2().is_none().then(|| ("v2", "needs cgroup v2".to_owned())),
        "disk" => {
            files::disk().is_none().then(|| ("disk", "needs a disk that root can read".to_owned()))
        }
        // Also beside v1, where it has hardly a controller.
        "cgroup2" => cgroups::mounted("cgroup2", "")
            .is_none()
            .then(|| ("cgroup2", "needs cgroup v2".to_owned())),
        // One that nobody else there has taken, for those rules that take one.
        "cgroup2 controller" => {
            let can = cgroups::v2_root()
                .is_some_and(|(_, has)| has.iter().any(|one| one == "memory" || one == "hugetlb"));
            (!can).then(|| ("cgroup2", "needs cgroup v2 with memory or hugetlb".to_owned()))
        }
        "lab" => {
            let is_lab = std::env::var_os("LAB").is_some();
            (!is_lab).then(|| ("lab", "needs to run in scripts/lab".to_owned()))
        }
        "examples" => {
            let has = program::folder().join("examples/ch01-exercise").is_file();
            (!has).then(|| ("examples", "needs `cargo build --workspace --examples`".to_owned()))
        }
        // What others start containers with. crun is not for a machine with both versions of cgroups.
        "runtimes" => {
            let lacks = ["bwrap", "crun", "podman", "runc"].iter().any(|tool| find(tool).is_none());
            let can = !lacks && !Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists();
            let why = "needs bwrap, crun, podman and runc, and one version of cgroups";
            (!can).then(|| ("runtimes", why.to_owned()))
        }
        // Also in the role of root.
        "nobody" => closed(Role::User),
        tool => find(tool).is_none().then(|| ("tools", format!("needs {tool} in PATH"))),
    })
}

/// Why an ordinary user cannot start the chapters' programs.
fn closed(role: Role) -> Option<(&'static str, String)> {
    let folder = program::folder();
    let is_open = succeeds(role.command("test").arg("-x").arg(&folder));
    (!is_open).then(|| ("user", format!("needs {} to be open to ordinary users", folder.display())))
}

fn is_required(need: &str) -> bool {
    let required = std::env::var("REQUIRE").unwrap_or_default();
    required.split_whitespace().any(|word| word == need || word == "all")
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = program::path();
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}
