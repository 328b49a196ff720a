//! Folders, root file systems and mounts for the tests.

use std::fs::{self, Permissions};
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::{Output, Role};

/// A folder that is removed with all that is in it, and must be removable.
pub struct Folder(TempDir);

impl Deref for Folder {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.0
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // An overlay leaves a folder without any rights, which std reads before it removes it.
        let output = Command::new("rm").arg("-rf").arg(self.path()).output().expect("rm is there");
        assert!(output.status.success() || thread::panicking(), "{output:?}");
    }
}

/// A folder in which `role` may write; its path has a blank and a newline in it.
pub fn folder(role: Role) -> Folder {
    let folder = tempfile::Builder::new().prefix("test of\n").tempdir().expect("/tmp is there");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("it is ours");
    // Who is not root is the role already.
    _ = chown(&folder, Some(role.uid()), Some(role.uid()));
    Folder(folder)
}

/// A root file system that `role` has made with `scripts/rootfs`, and the folder that it is in.
pub fn rootfs(role: Role) -> (Folder, String) {
    let folder = folder(role);
    let path = folder.path().join("root").to_str().expect("we named it").to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/rootfs");
    let output = role.run(script, &[&path]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    (folder, path)
}

/// `script` on a machine where all mounts are shared, as systemd has them.
pub fn on_shared_mounts(role: Role, script: &str) -> Output {
    let user: &[&str] = if role == Role::Root { &[] } else { &["--user", "--map-root-user"] };
    // Private first: a mount that is shared with the machine would stay so.
    let script = format!("mount --make-rshared / && {script}");
    let stage = ["--mount", "--propagation", "private", "sh", "-c", &script];
    role.run("unshare", &[user, &stage].concat())
}

/// The states that `program ARGS -- COMMAND` leaves the mounts of such a machine in: before, while it
/// runs, and after it was killed.
pub fn mounts_around(role: Role, program: &str, args: &str, command: &str) -> [String; 3] {
    let output = on_shared_mounts(
        role,
        &format!(
            "cat /proc/self/mountinfo; echo =; \
             {program} --quiet {args} -- sh -c '{command}; echo ready; exec sleep 60' | {{ \
             read ready; cat /proc/self/mountinfo; echo =; pkill -KILL -P $$ {program}; }}; \
             cat /proc/self/mountinfo"
        ),
    );
    let states: Vec<_> = output.stdout.split("=\n").map(ToOwned::to_owned).collect();
    states.try_into().unwrap_or_else(|_| panic!("{output:?}"))
}

/// A whole disk that root can read here.
pub fn disk() -> Option<String> {
    let names = fs::read_dir("/sys/block")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| !["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind)))
        .map(|name| format!("/dev/{name}"))
        .find(|path| {
            fs::File::open(path)
                .and_then(|mut disk| std::io::Read::read_exact(&mut disk, &mut [0; 512]))
                .is_ok()
        })
}
