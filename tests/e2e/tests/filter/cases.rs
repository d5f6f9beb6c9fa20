//! Every case of every shipped ruleset, through the compiled filter.

use harness::replay::{Replayed, case_files, play, without_query};
use harness::rulesets;
use router::cases::{Case, Expect};

use super::config::shipped;

/// A path rewritten to itself looks unchanged to the upstream.
fn visible(expect: &Expect, case: &Case) -> Expect {
    let same = without_query(&case.request.path);
    let rewrite_path = expect.rewrite_path.clone().filter(|path| *path != same);
    Expect { rewrite_path, ..expect.clone() }
}

#[test]
fn the_compiled_filter_passes_every_case_of_every_ruleset() {
    let files = case_files().unwrap();
    assert!(!files.is_empty(), "no cases in {}", rulesets::folder().display());
    let mut wrong = Vec::new();
    for (ruleset, file) in &files {
        for case in &file.cases {
            let mut host = shipped(ruleset);
            let Replayed { observed: seen, .. } =
                play(&mut host, case, file.directory(case)).unwrap();
            if let Err(difference) = visible(&case.expect, case).check(&seen) {
                wrong.push(format!("{ruleset}: {}: {difference}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_repeated_case_has_the_same_outcome_and_makes_no_cached_call() {
    for (ruleset, file) in &case_files().unwrap() {
        for case in &file.cases {
            let mut host = shipped(ruleset);
            let first = play(&mut host, case, file.directory(case)).unwrap().observed;
            let again = play(&mut host, case, file.directory(case)).unwrap().observed;
            let failing = first.reply.as_ref().is_some_and(|reply| reply.status == 503);
            assert!(failing || again.calls.is_empty(), "{ruleset}: {}: {again:?}", case.name);
            let first = Expect { calls: again.calls.clone(), ..first };
            assert_eq!(first, again, "{ruleset}: {}", case.name);
        }
    }
}
