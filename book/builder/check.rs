//! What a page must hold to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regex::Regex;
use scraper::{ElementRef, Html, Selector};
use walkdir::WalkDir;

/// Something that is wrong with the book.
#[derive(Debug)]
pub struct Finding {
    /// The file, and the line where it is known.
    place: String,
    what: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks the book whose sources lie in `book`, with the chapters beside it, and whose pages lie in
/// `rendered`.
///
/// # Errors
///
/// When a file cannot be read.
pub fn check(book: &Path, rendered: &Path) -> Result<Vec<Finding>> {
    let mut findings = Findings(Vec::new());
    findings.includes(book)?;
    findings.summary(book)?;
    let pages = pages(rendered)?;
    for page in pages.keys() {
        findings.rendering(page, &pages);
        findings.links(page, &pages, rendered);
        findings.pictures(page, &pages);
    }
    Ok(findings.0)
}

struct Findings(Vec<Finding>);

/// The rendered pages, by their place.
type Pages = BTreeMap<PathBuf, Html>;

fn pages(rendered: &Path) -> Result<Pages> {
    // Pages that are made of the others, and are no place to read.
    let is_made = |path: &Path| {
        ["print.html", "toc.html", "404.html"].iter().any(|name| path.ends_with(name))
    };
    files(rendered, "html")
        .filter(|path| !is_made(path))
        .map(|path| {
            let html = Html::parse_document(&read(&path)?);
            Ok((path, html))
        })
        .collect()
}

fn files(folder: &Path, extension: &str) -> impl Iterator<Item = PathBuf> {
    let entries = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .flatten()
        .map(|entry| entry.into_path());
    entries.filter(move |path| path.extension().is_some_and(|found| found == extension))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a literal of this file")
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("the selector is a literal of this file"))
        .collect()
}

impl Findings {
    fn add(&mut self, place: impl Display, what: impl Into<String>) {
        self.0.push(Finding { place: place.to_string(), what: what.into() });
    }

    /// Every include names a file and an anchor that are there; every anchor, picture and
    /// transcript is included.
    fn includes(&mut self, book: &Path) -> Result<()> {
        let include = regex(r"\{\{#\w+ ([^:}]+)(?::([^}]+))?\}\}");
        let anchor = regex(r"ANCHOR: ([\w-]+)");
        let (mut used_files, mut used_anchors) = (BTreeSet::new(), BTreeSet::new());
        for page in files(&book.join("src"), "md") {
            for (line, text) in read(&page)?.lines().enumerate() {
                for found in include.captures_iter(text) {
                    let place = format!("{}:{}", page.display(), line + 1);
                    let Ok(file) = page.with_file_name(found[1].trim()).canonicalize() else {
                        self.add(place, format!("includes {}, which is not there", &found[1]));
                        continue;
                    };
                    if let Some(name) = found.get(2) {
                        let source = read(&file)?;
                        for mark in ["ANCHOR", "ANCHOR_END"] {
                            let mark = format!("{mark}: {}", name.as_str());
                            if !source.lines().any(|line| line.ends_with(&mark)) {
                                self.add(
                                    &place,
                                    format!("includes {}, which has no `{mark}`", &found[0]),
                                );
                            }
                        }
                        used_anchors.insert((file.clone(), name.as_str().to_owned()));
                    }
                    used_files.insert(file);
                }
            }
        }
        let chapters = book.join("../chapters").canonicalize()?;
        for file in files(&chapters, "rs").chain(files(&chapters, "console")) {
            for found in anchor.captures_iter(&read(&file)?) {
                if !used_anchors.contains(&(file.clone(), found[1].to_owned())) {
                    self.add(file.display(), format!("no page includes the anchor {}", &found[1]));
                }
            }
        }
        for file in files(&book.canonicalize()?.join("src/pictures"), "svg")
            .chain(files(&chapters, "console"))
        {
            if !used_files.contains(&file) {
                self.add(file.display(), "no page includes it");
            }
        }
        Ok(())
    }

