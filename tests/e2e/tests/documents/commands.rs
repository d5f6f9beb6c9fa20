//! Command lines are accepted by the programs, and every command is documented.

use std::collections::BTreeSet;
use std::process::Command;

use harness::program;

use super::markdown::{Document, captures};
use super::{documents, none, source};

/// The programs of this repository whose command lines are checked.
const PROGRAMS: [&str; 3] = ["origin", "topology", "ruleset"];

/// Flags of other programs that the prose names.
const FOREIGN_FLAGS: [&str; 1] = ["--reject-unknown-dynamic-fields"];

/// A command line in a document.
struct Line {
    place: String,
    words: Vec<String>,
}

impl Line {
    fn program(&self) -> &str {
        self.words[0].rsplit('/').next().unwrap_or_default()
    }
}

/// The command lines of a document's shell blocks and inline code.
fn command_lines(document: &Document) -> Vec<Line> {
    let blocks = document.blocks_in(&["sh"]).flat_map(|block| {
        let text = block.text.replace("\\\n", " ");
        let lines: Vec<_> = text.lines().map(|line| (block.line, line.to_owned())).collect();
        lines
    });
    let inline = document.inline.iter().map(|code| (0, code.clone()));
    let lines = blocks.chain(inline).filter_map(|(line, text)| {
        let words = words(&text);
        let place = format!("{}:{line}: {text}", document.name());
        (!words.is_empty()).then_some(Line { place, words })
    });
    lines.collect()
}

/// The words of one command, without variables before it and what follows it.
fn words(line: &str) -> Vec<String> {
    let line = line.replace("$(sh .ci/envoy)", "envoy");
    let is_variable = |word: &str| word.split_once('=').is_some_and(|(name, _)| is_upper(name));
    let ends = |word: &str| matches!(word, "|" | ">" | "&&" | ";") || word.starts_with('#');
    let words = line.split_whitespace().take_while(|word| !ends(word));
    let words = words.skip_while(|word| is_variable(word));
    words.map(|word| word.trim_matches(['\'', '"']).to_owned()).collect()
}

fn is_upper(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Runs a program of this repository.
fn run(program: &str, arguments: &[String]) -> (bool, String) {
    let path = program::own(program).unwrap_or_else(|error| panic!("{error:#}"));
    let output = Command::new(path).args(arguments).env_clear().output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn help(program: &str, command: &[&str]) -> String {
    let words = command.iter().chain(&["--help"]);
    run(program, &words.map(ToString::to_string).collect::<Vec<_>>()).1
}

/// The commands that a program's help lists.
fn subcommands(program: &str) -> Vec<String> {
    let help = help(program, &[]);
    let (_, commands) =
        help.split_once("Commands:\n").unwrap_or_else(|| panic!("{program}: {help}"));
    let lines = commands.lines().take_while(|line| line.starts_with(' '));
    let words = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    words.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn command_lines_of_our_programs_are_accepted() {
    let mut defects = Vec::new();
    for line in documents().iter().flat_map(command_lines) {
        // `origin a_jwt_…` is a test.
        let is_test = line.words.get(1).is_some_and(|word| word.ends_with('…'));
        if line.words.len() < 2 || is_test || !PROGRAMS.contains(&line.program()) {
            continue;
        }
        // With `--help` at the end, clap parses what stands before it and runs nothing.
        let arguments = [&line.words[1..], &["--help".to_owned()]].concat();
        let (accepted, text) = run(line.program(), &arguments);
        if !accepted {
            defects.push(format!("{}\n  {}", line.place, text.lines().next().unwrap_or_default()));
        }
    }
    none(&defects);
}

#[test]
fn every_command_of_our_programs_is_documented() {
    let documented: BTreeSet<_> = documents()
        .iter()
        .flat_map(command_lines)
        .filter(|line| PROGRAMS.contains(&line.program()))
        .flat_map(|line| {
            let program = line.program().to_owned();
            line.words.into_iter().skip(1).map(move |word| (program.clone(), word))
        })
        .collect();
    let mut defects = Vec::new();
    for program in PROGRAMS {
        for command in subcommands(program).into_iter().filter(|command| command != "help") {
            if !documented.contains(&(program.to_owned(), command.clone())) {
                defects.push(format!("no document shows `{program} {command}`"));
            }
        }
    }
    none(&defects);
}

#[test]
fn flags_in_the_text_exist() {
    let helps = PROGRAMS.iter().flat_map(|program| {
        let of_commands = subcommands(program).into_iter();
        of_commands.map(|command| help(program, &[&command])).chain([help(program, &[])])
    });
    let known: BTreeSet<_> = helps.flat_map(|help| captures("(--[a-z-]+)", &help)).collect();
    let mut defects = Vec::new();
    for document in documents() {
        for code in document.inline.iter().filter(|code| code.starts_with("--")) {
            let flag = code.split([' ', '=']).next().unwrap_or_default();
            if !known.contains(flag) && !FOREIGN_FLAGS.contains(&flag) {
                defects.push(format!("{}: no program has `{flag}`", document.name()));
            }
        }
    }
    none(&defects);
}

#[test]
fn recipes_exist() {
    let recipes: BTreeSet<_> =
        source("justfile").lines().filter_map(recipe).map(str::to_owned).collect();
    let mut defects = Vec::new();
    for line in documents().iter().flat_map(command_lines) {
        let (program, recipe) = (line.program().to_owned(), line.words.get(1));
        let Some(recipe) = recipe.filter(|_| program == "just") else { continue };
        let is_word = recipe.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if is_word && !recipes.contains(recipe) {
            defects.push(format!("{}: no such recipe", line.place));
        }
    }
    none(&defects);
}

/// The name of the recipe that a line of the justfile begins.
fn recipe(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once(':')?;
    let is_recipe = !rest.starts_with('=') && head.starts_with(|c: char| c.is_ascii_lowercase());
    head.split_whitespace().next().filter(|_| is_recipe)
}

#[test]
fn cargo_packages_and_suites_exist() {
    let mut defects = Vec::new();
    for line in documents().iter().flat_map(command_lines) {
        let arguments = line.words.windows(2).filter(|_| line.program() == "cargo");
        let unknown = arguments.filter(|pair| !is_known(&pair[0], &pair[1]));
        defects.extend(unknown.map(|pair| format!("{}: no {}", line.place, pair.join(" "))));
    }
    none(&defects);
}

fn is_known(flag: &str, name: &str) -> bool {
    match flag {
        "--package" | "-p" => is_package(name),
        "--test" => is_suite(name),
        _ => true,
    }
}

fn is_package(name: &str) -> bool {
    let members = captures("\"([a-z0-9/-]+)\",", &source("Cargo.toml"));
    let manifests = members.iter().map(|member| format!("{member}/Cargo.toml"));
    let mut paths = manifests.filter(|path| program::workspace().join(path).is_file());
    paths.any(|path| source(&path).contains(&format!("name = \"{name}\"")))
}

fn is_suite(name: &str) -> bool {
    let tests = program::workspace().join("tests/e2e/tests");
    tests.join(name).join("main.rs").is_file() || tests.join(format!("{name}.rs")).is_file()
}
