//! What does a process already have, before anybody contains it?
//!
//! Eight namespaces, to begin with, and a place in `/proc` where they can be read. This is the
//! ground that every chapter stands on: the table of the [`namespace`]s, the [`facts`] shown before
//! and after an experiment, the [`refusal`] that carries an errno to the terminal, and the user
//! namespace that lets an ordinary user go on ([`rootless`]).

#[cfg(not(target_os = "linux"))]
compile_error!(
    "Namespaces and cgroups are parts of the Linux kernel, and this system is not Linux. \
     Run the chapters inside a Linux virtual machine: clone the repository there and build it again."
);

#[cfg(target_os = "linux")]
pub mod capability;
#[cfg(target_os = "linux")]
pub mod cgroup;
#[cfg(target_os = "linux")]
pub mod facts;
#[cfg(target_os = "linux")]
pub mod files;
#[cfg(target_os = "linux")]
pub mod mountinfo;
#[cfg(target_os = "linux")]
pub mod namespace;
#[cfg(target_os = "linux")]
pub mod refusal;
#[cfg(target_os = "linux")]
pub mod rootless;
#[cfg(target_os = "linux")]
pub mod subid;