    /// Every page is in the summary, and every chapter has a page of its name.
    fn summary(&mut self, book: &Path) -> Result<()> {
        let summary = read(&book.join("src/SUMMARY.md"))?;
        for page in files(&book.join("src"), "md").filter(|page| !page.ends_with("SUMMARY.md")) {
            let name = page.file_name().unwrap_or_default().display().to_string();
            if !summary.contains(&format!("({name})")) {
                self.add(page.display(), "is not in the summary, so nobody finds it");
            }
        }
        let chapters = fs::read_dir(book.join("../chapters"))?;
        let chapters: BTreeSet<_> = chapters
            .map(|entry| Ok(format!("ch{}.md", entry?.file_name().display())))
            .collect::<Result<_>>()?;
        let linked = regex(r"\((ch\d[^)]*)\)");
        let linked: BTreeSet<_> =
            linked.captures_iter(&summary).map(|found| found[1].to_owned()).collect();
        for name in chapters.symmetric_difference(&linked) {
            self.add(
                "SUMMARY.md",
                format!("a chapter and its page must have one name; alone is {name}"),
            );
        }
        Ok(())
    }

    /// No directive is left as it was written, and no block of code is empty.
    fn rendering(&mut self, page: &Path, pages: &Pages) {
        let html = &pages[page];
        if html.root_element().text().any(|text| text.contains("{{#")) {
            self.add(page.display(), "shows a raw {{#");
        }
        for code in select(html, "pre code") {
            if code.text().all(|text| text.trim().is_empty()) {
                self.add(page.display(), "has an empty block of code");
            }
        }
    }

    /// Every link leads to a file, and every fragment to an element.
    fn links(&mut self, page: &Path, pages: &Pages, rendered: &Path) {
        for element in select(&pages[page], "main [href], main [src]") {
            let link = element.attr("href").or(element.attr("src")).unwrap_or_default();
            if link.starts_with("https://") {
                continue;
            }
            if link.contains("://") || link.starts_with("mailto:") {
                self.add(
                    page.display(),
                    format!("links {link}, which is neither https nor a page of the book"),
                );
                continue;
            }
            let (file, fragment) =
                link.split_once('#').map_or((link, None), |(file, id)| (file, Some(id)));
            let target = if file.is_empty() { page.to_owned() } else { page.with_file_name(file) };
            if !target.is_file() || !target.starts_with(rendered) {
                self.add(page.display(), format!("links {link}, which is not in the book"));
                continue;
            }
            let has_id = |id: &str| {
                pages.get(&target).is_some_and(|html| {
                    select(html, "[id]").iter().any(|found| found.attr("id") == Some(id))
                })
            };
            if fragment.is_some_and(|id| !id.is_empty() && !has_id(id)) {
                self.add(page.display(), format!("links {link}, and there is no such heading"));
            }
        }
    }

