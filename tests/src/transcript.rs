//! The terminal transcripts of the book: typed again into a real shell, and compared with what was
//! recorded.
//!
//! A file names at its head what may vary and what it needs; then follows the session that the page
//! shows:
//!
//! ```text
//! as: user
//! needs: ps
//! varies: ns
//! varies: pid NSpid +(\d+)
//! ANCHOR: session
//! $ ch01-uts
//! ...
//! ANCHOR_END: session
//! ```
//!
//! `$ ` is the prompt outside and `# ` inside. What varies is compared by identity: in both texts
//! the n-th different value of a kind becomes `kind#n`, and then they must be equal, and more than
//! one blank counts as two. 0 and 1 stay what they are. With `BLESS=1` a session that differs is
//! written to its file, with the old values where they play the same part.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use regex::Regex;

use crate::cgroups::Subtree;
use crate::terminal::Terminal;
use crate::{Claim, Role};

/// The inode numbers of namespaces.
const NS: &str = r"\b(4026[5-9]\d{5})\b";

struct Transcript {
    path: PathBuf,
    head: String,
    role: Role,
    needs: Vec<&'static str>,
    varies: Varying,
    session: String,
}

/// A claim for each file of `folder`: that the session runs as it was recorded.
pub fn claims(folder: &Path) -> Vec<Claim> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    let claim = |path: PathBuf| {
        let transcript = Transcript::read(&path);
        let name = format!("transcript {}", path.file_stem().expect("it is a file").display());
        let (role, needs) = (transcript.role, transcript.needs.clone());
        Claim::new(name, move |_| transcript.check()).only(role).needs(&needs)
    };
    paths.into_iter().map(claim).collect()
}

impl Transcript {
    fn read(path: &Path) -> Transcript {
        let text = fs::read_to_string(path).expect("a transcript can be read");
        let (head, rest) =
            text.split_once("ANCHOR: session\n").expect("a transcript has a session");
        let (session, _) = rest.split_once("ANCHOR_END: session").expect("a session has an end");
        let mut transcript = Transcript {
            path: path.to_owned(),
            head: head.to_owned(),
            role: Role::User,
            needs: vec!["userns"],
            varies: Varying(Vec::new()),
            session: session.to_owned(),
        };
        for line in head.lines() {
            match line.split_once(": ").expect("a head line is `word: value`") {
                ("as", "root") => transcript.role = Role::Root,
                ("as", "user") => transcript.role = Role::User,
                ("needs", needs) => {
                    transcript.needs.extend(needs.split(' ').map(|need| &*need.to_owned().leak()))
                }
                ("varies", "ns") => transcript.varies.add("ns", NS),
                ("varies", what) => {
                    let (kind, pattern) =
                        what.split_once(' ').expect("what varies is `kind pattern`");
                    transcript.varies.add(kind, pattern);
                }
                other => panic!("{}: no such head line: {other:?}", path.display()),
            }
        }
        transcript
    }

    fn check(&self) {
        // One after another: a session may make what another would see.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.record();
        let (was, is) = (self.varies.canonical(&self.session), self.varies.canonical(&now));
        if was.text == is.text {
            return;
        }
        if std::env::var_os("BLESS").is_some() {
            let session = self.varies.with_values_of(&now, &was.values);
            let text = format!("{}ANCHOR: session\n{session}ANCHOR_END: session\n", self.head);
            return fs::write(&self.path, text).expect("a transcript can be written");
        }
        snapbox::assert_data_eq!(is.text, was.text);
    }

    /// Types every command of the session, and returns the session as it is now.
    fn record(&self) -> String {
        // Who needs cgroups sits in a subtree of its own.
        let subtree = self.needs.contains(&"cgroups").then(|| Subtree::new(self.role));
        let mut terminal =
            subtree.as_ref().map_or_else(|| Terminal::open(self.role), Terminal::open_in);
        let mut session = String::new();
        for line in self.session.lines() {
            let Some(command) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")) else {
                continue;
            };
            let printed = terminal.run(command);
            // A program's last line may lack its end, and a blank line before the next prompt reads
            // well.
            let end = if printed.is_empty() || printed.ends_with('\n') { "" } else { "\n" };
            write!(session, "{line}\n{printed}{end}").expect("a string can be written");
        }
        session
    }
}

/// What may vary: kinds of value, and where they stand.
struct Varying(Vec<(String, Regex)>);

