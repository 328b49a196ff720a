//! Uses a processor, and nothing else, for some seconds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ch00_ground::refusal;
use ch08_cgroup_memory::seconds;
use clap::Parser;

/// Computes as fast as it can.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// For how long.
    #[arg(value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    time: Duration,
}

fn main() -> ExitCode {
    refusal::main(|| {
        let (args, started) = (Args::parse(), Instant::now());
        while started.elapsed() < args.time {}
        Ok(0)
    })
}
