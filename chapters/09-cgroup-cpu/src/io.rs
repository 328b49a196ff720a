//! How fast a disk is read and written: `io.max` of v2, `blkio.throttle.*` of v1.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Refusal, Refused};
use ch07_cgroup_hierarchy::{Group, hierarchy_of};
use ch08_cgroup_memory::size;
use nix::sys::stat::{SFlag, major, minor, stat};

/// So many bytes a second from or to a device.
#[derive(Clone)]
pub struct Rate {
    device: PathBuf,
    bytes: u64,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let (device, bytes) = text.rsplit_once(':').ok_or("it is DEVICE:SIZE")?;
        Ok(Rate { device: device.into(), bytes: size(bytes)? })
    }
}

/// How fast a group may read and write.
pub struct Io {
    controller: Option<&'static str>,
    /// The direction, the device's number, and so many bytes a second.
    limits: Vec<(Direction, String, u64)>,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

// ANCHOR: limit
impl Io {
    /// From which devices, and to which.
    ///
    /// # Errors
    ///
    /// ENOENT or EACCES as for `stat(2)`; and for what is no disk.
    pub fn new(read: &[Rate], write: &[Rate]) -> Result<Io> {
        let read = read.iter().map(|rate| (Direction::Read, rate));
        let limits = read.chain(write.iter().map(|rate| (Direction::Write, rate)));
        let limits = limits.map(|(way, rate)| anyhow::Ok((way, number(&rate.device)?, rate.bytes)));
        let limits: Vec<_> = limits.collect::<Result<_>>()?;
        let name = || if hierarchy_of("blkio").is_ok() { "blkio" } else { "io" };
        Ok(Io { controller: (!limits.is_empty()).then(name), limits })
    }

    /// The controller that it takes, by its name in v1 or v2; none, if there is no limit.
    pub fn controller(&self) -> Option<&'static str> {
        self.controller
    }

    /// Holds `group` to it.
    ///
    /// # Errors
    ///
    /// ENODEV for a partition: only a whole disk has a queue that can be slowed down.
    pub fn limit(&self, group: &Group) -> Result<()> {
        for (way, number, bytes) in &self.limits {
            let cgroup = group.of(self.controller.unwrap_or_default())?;
            let (file, line) = match (cgroup.version(), way) {
                (1, Direction::Read) => {
                    ("blkio.throttle.read_bps_device", format!("{number} {bytes}"))
                }
                (1, Direction::Write) => {
                    ("blkio.throttle.write_bps_device", format!("{number} {bytes}"))
                }
                (_, Direction::Read) => ("io.max", format!("{number} rbps={bytes}")),
                (_, Direction::Write) => ("io.max", format!("{number} wbps={bytes}")),
            };
            cgroup.write(file, &line).with_context(|| {
                format!("cannot limit device {number}; it must be a whole disk")
            })?;
        }
        Ok(())
    }
}
// ANCHOR_END: limit

/// The number by which the kernel knows a device.
fn number(device: &Path) -> Result<String> {
    let stat = stat(device).refused(|| format!("stat({device:?})"), &[])?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFBLK.bits() {
        return Err(Refusal::ours(format!("{} is no block device", device.display()))
            .with_help("`lsblk` lists those that are here")
            .into());
    }
    Ok(format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev)))
}
