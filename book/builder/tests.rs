//! Each check, seen to fail on a small book with one fault.

use std::fs;

use crate::check;

const SVG: &str = "<svg class=\"picture\"><title>t</title><desc>d</desc></svg>";
const PAGE: &str = "book/src/ch01-one.md";
const PICTURE: &str = "book/src/pictures/p.svg";
const CODE: &str = "chapters/01-one/src/a.rs";
const SUMMARY: &str = "book/src/SUMMARY.md";

/// A small book without fault.
struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Shelf {
        let shelf = Shelf(tempfile::tempdir().unwrap());
        shelf.write(
            "book/book.toml",
            "[book]\n[build]\nbuild-dir = \"../target/book\"\ncreate-missing = false\n",
        );
        shelf.write(SUMMARY, "- [One](ch01-one.md)\n");
        shelf.write(
            PAGE,
            "# One\n\n## Part\n\n[up](#part)\n\n```rust,ignore\n{{#include ../../chapters/01-one/src/a.rs:x}}\n```\n\n\
             {{#include pictures/p.svg}}\n\n```console\n{{#include ../../chapters/01-one/transcripts/t.console:session}}\n```\n",
        );
        shelf.write(PICTURE, SVG);
        shelf.write(CODE, "// ANCHOR: x\nfn x() {}\n// ANCHOR_END: x\n");
        shelf.write(
            "chapters/01-one/transcripts/t.console",
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

/// Makes one edit, and expects to be told exactly this, in lines that begin so.
fn expect(path: &str, from: &str, to: &str, told: &[&str]) {
    let shelf = Shelf::new();
    shelf.edit(path, from, to);
    expect_on(&shelf, told);
}

fn expect_on(shelf: &Shelf, told: &[&str]) {
    let findings = shelf.findings();
    let lines: Vec<_> = findings.lines().collect();
    let as_told = lines.iter().zip(told).all(|(line, told)| line.starts_with(told));
    assert!(lines.len() == told.len() && as_told, "found:\n{findings}expected:\n{told:#?}");
}

#[test]
fn a_book_without_fault() {
    expect_on(&Shelf::new(), &[]);
}

#[test]
fn an_included_file_that_is_missing() {
    expect(
        PAGE,
        "a.rs:x",
        "b.rs:x",
        &[
            "book/src/ch01-one.md:8: includes {{#include ../../chapters/01-one/src/b.rs:x}}, which is not there",
            "book/src/ch01-one.md:8: shows a raw {{#include ../../chapters/01-one/src/b.rs:x",
            "chapters/01-one/src/a.rs:1: no page includes the anchor x",
            "target/book/index.html: shows a raw {{#",
            "target/book/print.html: shows a raw {{#",
        ],
    );
}

#[test]
fn an_included_anchor_that_is_missing() {
    for directive in ["#include", "#rustdoc_include"] {
        let shelf = Shelf::new();
        shelf.edit(PAGE, "a.rs:x", "a.rs:y");
        shelf.edit(
            PAGE,
            "#include ../../chapters/01-one/src",
            &format!("{directive} ../../chapters/01-one/src"),
        );
        let line = format!(
            "book/src/ch01-one.md:8: includes {{{{{directive} ../../chapters/01-one/src/a.rs:y}}}}"
        );
        expect_on(
            &shelf,
            &[
                "book/src/ch01-one.md: has an empty block of code",
                &format!("{line}, which has no `ANCHOR: y`"),
                &format!("{line}, which has no `ANCHOR_END: y`"),
                "chapters/01-one/src/a.rs:1: no page includes the anchor x",
            ],
        );
    }
}

#[test]
fn an_anchor_that_does_not_end() {
    let told = "book/src/ch01-one.md:8: includes {{#include ../../chapters/01-one/src/a.rs:x}}, which has no `ANCHOR_END: x`";
    expect(CODE, "// ANCHOR_END: x\n", "", &[told]);
    expect(CODE, "ANCHOR_END: x", "ANCHOR_END: xx", &[told]);
}

#[test]
fn what_no_page_includes() {
    expect(
        CODE,
        "fn x",
        "// ANCHOR: y\n// ANCHOR_END: y\nfn x",
        &["chapters/01-one/src/a.rs:2: no page includes the anchor y"],
    );
    expect(
        PAGE,
        "{{#include ../../chapters/01-one/transcripts/t.console:session}}",
        "x",
        &[
            "chapters/01-one/transcripts/t.console: no page includes it",
            "chapters/01-one/transcripts/t.console:1: no page includes the anchor session",
        ],
    );
    expect(
        PAGE,
        "{{#include pictures/p.svg}}",
        SVG,
        &["book/src/pictures/p.svg: no page includes it"],
    );
}

#[test]
fn a_directive_that_is_left_over() {
    let told = [
        "book/src/ch01-one.md:3: shows a raw {{#x",
        "target/book/index.html: shows a raw {{#x",
        "target/book/print.html: shows a raw {{#x",
    ];
    for left in ["a {{#x}} b", "<p title=\"{{#x}}\">a</p>", "<!-- {{#x}} -->"] {
        expect(PAGE, "# One\n", &format!("# One\n\n{left}\n"), &told);
    }
}

#[test]
fn a_directive_that_is_escaped() {
    expect(
        PAGE,
        "# One\n",
        "# One\n\n`\\{{#include x}}`\n",
        &[
            "book/src/ch01-one.md:3: shows a raw {{#include x",
            "target/book/index.html: shows a raw {{#include x",
            "target/book/print.html: shows a raw {{#include x",
        ],
    );
}

#[test]
fn an_empty_block_of_code() {
    expect(CODE, "fn x() {}\n", "", &["book/src/ch01-one.md: has an empty block of code"]);
}

#[test]
fn a_link_that_leads_nowhere() {
    let link = |to: &str, told: &str| expect(PAGE, "[up](#part)", &format!("![up]({to})"), &[told]);
    link("#parts", "book/src/ch01-one.md:5: links #parts, and there is no such heading");
    link("two.md", "book/src/ch01-one.md:5: links two.html, which is not in the book");
    link("no.png", "book/src/ch01-one.md:5: links no.png, which is not in the book");
    link("/index.html", "book/src/ch01-one.md:5: links /index.html, which is not in the book");
}

#[test]
fn a_link_that_climbs_out_of_the_book() {
    let to = "../../chapters/01-one/src/a.rs";
    let told = format!("book/src/ch01-one.md:5: links {to}, which is not in the book");
    expect(PAGE, "(#part)", &format!("({to})"), &[&told]);
}

#[test]
fn an_address_that_is_none() {
    for to in ["https://", "https://localhost/", "<https://a b.org>", "https://a.org/%zz"] {
        let shelf = Shelf::new();
        shelf.edit(PAGE, "(#part)", &format!("({to})"));
        assert!(shelf.findings().contains("which is no address"), "{to}: {}", shelf.findings());
    }
    for to in ["http://example.org", "mailto:a@example.org", "//example.org/a"] {
        let told = format!("book/src/ch01-one.md:5: links {to}, which is neither https nor");
        expect(PAGE, "(#part)", &format!("({to})"), &[&told]);
    }
    for to in ["https://docs.kernel.org", "https://a.org:8/b(c)?d=e%20f#g", "ch01-one.md#part"] {
        expect(PAGE, "(#part)", &format!("(<{to}>)"), &[]);
    }
}

#[test]
fn a_reference_that_a_picture_does_not_have() {
    let none = |name: &str| format!("book/src/ch01-one.md: links {name}");
    let path = "<path marker-end=\"url(#a)\"/></svg>";
    expect(PICTURE, "</svg>", path, &[&none("url(#a), and there is no such id")]);
    let using = "<use xlink:href=\"#a\"/></svg>";
    expect(PICTURE, "</svg>", using, &[&none("#a, and there is no such heading")]);
    let labelled = "aria-labelledby=\"a\" class=";
    expect(PICTURE, "class=", labelled, &[&none("a, and there is no such id")]);
    expect(PICTURE, "</svg>", &format!("<g id=\"a\"/>{path}"), &[]);
}

#[test]
fn a_page_that_nobody_finds() {
    let shelf = Shelf::new();
    shelf.write("book/src/two.md", "# Two\n");
    let told = ["book/src/two.md: is not in the summary"];
    expect_on(&shelf, &told);
    shelf.edit(SUMMARY, "\n", "\n\n<!-- [Two](two.md) -->\n");
    expect_on(&shelf, &told);
}

#[test]
fn a_page_that_was_not_rendered() {
    let shelf = Shelf::new();
    let book = shelf.0.path().join("book");
    let rendered = crate::build(&book).unwrap();
    fs::remove_file(rendered.join("ch01-one.html")).unwrap();
    let error = check(&book, &rendered).unwrap_err().to_string();
    assert_eq!(error, "ch01-one.md has not been rendered");
    fs::remove_dir_all(&rendered).unwrap();
    let error = check(&book, &rendered).unwrap_err().to_string();
    assert!(error.starts_with("cannot find"), "{error}");
}

#[test]
fn a_chapter_without_a_page() {
    let shelf = Shelf::new();
    shelf.write("chapters/02-two/src/a.rs", "");
    let told = "book/src/SUMMARY.md: a chapter and its page must have one name; alone is ch02-two";
    expect_on(&shelf, &[told]);
}

#[test]
fn a_page_without_a_chapter() {
    for page in ["ch02-two.md", "chapter-two.md"] {
        let shelf = Shelf::new();
        shelf.write(&format!("book/src/{page}"), &format!("# Two\n\n{SVG}\n"));
        shelf.edit(SUMMARY, "\n", &format!("\n- [Two]({page})\n"));
        let told = format!(
            "book/src/SUMMARY.md:2: a chapter and its page must have one name; alone is {page}"
        );
        expect_on(&shelf, &[&told]);
    }
}

#[test]
fn a_page_without_a_picture() {
    let told = "book/src/ch01-one.md: has no picture";
    expect(PICTURE, SVG, &SVG.replace("picture", "icon"), &[told]);
}

#[test]
fn a_picture_that_cannot_be_read_aloud() {
    let none = |name: &str| format!("book/src/ch01-one.md: has a picture without a <{name}>");
    expect(PICTURE, "<desc>d</desc>", "<desc> </desc>", &[&none("desc")]);
    expect(PICTURE, "<title>t</title>", "", &[&none("title")]);
    // A title deeper down is that of a part.
    expect(PICTURE, "<title>t</title>", "<g><title>t</title></g>", &[&none("title")]);
}

#[test]
fn an_id_that_is_there_twice() {
    for id in ["part", "mdbook-menu-bar"] {
        let told = format!("book/src/ch01-one.md:3: has the id {id} twice");
        expect(PAGE, "# One\n", &format!("# One\n\n<p id=\"{id}\">x</p>\n"), &[&told]);
    }
}

/// A book with a page of errnos, and a session that shows the one line of help that there is.
fn with_an_atlas() -> Shelf {
    let shelf = Shelf::new();
    shelf.edit(SUMMARY, "- [One](ch01-one.md)\n", "- [One](ch01-one.md)\n- [Atlas](atlas.md)\n");
    let help = "// ANCHOR: x\nconst HELP: Help = &[(\n    Errno::EBUSY,\n    \"wait \\\n     a while\",\n)];\n// ANCHOR_END: x\n";
    shelf.write(CODE, help);
    shelf.write(
        SESSION,
        "ANCHOR: session\n$ ch01-one\nch01-one: cannot: call(): EBUSY: Busy\n  help: wait a while\nANCHOR_END: session\n",
    );
    shelf.write("book/src/atlas.md", "# Atlas\n");
    crate::write_atlas(&shelf.0.path().join("book")).unwrap();
    shelf
}

const SESSION: &str = "chapters/01-one/transcripts/errnos.console";

#[test]
fn an_atlas_without_fault() {
    let shelf = with_an_atlas();
    let page = fs::read_to_string(shelf.0.path().join("book/src/atlas.md")).unwrap();
    let wanted = "# Atlas\n\n## EBUSY\n\n[Chapter 1](ch01-one.md):\n\n```console\n$ ch01-one\nch01-one: cannot: call(): EBUSY: Busy\n  help: wait a while\n```\n";
    assert_eq!(page, wanted);
    expect_on(&shelf, &[]);
}

#[test]
fn an_atlas_that_is_out_of_date() {
    let shelf = with_an_atlas();
    shelf.edit(SESSION, "call()", "another()");
    expect_on(&shelf, &["book/src/atlas.md: is not what the sessions show"]);
}

#[test]
fn a_line_of_help_that_no_session_shows() {
    let shelf = with_an_atlas();
    shelf.edit(CODE, "a while", "no more");
    expect_on(&shelf, &["chapters/01-one/src/a.rs:2: no session shows EBUSY, wait no more"]);
}

#[test]
fn a_line_of_help_that_has_a_name() {
    let shelf = with_an_atlas();
    let named = "// ANCHOR: x\nconst WAIT: &str = \"wait a while\";\nconst HELP: Help = &[(Errno::EBUSY, WAIT)];\n// ANCHOR_END: x\n";
    shelf.write(CODE, named);
    expect_on(&shelf, &[]);
    shelf.edit(CODE, "const WAIT", "const ELSEWHERE");
    expect_on(&shelf, &["chapters/01-one/src/a.rs:3: no session shows EBUSY, WAIT, which is of"]);
}

#[test]
fn a_command_for_the_atlas_that_is_not_in_it() {
    let shelf = with_an_atlas();
    shelf.edit(SESSION, "ANCHOR_END", "$ ch01-one --again\nch01-one: all is well\nANCHOR_END");
    expect_on(&shelf, &[&format!("{SESSION}: is on no page: $ ch01-one --again")]);
}
