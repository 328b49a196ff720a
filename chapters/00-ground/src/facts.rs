//! What an experiment shows: the same facts before and after, side by side.

use std::fmt::Display;

use anyhow::Result;
use comfy_table::{Row, Table, presets};

use crate::namespace;

/// Named facts about the process that takes them.
#[derive(Default)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// The eight namespaces that the calling process is in.
    ///
    /// # Errors
    ///
    /// As for [`namespace::of`].
    pub fn take() -> Result<Facts> {
        let inodes = namespace::of("self")?;
        let rows = namespace::KINDS.iter().zip(inodes);
        Ok(Facts(
            rows.map(|(kind, inode)| (format!("{} namespace", kind.name), inode_cell(inode)))
                .collect(),
        ))
    }

    /// The same facts with one more on top.
    pub fn with(mut self, name: &str, value: impl Display) -> Facts {
        self.0.insert(0, (name.to_owned(), value.to_string()));
        self
    }

    /// A table of these facts and of those `inside`, with a word on the rows that differ.
    pub fn beside(&self, inside: &Facts) -> String {
        let mut table = plain_table(["", "outside", "inside", ""]);
        for ((name, outside), (_, inside)) in self.0.iter().zip(&inside.0) {
            let mark = if outside == inside { "" } else { "differs" };
            table.add_row([name.as_str(), outside, inside, mark]);
        }
        table.trim_fmt()
    }
}

/// An inode number as a table shows it: `-` where this kernel has no such namespace.
pub fn inode_cell(inode: Option<u64>) -> String {
    inode.map_or("-".to_owned(), |inode| inode.to_string())
}

/// A table without lines, its columns two spaces apart, to which rows can be added.
pub fn plain_table(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
