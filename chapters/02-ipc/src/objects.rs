//! What an IPC namespace holds: System V message queues, semaphore sets and shared memory, and
//! POSIX message queues. `ipc_namespaces(7)`, `sysvipc(7)`, `mq_overview(7)`.

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refused};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_unlink};
use nix::sys::stat::Mode;

/// The key by which System V objects are found: "ch02" in ASCII.
const KEY: libc::key_t = 0x6368_3032;
/// The name by which the POSIX queue is found.
const NAME: &str = "/ch02";
const OWNER_ONLY: i32 = 0o600;

/// One object that this chapter can make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// `msgget(2)`
    MessageQueue,
    /// `semget(2)`
    SemaphoreSet,
    /// `shmget(2)`
    SharedMemory,
    /// `mq_open(3)`
    PosixQueue,
}

/// All four.
pub const OBJECTS: [Object; 4] =
    [Object::MessageQueue, Object::SemaphoreSet, Object::SharedMemory, Object::PosixQueue];

// ANCHOR: objects
impl Object {
    /// What it is, and the key or name that finds it.
    pub fn name(self) -> &'static str {
        match self {
            Object::MessageQueue => "message queue 0x63683032",
            Object::SemaphoreSet => "semaphore set 0x63683032",
            Object::SharedMemory => "shared memory 0x63683032",
            Object::PosixQueue => "POSIX queue /ch02",
        }
    }

    /// Whether the calling process's IPC namespace holds it.
    ///
    /// # Errors
    ///
    /// ENOSYS when the kernel was built without it.
    pub fn exists(self) -> Result<bool> {
        match self.get(0) {
            // EACCES is the answer for a queue of another user's, which is there all the same.
            Ok(_) | Err(Errno::EACCES) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno).refused(|| format!("{}({})", self.call(), self.key()), HELP),
        }
        .with_context(|| format!("cannot look for {}", self.name()))
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// EEXIST when it is there already; ENOSPC over the namespace's limit
    /// (`/proc/sys/kernel/msgmni`, `shmmni`, `sem`, `/proc/sys/fs/mqueue/queues_max`); ENOSYS
    /// when the kernel was built without it.
    pub fn make(self) -> Result<()> {
        self.get(libc::IPC_CREAT | libc::IPC_EXCL | OWNER_ONLY)
            .refused(|| format!("{}({}, IPC_CREAT | IPC_EXCL)", self.call(), self.key()), HELP)
            .map(drop)
            .with_context(|| format!("cannot make {}", self.name()))
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// ENOENT when it is not there; EPERM when another user made it.
    pub fn remove(self) -> Result<()> {
        let nothing = std::ptr::null_mut::<libc::msqid_ds>();
        let found = self.get(0).refused(|| format!("{}({})", self.call(), self.key()), HELP);
        let removed = found.and_then(|id| {
            let answer = match self {
                // SAFETY: IPC_RMID reads no buffer.
                Object::MessageQueue => unsafe { libc::msgctl(id, libc::IPC_RMID, nothing) },
                // SAFETY: IPC_RMID takes no fourth argument.
                Object::SemaphoreSet => unsafe { libc::semctl(id, 0, libc::IPC_RMID) },
                // SAFETY: IPC_RMID reads no buffer.
                Object::SharedMemory => unsafe { libc::shmctl(id, libc::IPC_RMID, nothing.cast()) },
                Object::PosixQueue => {
                    return mq_unlink(NAME).refused(|| format!("mq_unlink({NAME:?})"), HELP);
                }
            };
            let call = || format!("{}({id}, IPC_RMID)", self.call().replace("get", "ctl"));
            Errno::result(answer).map(drop).refused(call, HELP)
        });
        removed.with_context(|| format!("cannot remove {}", self.name()))
    }

    /// Finds or makes it, as `flags` say: the four calls differ in name and not in kind.
    fn get(self, flags: i32) -> nix::Result<i32> {
        match self {
            // SAFETY: numbers go in, and no memory.
            Object::MessageQueue => Errno::result(unsafe { libc::msgget(KEY, flags) }),
            // SAFETY: as above.
            Object::SemaphoreSet => Errno::result(unsafe { libc::semget(KEY, 1, flags) }),
            // SAFETY: as above.
            Object::SharedMemory => Errno::result(unsafe { libc::shmget(KEY, 1, flags) }),
            Object::PosixQueue => {
                let create = if flags == 0 {
                    MQ_OFlag::empty()
                } else {
                    MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL
                };
                let mode = Mode::from_bits_truncate(OWNER_ONLY as u32);
                // Without attributes nix would not pass the mode either.
                let one_byte = MqAttr::new(0, 1, 1, 0);
                mq_open(NAME, MQ_OFlag::O_RDONLY | create, mode, Some(&one_byte))
                    .and_then(mq_close)
                    .map(|()| 0)
            }
        }
    }
}
// ANCHOR_END: objects

impl Object {
    fn call(self) -> &'static str {
        match self {
            Object::MessageQueue => "msgget",
            Object::SemaphoreSet => "semget",
            Object::SharedMemory => "shmget",
            Object::PosixQueue => "mq_open",
        }
    }

    fn key(self) -> String {
        match self {
            Object::PosixQueue => format!("{NAME:?}"),
            _ => format!("{KEY:#x}"),
        }
    }
}

const HELP: Help = &[
    (Errno::EEXIST, "it is there already; `ch02-objects remove` removes it"),
    (Errno::EACCES, "another user made it: ask as that user, or as root"),
    (Errno::EPERM, "another user made it: ask as that user, or as root"),
];

/// Makes all four, or none.
///
/// # Errors
///
/// As for [`Object::make`].
pub fn make_all() -> Result<()> {
    for (made, object) in OBJECTS.iter().enumerate() {
        if let Err(error) = object.make() {
            for object in &OBJECTS[..made] {
                object.remove()?;
            }
            return Err(error);
        }
    }
    Ok(())
}
