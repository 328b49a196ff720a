//! Something to see or not to see: one object of each kind in the IPC namespace that this is called
//! in.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal;
use ch02_ipc::objects::{OBJECTS, make_all};
use clap::{Parser, Subcommand};

/// Lists, makes or removes one object of each kind that an IPC namespace holds.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Make all four.
    Make,
    /// Remove those that are there.
    Remove,
}

fn main() -> ExitCode {
    refusal::main(|| {
        match Args::parse().what {
            None => list()?,
            Some(What::Make) => make_all()?,
            Some(What::Remove) => {
                for object in OBJECTS {
                    if object.exists()? {
                        object.remove()?;
                    }
                }
            }
        }
        Ok(0)
    })
}

fn list() -> Result<()> {
    for object in OBJECTS {
        let here = if object.exists()? { "here" } else { "-" };
        writeln!(stdout(), "{:<26}{here}", object.name())?;
    }
    Ok(())
}
