//! What can be seen only in the rendered pages: links, pictures, holes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use scraper::{ElementRef, Html, Selector};

use crate::check::{Book, Finding, absolute, files, line_of, read, regex};

/// Everything that mdBook has written.
pub(crate) struct Pages {
    folder: PathBuf,
    html: BTreeMap<PathBuf, Page>,
}

struct Page {
    text: String,
    html: Html,
    ids: BTreeSet<String>,
}

/// A page that the summary leads to.
struct Listed<'a> {
    page: &'a Page,
    rendered: PathBuf,
    source: PathBuf,
    written: String,
}

impl Pages {
    pub(crate) fn read(folder: &Path) -> Result<Pages> {
        let folder = absolute(folder)?;
        let mut html = BTreeMap::new();
        for path in files(&folder, "html")? {
            html.insert(path.clone(), Page::parse(read(&path)?));
        }
        Ok(Pages { folder, html })
    }

    fn listed(&self, book: &Book) -> Result<Vec<Listed<'_>>> {
        let listed = book.listed.iter().map(|path| {
            let source = book.src.join(path);
            let rendered = self.folder.join(path).with_extension("html");
            let page = self.html.get(&rendered);
            let page = page.with_context(|| format!("{} has not been rendered", path.display()))?;
            Ok(Listed { page, rendered, written: read(&source)?, source })
        });
        listed.collect()
    }
}

impl Page {
    fn parse(text: String) -> Page {
        let html = Html::parse_document(&text);
        let ids = select(&html, "[id]").filter_map(|element| element.attr("id"));
        let ids = ids.map(str::to_owned).collect();
        Page { text, html, ids }
    }
}

impl Listed<'_> {
    /// Says it of the source, at the line that has one of `parts`: that is where it is mended.
    fn finding(&self, book: &Book, parts: &[&str], what: impl Into<String>) -> Finding {
        let line = parts.iter().find_map(|part| line_of(&self.written, part));
        book.finding(&self.source, line, what)
    }
}

fn select<'a>(html: &'a Html, selector: &'static str) -> impl Iterator<Item = ElementRef<'a>> {
    let selector = Selector::parse(selector).expect("the selector is a literal of this file");
    html.select(&selector).collect::<Vec<_>>().into_iter()
}

fn is_empty(element: ElementRef) -> bool {
    element.text().all(|text| text.trim().is_empty())
}

/// Lines that mdBook has hidden are there, but nobody sees them.
fn shows_nothing(code: ElementRef) -> bool {
    let is_hidden = |element: ElementRef| element.value().classes().any(|class| class == "boring");
    code.children().all(|child| match ElementRef::wrap(child) {
        Some(element) => is_hidden(element) || is_empty(element),
        None => child.value().as_text().is_none_or(|text| text.trim().is_empty()),
    })
}

/// No directive is left as it was written, on any page that mdBook has made.
pub(crate) fn directives(book: &Book, pages: &Pages) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let listed = pages.listed(book)?;
    for (path, page) in &pages.html {
        for raw in regex(r"\{\{#[^}\n]*").find_iter(&page.text).map(|found| found.as_str()) {
            let what = format!("shows a raw {raw}");
            findings.push(match listed.iter().find(|listed| listed.rendered == *path) {
                Some(listed) => listed.finding(book, &[raw], what),
                None => book.finding(path, None, what),
            });
        }
    }
    Ok(findings)
}

/// No block of code is empty: mdBook puts nothing where an anchor is missing.
pub(crate) fn code(book: &Book, pages: &Pages) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for listed in pages.listed(book)? {
        let empty = select(&listed.page.html, "pre code").filter(|code| shows_nothing(*code));
        findings.extend(empty.map(|_| listed.finding(book, &[], "has an empty block of code")));
    }
    Ok(findings)
}

