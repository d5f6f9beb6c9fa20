//! As much of Markdown as the documents use: headings, links, code, tables.

use std::fs;
use std::path::{Path, PathBuf};

use harness::program::workspace;
use regex::Regex;

/// One document, taken apart.
pub(crate) struct Document {
    /// The absolute path of the file.
    pub(crate) path: PathBuf,
    pub(crate) lines: usize,
    /// What links may name after `#`.
    pub(crate) anchors: Vec<String>,
    /// The targets of its links.
    pub(crate) links: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    /// The texts of its inline code.
    pub(crate) inline: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

/// A fenced block of code.
#[derive(Default)]
pub(crate) struct Block {
    /// Its first line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    indent: usize,
}

/// A table; cells as written.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Document {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (blocks, prose) = split(&text);
        let joined = prose.join("\n");
        Self {
            path: path.to_owned(),
            lines: text.lines().count(),
            anchors: prose.iter().filter_map(|line| anchor(line)).collect(),
            links: captures(r"\]\(([^) ]+)\)", &joined),
            inline: captures(r"`([^`\n]+)`", &joined),
            tables: tables(&prose),
            blocks,
        }
    }

    /// The path relative to the repository, for messages.
    pub(crate) fn name(&self) -> String {
        self.path.strip_prefix(workspace()).unwrap().display().to_string()
    }

    /// The blocks in one of these languages.
    pub(crate) fn blocks_in<'d>(
        &'d self,
        languages: &'d [&str],
    ) -> impl Iterator<Item = &'d Block> {
        self.blocks.iter().filter(|block| languages.contains(&block.language.as_str()))
    }

    /// The tables whose first column has this head.
    pub(crate) fn tables_of<'d>(&'d self, head: &'d str) -> impl Iterator<Item = &'d Table> {
        self.tables.iter().filter(move |table| table.head[0] == head)
    }
}

/// Separates fenced code from prose; of a fence an empty line is left in the prose.
fn split(text: &str) -> (Vec<Block>, Vec<&str>) {
    let (mut blocks, mut prose, mut open) = (Vec::new(), Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match (bare.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => {
                prose.push("");
                let (line, indent) = (number + 2, line.len() - bare.len());
                let language = language.to_owned();
                open = Some(Block { line, language, indent, ..Block::default() });
            }
            (None, Some(mut block)) => {
                block.text += line.get(block.indent..).unwrap_or_default();
                block.text += "\n";
                open = Some(block);
            }
            (None, None) => prose.push(line),
        }
    }
    assert!(open.is_none(), "a fence that is never closed");
    (blocks, prose)
}

/// The anchor that hosting platforms give a heading.
fn anchor(line: &str) -> Option<String> {
    let title = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))?;
    let title = title.to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
}

fn tables(prose: &[&str]) -> Vec<Table> {
    let is_row = |line: &&str| line.starts_with('|');
    let groups = prose.chunk_by(|a, b| is_row(a) == is_row(b)).filter(|group| is_row(&group[0]));
    let table = |group: &[&str]| {
        let mut rows = group.iter().map(|row| cells(row));
        Table { head: rows.next().unwrap_or_default(), rows: rows.skip(1).collect() }
    };
    groups.map(table).collect()
}

fn cells(row: &str) -> Vec<String> {
    row.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// What the pattern's first group matches, wherever the pattern does.
pub(crate) fn captures(pattern: &str, text: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}
