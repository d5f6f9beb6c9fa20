//! The import graph of a crate, from its `use` lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::program;

use super::graph::{Graph, components, shortest_circle};

/// The largest permitted set of files that import each other in a circle.
const MAX_CIRCLE: usize = 3;

#[test]
fn no_more_than_three_files_of_a_crate_import_each_other_in_a_circle() {
    let crates = ["filter/router/src", "origin/src"];
    let circles: String = crates.iter().map(|sources| circles(sources)).collect();
    assert!(circles.is_empty(), "{circles}");
}

/// Describes the circles of a crate that are too large; empty if there are none.
fn circles(sources: &str) -> String {
    let graph = import_graph(&program::workspace().join(sources));
    assert!(graph.len() > 10, "{sources}: found only {} files", graph.len());
    let describe = |files: BTreeSet<&str>| {
        let count = files.len();
        let circles = files.iter().map(|file| shortest_circle(&graph, file).join(" → "));
        let circles: Vec<_> = circles.collect();
        format!("{sources}: {count} files import each other:\n  {}\n", circles.join("\n  "))
    };
    components(&graph, MAX_CIRCLE).into_iter().map(describe).collect()
}

/// Reads the library's files; programs in `bin/` and `main.rs` are other crates.
fn import_graph(sources: &Path) -> Graph {
    let mut files = Vec::new();
    collect(sources, &mut Vec::new(), &mut files);
    let tested: BTreeSet<_> =
        files.iter().flat_map(|(module, text)| test_modules(module, text)).collect();
    files.retain(|(module, _)| !tested.iter().any(|tested| module.starts_with(tested)));
    let known: BTreeSet<_> = files.iter().map(|(module, _)| module.clone()).collect();
    let imports = files.iter().map(|(module, text)| {
        let imported = uses(&without_tests(text)).into_iter();
        let imported =
            imported.filter_map(|path| file_of(&absolute(module, &path, &known)?, &known));
        (name(module), imported.filter(|file| *file != name(module)).collect())
    });
    imports.collect()
}

/// A module, by the path from the root of its crate.
type Module = Vec<String>;

fn name(module: &[String]) -> String {
    if module.is_empty() { "lib.rs".to_owned() } else { module.join("/") + ".rs" }
}

fn collect(folder: &Path, module: &mut Module, files: &mut Vec<(Module, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if stem != "bin" {
                module.push(stem);
                collect(&path, module, files);
                module.pop();
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && stem != "main" {
            let own = if stem == "lib" { None } else { Some(stem) };
            let module = module.iter().cloned().chain(own).collect();
            files.push((module, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Returns the modules that a file declares for tests only.
fn test_modules(module: &[String], text: &str) -> Vec<Module> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| is_for_tests(pair[0]));
    let declared = declared.filter_map(|pair| {
        let (_, rest) = pair[1].split_once("mod ")?;
        Some(rest.strip_suffix(';')?.to_owned())
    });
    declared.map(|child| module.iter().cloned().chain([child]).collect()).collect()
}

fn is_for_tests(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(any(test,")
}

/// Removes the items that are compiled for tests only: up to the line that closes them.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !is_for_tests(line.trim()) {
            kept += line;
            kept.push('\n');
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let (brace, list) = (format!("{indent}}}"), format!("{indent}}};"));
        for line in lines.by_ref() {
            let whole = line.ends_with(';')
                && line.starts_with(indent)
                && !line[indent.len()..].starts_with(' ');
            if whole || line == brace || line == list {
                break;
            }
        }
    }
    kept
}

/// Returns every path that the `use` items of a file import.
fn uses(text: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    for item in text.split(';') {
        let start = item.rfind("\nuse ").map(|at| at + 5);
        let start = start.or_else(|| {
            item.rfind("use ").filter(|at| is_public_use(&item[..*at])).map(|at| at + 4)
        });
        let start = start.or_else(|| item.starts_with("use ").then_some(4));
        if let Some(start) = start {
            flatten(
                &item[start..].split_whitespace().collect::<Vec<_>>().join(" "),
                &mut Vec::new(),
                &mut paths,
            );
        }
    }
    paths
}

/// Whether the text before `use` ends in a visibility at the start of a line.
fn is_public_use(before: &str) -> bool {
    before.rsplit('\n').next().is_some_and(|line| line.starts_with("pub"))
}

/// Expands `a::{b, c::d}` into `a::b` and `a::c::d`.
fn flatten(tree: &str, prefix: &mut Module, paths: &mut Vec<Module>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once("::").filter(|(head, _)| !head.contains(['{', ',']))
    else {
        let inner = tree.strip_prefix('{').and_then(|tree| tree.strip_suffix('}'));
        match inner {
            Some(inner) => split(inner).into_iter().for_each(|part| flatten(part, prefix, paths)),
            None if tree.is_empty() => {}
            None => {
                let item = tree.split(" as ").next().unwrap_or_default();
                let item = (item != "self" && item != "*").then(|| item.to_owned());
                paths.push(prefix.iter().cloned().chain(item).collect());
            }
        }
        return;
    };
    prefix.push(head.trim().to_owned());
    flatten(rest, prefix, paths);
    prefix.pop();
}

/// Splits at the commas outside of braces.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Resolves a path to one from the root of the crate; `None` for another crate's.
fn absolute(module: &[String], path: &[String], known: &BTreeSet<Module>) -> Option<Module> {
    let join = |base: &[String], rest: &[String]| [base, rest].concat();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some(join(module, &path[1..])),
        "super" => {
            let supers = path.iter().take_while(|segment| *segment == "super").count();
            Some(join(module.get(..module.len().checked_sub(supers)?)?, &path[supers..]))
        }
        child => {
            let child = join(module, &[child.to_owned()]);
            known.contains(&child).then(|| join(module, path))
        }
    }
}

/// Returns the file that holds an item: that of the longest known module in its path.
fn file_of(path: &[String], known: &BTreeSet<Module>) -> Option<String> {
    let modules = (0..=path.len()).rev().map(|length| &path[..length]);
    modules.into_iter().find(|module| known.contains(*module)).map(name)
}

#[test]
fn use_items_are_read_with_nested_lists_supers_and_children_and_without_tests() {
    let text = "//! Text.\nuse std::fs;\nuse crate::{a::{self, B}, c::d::E as F};\npub(crate) use super::g::*;\n\
                pub use child::H;\n\n#[cfg(test)]\nuse crate::only::Tests;\n\n#[cfg(test)]\nmod tests {\n    \
                use super::super::x;\n}\n";
    let module = ["m".to_owned(), "n".to_owned()];
    let known = [
        &["a"][..],
        &["c", "d"],
        &["m", "g"],
        &["m", "n"],
        &["m", "n", "child"],
        &["only"],
        &["x"],
        &[],
    ];
    let known: BTreeSet<Module> =
        known.iter().map(|path| path.iter().map(|part| (*part).to_owned()).collect()).collect();
    let files = uses(&without_tests(text)).into_iter();
    let files = files.filter_map(|path| file_of(&absolute(&module, &path, &known)?, &known));
    assert_eq!(files.collect::<Vec<_>>(), ["a.rs", "a.rs", "c/d.rs", "m/g.rs", "m/n/child.rs"]);
    assert_eq!(
        test_modules(&module, "#[cfg(test)]\npub(crate) mod fixture;\n"),
        [["m", "n", "fixture"]]
    );
}
