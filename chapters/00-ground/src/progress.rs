//! Which exercises are done: `cargo test --test exercise` keeps that in `target/exercises`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ch00_ground::facts::plain_table;
use serde::Serialize;

const CHAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The exercise of a chapter.
#[derive(Serialize)]
pub struct Exercise {
    chapter: String,
    title: String,
    state: String,
}

/// All of them, in order.
pub fn exercises() -> Result<Vec<Exercise>> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    // It is in target/debug or in target/release.
    let target = program.ancestors().nth(2).unwrap_or(&program);
    let folders = fs::read_dir(CHAPTERS).with_context(|| format!("cannot read {CHAPTERS}"))?;
    let exercise = |folder: &Path| {
        let number = folder.file_name()?.to_str()?;
        let text = fs::read_to_string(folder.join("examples/exercise.rs")).ok()?;
        let title = text.lines().next()?.trim_start_matches("//! ").trim_end_matches('.');
        let chapter = format!("ch{number}");
        let state = match fs::read_to_string(target.join("exercises").join(&chapter)).as_deref() {
            Err(_) => String::new(),
            Ok("solved") => "solved".to_owned(),
            Ok("1") => "tried once".to_owned(),
            Ok(times) => format!("tried {times} times"),
        };
        Some(Exercise { chapter, title: title.to_owned(), state })
    };
    let mut exercises: Vec<_> =
        folders.flatten().filter_map(|folder| exercise(&folder.path())).collect();
    exercises.sort_by(|one, other| one.chapter.cmp(&other.chapter));
    Ok(exercises)
}

/// As a table.
pub fn table(exercises: Vec<Exercise>) -> String {
    let mut table = plain_table(["chapter", "exercise", ""].map(ToOwned::to_owned));
    for one in exercises {
        table.add_row([one.chapter, one.title, one.state]);
    }
    table.trim_fmt()
}
