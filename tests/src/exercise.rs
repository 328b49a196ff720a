//! The exercises: a program with a gap in `examples/exercise.rs`, for the reader to fill, and checks
//! that look at it from outside.
//!
//! `cargo test -p ch01-uts --test exercise` is for the reader. `tests/tests/exercises.rs` proves the
//! checks: the exercise as it is does not pass, nor do the answers of `examples/wrong.rs`, and
//! `examples/solution.rs` does.

use std::fmt::{self, Display};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use nix::sched::CloneFlags;
use nix::unistd::getuid;

use crate::program::{self, Output, Running};
use crate::{Claim, Role, enter_stage, missing};

/// The exercise of a chapter.
pub struct Exercise {
    /// The package: `ch01-uts`.
    pub package: &'static str,
    /// As for [`Claim::needs`].
    pub needs: &'static [&'static str],
    /// What is said from the second failure on.
    pub hint: &'static str,
    /// Looks at an answer.
    pub check: fn(&Answer) -> Result<(), Mismatch>,
    /// For each of the wrong answers what shows that it is one: how [`Mismatch::what`] may begin.
    pub wrong: [&'static [&'static str]; 3],
}

/// Something is not as it should be.
#[derive(Debug)]
pub struct Mismatch {
    /// What was looked at.
    pub what: String,
    /// How it should be.
    pub expected: String,
    /// How it is.
    pub found: String,
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Mismatch { what, expected, found } = self;
        let found = if found.is_empty() { "nothing" } else { found };
        write!(f, "{what}\n  expected: {expected}\n  found:    {found}")
    }
}

/// Compares how something should be with how it is.
///
/// # Errors
///
/// When the two differ.
pub fn expect(what: &str, expected: impl Display, found: impl Display) -> Result<(), Mismatch> {
    let (expected, found) = (expected.to_string(), found.to_string());
    if expected == found {
        return Ok(());
    }
    Err(Mismatch { what: what.to_owned(), expected, found })
}

/// Compares what should become of a process, which a right answer ends soon, with what does.
pub fn expect_gone(what: &str, pid: Option<u32>) -> Result<(), Mismatch> {
    // So long we wait for what a wrong answer never does.
    let patience = Duration::from_secs(10);
    let is_gone = pid.is_some_and(|pid| program::becomes(patience, || program::is_gone(pid)));
    expect(what, "it is gone", if is_gone { "it is gone" } else { "it runs" })
}

/// A program that somebody has written for an exercise.
pub struct Answer {
    role: Role,
    program: String,
    /// Which of the wrong ones it is.
    first: Option<&'static str>,
}

impl Answer {
    fn new(role: Role, exercise: &Exercise, kind: &str, first: Option<&'static str>) -> Answer {
        let program = program::folder().join("examples").join(example(exercise, kind));
        Answer { role, program: program.to_str().expect("cargo named it").to_owned(), first }
    }

    /// As whom it runs.
    pub fn role(&self) -> Role {
        self.role
    }

    /// How a script calls it, but for the arguments.
    pub fn shell(&self) -> String {
        let program = self.program.replace('\'', r"'\''");
        format!("'{program}' {}", self.first.unwrap_or_default())
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.role.run(&self.program, &self.words(args))
    }

    /// Starts it.
    pub fn start(&self, args: &[&str]) -> Running {
        self.role.start(&self.program, &self.words(args))
    }

    /// The line that runs it, for whoever starts it otherwise: in a subtree of cgroups, say.
    pub fn line<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&[&*self.program], &self.words(args)[..]].concat()
    }

    /// Runs it to its end, which must be a good one. What it has printed.
    ///
    /// # Errors
    ///
    /// When its status is not 0.
    pub fn succeed(&self, args: &[&str]) -> Result<String, Mismatch> {
        let output = self.run(args);
        let found = format!("status {}, {:?}", output.status, output.stderr);
        let what = format!("the end of `{}`", args.join(" "));
        expect(&what, 0, if output.status == 0 { "0" } else { &found })?;
        Ok(output.stdout)
    }

    fn words<'a>(&self, args: &[&'a str]) -> Vec<&'a str> {
        self.first.into_iter().chain(args.iter().copied()).collect()
    }
}

