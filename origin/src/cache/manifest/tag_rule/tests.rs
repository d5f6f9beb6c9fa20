//! The tag rule as a table: every combination of what is known, what the upstream says, what the
//! client wants and what the configuration allows.

use oci::Digest;
use oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

use super::*;
use crate::config::WhenRefused;
use crate::db::manifests::StoredManifest;
use crate::upstream::{ProtocolError, UpstreamError};

const NOW: i64 = 1_800_000_000_000;

/// What the upstream answers to the GET, by column of the tables.
const GETS: [&str; 5] = ["manifest", "403", "404", "500", "panic"];

/// What a client gets: `hit` (the copy, current), `head` (from the upstream's HEAD), `new` (a fresh
/// manifest), `stale` (a copy, unchecked), or the failure of the HEAD or the GET: `refused`,
/// `absent`, `outage` or `panic`. `refused*` and `absent*` stand for `stale` if `when_refused` or
/// `when_absent` is `serve-stale`, else for the failure.
type Row = [&'static str; 5];

/// The policy decides between a copy and the failure of the GET.
const GET_DECIDES: Row = ["new", "refused*", "absent*", "stale", "panic"];

/// There is no copy: the client gets what the GET brings.
const GET_ALONE: Row = ["new", "refused", "absent", "outage", "panic"];

/// What the client gets if a copy is cached that must be checked, and if none is.
///
/// | HEAD | manifest | 403 | 404 | 500 | panic |
const TABLE: &[(&str, Row, Row)] = &[
    ("same digest", ["hit"; 5], GET_ALONE),
    ("another digest", ["new", "stale", "stale", "stale", "panic"], GET_ALONE),
    ("no digest", GET_DECIDES, GET_ALONE),
    // The upstream rejects HEAD as such.
    ("400", GET_DECIDES, GET_ALONE),
    ("405", GET_DECIDES, GET_ALONE),
    ("501", GET_DECIDES, GET_ALONE),
    ("nonsense", GET_DECIDES, GET_ALONE),
    // Some registries refuse HEAD where they allow GET.
    ("403", GET_DECIDES, GET_ALONE),
    ("401", ["refused*"; 5], ["refused"; 5]),
    ("no token: 401", ["refused*"; 5], ["refused"; 5]),
    ("404", ["absent*"; 5], ["absent"; 5]),
    // Without a copy, a registry that fails a HEAD may still answer a GET.
    ("500", ["stale"; 5], GET_ALONE),
    ("503", ["stale"; 5], GET_ALONE),
    // The upstream is not contacted again: it cannot be reached, or asked us to slow down.
    ("429", ["stale"; 5], ["outage"; 5]),
    ("rate limited", ["stale"; 5], ["outage"; 5]),
    ("timeout", ["stale"; 5], ["outage"; 5]),
    ("unreachable", ["stale"; 5], ["outage"; 5]),
    ("no token: 503", ["stale"; 5], ["outage"; 5]),
    // A bug is not an outage.
    ("panic", ["panic"; 5], ["panic"; 5]),
];

/// The same for a client that wants no body, where it differs: the upstream's HEAD is enough.
const HEAD_TABLE: &[(&str, Row, Row)] =
    &[("same digest", ["hit"; 5], ["head"; 5]), ("another digest", ["head"; 5], ["head"; 5])];

/// What the cache knows of the tag.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Nothing,
    NothingOfAnImmutableTag,
    Fresh,
    Stale,
    Immutable,
}

const KNOWN: [Known; 5] =
    [Known::Nothing, Known::NothingOfAnImmutableTag, Known::Fresh, Known::Stale, Known::Immutable];

impl Known {
    fn has_copy(self) -> bool {
        !matches!(self, Self::Nothing | Self::NothingOfAnImmutableTag)
    }

    fn rows(self) -> Vec<TaggedManifest> {
        let age = if self == Self::Fresh { 1_000 } else { 7_200_000 };
        let row = TaggedManifest { checked_at: NOW - age, ..row(OCI_INDEX, true) };
        if self.has_copy() { vec![row] } else { Vec::new() }
    }
}

fn row(media_type: &str, general: bool) -> TaggedManifest {
    let (digest, media_type) = (Digest::of(b"cached"), media_type.to_owned());
    let manifest = StoredManifest { digest, size: 1, media_type };
    TaggedManifest { manifest, general, checked_at: 0 }
}