/// A text with its varying values replaced by their part in it.
struct Canonical {
    text: String,
    /// The values of each kind in the order in which they first appear.
    values: HashMap<String, Vec<String>>,
}

impl Varying {
    fn add(&mut self, kind: &str, pattern: &str) {
        self.0.push((
            kind.to_owned(),
            Regex::new(pattern).expect("the pattern is a regular expression"),
        ));
    }

    fn canonical(&self, text: &str) -> Canonical {
        let mut values: HashMap<String, Vec<String>> = HashMap::new();
        let replaced = self.replace(text, |kind, value| {
            let known = values.entry(kind.to_owned()).or_default();
            let place = known.iter().position(|other| other == value).unwrap_or_else(|| {
                known.push(value.to_owned());
                known.len() - 1
            });
            format!("{kind}#{}", place + 1)
        });
        let blanks = Regex::new("(?m)^ +|  +").expect("it is one");
        Canonical { text: blanks.replace_all(&replaced, "  ").into_owned(), values }
    }

    /// `text` with the values that play the same part in another one. Where there are more of a kind
    /// than there were, or fewer, nobody knows which plays whose: all are new.
    fn with_values_of(&self, text: &str, others: &HashMap<String, Vec<String>>) -> String {
        let own = self.canonical(text).values;
        self.replace(text, |kind, value| {
            let place = own[kind]
                .iter()
                .position(|other| other == value)
                .expect("it was found a moment ago");
            match others.get(kind) {
                Some(others) if others.len() == own[kind].len() => others[place].clone(),
                _ => value.to_owned(),
            }
        })
    }

    /// Replaces what the groups of the patterns catch, from left to right.
    fn replace(&self, text: &str, mut with: impl FnMut(&str, &str) -> String) -> String {
        let mut found: Vec<_> = self
            .0
            .iter()
            .flat_map(|(kind, pattern)| {
                pattern.captures_iter(text).map(move |caught| (kind, caught))
            })
            .flat_map(|(kind, caught)| {
                caught
                    .iter()
                    .skip(1)
                    .flatten()
                    .map(move |group| (group.range(), kind))
                    .collect::<Vec<_>>()
            })
            .filter(|(range, _)| !["0", "1"].contains(&&text[range.clone()]))
            .collect();
        found.sort_by_key(|(range, _)| range.start);
        found.dedup_by_key(|(range, _)| range.start);
        let (mut replaced, mut done) = (String::new(), 0);
        for (range, kind) in found {
            replaced += &text[done..range.start];
            replaced += &with(kind, &text[range.clone()]);
            done = range.end;
        }
        replaced + &text[done..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut varies = Varying(Vec::new());
        varies.add("ns", NS);
        varies.add("pid", r"pid (\d+)");
        varies.canonical(text).text
    }

    #[test]
    fn numbers_are_compared_by_identity() {
        let recorded = "uts 4026531838 4026532177 pid 41\nipc 4026531839 4026531839 pid 1";
        assert_eq!(
            canonical(recorded),
            canonical("uts 4026531838 4026539999 pid 7\nipc 4026531840 4026531840 pid 1")
        );
        // A namespace that was new is now shared; one that was shared is now new; PID 1 is another.
        assert_ne!(
            canonical(recorded),
            canonical("uts 4026531838 4026531838 pid 41\nipc 4026531839 4026531839 pid 1")
        );
        assert_ne!(
            canonical(recorded),
            canonical("uts 4026531838 4026532177 pid 41\nipc 4026531839 4026532178 pid 1")
        );
        assert_ne!(
            canonical(recorded),
            canonical("uts 4026531838 4026532177 pid 41\nipc 4026531839 4026531839 pid 2")
        );
    }

    #[test]
    fn only_what_is_named_varies() {
        assert_ne!(canonical("host box1"), canonical("host box2"));
        assert_eq!(canonical("a    b"), canonical("a  b"));
        assert_ne!(canonical("a b"), canonical("a  b"));
    }

    #[test]
    fn blessing_keeps_the_old_numbers() {
        let mut varies = Varying(Vec::new());
        varies.add("ns", NS);
        let old = varies.canonical("4026531838 4026532177").values;
        let new = "4026530000 4026530000 4026539999";
        assert_eq!(varies.with_values_of(new, &old), "4026531838 4026531838 4026532177");
        let more = "4026530000 4026539999 4026538888";
        assert_eq!(varies.with_values_of(more, &old), more);
    }
}
