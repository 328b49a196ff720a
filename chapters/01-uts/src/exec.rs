//! Becoming the command: `execvp(3)`.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use ch00_ground::refusal::{CANNOT_RUN, NOT_FOUND, Refusal};
use nix::errno::Errno;

// ANCHOR: exec
/// Replaces the calling program by `command`, its first word looked up in PATH. Returns only when
/// that failed.
///
/// # Errors
///
/// With the exit status that a shell would give: ENOENT, no such command, 127; EACCES, no right to
/// run it, 126; and 126 for every other errno of `execve(2)`.
pub fn exec(command: &[OsString]) -> Result<Infallible> {
    let words: Vec<CString> = command
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<_, _>>()
        .context("cannot run a command with a NUL byte in it")?;
    let program = words.first().context("there is no command to run")?;
    let Err(errno) = nix::unistd::execvp(program, &words);
    // A folder of PATH that we may not search makes execvp say EACCES of a program that is nowhere.
    let errno = if errno == Errno::EACCES
        && !command[0].as_bytes().contains(&b'/')
        && !is_anywhere(&command[0])
    {
        Errno::ENOENT
    } else {
        errno
    };
    let refusal = Refusal::new(format!("execvp({program:?})"), errno);
    Err(match errno {
        Errno::ENOENT if is_anywhere(&command[0]) => refusal
            .with_status(NOT_FOUND)
            .with_help("it is there, and the interpreter of its #! line, or its loader, is not"),
        Errno::ENOENT => refusal
            .with_status(NOT_FOUND)
            .with_help("no such program, neither as a path nor in PATH"),
        Errno::EACCES => refusal
            .with_status(CANNOT_RUN)
            .with_help("not a file that you may execute; `ls -l` shows why"),
        _ => refusal.with_status(CANNOT_RUN),
    })
    .with_context(|| format!("cannot run {}", command[0].display()))
}
// ANCHOR_END: exec

/// The same, with these variables as its environment and no others.
///
/// # Errors
///
/// As for [`exec`].
pub fn exec_with(environment: &[(OsString, OsString)], command: &[OsString]) -> Result<Infallible> {
    // SAFETY: a child of `spawn` has one thread.
    unsafe { nix::env::clearenv() }.context("cannot clear the environment")?;
    for (name, value) in environment {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
    exec(command)
}

/// Whether there is such a file, as a path or in PATH.
fn is_anywhere(program: &OsString) -> bool {
    if program.as_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}
