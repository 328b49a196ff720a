//! Becoming the command: `execvp(3)`.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use ch00_ground::refusal::{CANNOT_RUN, NOT_FOUND, Refusal};
use nix::errno::Errno;

// ANCHOR: exec
/// Replaces the calling program by `command`, its first word looked up in PATH. Returns only when that failed.
///
/// # Errors
///
/// With the exit status that a shell would give: ENOENT, no such command, 127; EACCES, no right to run it, 126; and
/// 126 for every other errno of `execve(2)`.
pub fn exec(command: &[OsString]) -> Result<Infallible> {
    let words: Vec<CString> = command
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<_, _>>()
        .context("cannot run a command with a NUL byte in it")?;
    let program = words.first().context("there is no command to run")?;
    let Err(errno) = nix::unistd::execvp(program, &words);
    let refusal = Refusal::new(format!("execvp({program:?})"), errno);
    Err(match errno {
        Errno::ENOENT => refusal.with_status(NOT_FOUND).with_help("no such program, neither as a path nor in PATH"),
        Errno::EACCES => {
            refusal.with_status(CANNOT_RUN).with_help("not a file that you may execute; `ls -l` shows why")
        }
        _ => refusal.with_status(CANNOT_RUN),
    })
    .with_context(|| format!("cannot run {}", command[0].display()))
}
// ANCHOR_END: exec
