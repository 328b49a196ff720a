//! What came of the limit, as the kernel has counted it.

use anyhow::Result;
use ch00_ground::facts::plain_table;
use ch07_cgroup_hierarchy::{Cgroup, Group};

use crate::in_words;

/// What a group has used, and what that led to.
pub struct Usage(Vec<(&'static str, &'static str, String)>);

// ANCHOR: usage
impl Usage {
    /// As it is now.
    ///
    /// # Errors
    ///
    /// When the group has no memory controller.
    pub fn of(group: &Group) -> Result<Usage> {
        let cgroup = group.of("memory")?;
        Ok(Usage(match cgroup.version() {
            1 => Self::of_v1(cgroup)?,
            _ => Self::of_v2(cgroup)?,
        }))
    }

    fn of_v1(cgroup: &Cgroup) -> Result<Vec<(&'static str, &'static str, String)>> {
        let killed = cgroup.number("memory.oom_control", "oom_kill")?;
        Ok(vec![
            (
                "most at a time",
                "memory.max_usage_in_bytes",
                bytes(cgroup, "memory.max_usage_in_bytes")?,
            ),
            ("times the limit was met", "memory.failcnt", cgroup.read("memory.failcnt")?),
            ("killed", "memory.oom_control: oom_kill", killed.to_string()),
        ])
    }

    fn of_v2(cgroup: &Cgroup) -> Result<Vec<(&'static str, &'static str, String)>> {
        let event = |key| anyhow::Ok(cgroup.number("memory.events", key)?.to_string());
        let mut rows = vec![
            ("times memory.high was met", "memory.events: high", event("high")?),
            ("times memory.max was met", "memory.events: max", event("max")?),
            ("out of memory", "memory.events: oom", event("oom")?),
            ("killed", "memory.events: oom_kill", event("oom_kill")?),
        ];
        // Since Linux 5.19.
        if let Ok(peak) = bytes(cgroup, "memory.peak") {
            rows.insert(0, ("most at a time", "memory.peak", peak));
        }
        Ok(rows)
    }
}
// ANCHOR_END: usage

fn bytes(cgroup: &Cgroup, file: &str) -> Result<String> {
    Ok(in_words(cgroup.read(file)?.parse()?).to_string())
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut table = plain_table(["", "", "file"]);
        for (what, file, value) in &self.0 {
            table.add_row([*what, value, *file]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}
