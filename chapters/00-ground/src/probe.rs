//! Asking the kernel by doing it: in a throw-away child, so that nothing of the answer stays
//! behind.

use std::io::{Read, Write};

use anyhow::{Context, Result, anyhow, ensure};
use ch00_ground::namespace::{self, Kind};
use ch00_ground::refusal::{Refusal, Refused};
use ch00_ground::{capability, rootless};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use serde::Serialize;

/// The kernel's answer to one question.
#[derive(Serialize)]
pub struct Answer {
    pub allowed: bool,
    /// The call that was refused and how, when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// The way out that the refusal itself knew.
    #[serde(skip)]
    pub help: Option<String>,
}

impl Answer {
    /// A word for a table: `yes`, or the errno.
    pub fn word(&self) -> &str {
        match &self.errno {
            _ if self.allowed => "yes",
            Some(errno) => errno,
            None => "no",
        }
    }
}

/// Does `attempt` in a child, and tells how it went.
fn ask(attempt: impl FnOnce() -> Result<()>) -> Result<Answer> {
    let (mut reader, mut writer) = std::io::pipe()?;
    // SAFETY: the doctor has one thread, so the child may do whatever its parent may.
    match unsafe { fork() }.refused(|| "fork()".into(), &[])? {
        ForkResult::Child => {
            if let Err(error) = attempt() {
                // Should the pipe fail, the status still says that the answer was no.
                _ = writer.write_all(&Refusal::to_bytes(&error));
                // SAFETY: always sound; nothing of the parent's is flushed or dropped twice.
                unsafe { libc::_exit(1) }
            }
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            let end = waitpid(child, None).refused(|| format!("waitpid({child})"), &[])?;
            if end == WaitStatus::Exited(child, 0) {
                return Ok(Answer { allowed: true, refused: None, errno: None, help: None });
            }
            let error = match Refusal::from_bytes(&bytes) {
                Ok(refusal) => anyhow::Error::from(refusal),
                // A filter of system calls may answer with a signal.
                Err(_) => anyhow!("the probe ended without an answer: {end:?}"),
            };
            Ok(Answer {
                allowed: false,
                refused: Some(format!("{error:#}")),
                errno: error.root_cause().downcast_ref::<Errno>().map(|errno| format!("{errno:?}")),
                help: error
                    .downcast_ref::<Refusal>()
                    .and_then(Refusal::help)
                    .map(ToOwned::to_owned),
            })
        }
    }
}

// ANCHOR: namespace
/// Can a process enter a new namespace of this kind, as the caller is or inside a user namespace?
pub fn namespace(kind: &Kind, in_user_namespace: bool) -> Result<Answer> {
    ask(|| {
        if in_user_namespace {
            rootless::unshare_user()?;
        }
        let before = namespace::inode_of("self", kind.name)?;
        unshare(kind.flag).refused(|| format!("unshare({})", kind.flag_name()), &[])?;
        // Into a pid or a time namespace only children go: so a child looks.
        let inside = ask(|| {
            let after = namespace::inode_of("self", kind.name)?;
            ensure!(
                after.is_some() && after != before,
                "the {} namespace is still the old one",
                kind.name
            );
            Ok(())
        })?;
        ensure!(inside.allowed, inside.refused.unwrap_or_default());
        Ok(())
    })
}
// ANCHOR_END: namespace

/// Can the caller mount an overlay file system? Without CAP_SYS_ADMIN, inside a user namespace.
pub fn overlay() -> Result<Answer> {
    ask(|| {
        if !capability::holds(capability::effective()?, "sys_admin") {
            rootless::unshare_user()?;
        }
        unshare(CloneFlags::CLONE_NEWNS).refused(|| "unshare(CLONE_NEWNS)".into(), &[])?;
        // Nothing that is mounted from here on may show outside.
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .refused(|| "mount(\"/\", MS_REC | MS_PRIVATE)".into(), &[])?;
        mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::empty(), none)
            .refused(|| "mount(\"tmpfs\", \"/tmp\")".into(), &[])?;
        for dir in ["lower", "upper", "work", "merged"] {
            std::fs::create_dir(format!("/tmp/{dir}"))
                .context("cannot make a folder in a fresh tmpfs")?;
        }
        let layers = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work";
        mount(Some("overlay"), "/tmp/merged", Some("overlay"), MsFlags::empty(), Some(layers))
            .refused(|| "mount(\"overlay\")".into(), &[])
    })
}
