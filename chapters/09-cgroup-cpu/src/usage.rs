//! What came of the limits, as the kernel has counted it.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use ch00_ground::facts::plain_table;
use ch07_cgroup_hierarchy::Group;

/// What a group has used, and how often it was held up.
pub struct Usage(Vec<(&'static str, String, &'static str)>);

// ANCHOR: usage
/// The processor time that a group has used so far, in seconds.
///
/// # Errors
///
/// When the group has no processor controller.
pub fn seconds_used(group: &Group) -> Result<f64> {
    let cgroup = group.of("cpu")?;
    Ok(match cgroup.version() {
        1 => group.of("cpuacct")?.read("cpuacct.usage")?.parse::<f64>()? / 1e9,
        _ => cgroup.number("cpu.stat", "usage_usec")? as f64 / 1e6,
    })
}

impl Usage {
    /// As it is now, `elapsed` after the start.
    ///
    /// # Errors
    ///
    /// When one of its files cannot be read.
    pub fn of(group: &Group, elapsed: Duration) -> Result<Usage> {
        let cpu = group.of("cpu")?;
        let used = seconds_used(group)?;
        let number = |key| cpu.number("cpu.stat", key);
        let (used_file, throttled, throttled_file) = match cpu.version() {
            1 => (
                "cpuacct.usage",
                number("throttled_time")? as f64 / 1e9,
                "cpu.stat: throttled_time",
            ),
            _ => (
                "cpu.stat: usage_usec",
                number("throttled_usec")? as f64 / 1e6,
                "cpu.stat: throttled_usec",
            ),
        };
        let processors = used / elapsed.as_secs_f64();
        let mut rows = vec![
            ("processor time", format!("{used:.2} s"), used_file),
            ("in processors", format!("{processors:.2}"), ""),
            ("periods", number("nr_periods")?.to_string(), "cpu.stat: nr_periods"),
            ("of them throttled", number("nr_throttled")?.to_string(), "cpu.stat: nr_throttled"),
            ("throttled for", format!("{throttled:.2} s"), throttled_file),
        ];
        if let Ok(pids) = group.of("pids") {
            // Since Linux 6.1 on v2; the file is missing before that.
            if let Ok(peak) = pids.read("pids.peak") {
                rows.push(("processes, at most", peak, "pids.peak"));
            }
            let refused = pids.number("pids.events", "max")?.to_string();
            rows.push(("forks refused", refused, "pids.events: max"));
        }
        Ok(Usage(rows))
    }
}
// ANCHOR_END: usage

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = plain_table(["", "", "file"]);
        for (what, value, file) in &self.0 {
            table.add_row([what, value.as_str(), file]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}
