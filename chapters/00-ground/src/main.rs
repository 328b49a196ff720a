//! The doctor: what this machine allows, what each refusal blocks, and its cure.

mod doctor;
mod probe;
mod progress;

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::facts::{inode_cell, plain_table};
use ch00_ground::{namespace, refusal};
use clap::{Parser, Subcommand};

/// Shows what this machine allows: each namespace is really entered, each answer is the kernel's.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    show: Option<Show>,
}

#[derive(Subcommand)]
enum Show {
    /// The eight namespaces of processes side by side; `*` marks those that differ from yours.
    Namespaces {
        /// The processes to show beside this one.
        #[arg(value_name = "PID")]
        pids: Vec<u32>,
    },
    /// Which exercises you have solved.
    Progress,
}

fn main() -> ExitCode {
    refusal::main(|| {
        let args = Args::parse();
        match args.show {
            None => doctor(args.json)?,
            Some(Show::Namespaces { pids }) => namespaces(&pids, args.json)?,
            Some(Show::Progress) => progress(args.json)?,
        }
        Ok(0)
    })
}

fn doctor(json: bool) -> Result<()> {
    let report = doctor::examine()?;
    if json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(stdout(), "{report}")?;
    }
    Ok(())
}

fn progress(json: bool) -> Result<()> {
    let exercises = progress::exercises()?;
    if json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&exercises)?)?;
    } else {
        writeln!(stdout(), "{}", progress::table(exercises))?;
    }
    Ok(())
}

fn namespaces(pids: &[u32], json: bool) -> Result<()> {
    let yours = namespace::of("self")?;
    let others = pids.iter().map(namespace::of).collect::<Result<Vec<_>>>()?;
    if json {
        let process = |pid: u32, inodes: [Option<u64>; 8]| {
            let links = namespace::KINDS
                .iter()
                .zip(inodes)
                .map(|(kind, inode)| (kind.name.to_owned(), inode.into()));
            serde_json::json!({ "pid": pid, "namespaces": serde_json::Map::from_iter(links) })
        };
        let all: Vec<_> = std::iter::once((std::process::id(), yours))
            .chain(pids.iter().copied().zip(others))
            .map(|(pid, inodes)| process(pid, inodes))
            .collect();
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let header = ["namespace", "flag", "since", "chapter", "yours"].map(ToOwned::to_owned);
    let mut table = plain_table(
        header.into_iter().chain(pids.iter().map(ToString::to_string)).collect::<Vec<_>>(),
    );
    for (row, kind) in namespace::KINDS.iter().enumerate() {
        let mut cells = vec![
            kind.name.to_owned(),
            kind.flag_name(),
            kind.since.to_owned(),
            kind.chapter.to_string(),
            inode_cell(yours[row]),
        ];
        cells.extend(others.iter().map(|inodes| {
            let mark = if inodes[row] == yours[row] { "" } else { " *" };
            inode_cell(inodes[row]) + mark
        }));
        table.add_row(cells);
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    Ok(())
}
