//! Walks a request through the rules: matches, looks queries up, and turns results into steps.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::matched::{MatchedRule, PathCache};
use super::recall::ClassificationState;
use super::retry_budget;
use super::step::{Call, Pending, Position, Step};
use super::weigh::{EntryResult, QueryState, weigh};
use crate::classify::{CallError, CallResult, ClassifyEntry};
use crate::config::{OnUnavailable, TopologyService};
use crate::decision::{Decision, Source};
use crate::reply::{LocalReply, Rejection};
use crate::request::Request;
use crate::rules::variables::Variables;
use crate::rules::{Action, Rule, Ruleset};
use crate::time::Millis;

/// Carries requests through one ruleset.
#[derive(Debug)]
pub(super) struct Walker {
    pub(super) ruleset: Ruleset,
    pub(super) topology: TopologyService,
    pub(super) max_namespaces: usize,
    pub(super) paths: RefCell<PathCache>,
    pub(super) state: RefCell<ClassificationState>,
}

/// The time of a step, and the deadline of a request that has waited before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Millis,
    pub(super) deadline: Option<Millis>,
}

impl Walker {
    /// Tries all rules, the leading path-only rules through the path cache.
    pub(super) fn start(&self, request: &Request<'_>, moment: Moment) -> Step {
        let path_only = self.ruleset.path_only;
        let find = || self.first_match(request, 0..path_only);
        let matched = self.paths.borrow_mut().get_or_find(request.path(), find);
        let next = matched.as_ref().map_or(path_only, |matched| matched.rule + 1);
        matched
            .and_then(|matched| self.act(request, matched, moment))
            .unwrap_or_else(|| self.walk(request, next, moment))
    }

    /// Continues with the results of the calls that the request waited for.
    pub(super) fn resume(&self, pending: Pending, results: Vec<CallResult>, now: Millis) -> Step {
        let Pending { headers, position, queries, attempt, deadline } = pending;
        let queries = self.record(queries, results, now);
        let Some((rule, entry)) = self.entry(&position) else {
            return reject(Rejection::NoCell, None);
        };
        let result = weigh(&queries, entry.target, self.topology.registry_design);
        if matches!(result, EntryResult::Unavailable)
            && let Some(calls) = self.retries(&queries, attempt, deadline, now)
        {
            let attempt = attempt + 1;
            return Step::Call(calls, Pending { headers, position, queries, attempt, deadline });
        }
        let request = Request::new(&headers);
        let next_rule = position.matched.rule + 1;
        let moment = Moment { now, deadline: Some(deadline) };
        let next_entry = position.entry + 1;
        self.conclude(&position, rule, entry, result)
            .or_else(|| self.classify(&request, Position { entry: next_entry, ..position }, moment))
            .unwrap_or_else(|| self.walk(&request, next_rule, moment))
    }

    /// Tries the rules from number `next` on.
    fn walk(&self, request: &Request<'_>, mut next: usize, moment: Moment) -> Step {
        while let Some(matched) = self.first_match(request, next..usize::MAX) {
            next = matched.rule + 1;
            if let Some(step) = self.act(request, matched, moment) {
                return step;
            }
        }
        reject(Rejection::NoCell, None)
    }

    fn first_match(&self, request: &Request<'_>, numbers: Range<usize>) -> Option<Rc<MatchedRule>> {
        let rules = self.ruleset.rules.iter().enumerate();
        rules.skip(numbers.start).take(numbers.len()).find_map(|(number, rule)| {
            let mut variables = Variables::default();
            rule.matches(request, &mut variables).ok()?;
            Some(MatchedRule::new(number, variables))
        })
    }

    /// Performs the action of a rule that matches; `None` if it does not decide.
    fn act(&self, request: &Request<'_>, matched: Rc<MatchedRule>, moment: Moment) -> Option<Step> {
        let rule = self.ruleset.rules.get(matched.rule)?;
        let position = Position { matched, entry: 0 };
        match &rule.action {
            Action::Proxy(address) => {
                Some(decide(&position, rule, address.clone(), None, Source::Ruleset))
            }
            Action::Classify(_) => self.classify(request, position, moment),
        }
    }

    fn entry(&self, position: &Position) -> Option<(&Rule, &ClassifyEntry)> {
        let rule = self.ruleset.rules.get(position.matched.rule)?;
        match &rule.action {
            Action::Classify(entries) => Some((rule, entries.get(position.entry)?)),
            Action::Proxy(_) => None,
        }
    }

    /// Tries a rule's entries from a position on; `None` if none of them decides.
    fn classify(
        &self,
        request: &Request<'_>,
        mut position: Position,
        moment: Moment,
    ) -> Option<Step> {
        while let Some((rule, entry)) = self.entry(&position) {
            let design = self.topology.registry_design;
            let queries = position.matched.queries(position.entry, entry, &self.ruleset, design);
            if queries.len() > self.max_namespaces {
                return Some(reject(Rejection::TooManyNamespaces, Some(rule)));
            }
            let queries = self.recall(&queries, moment);
            if queries.iter().any(QueryState::is_unresolved) {
                return Some(self.first_calls(request, position, queries, moment));
            }
            let result = weigh(&queries, entry.target, design);
            let concluded = self.conclude(&position, rule, entry, result);
            if concluded.is_some() {
                return concluded;
            }
            position.entry += 1;
        }
        None
    }

