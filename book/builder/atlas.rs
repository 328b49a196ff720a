//! The page of errnos, made of what the chapters' sessions show: so it says what a terminal says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::check::{Book, Finding, files, line_of, read, regex};

/// What no kernel says that we have.
const UNSEEN: &str = "this kernel has no veth";

/// The sessions that are made for it, and are on no other page.
pub(crate) fn is_for_it(transcript: &Path) -> bool {
    transcript.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"errnos"))
}

/// A command of a session, to which the kernel said no, and the program what helps.
struct Entry {
    /// Of the session.
    chapter: String,
    /// By whom, and where, if not by an ordinary user and everywhere.
    place: String,
    errno: String,
    help: String,
    /// With the command.
    shown: String,
}

/// Every line of help is shown by a session, and the page has them all.
pub(crate) fn atlas(book: &Book) -> Result<Vec<Finding>> {
    let page = page(book);
    if !page.is_file() {
        return Ok(Vec::new());
    }
    let entries = entries(book)?;
    let mut findings = Vec::new();
    let pair = regex(r#"\(\s*Errno::(\w+),\s*"((?:[^"\\]|\\(?s:.))*)",?\s*\)"#);
    let continued = regex(r"\\\n\s*");
    for file in files(&book.chapters, "rs")? {
        // One line of help may be on several of the source.
        let source = read(&file)?;
        for found in pair.captures_iter(&source).filter(|found| !found[2].contains(UNSEEN)) {
            // Two names of one number.
            let errno = found[1].replace("EWOULDBLOCK", "EAGAIN");
            let help = continued.replace_all(&found[2], "").replace("\\\"", "\"");
            if !entries.iter().any(|entry| entry.errno == errno && entry.help == help) {
                let what = format!("no session shows {errno}, {help}");
                let start = found[2].lines().next().unwrap_or_default();
                findings.push(book.finding(&file, line_of(&source, start), what));
            }
        }
    }
    if read(&page)? != text(&page, &entries)? {
        let what = "is not what the sessions show; `BLESS=1 cargo run -p book` writes it anew";
        findings.push(book.finding(&page, None, what));
    }
    Ok(findings)
}

/// Writes the page anew, but for its beginning.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn write_atlas(book: &Path) -> Result<()> {
    let book = Book::open(book)?;
    let page = page(&book);
    Ok(fs::write(&page, text(&page, &entries(&book)?)?)?)
}

fn page(book: &Book) -> PathBuf {
    book.src.join("atlas.md")
}

/// The page as it should be: by errno, and in each by chapter.
fn text(page: &Path, entries: &[Entry]) -> Result<String> {
    let now = read(page)?;
    let mut text = now.split("\n## ").next().unwrap_or_default().to_owned();
    let mut errnos: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
    for entry in entries {
        let by_place = errnos.entry(&entry.errno).or_default();
        by_place.entry((&entry.chapter, &entry.place)).or_default().push(&*entry.shown);
    }
    for (errno, places) in errnos {
        write!(text, "\n## {errno}\n")?;
        for ((chapter, place), shown) in places {
            let number = chapter.split('-').next().unwrap_or_default().parse::<u8>()?;
            let shown = shown.concat();
            write!(
                text,
                "\n[Chapter {number}](ch{chapter}.md){place}:\n\n```console\n{shown}```\n"
            )?;
        }
    }
    Ok(text)
}

/// What the sessions show, each help once.
fn entries(book: &Book) -> Result<Vec<Entry>> {
    let error = regex(r"^ch\d\d-[\w-]+: .*: (E[A-Z0-9]+): ");
    let mut entries: Vec<Entry> = Vec::new();
    for file in files(&book.chapters, "console")? {
        let text = read(&file)?;
        let chapter = file.strip_prefix(&book.chapters)?.iter().next().unwrap_or_default();
        let place = place(&text);
        let session = text.split("ANCHOR: session\n").nth(1).unwrap_or_default();
        let session = session.split("ANCHOR_END:").next().unwrap_or_default();
        for command in session.split_inclusive('\n').fold(Vec::new(), |mut commands, line| {
            if line.starts_with("$ ") || line.starts_with("# ") {
                commands.push(String::new());
            }
            if let Some(last) = commands.last_mut() {
                last.push_str(line);
            }
            commands
        }) {
            let lines: Vec<_> = command.lines().collect();
            for pair in lines.windows(2) {
                let (Some(found), Some(help)) =
                    (error.captures(pair[0]), pair[1].strip_prefix("  help: "))
                else {
                    continue;
                };
                let errno = found[1].to_owned();
                if !entries.iter().any(|known| known.errno == errno && known.help == help) {
                    entries.push(Entry {
                        chapter: chapter.display().to_string(),
                        place: place.clone(),
                        errno,
                        help: help.to_owned(),
                        shown: command.clone(),
                    });
                }
            }
        }
    }
    Ok(entries)
}

/// By whom and where a session is, from its head.
fn place(text: &str) -> String {
    let head = text.split("ANCHOR:").next().unwrap_or_default();
    let words: Vec<_> = head.split_whitespace().collect();
    let mut place = String::new();
    for (word, said) in [("root", ", as root"), ("v1", ", on cgroup v1"), ("v2", ", on cgroup v2")]
    {
        if words.contains(&word) {
            place += said;
        }
    }
    place
}
