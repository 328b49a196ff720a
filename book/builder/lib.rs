//! Builds the book as plain mdBook does, and checks what plain mdBook lets pass: a missing include
//! or anchor leaves no more than a hole in the page.

mod atlas;
mod check;
mod rendered;
mod sources;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Result;
use mdbook_driver::MDBook;

pub use atlas::write_atlas;
pub use check::{Finding, check};

/// Builds the book that lies in the folder `book`, and returns the folder of the rendered pages.
///
/// # Errors
///
/// What mdBook itself refuses: a `book.toml` that it cannot read, a page of the summary that is
/// missing.
pub fn build(book: &Path) -> Result<PathBuf> {
    let loaded = MDBook::load(book)?;
    loaded.build()?;
    Ok(loaded.build_dir_for("html"))
}
