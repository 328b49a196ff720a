//! What the checks share: the book that they look at, and what they find.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use regex::Regex;
use walkdir::WalkDir;

use crate::rendered::Pages;
use crate::{atlas, rendered, sources};

/// Something that is wrong with the book.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, seen from the folder that has the book and the chapters.
    place: PathBuf,
    /// Counted from 1, where it is known.
    line: Option<usize>,
    what: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.place.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.what)
    }
}

/// Checks the book whose sources lie in `book`, with the chapters beside it, and whose pages lie in
/// `rendered`.
///
/// # Errors
///
/// When a file cannot be read, or a page of the summary has not been rendered.
pub fn check(book: &Path, rendered: &Path) -> Result<Vec<Finding>> {
    let book = Book::open(book)?;
    let pages = Pages::read(rendered)?;
    let mut findings = [
        sources::includes(&book)?,
        sources::unused(&book)?,
        sources::summary(&book)?,
        sources::chapters(&book)?,
        atlas::atlas(&book)?,
        rendered::directives(&book, &pages)?,
        rendered::code(&book, &pages)?,
        rendered::links(&book, &pages)?,
        rendered::pictures(&book, &pages)?,
        rendered::ids(&book, &pages)?,
    ]
    .concat();
    // mdBook writes an image twice, small and large.
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// The sources of the book.
pub(crate) struct Book {
    /// The folder that has the book and the chapters.
    root: PathBuf,
    pub(crate) src: PathBuf,
    pub(crate) chapters: PathBuf,
    /// The pages that the summary leads to, as paths in `src`.
    pub(crate) listed: Vec<PathBuf>,
}

impl Book {
    pub(crate) fn open(book: &Path) -> Result<Book> {
        let book = absolute(book)?;
        let root = book.parent().context("the book has no folder above it")?.to_owned();
        let loaded = MDBook::load(&book)?;
        let listed = loaded.book.chapters().filter_map(|page| page.source_path.clone()).collect();
        Ok(Book {
            src: book.join("src"),
            chapters: absolute(&root.join("chapters"))?,
            root,
            listed,
        })
    }

    pub(crate) fn finding(
        &self,
        place: &Path,
        line: Option<usize>,
        what: impl Into<String>,
    ) -> Finding {
        let place = place.strip_prefix(&self.root).unwrap_or(place).to_owned();
        Finding { place, line, what: what.into() }
    }
}

/// A path without links and dots, so that two ways to one file compare equal.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}

/// The files in `folder`, at any depth.
pub(crate) fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|its| its == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The first line of `text` that has `part`, counted from 1.
pub(crate) fn line_of(text: &str, part: &str) -> Option<usize> {
    text.lines().position(|line| line.contains(part)).map(|above| above + 1)
}

pub(crate) fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a literal of this crate")
}
