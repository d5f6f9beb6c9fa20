//! Walks the rules: from a request to a decision, asking and resuming on the way.

mod applied;
mod learned;
mod retries;
mod verdict;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use crate::classify::{CallError, CallResult, Classification};
use crate::config::{self, ConfigError, FilterConfig, OnUnavailable, TopologyService};
use crate::decision::{Call, Decision, LocalReply, Millis, Refusal, Source, Step};
use crate::refusal;
use crate::request::{Headers, Request};
use crate::ruleset::{Action, Rule, Ruleset};
use crate::shared::Shared;
use crate::tally::Tally;
use crate::variables::Variables;
use applied::{Applied, Paths};
use learned::Learned;
use verdict::{Outcome, Verdict, weigh};

/// Decides requests by one ruleset; a worker has its own, with its own cache.
#[derive(Debug)]
pub struct Router {
    ruleset: Ruleset,
    topology: TopologyService,
    max_namespaces: usize,
    response_headers: bool,
    paths: RefCell<Paths>,
    learned: RefCell<Learned>,
}

/// A request whose decision waits for answers; consumed by [`Router::resume`], so never resumed
/// twice. It owns what the rules still need, for the request is gone when answers come.
#[derive(Debug)]
pub struct Pending {
    headers: Headers,
    at: Position,
    verdicts: Vec<Verdict>,
    attempt: u32,
    deadline: Millis,
}

/// A rule that applies, and which of its questions is asked.
#[derive(Debug)]
struct Position {
    applied: Rc<Applied>,
    entry: usize,
}

/// The time a step happens at, and when the request's waiting must end, if it waited already.
#[derive(Debug, Clone, Copy)]
struct Moment {
    now: Millis,
    deadline: Option<Millis>,
}

