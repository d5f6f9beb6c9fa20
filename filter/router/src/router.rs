//! Walks the rules: from a request to a decision, asking and resuming on the way.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cache::{self, Cache};
use crate::classify::{self, Answer, CallError, CallResult, Cell, Classification};
use crate::config::{self, ConfigError, FilterConfig, OnUnavailable, TopologyService};
use crate::decision::{Call, Decision, LocalReply, Millis, Refusal, RuleAction, Source, Step};
use crate::refusal;
use crate::request::{Headers, Request};
use crate::ruleset::{Action, Rule, Ruleset};
use crate::variables::Variables;

/// More would make one request's fan-out a weapon.
const MAX_NAMESPACES: usize = 100;

/// Decides requests by one ruleset; a worker has its own, with its own cache.
#[derive(Debug)]
pub struct Router {
    ruleset: Ruleset,
    topology: TopologyService,
    max_namespaces: usize,
    response_headers: bool,
    cache: RefCell<Cache>,
}

/// A request whose decision waits for answers; consumed by [`Router::resume`], so never resumed
/// twice. It owns what the rules still need, for the request is gone when answers come.
#[derive(Debug)]
pub struct Pending {
    headers: Headers,
    at: Position,
    verdicts: Vec<Verdict>,
}

/// A rule that applies, and which of its questions is asked.
#[derive(Debug)]
struct Position {
    rule: usize,
    entry: usize,
    variables: Variables,
}

/// What is known of one question.
#[derive(Debug)]
enum Verdict {
    Asked(String),
    Known(Answer, Source),
    Unavailable,
}

/// What all verdicts on an entry's questions come to.
enum Outcome {
    Cell { address: String, matched_claim: Option<String>, source: Source },
    SeveralCells,
    Unavailable,
    NotFound,
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
        check(&config)?;
        Ok(Self {
            ruleset: Ruleset::compile(config.ruleset, config.proxy_address.as_deref())?,
            topology: config.topology_service,
            max_namespaces: config.max_namespaces,
            response_headers: config.response_headers,
            cache: RefCell::new(Cache::new(config.cache)),
        })
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

    /// Decides a request as far as what is known now allows.
    #[must_use]
    pub fn start(&self, request: &Request<'_>, now: Millis) -> Step {
        match refusal::check(request) {
            Some(refusal) => reply(refusal),
            None => self.walk(request, 0, now),
        }
    }

    /// Goes on with the answers to the calls of [`Step::Ask`], in their order; one that is missing
    /// counts as a timeout.
    #[must_use]
    pub fn resume(&self, pending: Pending, answers: Vec<CallResult>, now: Millis) -> Step {
        let Pending { headers, at, verdicts } = pending;
        let verdicts = self.learn(verdicts, answers, now);
        let request = Request::new(&headers);
        let next_rule = at.rule + 1;
        let concluded = match self.entry(&at) {
            Some((rule, entry)) => self
                .conclude(rule, entry, &at.variables, &verdicts)
                .or_else(|| self.ask(&request, Position { entry: at.entry + 1, ..at }, now)),
            None => None,
        };
        concluded.unwrap_or_else(|| self.walk(&request, next_rule, now))
    }

    /// Tries rules from number `first` on.
    fn walk(&self, request: &Request<'_>, first: usize, now: Millis) -> Step {
        let rules = self.ruleset.rules.iter().enumerate().skip(first);
        let mut steps = rules.filter_map(|(number, rule)| {
            let variables = rule.applies(request)?;
            match &rule.action {
                Action::Proxy(address) => {
                    let address = address.clone();
                    Some(decided(rule, &variables, address, None, Source::Ruleset))
                }
                Action::Classify(_) => {
                    self.ask(request, Position { rule: number, entry: 0, variables }, now)
                }
            }
        });
        steps.next().unwrap_or_else(|| reply(Refusal::NoCell))
    }

    fn entry(&self, at: &Position) -> Option<(&Rule, &Classification)> {
        let rule = self.ruleset.rules.get(at.rule)?;
        match &rule.action {
            Action::Classify(entries) => Some((rule, entries.get(at.entry)?)),
            Action::Proxy(_) => None,
        }
    }

    /// Tries a rule's questions from a position on; `None` when none of them decides.
    fn ask(&self, request: &Request<'_>, mut at: Position, now: Millis) -> Option<Step> {
        while let Some((rule, entry)) = self.entry(&at) {
            let questions = entry.questions(
                &at.variables,
                &self.ruleset.reserved_routes,
                self.topology.registry_design,
            );
            if questions.len() > self.max_namespaces {
                return Some(reply(Refusal::TooManyNamespaces));
            }
            let verdicts: Vec<_> = questions.into_iter().map(|q| self.recall(q, now)).collect();
            let calls: Vec<_> = verdicts.iter().filter_map(Verdict::call).collect();
            if !calls.is_empty() {
                let headers = request.copy(|name| self.ruleset.reads(name));
                return Some(Step::Ask(calls, Pending { headers, at, verdicts }));
            }
            let concluded = self.conclude(rule, entry, &at.variables, &verdicts);
            if concluded.is_some() {
                return concluded;
            }
            at.entry += 1;
        }
        None
    }

