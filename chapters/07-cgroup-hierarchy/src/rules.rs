//! The rules that tie cgroups, hierarchies, subsystems and processes, each tried on this kernel in
//! throw-away hierarchies and cgroups. `cgroups(7)`, kernel documents "Control Groups" (v1) and
//! "Control Group v2".

mod helpers;
mod v1;
mod v2;

use std::io::{Write, stdout};
use std::process;

use anyhow::{Result, anyhow};
use ch00_ground::capability;
use ch00_ground::facts::plain_table;
use ch00_ground::refusal::Refusal;
use ch01_uts::spawn;
use nix::errno::Errno;
use nix::sched::CloneFlags;

/// One rule, and how it is tried: what was done and what the kernel answered, or why it cannot be
/// tried here.
struct Rule {
    version: u8,
    text: &'static str,
    trials: Result<Vec<Trial>>,
}

impl Rule {
    /// Tries it where it can be tried, if there is such a place.
    fn new<P>(
        version: u8,
        text: &'static str,
        place: &Result<P>,
        try_it: fn(&P) -> Result<Vec<Trial>>,
    ) -> Rule {
        let trials = match place {
            Ok(place) => try_it(place),
            // With the way out, which stands beside the table then.
            Err(error) => Err(match error.downcast_ref::<Refusal>().and_then(Refusal::help) {
                Some(help) => anyhow!("{error:#}\n   help: {help}"),
                None => anyhow!("{error:#}"),
            }),
        };
        Rule { version, text, trials }
    }
}

/// One thing that was done.
struct Trial {
    call: String,
    answer: String,
    as_expected: bool,
}

// ANCHOR: trial
impl Trial {
    /// A call that the rule allows.
    fn allowed<T>(call: impl Into<String>, answer: Result<T>) -> Trial {
        Trial::new(call, "done", answer.map(drop))
    }

    /// A call that the rule makes the kernel refuse, with this errno.
    fn refused<T>(call: impl Into<String>, errno: Errno, answer: Result<T>) -> Trial {
        Trial::new(call, &format!("{errno:?}"), answer.map(drop))
    }

    /// What the kernel says of a state that the rule demands.
    fn state(what: impl Into<String>, found: impl Into<String>, as_expected: bool) -> Trial {
        Trial { call: what.into(), answer: found.into(), as_expected }
    }

    fn new(call: impl Into<String>, expected: &str, answer: Result<()>) -> Trial {
        let answer = match answer {
            Ok(()) => "done".to_owned(),
            Err(error) => match error.root_cause().downcast_ref::<Errno>() {
                Some(errno) => format!("{errno:?}"),
                None => format!("{error:#}"),
            },
        };
        Trial { call: call.into(), as_expected: answer == expected, answer }
    }
}
// ANCHOR_END: trial

/// Tries all rules and prints a table. Returns 1 if one does not hold.
///
/// Whatever was made is removed, also when this is interrupted; but a controller that had to be
/// enabled for the children of a cgroup stays so, since others may rely on it by then.
///
/// # Errors
///
/// When there is no `/proc`; what a rule runs into stands in the table.
pub fn try_all() -> Result<u8> {
    let grounds = (v1::Ground::new(), v2::Ground::new());
    // A child does it, so that somebody is there to clean up when it is interrupted.
    let child = spawn(CloneFlags::empty(), || {
        let rules = v1::rules(&grounds.0).into_iter().chain(v2::rules(&grounds.1));
        let all_hold = print(&rules.collect::<Vec<_>>())?;
        process::exit(if all_hold { 0 } else { 1 });
    })?;
    let status = child.wait();
    drop(grounds);
    v1::wait_for_end();
    status
}

/// Prints the table, and returns whether all holds that could be tried.
fn print(rules: &[Rule]) -> Result<bool> {
    let mut table = plain_table(["the rule, and what was done", "the kernel's answer", ""]);
    let mut reasons: Vec<String> = Vec::new();
    let mut all_hold = true;
    for rule in rules {
        let verdict = match &rule.trials {
            Ok(trials) if trials.iter().all(|trial| trial.as_expected) => "holds".to_owned(),
            Ok(_) => {
                all_hold = false;
                "DOES NOT HOLD".to_owned()
            }
            Err(why) => format!("not tried: {}", footnote(&mut reasons, format!("{why:#}"))),
        };
        table.add_row([&format!("v{}: {}", rule.version, rule.text), "", &verdict]);
        for trial in rule.trials.iter().flatten() {
            let mark = if trial.as_expected { "" } else { "not expected" };
            table.add_row([&format!("    {}", trial.call), trial.answer.as_str(), mark]);
        }
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    for (number, reason) in reasons.iter().enumerate() {
        writeln!(stdout(), "{}: {reason}", number + 1)?;
    }
    Ok(all_hold)
}

/// The number of a reason below the table.
fn footnote(reasons: &mut Vec<String>, reason: String) -> usize {
    let known = reasons.iter().position(|other| *other == reason);
    known.unwrap_or_else(|| {
        reasons.push(reason);
        reasons.len() - 1
    }) + 1
}

fn is_root() -> Result<bool> {
    Ok(capability::holds(capability::effective()?, "sys_admin"))
}