impl Router {
    /// Reads the filter's configuration.
    ///
    /// # Errors
    /// [`ConfigError`] naming the rule and field at fault.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        Self::new(config::from_json(json)?)
    }

    /// Compiles a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] naming the rule and field at fault.
    pub fn new(config: FilterConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let learned = Learned::new(config.cache, &config.topology_service);
        Ok(Self {
            ruleset: Ruleset::compile(config.ruleset, config.proxy_address.as_deref())?,
            topology: config.topology_service,
            max_namespaces: config.max_namespaces,
            response_headers: config.response_headers,
            paths: RefCell::default(),
            learned: RefCell::new(learned),
        })
    }

    /// The same, keeping what it learns in `shared` as well, and beginning with what is there.
    #[must_use]
    pub fn sharing(self, shared: Box<dyn Shared>) -> Self {
        self.learned.borrow_mut().share(shared);
        self
    }

    /// Whom to ask, and for how long to wait.
    #[must_use]
    pub fn topology(&self) -> &TopologyService {
        &self.topology
    }

    /// Whether responses carry `x-cell` and `x-cell-rule`.
    #[must_use]
    pub fn response_headers(&self) -> bool {
        self.response_headers
    }

    /// The compiled rules.
    #[must_use]
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// The same with the first `rules` rules only: how far they bring a request.
    #[cfg(feature = "cases")]
    pub(crate) fn limited_to(mut self, rules: usize) -> Self {
        self.ruleset.rules.truncate(rules);
        self
    }

    /// Answers kept, found and not found.
    #[must_use]
    pub fn cache_entries(&self) -> usize {
        self.learned.borrow().entries()
    }

    /// What was counted since this was last asked.
    #[must_use]
    pub fn take_tally(&self) -> Tally {
        self.learned.borrow_mut().take_tally()
    }

    /// Whether [`Self::take_refreshes`] would give any.
    #[must_use]
    pub fn wants_refreshes(&self) -> bool {
        self.learned.borrow().wants_refreshes()
    }

    /// Calls to make beside all requests, for answers that expired; each result goes to
    /// [`Self::refreshed`].
    #[must_use]
    pub fn take_refreshes(&self) -> Vec<Call> {
        let questions = self.learned.borrow_mut().take_refreshes();
        let timeout_ms = self.topology.timeout_ms;
        questions.into_iter().map(|body| Call { body, delay_ms: 0, timeout_ms }).collect()
    }

    /// Takes the answer to a call of [`Self::take_refreshes`]; a failure leaves the last good one.
    pub fn refreshed(&self, call: Call, answer: &CallResult, now: Millis) {
        self.learned.borrow_mut().learn(call.body, answer, now);
    }

    /// Decides a request as far as what is known now allows.
    #[must_use]
    pub fn start(&self, request: &Request<'_>, now: Millis) -> Step {
        match refusal::check(request) {
            Some(refusal) => reply(refusal, None),
            None => self.walk_by_path(request, Moment { now, deadline: None }),
        }
    }

    /// Goes on with the answers to the calls of [`Step::Ask`], in their order; one that is missing
    /// counts as a timeout. What failed for a moment may be asked again.
    #[must_use]
    pub fn resume(&self, pending: Pending, answers: Vec<CallResult>, now: Millis) -> Step {
        let Pending { headers, at, verdicts, attempt, deadline } = pending;
        let verdicts = self.learn(verdicts, answers, now);
        let Some((rule, entry)) = self.entry(&at) else { return reply(Refusal::NoCell, None) };
        let outcome = weigh(&verdicts, entry.target, self.topology.registry_design);
        if matches!(outcome, Outcome::Unavailable)
            && let Some(calls) = self.retries(&verdicts, attempt, deadline, now)
        {
            let attempt = attempt + 1;
            return Step::Ask(calls, Pending { headers, at, verdicts, attempt, deadline });
        }
        let request = Request::new(&headers);
        let (next_rule, moment) = (at.applied.rule + 1, Moment { now, deadline: Some(deadline) });
        self.conclude(&at, rule, entry, outcome)
            .or_else(|| self.ask(&request, Position { entry: at.entry + 1, ..at }, moment))
            .unwrap_or_else(|| self.walk(&request, next_rule, moment))
    }

    /// Tries all rules, the leading ones as remembered.
    fn walk_by_path(&self, request: &Request<'_>, moment: Moment) -> Step {
        let leading = self.ruleset.leading;
        let find = || self.first_that_applies(request, 0..leading);
        let remembered = self.paths.borrow_mut().recall(request.path(), find);
        let next = remembered.as_ref().map_or(leading, |applied| applied.rule + 1);
        remembered
            .and_then(|applied| self.act(request, applied, moment))
            .unwrap_or_else(|| self.walk(request, next, moment))
    }

    /// Tries rules from number `next` on.
    fn walk(&self, request: &Request<'_>, mut next: usize, moment: Moment) -> Step {
        while let Some(applied) = self.first_that_applies(request, next..usize::MAX) {
            next = applied.rule + 1;
            if let Some(step) = self.act(request, applied, moment) {
                return step;
            }
        }
        reply(Refusal::NoCell, None)
    }

    fn first_that_applies(
        &self,
        request: &Request<'_>,
        numbers: Range<usize>,
    ) -> Option<Rc<Applied>> {
        let rules = self.ruleset.rules.iter().enumerate();
        rules.skip(numbers.start).take(numbers.len()).find_map(|(number, rule)| {
            let mut variables = Variables::default();
            rule.applies(request, &mut variables).ok()?;
            Some(Applied::new(number, variables))
        })
    }

    /// What a rule that applies does; `None` when none of its questions decides.
    fn act(&self, request: &Request<'_>, applied: Rc<Applied>, moment: Moment) -> Option<Step> {
        let rule = self.ruleset.rules.get(applied.rule)?;
        let at = Position { applied, entry: 0 };
        match &rule.action {
            Action::Proxy(address) => {
                Some(decided(&at, rule, address.clone(), None, Source::Ruleset))
            }
            Action::Classify(_) => self.ask(request, at, moment),
        }
    }

    fn entry(&self, at: &Position) -> Option<(&Rule, &Classification)> {
        let rule = self.ruleset.rules.get(at.applied.rule)?;
        match &rule.action {
            Action::Classify(entries) => Some((rule, entries.get(at.entry)?)),
            Action::Proxy(_) => None,
        }
    }

    /// Tries a rule's questions from a position on; `None` when none of them decides.
    fn ask(&self, request: &Request<'_>, mut at: Position, moment: Moment) -> Option<Step> {
        while let Some((rule, entry)) = self.entry(&at) {
            let design = self.topology.registry_design;
            let questions = at.applied.questions(at.entry, entry, &self.ruleset, design);
            if questions.len() > self.max_namespaces {
                return Some(reply(Refusal::TooManyNamespaces, Some(rule)));
            }
            let verdicts = self.recall(&questions, moment);
            if verdicts.iter().any(Verdict::is_asked) {
                return Some(self.first_round(request, at, verdicts, moment));
            }
            let outcome = weigh(&verdicts, entry.target, design);
            let concluded = self.conclude(&at, rule, entry, outcome);
            if concluded.is_some() {
                return concluded;
            }
            at.entry += 1;
        }
        None
    }

    /// What the cache says; a request that waited too long asks no more.
    fn recall(&self, questions: &[String], Moment { now, deadline }: Moment) -> Vec<Verdict> {
        let mut learned = self.learned.borrow_mut();
        let late = deadline.is_some_and(|deadline| deadline <= now);
        let recalled = questions.iter().map(|question| match learned.recall(question, now) {
            Verdict::Asked { question, .. } if late => learned.give_up(&question, now),
            verdict => verdict,
        });
        recalled.collect()
    }

    fn first_round(
        &self,
        request: &Request<'_>,
        at: Position,
        verdicts: Vec<Verdict>,
        Moment { now, deadline }: Moment,
    ) -> Step {
        let deadline = deadline.unwrap_or(now.plus(self.topology.budget_ms));
        let timeout_ms = self.topology.timeout_ms.min(deadline.since(now));
        let calls: Vec<_> = questions(&verdicts)
            .map(|(question, _)| Call { body: question.to_owned(), delay_ms: 0, timeout_ms })
            .collect();
        self.learned.borrow_mut().note_calls(calls.len());
        let headers = request.copy(|name| self.ruleset.reads(name));
        Step::Ask(calls, Pending { headers, at, verdicts, attempt: 0, deadline })
    }

    /// The calls to make again, if all of them may be, are worth it and there is time.
    fn retries(
        &self,
        verdicts: &[Verdict],
        attempt: u32,
        deadline: Millis,
        now: Millis,
    ) -> Option<Vec<Call>> {
        let lost = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Unavailable));
        if lost || attempt >= self.topology.retries {
            return None;
        }
        let again = |(question, wait_ms): (&str, u64)| {
            let pause = retries::backoff(&self.topology, attempt, question, now);
            let delay_ms = pause.max(wait_ms);
            let left = deadline.since(now.plus(delay_ms));
            let timeout_ms = self.topology.timeout_ms.min(left);
            (timeout_ms > 0).then(|| Call { body: question.to_owned(), delay_ms, timeout_ms })
        };
        let calls: Vec<_> = questions(verdicts).map(again).collect::<Option<_>>()?;
        self.learned.borrow_mut().pay_retries(calls.len(), now).then_some(calls)
    }

    /// Fills in the answers to what was asked.
    fn learn(&self, verdicts: Vec<Verdict>, answers: Vec<CallResult>, now: Millis) -> Vec<Verdict> {
        let mut learned = self.learned.borrow_mut();
        let mut answers = answers.into_iter();
        let fill_in = |verdict| match verdict {
            Verdict::Asked { question, .. } => {
                let answer = answers.next().unwrap_or(Err(CallError::Timeout));
                learned.learn(question, &answer, now)
            }
            known => known,
        };
        verdicts.into_iter().map(fill_in).collect()
    }

    /// What an entry's questions decide; `None` sends on to the next entry.
    fn conclude(
        &self,
        at: &Position,
        rule: &Rule,
        entry: &Classification,
        outcome: Outcome,
    ) -> Option<Step> {
        match outcome {
            Outcome::Cell { address, matched_claim, source } => {
                let kind = matched_claim.unwrap_or_else(|| entry.kind().to_owned());
                Some(decided(at, rule, address, Some(kind), source))
            }
            Outcome::SeveralCells => Some(reply(Refusal::SeveralCells, Some(rule))),
            Outcome::Unavailable => match rule.on_unavailable {
                OnUnavailable::Reject => Some(reply(Refusal::Unavailable, Some(rule))),
                OnUnavailable::Next => None,
            },
            Outcome::NotFound => None,
        }
    }
}

/// What is to be asked, and how long the Topology Service wants to be left alone before.
fn questions(verdicts: &[Verdict]) -> impl Iterator<Item = (&str, u64)> {
    verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Asked { question, wait_ms } => Some((question.as_str(), *wait_ms)),
        Verdict::Known(..) | Verdict::Unavailable => None,
    })
}

fn decided(
    at: &Position,
    rule: &Rule,
    cluster: String,
    kind: Option<String>,
    source: Source,
) -> Step {
    Step::Continue(Decision {
        cluster,
        rule: rule.id.clone(),
        rule_number: at.applied.rule,
        action: rule.action.kind(),
        kind,
        hash_key: at.applied.hash_key(rule),
        rewrite_path: rule.rewrite_path(&at.applied.variables),
        source,
    })
}

fn reply(refusal: Refusal, rule: Option<&Rule>) -> Step {
    let rule = rule.map(|rule| rule.id.clone());
    Step::Reply(LocalReply { rule, ..LocalReply::from(refusal) })
}

#[cfg(test)]
mod tests;
