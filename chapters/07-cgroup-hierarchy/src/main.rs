//! The four words on this machine: task, cgroup, subsystem, hierarchy.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::facts::plain_table;
use ch00_ground::refusal;
use ch07_cgroup_hierarchy::rules;
use ch07_cgroup_hierarchy::view::{self, Attached, Branch, Drawn, Place, printable, word};
use clap::{Parser, Subcommand};

/// Shows the cgroup hierarchies of this machine: without a command, as trees.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    show: Option<Show>,
}

#[derive(Subcommand)]
enum Show {
    /// The subsystems that are attached to a hierarchy, those of one hierarchy on one line.
    Lssubsys {
        /// Those that are attached to none, too, and what /proc/cgroups says of each hierarchy.
        #[arg(short, long)]
        all: bool,
        /// Where each hierarchy is mounted.
        #[arg(short, long)]
        mount_points: bool,
    },
    /// The cgroups, each with the subsystems of its hierarchy.
    Lscgroup {
        /// Only the hierarchy with this controller, and there only this cgroup and those below.
        #[arg(value_name = "CONTROLLER[:PATH]")]
        cgroups: Vec<String>,
    },
    /// The hierarchies as trees, with the processes in each cgroup.
    Draw {
        /// Draw them into a file instead, as a picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Only the hierarchy with this controller, and there only this cgroup and those below.
        #[arg(value_name = "CONTROLLER[:PATH]")]
        cgroups: Vec<String>,
    },
    /// The cgroup of a process in each hierarchy, and the limits that bind it.
    Whereis {
        /// The process. [default: this one]
        pid: Option<u32>,
    },
    /// The rules that tie cgroups, hierarchies, subsystems and processes, each tried on this kernel.
    Rules,
}

fn main() -> ExitCode {
    refusal::main(|| {
        match Args::parse().show.unwrap_or(Show::Draw { svg: None, cgroups: Vec::new() }) {
            Show::Lssubsys { all, mount_points } => lssubsys(all, mount_points)?,
            Show::Lscgroup { cgroups } => lscgroup(&cgroups)?,
            Show::Draw { svg, cgroups } => draw(svg, &cgroups)?,
            Show::Whereis { pid } => whereis(pid.unwrap_or_else(process::id))?,
            Show::Rules => return rules::try_all(),
        }
        Ok(0)
    })
}

fn lssubsys(all: bool, mount_points: bool) -> Result<()> {
    // Where nothing is mounted, there are subsystems all the same.
    let mounted = if all { view::mounted()? } else { view::hierarchies()? };
    let subsystems = view::subsystems(&mounted)?;
    let mounted_at =
        |row: &Attached| row.mounted_at.as_ref().map(|path| path.display().to_string());
    if all {
        let mut table = plain_table(["subsystems", "hierarchy", "cgroups", "enabled"]);
        if mount_points {
            table = plain_table(["subsystems", "hierarchy", "cgroups", "enabled", "mounted at"]);
        }
        for row in &subsystems {
            let cell = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
            let mut cells = vec![
                row.subsystems.join(","),
                cell(row.hierarchy.map(u64::from)),
                cell(row.cgroups),
                if row.enabled { "yes" } else { "no" }.to_owned(),
            ];
            cells.extend(mount_points.then(|| mounted_at(row).unwrap_or("-".into())));
            table.add_row(cells);
        }
        writeln!(stdout(), "{}", table.trim_fmt())?;
        return Ok(());
    }
    for row in subsystems.iter().filter(|row| row.hierarchy.is_some()) {
        let names = row.subsystems.join(",");
        match mounted_at(row) {
            _ if !mount_points => writeln!(stdout(), "{names}")?,
            Some(path) => writeln!(stdout(), "{names} {path}")?,
            None => {}
        }
    }
    Ok(())
}

fn lscgroup(specs: &[String]) -> Result<()> {
    let hierarchies = view::hierarchies()?;
    for (hierarchy, path) in view::find(specs, &hierarchies)? {
        for cgroup in Branch::read(hierarchy, &path)?.all() {
            writeln!(stdout(), "{}:{}", word(hierarchy), printable(&cgroup.path))?;
        }
    }
    Ok(())
}

fn draw(svg: Option<PathBuf>, specs: &[String]) -> Result<()> {
    let hierarchies = view::hierarchies()?;
    let drawn = Drawn::all(&view::find(specs, &hierarchies)?)?;
    if let Some(file) = svg {
        return view::save(&file, &view::svg(&drawn));
    }
    let trees: Vec<_> = drawn.iter().map(ToString::to_string).collect();
    write!(stdout(), "{}", trees.join("\n"))?;
    if drawn.iter().any(Drawn::is_folded) {
        writeln!(
            stdout(),
            "\n… is left out: `ch07-cgroup-hierarchy draw CONTROLLER:PATH` begins further up in a tree."
        )?;
    }
    Ok(())
}

fn whereis(pid: u32) -> Result<()> {
    let hierarchies = view::hierarchies()?;
    let mut table = plain_table(["hierarchy", "controllers", "cgroup", "folder", "limits"]);
    for Place { hierarchy, cgroup, folder, controllers, limits } in view::places(pid, &hierarchies)?
    {
        let limits = limits.iter().map(|(above, file, limit)| {
            let from =
                if *above == cgroup { String::new() } else { format!(" of {}", printable(above)) };
            format!("{file} {limit}{from}")
        });
        let none =
            || hierarchy.name.as_ref().map_or("none".into(), |name| format!("none (name={name})"));
        table.add_row([
            format!("v{}", hierarchy.version),
            if controllers.is_empty() { none() } else { controllers.join(" ") },
            printable(&cgroup),
            folder.map_or("-".into(), printable),
            limits.collect::<Vec<_>>().join("\n"),
        ]);
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    Ok(())
}