    fn recall(&self, question: String, now: Millis) -> Verdict {
        match self.cache.borrow_mut().get(&question, now) {
            Some((answer, source)) => Verdict::Known(answer, source),
            None => Verdict::Asked(question),
        }
    }

    /// Fills in the answers to what was asked.
    fn learn(&self, verdicts: Vec<Verdict>, answers: Vec<CallResult>, now: Millis) -> Vec<Verdict> {
        let mut answers = answers.into_iter();
        let learned = |verdict| match verdict {
            Verdict::Asked(question) => {
                let answer = answers.next().unwrap_or(Err(CallError::Timeout));
                self.learn_one(&question, &answer, now)
            }
            known => known,
        };
        verdicts.into_iter().map(learned).collect()
    }

    fn learn_one(&self, question: &str, result: &CallResult, now: Millis) -> Verdict {
        let mut cache = self.cache.borrow_mut();
        let Ok(answer) = classify::read(result) else {
            return cache.last_good(question, now).map_or(Verdict::Unavailable, |cell| {
                Verdict::Known(Answer::Found(cell), Source::Stale)
            });
        };
        let cache_control = result.as_ref().ok().and_then(|http| http.cache_control.as_deref());
        cache.put(question, &answer, cache_control.and_then(cache::max_age), now);
        Verdict::Known(answer, Source::Service)
    }

    /// What verdicts on all of an entry's questions decide; `None` sends on to the next question.
    fn conclude(
        &self,
        rule: &Rule,
        entry: &Classification,
        variables: &Variables,
        verdicts: &[Verdict],
    ) -> Option<Step> {
        match self.weigh(entry, verdicts) {
            Outcome::Cell { address, matched_claim, source } => {
                let kind = matched_claim.unwrap_or_else(|| entry.kind().to_owned());
                Some(decided(rule, variables, address, Some(kind), source))
            }
            Outcome::SeveralCells => Some(reply(Refusal::SeveralCells)),
            Outcome::Unavailable => match rule.on_unavailable {
                OnUnavailable::Reject => Some(reply(Refusal::Unavailable)),
                OnUnavailable::Next => None,
            },
            Outcome::NotFound => None,
        }
    }

    /// One unavailable answer spoils the rest: it could have named another Cell.
    fn weigh(&self, entry: &Classification, verdicts: &[Verdict]) -> Outcome {
        let mut chosen: Option<(&str, &Rc<Cell>, Source)> = None;
        let mut unavailable = false;
        for verdict in verdicts {
            let Verdict::Known(answer, source) = verdict else {
                unavailable = true;
                continue;
            };
            let Answer::Found(cell) = answer else { continue };
            let address = cell.address(entry.target, self.topology.registry_design);
            chosen = match (chosen, address) {
                (chosen, None) => chosen,
                (None, Some(address)) => Some((address, cell, *source)),
                (Some((known, cell, so_far)), Some(address)) if known == address => {
                    Some((known, cell, so_far.max(*source)))
                }
                (Some(_), Some(_)) => return Outcome::SeveralCells,
            };
        }
        match chosen {
            _ if unavailable => Outcome::Unavailable,
            None => Outcome::NotFound,
            Some((address, cell, source)) => Outcome::Cell {
                address: address.to_owned(),
                matched_claim: cell.matched_claim.clone(),
                source,
            },
        }
    }
}

/// What must hold beyond the types; the ruleset has its own checks.
fn check(config: &FilterConfig) -> Result<(), ConfigError> {
    let topology = &config.topology_service;
    let namespaces = 1..=MAX_NAMESPACES;
    // Istio's cluster names hold `|`, so this is wider than an address.
    let named = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    for (holds, field, problem) in [
        (named(&topology.cluster), "topologyService.cluster", "not a cluster's name"),
        (named(&topology.authority), "topologyService.authority", "not a host"),
        (
            (1..=60_000).contains(&topology.timeout_ms),
            "topologyService.timeoutMs",
            "must be 1 to 60000",
        ),
        (config.cache.max_entries >= 2, "cache.maxEntries", "must be at least 2"),
        (namespaces.contains(&config.max_namespaces), "maxNamespaces", "must be 1 to 100"),
    ] {
        if !holds {
            return Err(ConfigError::Value { field, problem });
        }
    }
    Ok(())
}

impl Verdict {
    fn call(&self) -> Option<Call> {
        match self {
            Self::Asked(question) => Some(Call { body: question.clone() }),
            Self::Known(..) | Self::Unavailable => None,
        }
    }
}

fn decided(
    rule: &Rule,
    variables: &Variables,
    cluster: String,
    kind: Option<String>,
    source: Source,
) -> Step {
    Step::Continue(Decision {
        cluster,
        rule: rule.id.clone(),
        action: match rule.action {
            Action::Classify(_) => RuleAction::Classify,
            Action::Proxy(_) => RuleAction::Proxy,
        },
        kind,
        hash_key: rule.hash_key(variables),
        rewrite_path: rule.rewrite_path(variables),
        source,
    })
}

fn reply(refusal: Refusal) -> Step {
    Step::Reply(LocalReply::from(refusal))
}

#[cfg(test)]
mod tests;
