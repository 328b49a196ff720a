//! The terminal's foreground process group: who gets Ctrl-C. `tcsetpgrp(3)`, `credentials(7)`.

use std::io::{IsTerminal, stdin};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::unistd::{getpgrp, tcgetpgrp, tcsetpgrp};

/// Whether stdin is a terminal, and the caller's process group has it.
pub fn is_foreground() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()).is_ok_and(|foreground| foreground == getpgrp())
}

/// Gives the terminal back to the caller's process group, if the group that has it is no more. A shell with job control takes it for a
/// group of its own, and one that was killed, or that does not know our group's number in its PID
/// namespace, has not given it back.
pub fn take_back() {
    // A group that lives has the terminal by right: our own shell, say, when it has put us into the
    // background meanwhile. A group of a PID namespace that we are not in reads as 0.
    match tcgetpgrp(stdin()) {
        Ok(foreground)
            if foreground.as_raw() != 0 && killpg(foreground, None) != Err(Errno::ESRCH) =>
        {
            return;
        }
        _ => {}
    }
    // Who is not in the foreground and sets it is stopped by SIGTTOU, unless that is blocked.
    let mut old = SigSet::empty();
    let block = SigSet::from(Signal::SIGTTOU);
    _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&block), Some(&mut old));
    // A terminal that has gone away has no foreground to set.
    _ = tcsetpgrp(stdin(), getpgrp());
    _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&old), None);
}
