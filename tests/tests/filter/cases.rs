//! Every case of every shipped ruleset, through the compiled filter.

use e2e::replay::{Played, case_files, play, without_query};
use e2e::rulesets;
use router::cases::{Case, Expect};

use super::config::shipped;

/// From outside, a path rewritten to itself is not rewritten.
fn visible(expect: &Expect, case: &Case) -> Expect {
    let same = without_query(&case.request.path);
    let rewrite_path = expect.rewrite_path.clone().filter(|path| *path != same);
    Expect { rewrite_path, ..expect.clone() }
}

#[test]
fn every_case_of_every_ruleset_has_the_outcome_the_router_promises() {
    let files = case_files().unwrap();
    assert!(!files.is_empty(), "no cases in {}", rulesets::folder().display());
    let mut wrong = Vec::new();
    for (ruleset, file) in &files {
        for case in &file.cases {
            let mut host = shipped(ruleset);
            let Played { seen, .. } = play(&mut host, case, file.directory(case)).unwrap();
            if let Err(difference) = visible(&case.expect, case).check(&seen) {
                wrong.push(format!("{ruleset}: {}: {difference}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_case_seen_again_has_the_same_outcome_and_asks_nothing_that_was_answered() {
    for (ruleset, file) in &case_files().unwrap() {
        for case in &file.cases {
            let mut host = shipped(ruleset);
            let first = play(&mut host, case, file.directory(case)).unwrap().seen;
            let again = play(&mut host, case, file.directory(case)).unwrap().seen;
            let failing = first.reply.as_ref().is_some_and(|reply| reply.status == 503);
            assert!(failing || again.calls.is_empty(), "{ruleset}: {}: {again:?}", case.name);
            let first = Expect { calls: again.calls.clone(), ..first };
            assert_eq!(first, again, "{ruleset}: {}", case.name);
        }
    }
}
