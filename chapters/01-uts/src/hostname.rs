//! The host name: `gethostname(2)`, `sethostname(2)`, `uts_namespaces(7)`.

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refusal, Refused};
use nix::errno::Errno;

/// The host name of the calling process's UTS namespace.
///
/// # Errors
///
/// None that the kernel documents for this use.
pub fn hostname() -> Result<String> {
    let name = nix::unistd::gethostname().refused(|| "gethostname()".into(), &[])?;
    Ok(name.to_string_lossy().into_owned())
}

// ANCHOR: set
/// Sets the host name of the calling process's UTS namespace. The kernel takes any bytes, up to 64
/// of them.
///
/// # Errors
///
/// EINVAL when `name` is longer than 64 bytes, or holds a NUL, where every reader would stop; EPERM
/// without CAP_SYS_ADMIN in the user namespace that owns this UTS namespace.
pub fn set_hostname(name: &str) -> Result<()> {
    let call = || format!("sethostname({name:?})");
    let answer = if name.contains('\0') {
        Err(Refusal::new(call(), Errno::EINVAL)
            .with_help("a host name cannot hold a NUL byte")
            .into())
    } else {
        nix::unistd::sethostname(name).refused(call, HELP)
    };
    answer.context("cannot set the host name")
}

const HELP: Help = &[
    (Errno::EINVAL, "a host name has at most 64 bytes"),
    (Errno::EPERM, "this host name is not yours to change: enter a new UTS namespace first"),
];
// ANCHOR_END: set

#[cfg(test)]
mod tests {
    #[test]
    fn a_nul_is_refused_before_the_kernel_takes_it() {
        let error = super::set_hostname("bo\0x").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            r#"cannot set the host name: sethostname("bo\0x"): EINVAL: Invalid argument"#
        );
    }
}
