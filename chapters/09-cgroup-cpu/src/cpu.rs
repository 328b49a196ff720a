//! Processor time: a quota and a weight. Kernel documents "Control Group v2", "CFS Bandwidth
//! Control" and "CFS Scheduler" (v1).

use std::thread::available_parallelism;

use anyhow::{Context, Result};
use ch00_ground::refusal::Refusal;
use ch07_cgroup_hierarchy::Group;

/// How much processor time a group gets.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// At most so much, in processors.
    pub quota: Option<f64>,
    /// How much beside others, when there is not enough for all: who is not told has 100.
    pub weight: Option<u64>,
}

/// How long it takes until a quota is granted anew, in microseconds: the kernel's default.
const PERIOD: f64 = 100_000.0;

// ANCHOR: limit
impl Cpu {
    /// Holds `group` to it.
    ///
    /// # Errors
    ///
    /// For more processors than there are. EINVAL when a cgroup above has a lower quota (v1).
    pub fn limit(&self, group: &Group) -> Result<()> {
        if let Some(cpus) = self.quota {
            check(cpus)?;
            let cgroup = group.of("cpu")?;
            let quota = (cpus * PERIOD).round();
            match cgroup.version() {
                1 => {
                    cgroup.write("cpu.cfs_period_us", &PERIOD.to_string())?;
                    cgroup.write("cpu.cfs_quota_us", &quota.to_string())?;
                }
                _ => cgroup.write("cpu.max", &format!("{quota} {PERIOD}"))?,
            }
        }
        if let Some(weight) = self.weight {
            let cgroup = group.of("cpu")?;
            match cgroup.version() {
                // The default is 1024 there, and 100 here.
                1 => cgroup.write("cpu.shares", &(weight * 1024 / 100).to_string())?,
                _ => cgroup.write("cpu.weight", &weight.to_string())?,
            }
        }
        Ok(())
    }
}
// ANCHOR_END: limit

fn check(cpus: f64) -> Result<()> {
    let machine = available_parallelism().context("cannot count the processors")?.get();
    if cpus > machine as f64 {
        return Err(Refusal::ours(format!("cannot give {cpus} processors: you have {machine}"))
            .with_help("a limit that cannot be reached is none; give less, or leave it out")
            .into());
    }
    Ok(())
}

/// A number of processors, as in `0.5`. The kernel takes no quota below a millisecond.
///
/// # Errors
///
/// In words, for the command line.
pub fn cpus(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(cpus) if (0.01..).contains(&cpus) && f64::is_finite(cpus) => Ok(cpus),
        _ => Err("it is a number of processors, 0.01 or more".into()),
    }
}

/// A weight of v2.
///
/// # Errors
///
/// In words, for the command line.
pub fn weight(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(weight @ 1..=10_000) => Ok(weight),
        _ => Err("a weight is a whole number from 1 to 10000, and usually 100".into()),
    }
}
