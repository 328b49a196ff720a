//! Builds the book, checks it, and says where it lies.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Builds the book, checks it, and says where it lies.
#[derive(Parser)]
#[command(version)]
struct Args {}

fn main() -> Result<ExitCode> {
    Args::parse();
    // `cargo run` tells where the package is now: a copy of the repository, with what was built in
    // it, must not check the book that it was copied from.
    let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let folder = PathBuf::from(folder);
    if env::var_os("BLESS").is_some() {
        book::write_atlas(&folder)?;
    }
    let rendered = book::build(&folder)?;
    let findings = book::check(&folder, &rendered)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        eprintln!("{} to mend", findings.len());
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "the book is checked, and begins at {}",
        rendered.canonicalize()?.join("index.html").display()
    );
    Ok(ExitCode::SUCCESS)
}