    /// Every page has a picture, and every picture can be read aloud.
    fn pictures(&mut self, page: &Path, pages: &Pages) {
        let html = &pages[page];
        let pictures = select(html, "main svg.picture");
        if pictures.is_empty() {
            self.add(page.display(), "has no picture");
        }
        for picture in pictures {
            for name in ["title", "desc"] {
                let child = picture.child_elements().find(|child| child.value().name() == name);
                if child.is_none_or(|child| child.text().all(|text| text.trim().is_empty())) {
                    self.add(page.display(), format!("has a picture without a <{name}>"));
                }
            }
        }
        let mut seen = BTreeSet::new();
        for element in select(html, "main [id]") {
            let id = element.attr("id").unwrap_or_default();
            if !seen.insert(id) {
                self.add(page.display(), format!("has the id {id} twice"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = "<svg class=\"picture\"><title>t</title><desc>d</desc></svg>";

    /// A small book without fault.
    struct Shelf(tempfile::TempDir);

    impl Shelf {
        fn new() -> Shelf {
            let shelf = Shelf(tempfile::tempdir().unwrap());
            shelf.write(
                "book/book.toml",
                "[book]\n[build]\nbuild-dir = \"../out\"\ncreate-missing = false\n",
            );
            shelf.write("book/src/SUMMARY.md", "- [One](ch01-one.md)\n");
            shelf.write(
                "book/src/ch01-one.md",
                "# One\n\n## Part\n\n[up](#part)\n\n```rust,ignore\n{{#include ../../chapters/01-one/a.rs:x}}\n```\n\n\
                 {{#include pictures/p.svg}}\n\n```console\n{{#include ../../chapters/01-one/t.console:session}}\n```\n",
            );
            shelf.write("book/src/pictures/p.svg", SVG);
            shelf.write("chapters/01-one/a.rs", "// ANCHOR: x\nfn x() {}\n// ANCHOR_END: x\n");
            shelf.write(
                "chapters/01-one/t.console",
                "ANCHOR: session\n$ true\nANCHOR_END: session\n",
            );
            shelf
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn edit(&self, path: &str, from: &str, to: &str) {
            let text = fs::read_to_string(self.0.path().join(path)).unwrap();
            assert!(text.contains(from));
            self.write(path, &text.replace(from, to));
        }

        fn findings(&self) -> String {
            let book = self.0.path().join("book");
            let rendered = crate::build(&book).unwrap();
            let findings = check(&book, &rendered).unwrap();
            findings.iter().map(|finding| format!("{finding}\n")).collect()
        }
    }

    #[test]
    fn a_book_without_fault() {
        assert_eq!(Shelf::new().findings(), "");
    }

    const PAGE: &str = "book/src/ch01-one.md";

    /// Makes one edit, and expects to be told of it.
    fn expect(path: &str, from: &str, to: &str, told: &str) {
        let shelf = Shelf::new();
        shelf.edit(path, from, to);
        let findings = shelf.findings();
        assert!(findings.contains(told), "{findings:?}");
    }

    #[test]
    fn an_included_file_that_is_missing() {
        expect(
            PAGE,
            "a.rs:x",
            "b.rs:x",
            "ch01-one.md:8: includes ../../chapters/01-one/b.rs, which is not there",
        );
        expect(PAGE, "a.rs:x", "b.rs:x", "shows a raw {{#");
    }

    #[test]
    fn an_included_anchor_that_is_missing() {
        expect(PAGE, "a.rs:x", "a.rs:y", "ch01-one.md:8: includes");
        expect(PAGE, "a.rs:x", "a.rs:y", "has an empty block of code");
        expect("chapters/01-one/a.rs", "// ANCHOR_END: x\n", "", "which has no `ANCHOR_END: x`");
    }

    #[test]
    fn what_no_page_includes() {
        expect(
            "chapters/01-one/a.rs",
            "fn x",
            "// ANCHOR: y\n// ANCHOR_END: y\nfn x",
            "no page includes the anchor y",
        );
        expect(
            PAGE,
            "{{#include ../../chapters/01-one/t.console:session}}",
            "x",
            "t.console: no page includes it",
        );
        expect(PAGE, "{{#include pictures/p.svg}}", SVG, "p.svg: no page includes it");
    }

    #[test]
    fn a_link_that_leads_nowhere() {
        expect(PAGE, "(#part)", "(#parts)", "links #parts, and there is no such heading");
        expect(PAGE, "(#part)", "(two.md)", "which is not in the book");
        expect(PAGE, "(#part)", "(http://example.org)", "which is neither https");
    }

    #[test]
    fn a_page_that_nobody_finds() {
        let shelf = Shelf::new();
        shelf.write("book/src/two.md", "# Two\n");
        assert!(shelf.findings().contains("two.md: is not in the summary"));
    }

    #[test]
    fn a_chapter_without_a_page() {
        let shelf = Shelf::new();
        shelf.write("chapters/02-two/a.rs", "");
        assert!(shelf.findings().contains("alone is ch02-two.md"));
    }

    #[test]
    fn a_picture_that_cannot_be_read_aloud() {
        expect(
            "book/src/pictures/p.svg",
            "<desc>d</desc>",
            "<desc></desc>",
            "has a picture without a <desc>",
        );
        expect(PAGE, "{{#include pictures/p.svg}}", "", "has no picture");
    }

    #[test]
    fn an_id_that_is_there_twice() {
        expect(PAGE, "# One", "# One\n\n<p id=\"part\">x</p>", "has the id part twice");
    }
}
