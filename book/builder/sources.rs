//! What can be seen in the sources: includes, the summary, names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::atlas;
use crate::check::{Book, Finding, absolute, files, line_of, read, regex};

/// Every include names a file, and an anchor that begins and ends in it.
pub(crate) fn includes(book: &Book) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for include in all_includes(book)? {
        let mut add = |what| findings.push(book.finding(&include.page, Some(include.line), what));
        let Some(file) = &include.file else {
            add(format!("includes {}, which is not there", include.written));
            continue;
        };
        let Some(name) = &include.anchor else { continue };
        let source = read(file)?;
        for mark in ["ANCHOR", "ANCHOR_END"] {
            if !anchors(&source, mark).contains(name) {
                add(format!("includes {}, which has no `{mark}: {name}`", include.written));
            }
        }
    }
    Ok(findings)
}

/// Every anchor, picture and transcript is on some page.
pub(crate) fn unused(book: &Book) -> Result<Vec<Finding>> {
    let includes = all_includes(book)?;
    let includes = || includes.iter().filter_map(|found| Some((found.file.as_ref()?, found)));
    let used: BTreeSet<_> = includes().map(|(file, _)| file).collect();
    let used_anchors: BTreeSet<_> =
        includes().filter_map(|(file, found)| Some((file, found.anchor.as_ref()?))).collect();

    let mut findings = Vec::new();
    let mut transcripts = files(&book.chapters, "console")?;
    transcripts.retain(|file| !atlas::is_for_it(file));
    for file in files(&book.src, "svg")?.iter().chain(&transcripts) {
        if !used.contains(file) {
            findings.push(book.finding(file, None, "no page includes it"));
        }
    }
    for file in files(&book.chapters, "rs")?.iter().chain(&transcripts) {
        let source = read(file)?;
        for name in anchors(&source, "ANCHOR") {
            if !used_anchors.contains(&(file, &name)) {
                let line = line_of(&source, &format!("ANCHOR: {name}"));
                let what = format!("no page includes the anchor {name}");
                findings.push(book.finding(file, line, what));
            }
        }
    }
    Ok(findings)
}

/// Every page is in the summary.
pub(crate) fn summary(book: &Book) -> Result<Vec<Finding>> {
    let pages = files(&book.src, "md")?;
    let is_found = |page: &Path| {
        page == book.src.join("SUMMARY.md")
            || book.listed.iter().any(|listed| book.src.join(listed) == page)
    };
    let lost = pages.iter().filter(|page| !is_found(page));
    Ok(lost
        .map(|page| book.finding(page, None, "is not in the summary, so nobody finds it"))
        .collect())
}

/// A chapter and its page have one name.
pub(crate) fn chapters(book: &Book) -> Result<Vec<Finding>> {
    let mut expected = BTreeSet::new();
    for entry in fs::read_dir(&book.chapters)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            expected.insert(PathBuf::from(format!("ch{}.md", entry.file_name().display())));
        }
    }
    let listed: BTreeSet<_> = book
        .listed
        .iter()
        .filter(|page| page.display().to_string().starts_with("ch"))
        .cloned()
        .collect();
    let summary = book.src.join("SUMMARY.md");
    let text = read(&summary)?;
    let alone = expected.symmetric_difference(&listed).map(|page| {
        let page = page.display().to_string();
        let what = format!("a chapter and its page must have one name; alone is {page}");
        book.finding(&summary, line_of(&text, &page), what)
    });
    Ok(alone.collect())
}

struct Include {
    page: PathBuf,
    line: usize,
    written: String,
    /// Nothing if it is not there.
    file: Option<PathBuf>,
    anchor: Option<String>,
}

fn all_includes(book: &Book) -> Result<Vec<Include>> {
    // A backslash in front makes mdBook show it as it is written.
    let pattern = regex(
        r"(\\)?\{\{\s*#(?:rustdoc_include|include|playground)\s+([^\s:}]+)(?::([^\s}]+))?[^}]*\}\}",
    );
    let mut includes = Vec::new();
    for page in files(&book.src, "md")? {
        for (above, text) in read(&page)?.lines().enumerate() {
            for found in pattern.captures_iter(text).filter(|found| found.get(1).is_none()) {
                let file = absolute(&page.with_file_name(&found[2])).ok();
                includes.push(Include {
                    page: page.clone(),
                    line: above + 1,
                    written: found[0].to_owned(),
                    file: file.filter(|file| file.is_file()),
                    anchor: found.get(3).map(|name| name.as_str().to_owned()),
                });
            }
        }
    }
    Ok(includes)
}

/// The names that are marked so, by mdBook's own pattern.
fn anchors(source: &str, mark: &str) -> BTreeSet<String> {
    let pattern = regex(&format!(r"\b{mark}:\s*([\w-]+)"));
    source
        .lines()
        .flat_map(|line| pattern.captures_iter(line).map(|found| found[1].to_owned()))
        .collect()
}
