//! Builds the book, checks it, and says where it lies.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Builds the book, checks it, and says where it lies.
#[derive(Parser)]
#[command(version)]
struct Args {}

fn main() -> Result<ExitCode> {
    Args::parse();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rendered = book::build(folder)?;
    let findings = book::check(folder, &rendered)?;
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