/// One combination of known copy and configuration.
struct Scenario {
    known: Known,
    rows: Vec<TaggedManifest>,
    body: bool,
    config: config::Cache,
    /// Whether the known copy can be loaded.
    loadable: bool,
}

impl Scenario {
    fn new(known: Known, body: bool, refused: WhenRefused, absent: Option<WhenRefused>) -> Self {
        let immutable = matches!(known, Known::Immutable | Known::NothingOfAnImmutableTag);
        let patterns = if immutable { vec!["v*".to_owned()] } else { Vec::new() };
        let config = config::Cache {
            when_refused: refused,
            when_absent: absent,
            recheck_interval: Duration::from_secs(3600),
            immutable_tags: patterns.try_into().unwrap(),
            ..config::Cache::default()
        };
        Self { known, rows: known.rows(), body, config, loadable: known.has_copy() }
    }

    /// Carries the rule out as [`super::super::tag`] does, with an upstream that responds so.
    fn result(&self, head: &str, get: &str) -> &'static str {
        let (tag, accept) = ("v1".parse().unwrap(), Accept::any());
        let (known, body, config) = (&*self.rows, self.body, &self.config);
        let rule = TagRule { tag: &tag, accept: &accept, body, known, config };
        if let Plan::Serve(_) = rule.plan(NOW)
            && self.loadable
        {
            return "hit";
        }
        let current = head == "same digest" && self.loadable;
        let mut next = rule.after_head(head_response(head), current.then_some(()));
        loop {
            next = match next {
                Next::Serve(()) => return "hit",
                Next::ServeFromHead(_) => return "head",
                Next::Get(_) if get == "manifest" => return "new",
                Next::Get(verdict) => rule.after_get(failure(get), verdict),
                Next::Stale(_) if self.loadable && rule.stale_candidates().next().is_some() => {
                    return "stale";
                }
                Next::Stale(attempt) => attempt.without_copy(),
                Next::Fail(error) => return name(&error),
            };
        }
    }

    /// What the table says.
    fn expected(&self, head: &str, column: usize) -> &'static str {
        if matches!(self.known, Known::Fresh | Known::Immutable) {
            return "hit";
        }
        let of_head = |row: &&(&str, Row, Row)| row.0 == head;
        let differing = HEAD_TABLE.iter().filter(|_| !self.body).find(of_head);
        let (_, with_copy, without) = differing.or(TABLE.iter().find(of_head)).unwrap();
        let honest = |policy| policy == WhenRefused::Honest;
        match if self.known.has_copy() { with_copy[column] } else { without[column] } {
            "refused*" if honest(self.config.when_refused) => "refused",
            "absent*" if honest(self.config.when_absent.unwrap_or(self.config.when_refused)) => {
                "absent"
            }
            "refused*" | "absent*" => "stale",
            result => result,
        }
    }
}

fn head_response(head: &str) -> Result<ManifestHead, FetchError> {
    let digest = match head {
        "same digest" => Some(Digest::of(b"cached")),
        "another digest" => Some(Digest::of(b"another")),
        "no digest" => None,
        failed => return Err(failure(failed)),
    };
    Ok(ManifestHead { digest, size: Some(1), media_type: Some(OCI_INDEX.to_owned()) })
}

fn failure(response: &str) -> FetchError {
    let error = match response {
        "panic" => return FetchError::Internal,
        "nonsense" => ProtocolError::NotAManifest.into(),
        "timeout" => UpstreamError::Timeout,
        "unreachable" => UpstreamError::Unreachable("connection refused".to_owned()),
        "rate limited" => UpstreamError::RateLimited { seconds: 1 },
        "no token: 401" => UpstreamError::Token { status: 401 },
        "no token: 503" => UpstreamError::Token { status: 503 },
        status => UpstreamError::Status { status: status.parse().unwrap(), retry_after: None },
    };
    error.into()
}

fn name(error: &FetchError) -> &'static str {
    match error {
        FetchError::Internal => "panic",
        FetchError::Upstream(UpstreamError::Status { status: 404, .. }) => "absent",
        FetchError::Upstream(
            UpstreamError::Status { status: 401 | 403, .. } | UpstreamError::Token { status: 401 },
        ) => "refused",
        FetchError::Upstream(_) => "outage",
    }
}

