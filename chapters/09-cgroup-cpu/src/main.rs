//! The experiment: a command with rations of processor time, processes and transfers.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ch00_ground::facts::plain_table;
use ch00_ground::refusal;
use ch01_uts::{Child, exec};
use ch07_cgroup_hierarchy::{Group, hierarchy_of};
use ch09_cgroup_cpu::{
    Cpu, Io, Pids, Plot, Rate, Usage, check_place, count, cpus, seconds_used, spawn_in, weight,
};
use clap::Parser;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Runs a command with a ration of processor time, of processes, or of what it reads and writes.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// At most so many processors. [default: 0.5, if there is no other limit]
    #[arg(long, value_name = "NUMBER", value_parser = cpus)]
    cpus: Option<f64>,
    /// How much it gets beside others, when there is not enough for all; 100 is usual.
    #[arg(long, value_name = "WEIGHT", value_parser = weight)]
    cpu_weight: Option<u64>,
    /// At most so many processes at a time, threads counted as well.
    #[arg(long, value_name = "NUMBER", value_parser = count, allow_negative_numbers = true)]
    pids_limit: Option<u64>,
    /// At most so many bytes a second from a disk.
    #[arg(long, value_name = "DEVICE:SIZE")]
    device_read_bps: Vec<Rate>,
    /// At most so many bytes a second to a disk.
    #[arg(long, value_name = "DEVICE:SIZE")]
    device_write_bps: Vec<Rate>,
    /// Draw how much it uses while it runs, on stderr: for a command that prints nothing there.
    #[arg(long)]
    plot: bool,
    /// Draw it into this file at the end.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Instead of a command, a hog for each of these weights, all on one processor for 5 seconds.
    #[arg(long, value_name = "WEIGHT,WEIGHT...", value_delimiter = ',', value_parser = weight, exclusive = true)]
    weights: Vec<u64>,
    /// Print nothing but what the command prints.
    #[arg(long)]
    quiet: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, default_value = "/bin/sh")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| {
        let args = Args::parse();
        if args.weights.is_empty() { run(&args) } else { compare(&args.weights) }
    })
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    args.svg.as_deref().map_or(Ok(()), check_place)?;
    let io = Io::new(&args.device_read_bps, &args.device_write_bps)?;
    let other = io.controller().is_some() || args.cpu_weight.is_some() || args.pids_limit.is_some();
    let quota = args.cpus.or((!other).then_some(0.5));

    let mut controllers = cpu_controllers()?;
    controllers.extend(args.pids_limit.map(|_| "pids"));
    controllers.extend(io.controller());
    let group = Group::create("ch09", &controllers)?;
    Cpu { quota, weight: args.cpu_weight }.limit(&group)?;
    if let Some(max) = args.pids_limit {
        Pids { max }.limit(&group)?;
    }
    io.limit(&group)?;
    let _keeper = group.keep()?;

    let started = Instant::now();
    let child = spawn_in(&group, CloneFlags::empty(), || exec(&args.command))?;
    let status = match args.plot || args.svg.is_some() {
        true => wait_and_draw(args, child, &group)?,
        false => child.wait()?,
    };
    if !args.quiet {
        writeln!(stdout(), "\n{}", Usage::of(&group, started.elapsed())?)?;
    }
    Ok(status)
}
// ANCHOR_END: run

/// Those that ration and count processor time.
fn cpu_controllers() -> Result<Vec<&'static str>> {
    // Two on v1, mostly in one hierarchy.
    Ok(if hierarchy_of("cpu")?.version == 1 { vec!["cpu", "cpuacct"] } else { vec!["cpu"] })
}

/// Waits, and looks ten times a second what was used since.
fn wait_and_draw(args: &Args, child: Child, group: &Group) -> Result<u8> {
    let (ended, has_ended) = channel::<()>();
    let mut plot = Plot::default();
    let drawn = &mut plot;
    let status = scope(|scope| {
        let painter = scope.spawn(move || -> Result<()> {
            let started = Instant::now();
            let mut before = (0.0, 0.0);
            while has_ended.recv_timeout(Duration::from_millis(100))
                == Err(RecvTimeoutError::Timeout)
            {
                let now = (started.elapsed().as_secs_f64(), seconds_used(group)?);
                drawn.add(now.0, (now.1 - before.1) / (now.0 - before.0));
                before = now;
                if args.plot && stderr().is_terminal() {
                    drawn.show()?;
                }
            }
            // To a file it goes once.
            if args.plot && !stderr().is_terminal() {
                drawn.show()?;
            }
            Ok(())
        });
        let status = child.wait();
        drop(ended);
        painter.join().expect("it does not panic")?;
        status
    })?;
    if let Some(path) = &args.svg {
        plot.write_svg(path)?;
    }
    Ok(status)
}

/// Lets hogs of different weight compete for one processor.
fn compare(weights: &[u64]) -> Result<u8> {
    const TIME: Duration = Duration::from_secs(5);
    pin()?;
    let (mut hogs, mut groups) = (Vec::new(), Vec::new());
    for (number, weight) in weights.iter().enumerate() {
        let group = Group::create(&format!("ch09-{number}"), &cpu_controllers()?)?;
        Cpu { quota: None, weight: Some(*weight) }.limit(&group)?;
        hogs.push(spawn_in(&group, CloneFlags::empty(), || {
            let started = Instant::now();
            while started.elapsed() < TIME {}
            process::exit(0);
        })?);
        groups.push(group);
    }
    for hog in hogs {
        // Whoever ends one by a signal wants no table; the others die with it.
        let status = hog.wait()?;
        if status != 0 {
            return Ok(status);
        }
    }
    let used = groups.iter().map(seconds_used).collect::<Result<Vec<_>>>()?;
    // The first may have made room for the others.
    while groups.pop().is_some() {}
    let all: f64 = used.iter().sum();
    let mut table = plain_table(["weight", "processor time", "share"]);
    for (weight, seconds) in weights.iter().zip(used) {
        let share = 100.0 * seconds / all;
        table.add_row([weight.to_string(), format!("{seconds:.2} s"), format!("{share:.0} %")]);
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    Ok(0)
}

/// Stays on one processor, with the children to come.
fn pin() -> Result<()> {
    let us = Pid::from_raw(0);
    let may = sched_getaffinity(us).context("sched_getaffinity()")?;
    let first = (0..CpuSet::count()).find(|cpu| may.is_set(*cpu) == Ok(true));
    let mut one = CpuSet::new();
    one.set(first.context("no processor")?)?;
    sched_setaffinity(us, &one).context("sched_setaffinity()")
}