/// Every link leads to a file of the book, every fragment and reference to an element.
pub(crate) fn links(book: &Book, pages: &Pages) -> Result<Vec<Finding>> {
    let paint = regex(r#"url\(["']?#([^"')]*)["']?\)"#);
    let mut findings = Vec::new();
    for listed in pages.listed(book)? {
        let has_id = |id: &str| listed.page.ids.contains(id);
        let mut add = |link: &str, written: &[&str], why: &str| {
            findings.push(listed.finding(book, written, format!("links {link}, {why}")));
        };
        let elements = select(&listed.page.html, "main *");
        for (name, value) in elements.flat_map(|element| element.value().attrs()) {
            let quoted = format!("\"{value}\"");
            match name {
                "href" | "src" => {
                    if let Err(why) = follow(value, &listed.rendered, pages) {
                        let source = value.replace(".html", ".md");
                        let written = [format!("({value})"), format!("({source})"), quoted];
                        add(value, &written.each_ref().map(String::as_str), why);
                    }
                }
                "aria-labelledby" | "aria-describedby" => {
                    for id in value.split_whitespace().filter(|id| !has_id(id)) {
                        add(id, &[&quoted], "and there is no such id on the page");
                    }
                }
                _ => {
                    for found in paint.captures_iter(value).filter(|found| !has_id(&found[1])) {
                        add(&found[0], &[&quoted], "and there is no such id on the page");
                    }
                }
            }
        }
    }
    Ok(findings)
}

/// Follows a link from the page at `from`, or says why it cannot be followed.
fn follow(link: &str, from: &Path, pages: &Pages) -> Result<(), &'static str> {
    if link.starts_with("https:") {
        let address = regex(
            r#"^https://([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}(:\d+)?([/?#]([^\s%<>"{}|\\^`]|%[0-9a-fA-F]{2})*)?$"#,
        );
        return if address.is_match(link) { Ok(()) } else { Err("which is no address") };
    }
    if regex("^[a-zA-Z][a-zA-Z0-9+.-]*:|^//").is_match(link) {
        return Err("which is neither https nor a page of the book");
    }
    let (file, id) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => from.to_owned(),
        // The build folder lies in the repository, but the published pages do not: a link that
        // climbs out of the book works only here.
        _ => plain(&from.with_file_name(file)),
    };
    if !target.starts_with(&pages.folder) || !target.is_file() {
        return Err("which is not in the book");
    }
    let has_id = || pages.html.get(&target).is_some_and(|page| page.ids.contains(id));
    if id.is_empty() || has_id() { Ok(()) } else { Err("and there is no such heading") }
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            _ => plain.push(part),
        }
    }
    plain
}

/// Every chapter's page has a picture, and every picture can be read aloud.
pub(crate) fn pictures(book: &Book, pages: &Pages) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for listed in pages.listed(book)? {
        // mdBook's icons are SVG too.
        let pictures: Vec<_> = select(&listed.page.html, "main svg.picture").collect();
        let name = listed.source.file_name().unwrap_or_default();
        if pictures.is_empty() && name.to_string_lossy().starts_with("ch") {
            findings.push(listed.finding(book, &[], "has no picture"));
        }
        for picture in pictures {
            for name in ["title", "desc"] {
                let child = picture.child_elements().find(|child| child.value().name() == name);
                if child.is_none_or(is_empty) {
                    let what = format!("has a picture without a <{name}>");
                    findings.push(listed.finding(book, &[], what));
                }
            }
        }
    }
    Ok(findings)
}

/// No id is on a page twice, be it a picture's, a heading's or one of mdBook's own.
pub(crate) fn ids(book: &Book, pages: &Pages) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for listed in pages.listed(book)? {
        let mut seen = BTreeSet::new();
        for id in select(&listed.page.html, "[id]").filter_map(|element| element.attr("id")) {
            if !seen.insert(id) {
                let written = format!("id=\"{id}\"");
                findings.push(listed.finding(book, &[&written], format!("has the id {id} twice")));
            }
        }
    }
    Ok(findings)
}