fn scenarios() -> Vec<Scenario> {
    let policies = [WhenRefused::Honest, WhenRefused::ServeStale];
    let absent = [None, Some(WhenRefused::Honest), Some(WhenRefused::ServeStale)];
    let mut scenarios = Vec::new();
    for known in KNOWN {
        for body in [true, false] {
            for refused in policies {
                for absent in absent {
                    scenarios.push(Scenario::new(known, body, refused, absent));
                }
            }
        }
    }
    scenarios
}

#[test]
fn every_combination_is_resolved_as_the_table_says() {
    for scenario in scenarios() {
        for (head, ..) in TABLE {
            for (column, get) in GETS.into_iter().enumerate() {
                let Scenario { known, body, config, .. } = &scenario;
                let (refused, absent) = (config.when_refused, config.when_absent);
                assert_eq!(
                    scenario.result(head, get),
                    scenario.expected(head, column),
                    "known: {known:?}, HEAD: {head}, GET: {get}, body: {body}, \
                     when_refused: {refused:?}, when_absent: {absent:?}"
                );
            }
        }
    }
}

#[test]
fn a_copy_whose_object_is_lost_is_replaced_and_never_served() {
    for mut scenario in scenarios().into_iter().filter(|scenario| scenario.known.has_copy()) {
        scenario.loadable = false;
        let wanted = if scenario.body { "new" } else { "head" };
        assert_eq!(scenario.result("same digest", "manifest"), wanted, "{:?}", scenario.known);
        assert_eq!(scenario.result("another digest", "manifest"), wanted);
        assert_eq!(scenario.result("no digest", "403"), "refused");
        assert_eq!(scenario.result("500", "404"), "absent");
    }
}

#[test]
fn a_lost_copy_of_the_same_digest_does_not_count_as_a_moved_tag() {
    let scenario = Scenario::new(Known::Stale, true, WhenRefused::Honest, None);
    let (tag, accept) = ("v1".parse().unwrap(), Accept::any());
    let (known, config) = (&*scenario.rows, &scenario.config);
    let rule = TagRule { tag: &tag, accept: &accept, body: true, known, config };
    let verdict = |head| match rule.after_head::<()>(head_response(head), None) {
        Next::Get(verdict) => verdict,
        next => panic!("{next:?}"),
    };
    assert_eq!(verdict("same digest"), HeadVerdict::Unknown);
    assert_eq!(verdict("another digest"), HeadVerdict::Moved);
    assert_eq!(verdict("no digest"), HeadVerdict::Unknown);
}

#[test]
fn a_head_without_length_or_media_type_does_not_answer_a_client() {
    let scenario = Scenario::new(Known::Stale, false, WhenRefused::Honest, None);
    let (tag, accept) = ("v1".parse().unwrap(), Accept::any());
    let (known, config) = (&*scenario.rows, &scenario.config);
    let rule = TagRule { tag: &tag, accept: &accept, body: false, known, config };
    let complete = head_response("another digest").unwrap();
    let without_size = ManifestHead { size: None, ..complete.clone() };
    let without_type = ManifestHead { media_type: None, ..complete };
    for head in [without_size, without_type] {
        let next = rule.after_head::<()>(Ok(head), None);
        assert!(matches!(next, Next::Get(HeadVerdict::Moved)), "{next:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_make_a_check_last_longer() {
    let mut scenario = Scenario::new(Known::Fresh, true, WhenRefused::Honest, None);
    scenario.rows[0].checked_at = NOW + 1;
    assert_eq!(scenario.result("another digest", "manifest"), "new");
}

#[test]
fn a_single_image_is_not_trusted_for_clients_that_accept_indexes() {
    let tag = "v1".parse().unwrap();
    let config = config::Cache::default();
    let narrow = Accept::parse([DOCKER_MANIFEST]);
    let wide = Accept::parse([DOCKER_MANIFEST, OCI_MANIFEST, OCI_INDEX]);
    for (media_type, general, for_narrow, for_wide) in [
        (DOCKER_MANIFEST, false, true, false),
        (DOCKER_MANIFEST, true, true, true),
        (OCI_INDEX, false, false, true),
        (OCI_MANIFEST, true, false, true),
    ] {
        let row = row(media_type, general);
        let suits = |accept| {
            TagRule { tag: &tag, accept, body: true, known: &[], config: &config }.suits(&row)
        };
        assert_eq!(suits(&narrow), for_narrow, "{media_type} {general}");
        assert_eq!(suits(&wide), for_wide, "{media_type} {general}");
    }
}
