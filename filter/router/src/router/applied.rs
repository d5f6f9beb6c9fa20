//! A rule that applies to a request, and what follows from its variables, worked out once.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::classify::Classification;
use crate::config::RegistryDesign;
use crate::generations::Generations;
use crate::ruleset::{Rule, Ruleset};
use crate::variables::Variables;

#[derive(Debug)]
pub(super) struct Applied {
    pub(super) rule: usize,
    pub(super) variables: Variables,
    first_questions: OnceCell<Rc<[String]>>,
    hash_key: OnceCell<Option<Rc<str>>>,
}

impl Applied {
    pub(super) fn new(rule: usize, variables: Variables) -> Rc<Self> {
        let (first_questions, hash_key) = (OnceCell::new(), OnceCell::new());
        Rc::new(Self { rule, variables, first_questions, hash_key })
    }

    /// What entry number `number` of the rule asks.
    pub(super) fn questions(
        &self,
        number: usize,
        entry: &Classification,
        ruleset: &Ruleset,
        design: RegistryDesign,
    ) -> Rc<[String]> {
        let ask = || entry.questions(&self.variables, &ruleset.reserved_routes, design).into();
        if number == 0 { Rc::clone(self.first_questions.get_or_init(ask)) } else { ask() }
    }

    pub(super) fn hash_key(&self, rule: &Rule) -> Option<Rc<str>> {
        let key = || rule.hash_key(&self.variables).map(Rc::from);
        self.hash_key.get_or_init(key).clone()
    }
}

/// Paths remembered; each takes about a kilobyte.
const PATHS: usize = 4096;

/// Bytes of the longest path worth remembering: GitLab's bound of a full path, an image and a digest.
const LONGEST_PATH: usize = 512;

/// What the leading rules, those that read nothing but the path, make of it. The same images are
/// pulled again and again, and matching is most of what a request costs.
#[derive(Debug)]
pub(super) struct Paths {
    known: Generations<Option<Rc<Applied>>>,
}

impl Default for Paths {
    fn default() -> Self {
        Self { known: Generations::new(PATHS) }
    }
}

impl Paths {
    /// The first of the leading rules that applies, if any does; `find` looks for it once.
    pub(super) fn recall(
        &mut self,
        path: &[u8],
        find: impl FnOnce() -> Option<Rc<Applied>>,
    ) -> Option<Rc<Applied>> {
        let path = str::from_utf8(path).ok().filter(|path| path.len() <= LONGEST_PATH);
        let Some(path) = path else { return find() };
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        let found = find();
        self.known.put(path, found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Option<Rc<Applied>> {
        Some(Applied::new(3, Variables::default()))
    }

    #[test]
    fn a_path_is_looked_at_once_whether_a_rule_applies_or_not() {
        let mut paths = Paths::default();
        let mut looked = 0;
        for _ in 0..3 {
            let mut recall = |path: &[u8], outcome: Option<Rc<Applied>>| {
                let look = || {
                    looked += 1;
                    outcome
                };
                paths.recall(path, look).map(|applied| applied.rule)
            };
            assert_eq!(recall(b"/v2/acme/x/tags/list", found()), Some(3));
            assert_eq!(recall(b"/v2/", None), None);
        }
        assert_eq!(looked, 2);
    }

    #[test]
    fn a_path_too_long_to_remember_is_looked_at_each_time() {
        let mut paths = Paths::default();
        let path = [b'a'; LONGEST_PATH + 1];
        assert!(paths.recall(&path, found).is_some());
        assert!(paths.recall(&path, || None).is_none());
    }

    #[test]
    fn paths_are_forgotten_before_they_fill_the_memory() {
        let mut paths = Paths::default();
        for number in 0..3 * PATHS {
            paths.recall(number.to_string().as_bytes(), found);
        }
        assert!(paths.known.len() <= PATHS);
    }
}
