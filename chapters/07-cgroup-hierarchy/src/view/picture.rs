//! The same tree as a picture, in the book's language: the green tree is a hierarchy, a blue tag a
//! subsystem on it, a pink box a cgroup, a pill a process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use ch00_ground::refusal::Refused;

use super::drawn::{Drawn, folded, number, with_name};
use super::printable;
use super::tree::Branch;

// As the book's pictures: units that are pixels on a phone.
const WIDTH: usize = 360;
const EDGE: usize = 8;
const STEP: usize = 18;
const ROW: usize = 25;
/// A letter of most monospaced fonts at 12 pixels is 7.2 wide.
const LETTER: usize = 8;

/// The picture is to be seen alone, so that its paper and its colours, which are the book's, are in
/// it; without variables, which not every viewer knows.
const STYLE: &str = "
    text { font: 12px ui-monospace, 'DejaVu Sans Mono', monospace; fill: #1d2430; }
    .paper { fill: #ffffff; }
    .process { fill: #274b6d; }
    .on-process { fill: #ffffff; }
    .cgroup { fill: #f2aec6; stroke: #a63d67; stroke-width: 1.2; }
    .folded { fill: none; stroke: #a63d67; stroke-width: 1.2; stroke-dasharray: 3 3; }
    .yours { stroke-width: 3; }
    .subsystem { fill: #c9e3f8; stroke: #2b6ca3; stroke-width: 1.2; }
    .hierarchy { fill: none; stroke: #006b56; stroke-width: 2.4; }
    @media (prefers-color-scheme: dark) {
        text { fill: #d6dae3; }
        .paper { fill: #161923; }
        .process { fill: #9cc7ee; }
        .on-process { fill: #10202e; }
        .cgroup { fill: #6e3049; stroke: #e58fb0; }
        .folded { stroke: #e58fb0; }
        .subsystem { fill: #1f4a73; stroke: #7fb8f0; }
        .hierarchy { stroke: #5fd3b0; }
    }
";

/// The hierarchies below one another.
pub fn svg(hierarchies: &[Drawn]) -> String {
    let mut pen = Pen { shapes: String::new(), y: EDGE };
    let mut told = String::from(
        "A hierarchy is a green tree, a cgroup a pink box, a subsystem a blue tag, a process a pill.",
    );
    for drawn in hierarchies {
        pen.hierarchy(drawn);
        let (cgroups, processes) = drawn.root.count();
        let cgroups = number(cgroups, "cgroup", "cgroups");
        let processes = number(processes, "process", "processes");
        _ = write!(told, " {}, {cgroups} with {processes}.", escape(&drawn.heading()));
    }
    let Pen { shapes, y } = pen;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" aria-labelledby="title desc">
<title id="title">The cgroup hierarchies of a machine</title>
<desc id="desc">{told}</desc>
<style>{STYLE}</style>
<rect class="paper" width="{WIDTH}" height="{y}"/>
{shapes}</svg>
"#
    )
}

/// Draws from top to bottom.
struct Pen {
    shapes: String,
    y: usize,
}

impl Pen {
    fn hierarchy(&mut self, drawn: &Drawn) {
        let hierarchy = drawn.hierarchy;
        let place = format!("v{}, {}", hierarchy.version, printable(&hierarchy.mounted_at));
        self.line(EDGE, &place, WIDTH - 2 * EDGE);
        let name = hierarchy.name.iter().map(|name| format!("name={name}"));
        let tags: Vec<_> = hierarchy.controllers.iter().cloned().chain(name).collect();
        let (x, top) = (EDGE + STEP, self.y);
        self.row(x, WIDTH - EDGE, "subsystem", 4, tags.into_iter().map(|tag| (tag, None)));
        let root = self.cgroup(drawn, &drawn.root, x);
        self.branches(x, top, &[root]);
        self.y += EDGE;
    }

    /// A box with what is in it, and the boxes below. Returns where a branch meets it.
    fn cgroup(&mut self, drawn: &Drawn, cgroup: &Branch, x: usize) -> usize {
        let (top, below, right) = (self.y, self.shapes.len(), WIDTH - EDGE);
        let (left, width) = (x + 8, right - x - 16);
        let is_yours = cgroup.path == drawn.hierarchy.your_cgroup;
        self.y += 4;
        self.line(left, &(cgroup.name() + if is_yours { " (yours)" } else { "" }), width);
        if cgroup.path != drawn.hierarchy.mounted {
            let tags = cgroup.controllers.iter().map(|tag| (tag.clone(), None));
            self.row(left, right - 8, "subsystem", 4, tags);
        }
        if cgroup.few().is_empty() {
            self.line(left, &cgroup.census(), width);
        } else {
            let pills = cgroup.few().iter().map(|pid| (pid.to_string(), Some(with_name(*pid))));
            self.row(left, right - 8, "process", 10, pills);
        }
        self.y += 2;
        let (width, height) = (right - x, self.y - top);
        let class = if is_yours { "cgroup yours" } else { "cgroup" };
        let frame = format!(
            r#"<rect class="{class}" x="{x}" y="{top}" width="{width}" height="{height}" rx="3"/>"#
        );
        // What is in a box is drawn upon it.
        self.shapes.insert_str(below, &(frame + "\n"));
        self.y += EDGE;
        self.below(drawn, cgroup, x + STEP);
        top + 12
    }

    /// The boxes below another one, and their branches.
    fn below(&mut self, drawn: &Drawn, cgroup: &Branch, x: usize) {
        let from = self.y - EDGE;
        let mut to: Vec<_> =
            cgroup.children.iter().map(|child| self.cgroup(drawn, child, x)).collect();
        if let Some(words) = folded(cgroup) {
            let (top, width) = (self.y, WIDTH - EDGE - x);
            self.shape(&format!(
                r#"<rect class="folded" x="{x}" y="{top}" width="{width}" height="24" rx="3"/>"#
            ));
            self.y += 2;
            self.line(x + 8, &words, width - 16);
            self.y = top + 24 + EDGE;
            to.push(top + 12);
        }
        self.branches(x, from, &to);
    }

    /// The part of the tree that begins at height `from` and has a branch at each of `to`.
    fn branches(&mut self, x: usize, from: usize, to: &[usize]) {
        let stem = x - STEP / 2;
        let Some(last) = to.last() else { return };
        let twigs = to.iter().map(|y| format!(" M{stem} {y} H{x}"));
        let twigs: String = twigs.collect();
        self.shape(&format!(r#"<path class="hierarchy" d="M{stem} {from} V{last}{twigs}"/>"#));
    }

    /// Small boxes with a word in each, in as many rows as it takes; a word may have a tooltip.
    fn row(
        &mut self,
        left: usize,
        right: usize,
        class: &str,
        round: usize,
        words: impl Iterator<Item = (String, Option<String>)>,
    ) {
        let mut x = left;
        for (word, tip) in words {
            let width = word.chars().count() * LETTER + 12;
            if x > left && x + width > right {
                (x, self.y) = (left, self.y + ROW);
            }
            let (middle, y, base) = (x + width / 2, self.y, self.y + 14);
            let tip = tip.map(|tip| format!("<title>{}</title>", escape(&tip))).unwrap_or_default();
            let word = escape(&word);
            self.shape(&format!(
                r#"<g>{tip}<rect class="{class}" x="{x}" y="{y}" width="{width}" height="20" rx="{round}"/>
<text class="on-{class}" x="{middle}" y="{base}" text-anchor="middle">{word}</text></g>"#
            ));
            x += width + 6;
        }
        self.y += if x > left { ROW } else { 0 };
    }

    /// A line of text; what is too long loses its middle.
    fn line(&mut self, x: usize, text: &str, width: usize) {
        let (room, letters) = (width / LETTER, text.chars().collect::<Vec<_>>());
        let mut shown = escape(text);
        if letters.len() > room {
            let part = |letters: &[char]| escape(&letters.iter().collect::<String>());
            let end = letters.len() - (room - 1) / 2;
            shown = format!("{}…{}", part(&letters[..room / 2]), part(&letters[end..]));
        }
        let (y, whole) = (self.y + 14, escape(text));
        self.shape(&format!(r#"<text x="{x}" y="{y}"><title>{whole}</title>{shown}</text>"#));
        self.y += 20;
    }

    fn shape(&mut self, shape: &str) {
        self.shapes += shape;
        self.shapes.push('\n');
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Writes a file whole or not at all: beside it, under a name that is only then changed to its own.
///
/// # Errors
///
/// EACCES, ENOENT, EROFS, ENOSPC and the like, as for `open(2)`, `write(2)` and `rename(2)`; EISDIR
/// when it is a folder.
pub fn save(file: &Path, text: &str) -> Result<()> {
    let call = |call: &'static str| move || format!("cannot save the picture: {call}({file:?})");
    // Not a link is to be replaced, but what it leads to.
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if target.exists() && !target.is_file() {
        // A terminal or a pipe is never half made, and not to be replaced.
        return fs::write(file, text).refused(call("open"), &[]);
    }
    let folder = target.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().make_in(folder, |path| File::create_new(path));
    let mut beside = beside.refused(call("open"), &[])?;
    beside.as_file_mut().write_all(text.as_bytes()).refused(call("write"), &[])?;
    beside.persist(&target).map_err(|error| error.error).refused(call("rename"), &[])?;
    Ok(())
}
