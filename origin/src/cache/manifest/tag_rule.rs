//! The tag rule decides how a tag is resolved. It is pure; [`super::tag`] carries it out.
//!
//! A tag may move at any time, so by default every lookup is checked by HEAD, which Docker Hub does
//! not count as a pull:
//!
//! 1. A copy that is still trusted, because it was checked within `recheck_interval` or the tag is
//!    in `immutable_tags`, is served without any request.
//! 2. HEAD names the digest of a cached manifest: that copy is served.
//! 3. HEAD names another digest: a client's HEAD is answered from it, a GET fetches the manifest.
//! 4. HEAD fails in a way that says nothing about the tag: GET decides.
//! 5. The upstream is down: the cached copy is served, marked stale. A refusal (401, 403) or an
//!    absence (404) is passed on, unless `when_refused` or `when_absent` says `serve-stale`.
//! 6. HEAD says that the tag moved, and the GET then fails in whatever way: that is an outage too.
//!    An upstream that names a manifest and then withholds it contradicts itself, and clients must
//!    not depend on which of two requests it chose to fail.

use std::time::Duration;

use oci::{Accept, Tag, media_type};

use super::head_failure::{get_may_succeed, may_concern_head_only};
use super::{OpenManifest, from_head};
use crate::cache::error::FetchError;
use crate::cache::stale::may_serve_stale;
use crate::config;
use crate::db::tags::TaggedManifest;
use crate::upstream::ManifestHead;

/// The inputs that are the same for a whole lookup.
#[derive(Debug, Clone, Copy)]
pub(super) struct TagRule<'a> {
    pub(super) tag: &'a Tag,
    /// The media types the client accepts.
    pub(super) accept: &'a Accept,
    /// Whether the client wants the bytes.
    pub(super) body: bool,
    /// The manifests the tag pointed at, the latest check first.
    pub(super) known: &'a [TaggedManifest],
    pub(super) config: &'a config::Cache,
}

/// How a lookup begins.
#[derive(Debug)]
pub(super) enum Plan<'a> {
    /// Serve this manifest without contacting the upstream.
    Serve(&'a TaggedManifest),
    /// Check the tag by HEAD.
    Head,
}

/// What to do next. `C` is a cached copy.
#[derive(Debug)]
pub(super) enum Next<C> {
    /// Serve the cached copy, which is current.
    Serve(C),
    /// Answer the client's HEAD from the upstream's.
    ServeFromHead(OpenManifest),
    /// Fetch the manifest.
    Get(HeadVerdict),
    /// Serve a cached copy although the upstream failed.
    Stale(StaleAttempt),
    /// Return this failure to the client.
    Fail(FetchError),
}

/// What the HEAD before a GET said about the cached copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadVerdict {
    /// The tag points at a manifest that none of them is.
    Moved,
    /// Nothing.
    Unknown,
}

/// An attempt to serve a cached copy; whether one can be loaded is known only afterwards.
#[derive(Debug)]
pub(super) struct StaleAttempt {
    /// Why a fresh manifest cannot be served.
    pub(super) error: FetchError,
    without_copy: WithoutCopy,
}

#[derive(Debug)]
enum WithoutCopy {
    Get,
    Fail,
}

impl StaleAttempt {
    /// Returns what to do if no copy can be loaded.
    pub(super) fn without_copy<C>(self) -> Next<C> {
        match self.without_copy {
            WithoutCopy::Get => Next::Get(HeadVerdict::Unknown),
            WithoutCopy::Fail => Next::Fail(self.error),
        }
    }
}

impl<'a> TagRule<'a> {
    /// Decides whether the upstream is contacted at `now`, in milliseconds since 1970.
    pub(super) fn plan(&self, now: i64) -> Plan<'a> {
        let Some(row) = self.known.iter().find(|row| self.suits(row)) else { return Plan::Head };
        // A negative age, after the clock was set back, does not count as checked.
        let age = now.saturating_sub(row.checked_at);
        let checked = (0..millis(self.config.recheck_interval)).contains(&age);
        if checked || self.config.immutable_tags.matches(self.tag.as_str()) {
            return Plan::Serve(row);
        }
        Plan::Head
    }

    /// Decides what follows a HEAD. `current` is the cached copy of the manifest it named.
    pub(super) fn after_head<C>(
        &self,
        head: Result<ManifestHead, FetchError>,
        current: Option<C>,
    ) -> Next<C> {
        let head = match head {
            Ok(head) => head,
            Err(error) => return self.after_failed_head(error),
        };
        if let Some(current) = current {
            return Next::Serve(current);
        }
        let Some(digest) = head.digest.clone() else { return Next::Get(HeadVerdict::Unknown) };
        if !self.body
            && let Some(open) = from_head(head, &digest)
        {
            return Next::ServeFromHead(open);
        }
        // A known digest without a current copy: the object is lost, and the tag has not moved.
        let is_known = self.known.iter().any(|row| row.manifest.digest == digest);
        Next::Get(if is_known { HeadVerdict::Unknown } else { HeadVerdict::Moved })
    }

    fn after_failed_head<C>(&self, error: FetchError) -> Next<C> {
        if may_concern_head_only(&error) {
            return Next::Get(HeadVerdict::Unknown);
        }
        let stale = may_serve_stale(self.config, &error);
        // With a copy at hand, an upstream that just failed is spared the second request.
        let without_copy =
            if get_may_succeed(&error) { WithoutCopy::Get } else { WithoutCopy::Fail };
        let attempt = StaleAttempt { error, without_copy };
        if stale { Next::Stale(attempt) } else { attempt.without_copy() }
    }

    /// Decides what follows a failed GET.
    pub(super) fn after_get<C>(&self, error: FetchError, verdict: HeadVerdict) -> Next<C> {
        let stale = match (&error, verdict) {
            // A bug is never hidden behind a copy.
            (FetchError::Internal, _) => false,
            (FetchError::Upstream(_), HeadVerdict::Moved) => true,
            (FetchError::Upstream(_), HeadVerdict::Unknown) => may_serve_stale(self.config, &error),
        };
        let attempt = StaleAttempt { error, without_copy: WithoutCopy::Fail };
        if stale { Next::Stale(attempt) } else { attempt.without_copy() }
    }

    /// Returns the copies that may be served stale, the best first: those the upstream would have
    /// chosen for this client, then all others the client accepts.
    pub(super) fn stale_candidates(self) -> impl Iterator<Item = &'a TaggedManifest> {
        let best = self.known.iter().filter(move |row| self.suits(row));
        let accepted = |row: &&TaggedManifest| self.accept.permits(&row.manifest.media_type);
        best.chain(self.known.iter().filter(accepted))
    }

    /// Returns whether the upstream would give this client this manifest too, as far as that can be
    /// known: a single image that was given to a client that accepts no indexes may hide an index.
    fn suits(&self, row: &TaggedManifest) -> bool {
        let kind = &row.manifest.media_type;
        let same_for_all =
            row.general || media_type::is_index(kind) || !self.accept.takes_indexes();
        same_for_all && self.accept.permits(kind)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
