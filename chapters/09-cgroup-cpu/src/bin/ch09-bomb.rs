//! A fork bomb that ends by itself: every process makes two more, for some generations.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe, stdout};
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::refusal;
use clap::Parser;
use nix::errno::Errno;
use nix::sys::wait::wait;
use nix::unistd::{ForkResult, fork};

/// Makes two processes, each of which makes two more, and so on.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// For how many generations: 6 are 126 processes.
    #[arg(long, value_name = "NUMBER", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=12))]
    generations: u8,
}

fn main() -> ExitCode {
    refusal::main(|| {
        let (mut reader, writer) = pipe()?;
        multiply(Args::parse().generations, &writer, pipe()?)?;
        drop(writer);
        let mut told = String::new();
        reader.read_to_string(&mut told)?;
        let count = |letter| told.matches(letter).count();
        writeln!(stdout(), "processes made:  {}", count('+'))?;
        writeln!(stdout(), "forks refused:   {}", count('-'))?;
        if let Some(errno) = told.split_once('=').and_then(|(_, rest)| rest.split(' ').next()) {
            writeln!(stdout(), "with:            {errno}")?;
        }
        Ok(0)
    })
}

// ANCHOR: multiply
/// Forks twice, and tells through the pipe how that went. All live until the last has done so.
fn multiply(
    generations: u8,
    mut told: &PipeWriter,
    (mut all_done, not_done): (PipeReader, PipeWriter),
) -> Result<()> {
    if generations > 0 {
        for _ in 0..2 {
            // SAFETY: this process has one thread.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    multiply(generations - 1, told, (all_done, not_done))?;
                    process::exit(0);
                }
                Ok(ForkResult::Parent { .. }) => told.write_all(b"+")?,
                // In one piece, between those of others.
                Err(errno) => told.write_all(format!("-={errno:?} ").as_bytes())?,
            }
        }
    }
    // The other pipe ends when everybody has closed it.
    drop(not_done);
    all_done.read_to_end(&mut Vec::new())?;
    while wait() != Err(Errno::ECHILD) {}
    Ok(())
}
// ANCHOR_END: multiply
