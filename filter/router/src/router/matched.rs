//! Rules that match a request, and a cache of them by path.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::cache::TwoGenerationCache;
use crate::classify::ClassifyEntry;
use crate::config::RegistryDesign;
use crate::rules::variables::Variables;
use crate::rules::{Rule, Ruleset};

/// A rule that matches a request, its variables, and the values derived from them, each of which is
/// computed once.
#[derive(Debug)]
pub(super) struct MatchedRule {
    pub(super) rule: usize,
    pub(super) variables: Variables,
    first_queries: OnceCell<Rc<[String]>>,
    hash_key: OnceCell<Option<Rc<str>>>,
}

impl MatchedRule {
    pub(super) fn new(rule: usize, variables: Variables) -> Rc<Self> {
        let (first_queries, hash_key) = (OnceCell::new(), OnceCell::new());
        Rc::new(Self { rule, variables, first_queries, hash_key })
    }

    /// Returns the queries of the rule's entry `number`.
    pub(super) fn queries(
        &self,
        number: usize,
        entry: &ClassifyEntry,
        ruleset: &Ruleset,
        design: RegistryDesign,
    ) -> Rc<[String]> {
        let queries = || entry.queries(&self.variables, &ruleset.reserved_routes, design).into();
        if number == 0 { Rc::clone(self.first_queries.get_or_init(queries)) } else { queries() }
    }

    pub(super) fn hash_key(&self, rule: &Rule) -> Option<Rc<str>> {
        let key = || rule.hash_key(&self.variables).map(Rc::from);
        self.hash_key.get_or_init(key).clone()
    }
}

/// The number of cached paths; each takes about a kilobyte.
const PATHS: usize = 4096;

/// The longest path that is cached, in bytes: GitLab's limit of a full path, an image and a digest.
const LONGEST_PATH: usize = 512;

/// Caches by path which of the leading path-only rules matches. Clients pull the same images
/// repeatedly, and matching is most of the cost of a request.
#[derive(Debug)]
pub(super) struct PathCache {
    matched: TwoGenerationCache<Option<Rc<MatchedRule>>>,
}

impl Default for PathCache {
    fn default() -> Self {
        Self { matched: TwoGenerationCache::new(PATHS) }
    }
}

impl PathCache {
    /// Returns the first path-only rule that matches, if any. `find` is called if the path is not
    /// cached.
    pub(super) fn get_or_find(
        &mut self,
        path: &[u8],
        find: impl FnOnce() -> Option<Rc<MatchedRule>>,
    ) -> Option<Rc<MatchedRule>> {
        let path = str::from_utf8(path).ok().filter(|path| path.len() <= LONGEST_PATH);
        let Some(path) = path else { return find() };
        if let Some(known) = self.matched.get(path) {
            return known.clone();
        }
        let found = find();
        self.matched.put(path, found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Option<Rc<MatchedRule>> {
        Some(MatchedRule::new(3, Variables::default()))
    }

    #[test]
    fn a_path_is_matched_once_whether_or_not_a_rule_matches() {
        let mut paths = PathCache::default();
        let mut searches = 0;
        for _ in 0..3 {
            let mut get = |path: &[u8], result: Option<Rc<MatchedRule>>| {
                let find = || {
                    searches += 1;
                    result
                };
                paths.get_or_find(path, find).map(|matched| matched.rule)
            };
            assert_eq!(get(b"/v2/acme/x/tags/list", found()), Some(3));
            assert_eq!(get(b"/v2/", None), None);
        }
        assert_eq!(searches, 2);
    }

    #[test]
    fn an_overlong_path_is_not_cached() {
        let mut paths = PathCache::default();
        let path = [b'a'; LONGEST_PATH + 1];
        assert!(paths.get_or_find(&path, found).is_some());
        assert!(paths.get_or_find(&path, || None).is_none());
    }

    #[test]
    fn the_number_of_cached_paths_is_bounded() {
        let mut paths = PathCache::default();
        for number in 0..3 * PATHS {
            paths.get_or_find(number.to_string().as_bytes(), found);
        }
        assert!(paths.matched.len() <= PATHS);
    }
}
