//! Fault injection: points at which a test can kill the process or make a task panic.
//!
//! With the cargo feature `inject`, `ORIGIN_KILL_AT=blob-stored:2` kills the process by SIGKILL when
//! it reaches [`Point::BlobStored`] for the second time, and `ORIGIN_KILL_AT=blob-stored:2:panic`
//! panics there instead. Without the feature, [`at`] does nothing.

/// A point in a fetch, a commit or a repair, named after the step that precedes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The fetch of a blob has started; nothing was requested from the upstream yet.
    BlobFetchStarted,
    /// The upstream's response headers arrived.
    BlobHeadersReceived,
    /// A batch was written to the spool.
    BlobSpooled,
    /// All bytes arrived and match the digest.
    BlobVerified,
    /// The object is stored; its row is not written.
    BlobStored,
    /// The row is written; its links are not.
    BlobRowWritten,
    /// The row and its links are written, but not committed.
    BlobLinked,
    /// The row and its links are committed.
    BlobCommitted,
    /// A manifest was fetched and verified.
    ManifestFetched,
    /// The object is stored; its row is not written.
    ManifestStored,
    /// The row and its link are written, but not committed.
    ManifestLinked,
    /// The row and its link are committed; its tag is not written.
    ManifestCommitted,
    /// Read times are written, but not committed.
    ReadsWritten,
    /// An object without a row was found and is about to be removed.
    OrphanFound,
    /// A repair removed an object, but not its row yet.
    RepairHalfDone,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 15] = [
        Self::BlobFetchStarted,
        Self::BlobHeadersReceived,
        Self::BlobSpooled,
        Self::BlobVerified,
        Self::BlobStored,
        Self::BlobRowWritten,
        Self::BlobLinked,
        Self::BlobCommitted,
        Self::ManifestFetched,
        Self::ManifestStored,
        Self::ManifestLinked,
        Self::ManifestCommitted,
        Self::ReadsWritten,
        Self::OrphanFound,
        Self::RepairHalfDone,
    ];

    /// Returns the point's name in `ORIGIN_KILL_AT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobFetchStarted => "blob-fetch-started",
            Self::BlobHeadersReceived => "blob-headers-received",
            Self::BlobSpooled => "blob-spooled",
            Self::BlobVerified => "blob-verified",
            Self::BlobStored => "blob-stored",
            Self::BlobRowWritten => "blob-row-written",
            Self::BlobLinked => "blob-linked",
            Self::BlobCommitted => "blob-committed",
            Self::ManifestFetched => "manifest-fetched",
            Self::ManifestStored => "manifest-stored",
            Self::ManifestLinked => "manifest-linked",
            Self::ManifestCommitted => "manifest-committed",
            Self::ReadsWritten => "reads-written",
            Self::OrphanFound => "orphan-found",
            Self::RepairHalfDone => "repair-half-done",
        }
    }
}

/// Warns that this build can be killed by its environment.
pub fn warn_if_built_in() {
    if cfg!(feature = "inject") {
        tracing::warn!("built with the test feature `inject`: do not use this build in production");
    }
}

#[cfg(feature = "inject")]
pub use armed::at;

/// Marks a point. Without the feature `inject` it does nothing.
#[cfg(not(feature = "inject"))]
#[inline(always)]
pub fn at(_: Point) {}

#[cfg(feature = "inject")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Point;

    /// A fault that happens when a point is reached for the n-th time.
    struct Fault {
        point: Point,
        times_left: AtomicU64,
        action: FaultAction,
    }

    enum FaultAction {
        Kill,
        Panic,
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let text = std::env::var("ORIGIN_KILL_AT").ok()?;
        let fault = parse(&text);
        if fault.is_none() {
            eprintln!("ORIGIN_KILL_AT={text} is not of the form POINT[:TIMES[:panic]]");
            std::process::exit(2);
        }
        fault
    });

    fn parse(text: &str) -> Option<Fault> {
        let mut parts = text.split(':');
        let name = parts.next()?;
        let point = Point::ALL.into_iter().find(|point| point.as_str() == name)?;
        let times: u64 = parts.next().unwrap_or("1").parse().ok()?;
        let action = match (parts.next(), parts.next()) {
            (None, _) => FaultAction::Kill,
            (Some("panic"), None) => FaultAction::Panic,
            _ => return None,
        };
        Some(Fault { point, times_left: times.into(), action })
    }

    /// Marks a point at which a test may inject a fault.
    pub fn at(point: Point) {
        let Some(fault) = FAULT.as_ref().filter(|fault| fault.point == point) else { return };
        if fault.times_left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        match fault.action {
            FaultAction::Kill => kill(),
            FaultAction::Panic => panic_here(point),
        }
    }

    fn kill() {
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal may arrive a moment later; nothing must be done until then.
        loop {
            std::thread::park();
        }
    }

    #[expect(clippy::panic, reason = "the injected fault is a panic")]
    fn panic_here(point: Point) {
        panic!("injected at {}", point.as_str());
    }
}
