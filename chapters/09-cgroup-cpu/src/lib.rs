//! How is the processor shared, and what else can be rationed?
//!
//! By weight when it is short, and by quota always: [`Cpu`]. [`Pids`] rations processes, and [`Io`]
//! what is read from a disk and written to it. [`spawn_in`] bears a child in its cgroup, so that it
//! was never outside. [`Usage`] tells what came of it, and [`Plot`] draws it.

mod birth;
mod cpu;
mod io;
mod pids;
mod plot;
mod usage;

pub use birth::spawn_in;
pub use cpu::{Cpu, cpus, weight};
pub use io::{Io, Rate};
pub use pids::{Pids, count};
pub use plot::{Plot, check_place};
pub use usage::{Usage, seconds_used};