/// The name of a program of the exercise: `ch01-solution`.
fn example(exercise: &Exercise, kind: &str) -> String {
    let chapter = exercise.package.split('-').next().unwrap_or_default();
    format!("{chapter}-{kind}")
}

/// Of these the machine's are out of reach, for root's wrong answers.
pub const MACHINES: CloneFlags =
    CloneFlags::CLONE_NEWUTS.union(CloneFlags::CLONE_NEWIPC).union(CloneFlags::CLONE_NEWNET);

/// Checks the reader's answer, and keeps in `target/exercises` how it went.
pub fn main(exercise: &Exercise) -> ExitCode {
    enter_stage(MACHINES);
    let role = if getuid().is_root() { Role::Root } else { Role::User };
    if let Some((_, why)) = missing(role, exercise.needs) {
        eprintln!("this exercise cannot be checked here: it {why}");
        return ExitCode::FAILURE;
    }
    if !build(exercise) {
        return ExitCode::FAILURE;
    }
    let mismatch = (exercise.check)(&Answer::new(role, exercise, "exercise", None)).err();
    let folder = program::folder().with_file_name("exercises");
    let file = folder.join(exercise.package);
    // Who has solved it once and then tries something else has still solved it.
    let before = fs::read_to_string(&file).unwrap_or_default();
    let was_solved = before == "solved";
    let failures = before.parse().unwrap_or(0) + 1;
    let after = match mismatch {
        Some(_) if !was_solved => failures.to_string(),
        _ => "solved".to_owned(),
    };
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, after)) {
        eprintln!("cannot keep that you have tried: {}: {error}", file.display());
    }
    let Some(mismatch) = mismatch else {
        println!(
            "the exercise of {} is solved; examples/solution.rs is another answer",
            exercise.package
        );
        return ExitCode::SUCCESS;
    };
    println!("not yet: {mismatch}");
    match failures {
        1 if !was_solved => println!("  (the second time there is a hint)"),
        _ => println!("  hint:     {}", exercise.hint),
    }
    ExitCode::FAILURE
}

/// Builds the reader's answer. Cargo says why it cannot.
fn build(exercise: &Exercise) -> bool {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["build", "--quiet", "--package", exercise.package]);
    command.args(["--example", &example(exercise, "exercise")]);
    if program::folder().ends_with("release") {
        command.arg("--release");
    }
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cannot start cargo: {error}");
            false
        }
    }
}

/// The claims that the checks are right.
pub fn claims(exercise: &'static Exercise) -> Vec<Claim> {
    let claim = |what: &str, test: Box<dyn Fn(Role) + Send + Sync>| {
        let name = format!("{} {what}", exercise.package);
        Claim::new(name, test).needs(exercise.needs).needs(&["examples"])
    };
    // One at a time: a wrong answer may change what a right one must leave alone.
    let alone: &Mutex<()> = Box::leak(Box::default());
    let try_it = move |role, kind: &str, first| {
        let _alone = alone.lock();
        (exercise.check)(&Answer::new(role, exercise, kind, first)).err()
    };
    let mut claims = vec![
        claim(
            "unsolved",
            Box::new(move |role| {
                let mismatch = try_it(role, "exercise", None);
                assert!(mismatch.is_some(), "it passes as it is");
            }),
        ),
        claim(
            "solved",
            Box::new(move |role| {
                let mismatch = try_it(role, "solution", None);
                assert!(mismatch.is_none(), "{}", mismatch.expect("there is one"));
            }),
        ),
    ];
    for (number, what) in ["1", "2", "3"].into_iter().zip(exercise.wrong) {
        claims.push(claim(
            &format!("wrong {number}"),
            Box::new(move |role| {
                let mismatch = try_it(role, "wrong", Some(number)).expect("it passes");
                let is_known = what.iter().any(|what| mismatch.what.starts_with(what));
                assert!(is_known, "it fails for something else: {mismatch}");
            }),
        ));
    }
    claims
}