    /// Looks queries up in the cache. A request past its deadline makes no more calls.
    fn recall(&self, queries: &[String], Moment { now, deadline }: Moment) -> Vec<QueryState> {
        let mut state = self.state.borrow_mut();
        let late = deadline.is_some_and(|deadline| deadline <= now);
        let recalled = queries.iter().map(|query| match state.recall(query, now) {
            QueryState::Unresolved { query, .. } if late => state.give_up(&query, now),
            known => known,
        });
        recalled.collect()
    }

    fn first_calls(
        &self,
        request: &Request<'_>,
        position: Position,
        queries: Vec<QueryState>,
        Moment { now, deadline }: Moment,
    ) -> Step {
        let deadline = deadline.unwrap_or(now.plus(self.topology.budget_ms));
        let timeout_ms = self.topology.timeout_ms.min(deadline.since(now));
        let calls: Vec<_> = unresolved(&queries)
            .map(|(query, _)| Call { body: query.to_owned(), delay_ms: 0, timeout_ms })
            .collect();
        self.state.borrow_mut().record_calls(calls.len());
        let headers = request.copy(|name| self.ruleset.reads(name));
        Step::Call(calls, Pending { headers, position, queries, attempt: 0, deadline })
    }

    /// Returns the retries, if a retry can change the result and attempts, time and budget allow all
    /// of them.
    fn retries(
        &self,
        queries: &[QueryState],
        attempt: u32,
        deadline: Millis,
        now: Millis,
    ) -> Option<Vec<Call>> {
        let lost = queries.iter().any(|query| matches!(query, QueryState::Unavailable));
        if lost || attempt >= self.topology.retries {
            return None;
        }
        let retry = |(query, wait_ms): (&str, u64)| {
            let backoff = retry_budget::backoff(&self.topology, attempt, query, now);
            let delay_ms = backoff.max(wait_ms);
            let left = deadline.since(now.plus(delay_ms));
            let timeout_ms = self.topology.timeout_ms.min(left);
            (timeout_ms > 0).then(|| Call { body: query.to_owned(), delay_ms, timeout_ms })
        };
        let calls: Vec<_> = unresolved(queries).map(retry).collect::<Option<_>>()?;
        self.state.borrow_mut().pay_retries(calls.len(), now).then_some(calls)
    }

    /// Fills in the results of the calls. A missing result counts as a timeout.
    fn record(
        &self,
        queries: Vec<QueryState>,
        results: Vec<CallResult>,
        now: Millis,
    ) -> Vec<QueryState> {
        let mut state = self.state.borrow_mut();
        let mut results = results.into_iter();
        let fill_in = |query| match query {
            QueryState::Unresolved { query, .. } => {
                let result = results.next().unwrap_or(Err(CallError::Timeout));
                state.record(query, &result, now)
            }
            known => known,
        };
        queries.into_iter().map(fill_in).collect()
    }

    /// Turns the result of an entry into a step; `None` leads to the next entry.
    fn conclude(
        &self,
        position: &Position,
        rule: &Rule,
        entry: &ClassifyEntry,
        result: EntryResult,
    ) -> Option<Step> {
        match result {
            EntryResult::Cell { address, matched_claim, source } => {
                let kind = matched_claim.unwrap_or_else(|| entry.kind().to_owned());
                Some(decide(position, rule, address, Some(kind), source))
            }
            EntryResult::SeveralCells => Some(reject(Rejection::SeveralCells, Some(rule))),
            EntryResult::Unavailable => match rule.on_unavailable {
                OnUnavailable::Reject => Some(reject(Rejection::Unavailable, Some(rule))),
                OnUnavailable::Next => None,
            },
            EntryResult::NotFound => None,
        }
    }
}

/// Returns the queries that require a call, and the milliseconds that the service asked to wait.
fn unresolved(queries: &[QueryState]) -> impl Iterator<Item = (&str, u64)> {
    queries.iter().filter_map(|query| match query {
        QueryState::Unresolved { query, wait_ms } => Some((query.as_str(), *wait_ms)),
        QueryState::Known(..) | QueryState::Unavailable => None,
    })
}

fn decide(
    position: &Position,
    rule: &Rule,
    cluster: String,
    kind: Option<String>,
    source: Source,
) -> Step {
    Step::Continue(Decision {
        cluster,
        rule: rule.id.clone(),
        rule_number: position.matched.rule,
        action: rule.action.kind(),
        kind,
        hash_key: position.matched.hash_key(rule),
        rewrite_path: rule.rewrite_path(&position.matched.variables),
        source,
    })
}

pub(super) fn reject(rejection: Rejection, rule: Option<&Rule>) -> Step {
    let rule = rule.map(|rule| rule.id.clone());
    Step::Reply(LocalReply { rule, ..LocalReply::from(rejection) })
}
