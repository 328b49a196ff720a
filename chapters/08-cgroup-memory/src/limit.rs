//! The limit. Kernel documents "Control Group v2" and "Memory Resource Controller" (v1).

use std::fs;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Refusal, Refused};
use ch07_cgroup_hierarchy::Group;

use crate::in_words;

/// How much memory a group may have, in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Beyond this the kernel takes memory back, and if it cannot, kills.
    pub max: u64,
    /// The same for memory and swap together.
    pub max_with_swap: u64,
    /// Beyond this it takes memory back and slows down whoever wants more, and never kills.
    pub high: Option<u64>,
    /// Whether all of the group dies when one of it is to be killed.
    pub oom_group: bool,
}

/// About what the kernel needs until a shell has begun, with what it counts ahead for each processor.
const LEAST: u64 = 1 << 20;

// ANCHOR: limit
impl Memory {
    /// The controllers that a group must have for this.
    pub const CONTROLLERS: [&str; 1] = ["memory"];

    /// Holds `group` to it.
    ///
    /// # Errors
    ///
    /// For a limit under which no command can start, or above what the machine has; for `high` and
    /// `oom_group` on v1, which has neither. EBUSY, on v1, when the group has more already, and
    /// the kernel cannot take it back.
    pub fn limit(&self, group: &Group) -> Result<()> {
        self.check()?;
        let cgroup = group.of("memory")?;
        if cgroup.version() == 1 {
            self.check_v1()?;
            cgroup.write("memory.limit_in_bytes", &self.max.to_string())?;
            return match self.max_with_swap == self.max {
                true => cgroup.write("memory.swappiness", "0"),
                // It counts both together, and so may never be less than the limit above.
                false => {
                    cgroup.write("memory.memsw.limit_in_bytes", &self.max_with_swap.to_string())
                }
            };
        }
        cgroup.write("memory.max", &self.max.to_string())?;
        // It counts swap alone. A kernel that cannot count it has no such file.
        if self.max_with_swap > self.max || cgroup.path().join("memory.swap.max").exists() {
            cgroup.write("memory.swap.max", &(self.max_with_swap - self.max).to_string())?;
        }
        if let Some(high) = self.high {
            cgroup.write("memory.high", &high.to_string())?;
        }
        if self.oom_group {
            cgroup.write("memory.oom.group", "1")?;
        }
        Ok(())
    }
    // ANCHOR_END: limit

    fn check(&self) -> Result<()> {
        let refuse = |what: String, help: String| Err(Refusal::ours(what).with_help(help).into());
        let asked = in_words(self.max);
        if self.max < LEAST {
            return refuse(
                format!("cannot limit the memory to {} bytes", self.max),
                format!("hardly a command can begin with so little; give it {LEAST} or more"),
            );
        }
        let machine = memory_of_machine()?;
        if self.max > machine {
            return refuse(
                format!(
                    "cannot limit the memory to {asked}: this machine has {}",
                    in_words(machine)
                ),
                "a limit that cannot be reached is none; give less, or leave it out".into(),
            );
        }
        if self.max_with_swap < self.max {
            return refuse(
                format!(
                    "cannot limit memory and swap together to {}",
                    in_words(self.max_with_swap)
                ),
                format!("it counts both, and so is at least the memory alone, {asked}"),
            );
        }
        if let Some(high) = self.high.filter(|high| *high >= self.max) {
            return refuse(
                format!("cannot slow down beyond {}: at {asked} it is killed", in_words(high)),
                "memory.high does something only below memory.max".into(),
            );
        }
        Ok(())
    }

    fn check_v1(&self) -> Result<()> {
        for (is_asked, flag) in [(self.high.is_some(), "high"), (self.oom_group, "oom.group")] {
            if is_asked {
                return Err(Refusal::ours(format!("cgroup v1 has no memory.{flag}"))
                    .with_help("it takes a machine with cgroup v2, as in scripts/lab --cgroup v2")
                    .into());
            }
        }
        Ok(())
    }
}

/// All of its memory, in bytes: `proc_meminfo(5)`.
fn memory_of_machine() -> Result<u64> {
    let path = "/proc/meminfo";
    let text = fs::read_to_string(path).refused(|| format!("open({path:?})"), &[])?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
    let kib: u64 = kib.and_then(|kib| kib.trim().parse().ok()).context("no MemTotal")?;
    Ok(kib * 1024)
}
