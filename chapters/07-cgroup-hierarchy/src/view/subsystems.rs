//! Which subsystem is attached to which hierarchy: `/proc/cgroups`, and v2's `cgroup.controllers`.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Result;
use ch00_ground::cgroup::Hierarchy;
use ch00_ground::refusal::Refused;

/// The subsystems of one hierarchy; or one that is attached to none.
#[derive(Debug, PartialEq, Eq)]
pub struct Attached {
    /// Those that are attached together.
    pub subsystems: Vec<String>,
    /// The number of the hierarchy, which for v2 is 0.
    pub hierarchy: Option<u32>,
    /// How many cgroups it has, with those that are removed and not yet forgotten.
    pub cgroups: Option<u64>,
    /// Whether the kernel's command line left it enabled (`cgroup_disable=`).
    pub enabled: bool,
    /// Where it is mounted, if it is mounted here.
    pub mounted_at: Option<PathBuf>,
}

/// Every subsystem of this kernel: first those that are attached to no hierarchy, then hierarchy by
/// hierarchy.
///
/// # Errors
///
/// Whatever reading `/proc/cgroups` gives, but for ENOENT: a kernel without cgroup v1 has no such
/// file.
pub fn subsystems(mounted: &[Hierarchy]) -> Result<Vec<Attached>> {
    let path = "/proc/cgroups";
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.refused(|| format!("open({path:?})"), &[])?,
    };
    let v2 = mounted.iter().find(|hierarchy| hierarchy.version == 2);
    let cgroups = v2.and_then(|v2| {
        let stat = fs::read_to_string(v2.mounted_at.join("cgroup.stat")).ok()?;
        Some(count(&stat))
    });
    Ok(attach(&text, mounted, cgroups))
}

/// The root itself is no descendant.
fn count(stat: &str) -> u64 {
    let lines = stat.lines().filter_map(|line| line.split_once(' '));
    let descendants = lines.filter(|(name, _)| name.ends_with("_descendants"));
    1 + descendants.filter_map(|(_, number)| number.parse::<u64>().ok()).sum::<u64>()
}

/// `cgroups` are those of v2, which counts its own.
fn attach(text: &str, mounted: &[Hierarchy], cgroups: Option<u64>) -> Vec<Attached> {
    let having = |version, name: &str| {
        mounted.iter().find(|hierarchy| {
            hierarchy.version == version && hierarchy.controllers.iter().any(|word| word == name)
        })
    };
    let mut rows = Vec::<Attached>::new();
    for (name, number, cgroups, enabled) in text.lines().filter_map(row) {
        let hierarchy = (number > 0).then_some(number);
        let together = rows.iter_mut().find(|row| row.hierarchy == hierarchy);
        // 0 is that of v2 as well as none, and v2 has another name for one.
        if number == 0 && having(2, if name == "blkio" { "io" } else { name }).is_some() {
            continue;
        } else if let Some(row) = together.filter(|_| number > 0) {
            row.subsystems.push(name.to_owned());
            continue;
        }
        rows.push(Attached {
            subsystems: vec![name.to_owned()],
            hierarchy,
            cgroups: hierarchy.map(|_| cgroups),
            enabled,
            mounted_at: having(1, name).map(|hierarchy| hierarchy.mounted_at.clone()),
        });
    }
    let v2 = mounted.iter().find(|hierarchy| hierarchy.version == 2);
    rows.extend(v2.filter(|v2| !v2.controllers.is_empty()).map(|v2| Attached {
        subsystems: v2.controllers.clone(),
        hierarchy: Some(0),
        cgroups,
        enabled: true,
        mounted_at: Some(v2.mounted_at.clone()),
    }));
    rows.sort_by_key(|row| row.hierarchy.is_some());
    rows
}

/// Tabs are between the name, the number of the hierarchy, that of its cgroups, and enabled or not.
fn row(line: &str) -> Option<(&str, u32, u64, bool)> {
    let mut fields = line.split('\t');
    let name = fields.next().filter(|name| !name.starts_with('#'))?;
    let hierarchy = fields.next()?.parse().ok()?;
    Some((name, hierarchy, fields.next()?.parse().ok()?, fields.next()? == "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(version: u8, controllers: &str, at: &str) -> Hierarchy {
        Hierarchy {
            version,
            controllers: controllers.split(' ').map(ToOwned::to_owned).collect(),
            name: None,
            mounted_at: at.into(),
            mounted: "/".into(),
            your_cgroup: "/".into(),
        }
    }

    fn told(rows: &[Attached]) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        let tell = |row: &Attached| {
            let (hierarchy, cgroups) = (number(row.hierarchy.map(u64::from)), number(row.cgroups));
            let at = row.mounted_at.as_deref().unwrap_or("-".as_ref()).display();
            format!("{} {hierarchy} {cgroups} {} {at}", row.subsystems.join(","), row.enabled)
        };
        rows.iter().map(tell).collect()
    }

    const HEADER: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";

    #[test]
    fn hybrid_with_two_in_one_hierarchy() {
        let text = format!(
            "{HEADER}cpu\t3\t60\t1\ncpuacct\t3\t60\t1\nblkio\t0\t9\t1\nmemory\t0\t9\t0\nnet_cls\t5\t1\t1\n"
        );
        let rows =
            attach(&text, &[mounted(2, "io", "/v2"), mounted(1, "cpu cpuacct", "/v1")], Some(9));
        let expected = [
            "memory - - false -",
            "cpu,cpuacct 3 60 true /v1",
            "net_cls 5 1 true -",
            "io 0 9 true /v2",
        ];
        assert_eq!(told(&rows), expected);
    }

    #[test]
    fn v2_with_a_kernel_that_knows_no_other() {
        let rows = attach("", &[mounted(2, "cpu memory", "/v2")], Some(3));
        assert_eq!(told(&rows), ["cpu,memory 0 3 true /v2"]);
    }

    #[test]
    fn the_cgroups_of_v2() {
        let stat =
            "nr_descendants 4\nnr_subsys_cpu 5\nnr_dying_descendants 2\nnr_dying_subsys_cpu 2\n";
        assert_eq!(count(stat), 7);
    }
}
