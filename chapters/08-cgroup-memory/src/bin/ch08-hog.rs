//! Takes memory and touches it, step by step, until it has enough or the kernel says no.

use std::hint::black_box;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use ch00_ground::refusal;
use ch08_cgroup_memory::{in_words, seconds, size};
use clap::Parser;

/// Takes memory and writes to every page of it, and shows how far it has come.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How much it wants in all.
    #[arg(value_parser = size, default_value = "200M")]
    size: u64,
    /// How much at a time.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "8M")]
    step: u64,
    /// Take it, and do not touch it.
    #[arg(long)]
    untouched: bool,
    /// Keep it for so long at the end.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    hold: Duration,
}

fn main() -> ExitCode {
    refusal::main(|| hog(&Args::parse()))
}

// ANCHOR: hog
fn hog(args: &Args) -> Result<u8> {
    let mut taken = Vec::new();
    for step in 1..=args.size.div_ceil(args.step) {
        // Zeroed memory comes from the kernel untouched: it is only a promise until it is written.
        let mut piece = vec![0u8; args.step as usize];
        if !args.untouched {
            piece.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        }
        taken.push(black_box(piece));
        let bar = "#".repeat(step as usize);
        writeln!(stdout(), "{:>10} {bar}", in_words(step * args.step).to_string())?;
    }
    sleep(args.hold);
    Ok(0)
}
// ANCHOR_END: hog
