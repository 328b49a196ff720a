//! The capabilities of a process: what root's power is made of, in 41 pieces. `capabilities(7)`.

use anyhow::Result;
use nix::errno::Errno;

use crate::refusal::Refused;

/// The names of `linux/capability.h`, without `CAP_`, at the place of their number.
pub const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// What begins a call of `capget(2)` and `capset(2)`: the version that has 64 bits, and the process,
/// of which 0 is the caller.
pub const HEADER: [u32; 2] = [0x2008_0522, 0];

/// The capabilities in effect for the calling process, as the kernel's bit set.
///
/// # Errors
///
/// None that the kernel documents for this use.
pub fn effective() -> Result<u64> {
    // Effective, permitted, inheritable: the lower 32 bits of each, and then the upper ones.
    let mut sets = [0_u32; 6];
    // SAFETY: the header says that two times three numbers may be written, and both live until the
    // call returns.
    let answer = unsafe { libc::syscall(libc::SYS_capget, HEADER.as_ptr(), sets.as_mut_ptr()) };
    Errno::result(answer).refused(|| "capget()".into(), &[])?;
    Ok(u64::from(sets[0]) | u64::from(sets[3]) << 32)
}

/// The names of those in the bit set `capabilities`.
pub fn names(capabilities: u64) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| holds(capabilities, name)).collect()
}

/// The bit set `capabilities` in words: its names, or those that it lacks where they are fewer.
pub fn describe(capabilities: u64) -> String {
    let (held, lacking) = (names(capabilities), names(!capabilities));
    match (held.len(), lacking.len()) {
        (0, _) => "none".to_owned(),
        (_, 0) => "all".to_owned(),
        (few, many) if few < many => held.join(", "),
        _ => format!("all but {}", lacking.join(", ")),
    }
}

/// Whether the bit set `capabilities` holds the one called `name`.
pub fn holds(capabilities: u64, name: &str) -> bool {
    NAMES.iter().position(|known| *known == name).is_some_and(|bit| capabilities & 1 << bit != 0)
}
