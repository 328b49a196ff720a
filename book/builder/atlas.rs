//! The page of errnos, made of what the chapters' sessions show: so it says what a terminal says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::check::{Book, Finding, files, read, regex};

/// The sessions that are made for it, and are on no other page.
pub(crate) fn is_for_it(transcript: &Path) -> bool {
    transcript.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"errnos"))
}

/// A command of a session, to which the kernel said no, and the program what helps.
struct Entry {
    /// Of the session.
    transcript: PathBuf,
    /// By whom, and where, if not by an ordinary user and everywhere.
    place: String,
    /// As far as its parenthesis.
    call: String,
    errno: String,
    help: String,
    /// With the command.
    shown: String,
}

/// A line of help for an errno, in the source.
struct Help {
    file: PathBuf,
    line: usize,
    errno: String,
    text: String,
}

/// Every line of help is shown by a session, and the page has them all.
pub(crate) fn atlas(book: &Book) -> Result<Vec<Finding>> {
    let entries = entries(book)?;
    let mut findings = Vec::new();
    for Help { file, line, errno, text } in helps(book)? {
        if !entries.iter().any(|entry| entry.errno == errno && entry.help == text) {
            let what = format!("no session shows {errno}, {text}");
            findings.push(book.finding(&file, Some(line), what));
        }
    }
    let page = page(book);
    if page.is_file() && read(&page)? != text(&page, &entries)? {
        let what = "is not what the sessions show; `BLESS=1 cargo run -p book` writes it anew";
        findings.push(book.finding(&page, None, what));
    }
    for file in files(&book.chapters, "console")?.iter().filter(|file| is_for_it(file)) {
        for command in commands(&read(file)?) {
            let is_shown = entries.iter().any(|entry| entry.shown == command);
            if !is_shown || !page.is_file() {
                let line = command.lines().next().unwrap_or_default();
                findings.push(book.finding(file, None, format!("is on no page: {line}")));
            }
        }
    }
    Ok(findings)
}

/// The pairs of an errno and what helps, wherever the chapters have one.
fn helps(book: &Book) -> Result<Vec<Help>> {
    let literal = r#""((?:[^"\\]|\\(?s:.))*)""#;
    let pair = regex(&format!(r"\(\s*Errno::(\w+),\s*(?:{literal}|([A-Z_]+)),?\s*\)"));
    // One line of help may be on several of the source.
    let continued = regex(r"\\\n\s*");
    let mut helps = Vec::new();
    for file in files(&book.chapters, "rs")? {
        let source = read(&file)?;
        for found in pair.captures_iter(&source) {
            let written = match found.get(3).map(|name| name.as_str()) {
                None => found[2].to_owned(),
                Some(name) => {
                    let constant = regex(&format!(r"const {name}: &str =\s*{literal}"));
                    let text = constant.captures(&source).map(|found| found[1].to_owned());
                    text.unwrap_or_else(|| format!("{name}, which is of another file"))
                }
            };
            let line = source[..found.get_match().start()].matches('\n').count() + 1;
            let text = continued.replace_all(&written, "").replace("\\\"", "\"");
            helps.push(Help { file: file.clone(), line, errno: found[1].to_owned(), text });
        }
    }
    Ok(helps)
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
        let chapter =
            entry.transcript.iter().rev().nth(2).unwrap_or_default().display().to_string();
        let by_place = errnos.entry(&entry.errno).or_default();
        let shown = by_place.entry((chapter, &entry.place)).or_default();
        if !shown.contains(&&*entry.shown) {
            shown.push(&*entry.shown);
        }
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

/// What the sessions show, each help of a call once.
fn entries(book: &Book) -> Result<Vec<Entry>> {
    let error = regex(r"^ch\d\d-[\w-]+: (?:.*: )?(.+?)(?:\(.*)?: (E[A-Z0-9]+): ");
    let mut entries: Vec<Entry> = Vec::new();
    for file in files(&book.chapters, "console")? {
        let text = read(&file)?;
        let place = place(&text);
        for command in commands(&text) {
            let lines: Vec<_> = command.lines().collect();
            for pair in lines.windows(2) {
                let (Some(found), Some(help)) =
                    (error.captures(pair[0]), pair[1].strip_prefix("  help: "))
                else {
                    continue;
                };
                let [call, errno] = [1, 2].map(|group| found[group].to_owned());
                let is_known = |known: &Entry| {
                    (&*known.call, &*known.errno, &*known.help) == (&*call, &*errno, help)
                };
                if !entries.iter().any(is_known) {
                    let (transcript, place) = (file.clone(), place.clone());
                    let (help, shown) = (help.to_owned(), command.clone());
                    entries.push(Entry { transcript, place, call, errno, help, shown });
                }
            }
        }
    }
    Ok(entries)
}

/// The commands of a session, each with what it printed.
fn commands(transcript: &str) -> Vec<String> {
    let session = transcript.split("ANCHOR: session\n").nth(1).unwrap_or_default();
    let session = session.split("ANCHOR_END:").next().unwrap_or_default();
    let mut commands: Vec<String> = Vec::new();
    for line in session.split_inclusive('\n') {
        match commands.last_mut() {
            Some(last) if !line.starts_with("$ ") && !line.starts_with("# ") => last.push_str(line),
            _ => commands.push(line.to_owned()),
        }
    }
    commands
}

/// By whom and where a session is, from its head.
fn place(transcript: &str) -> String {
    let head = transcript.split("ANCHOR:").next().unwrap_or_default();
    let says = |line: &&str| line.starts_with("as: ") || line.starts_with("needs: ");
    let words: Vec<_> = head.lines().filter(says).flat_map(str::split_whitespace).collect();
    let mut place = String::new();
    for (word, said) in [("root", ", as root"), ("v1", ", on cgroup v1"), ("v2", ", on cgroup v2")]
    {
        if words.contains(&word) {
            place += said;
        }
    }
    place
}
