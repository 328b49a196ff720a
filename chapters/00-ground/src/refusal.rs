//! How a refusal of the kernel reaches the terminal: once, with the step, the call, the errno and,
//! where the cause is known, a way out.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{Write, stderr};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::{Deserialize, Serialize};

/// The exit status when the program itself failed, as `docker run` has it.
pub const FAILED: u8 = 125;
/// The exit status when the command is there and cannot be run.
pub const CANNOT_RUN: u8 = 126;
/// The exit status when there is no such command.
pub const NOT_FOUND: u8 = 127;

/// What may be said about each errno of a call.
pub type Help = &'static [(Errno, &'static str)];

// ANCHOR: refusal
/// A call that the kernel refused. Its `Display` is the call and its object, as in
/// `sethostname("box")`; the errno is its [`source`](Error::source).
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    call: String,
    errno: Option<i32>,
    #[serde(skip)]
    source: Option<Errno>,
    help: Option<String>,
    status: u8,
}
// ANCHOR_END: refusal

impl Refusal {
    /// `call` was answered with `errno`.
    pub fn new(call: String, errno: Errno) -> Refusal {
        Refusal { call, errno: Some(errno as i32), source: Some(errno), help: None, status: FAILED }
    }

    /// What we refuse ourselves, before the kernel is asked.
    pub fn ours(what: String) -> Refusal {
        Refusal { call: what, errno: None, source: None, help: None, status: FAILED }
    }

    /// The same, with what the reader can do about it.
    pub fn with_help(self, help: impl Into<String>) -> Refusal {
        Refusal { help: Some(help.into()), ..self }
    }

    /// The same, with another exit status than [`FAILED`].
    pub fn with_status(self, status: u8) -> Refusal {
        Refusal { status, ..self }
    }

    /// What the reader can do about it, where that is known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// All that `error` tells, as bytes that fit through a pipe from one process to another.
    pub fn to_bytes(error: &anyhow::Error) -> Vec<u8> {
        let refusal = error.downcast_ref::<Refusal>();
        let source = error.root_cause().downcast_ref::<Errno>().copied();
        let layers = error.chain().take(error.chain().count() - usize::from(source.is_some()));
        let flat = Refusal {
            call: layers.map(ToString::to_string).collect::<Vec<_>>().join(": "),
            errno: source.map(|errno| errno as i32),
            source,
            help: refusal.and_then(|refusal| refusal.help.clone()),
            status: refusal.map_or(FAILED, |refusal| refusal.status),
        };
        serde_json::to_vec(&flat).expect("strings and numbers always become JSON")
    }

    /// The error that [`to_bytes`](Refusal::to_bytes) was given in the other process.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Refusal> {
        let mut refusal: Refusal = serde_json::from_slice(bytes)?;
        refusal.source = refusal.errno.map(Errno::from_raw);
        Ok(refusal)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.call)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|errno| errno as _)
    }
}

/// The errno of a call that the standard library made.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// Whether an error comes from one of these errnos, by name.
pub fn is_one_of(error: &anyhow::Error, errnos: &[&str]) -> bool {
    let errno = error.root_cause().downcast_ref::<Errno>().map(|errno| format!("{errno:?}"));
    errno.is_some_and(|name| errnos.contains(&name.as_str()))
}

/// Names the call on its way out: for results whose error is an errno.
pub trait Refused<T> {
    /// `call` says which call it was and on what; `help` what may be said about each errno.
    ///
    /// # Errors
    ///
    /// The same error, as a [`Refusal`].
    fn refused(self, call: impl FnOnce() -> String, help: Help) -> anyhow::Result<T>;
}

impl<T> Refused<T> for nix::Result<T> {
    fn refused(self, call: impl FnOnce() -> String, help: Help) -> anyhow::Result<T> {
        self.map_err(|errno| {
            let refusal = Refusal::new(call(), errno);
            match help.iter().find(|(known, _)| *known == errno) {
                Some((_, help)) => refusal.with_help(*help),
                None => refusal,
            }
            .into()
        })
    }
}

impl<T> Refused<T> for std::io::Result<T> {
    fn refused(self, call: impl FnOnce() -> String, help: Help) -> anyhow::Result<T> {
        self.map_err(|error| errno(&error)).refused(call, help)
    }
}

// ANCHOR: main
/// Runs `program` as the whole of a `main`: its status is the exit status, and its error is printed
/// here and nowhere else.
pub fn main(program: impl FnOnce() -> anyhow::Result<u8>) -> ExitCode {
    status_of(program).into()
}

/// The same, and the status as a number.
pub fn status_of(program: impl FnOnce() -> anyhow::Result<u8>) -> u8 {
    // Rust ignores SIGPIPE, and what is ignored stays so across exec: `yes | head` would complain.
    // SAFETY: the default action runs no code of ours.
    _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    program().unwrap_or_else(|error| print(&error))
}

/// Prints `error` on stderr, with its help, and returns the exit status that belongs to it.
pub fn print(error: &anyhow::Error) -> u8 {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().unwrap_or(&name);
    say(&format!("{}: {error:#}", name.display()));
    let Some(refusal) = error.downcast_ref::<Refusal>() else {
        return FAILED;
    };
    if let Some(help) = &refusal.help {
        say(&format!("  help: {help}"));
    }
    refusal.status
}
// ANCHOR_END: main

/// Prints a line on stderr: all of it at once, since others write there too. What nobody can read is
/// no reason to fail.
pub fn say(line: &str) {
    _ = stderr().write_all(format!("{line}\n").as_bytes());
}
