//! Moments at which a process kills itself, for the tests that pull the plug.
//!
//! With the cargo feature `inject`, `ORIGIN_KILL_AT=blob-stored:2` ends the process by SIGKILL when
//! it comes to [`Point::BlobStored`] for the second time. Without it, [`at`] is nothing.

/// A step of a fill, a commit or a repair; each is the moment after which it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A fill began: its spool file is there, the upstream was not asked.
    BlobTakenOff,
    /// The upstream's headers are there.
    BlobAnswered,
    /// A chunk was written to the spool.
    BlobSpooled,
    /// All bytes are there and right.
    BlobChecked,
    /// The object is there, its row is not.
    BlobStored,
    /// The row is written, its links are not.
    BlobRowWritten,
    /// Row and links are written but not committed.
    BlobLinked,
    /// Row and links are committed.
    BlobCommitted,
    /// A manifest was fetched and is right.
    ManifestFetched,
    /// Its object is there, its row is not.
    ManifestStored,
    /// Row, link and tag are written but not committed.
    ManifestLinked,
    /// Row, link and tag are committed.
    ManifestCommitted,
    /// Times of reads are written but not committed.
    ReadsWritten,
    /// An object without a row is about to be removed.
    OrphanFound,
    /// A repair removed an object, its row is still there.
    RepairHalfDone,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BlobTakenOff,
        Self::BlobAnswered,
        Self::BlobSpooled,
        Self::BlobChecked,
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

    /// Its name in `ORIGIN_KILL_AT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobTakenOff => "blob-taken-off",
            Self::BlobAnswered => "blob-answered",
            Self::BlobSpooled => "blob-spooled",
            Self::BlobChecked => "blob-checked",
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

/// Tells an operator that whoever sets this build's environment can kill it.
pub fn warn_if_built_in() {
    if cfg!(feature = "inject") {
        tracing::warn!("built with the feature `inject`, for tests: not for production");
    }
}

#[cfg(feature = "inject")]
pub use armed::at;

/// Here a test may pull the plug.
#[cfg(not(feature = "inject"))]
#[inline(always)]
pub fn at(_: Point) {}

#[cfg(feature = "inject")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Point;

    struct Trap {
        point: Point,
        times_left: AtomicU64,
    }

    static TRAP: LazyLock<Option<Trap>> = LazyLock::new(|| {
        let text = std::env::var("ORIGIN_KILL_AT").ok()?;
        let trap = read(&text);
        if trap.is_none() {
            eprintln!("ORIGIN_KILL_AT={text} names no point, or no number after it");
            std::process::exit(2);
        }
        trap
    });

    fn read(text: &str) -> Option<Trap> {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let point = Point::ALL.into_iter().find(|point| point.as_str() == name)?;
        let times: u64 = times.parse().ok()?;
        Some(Trap { point, times_left: times.into() })
    }

    /// Here a test may pull the plug.
    pub fn at(point: Point) {
        let Some(trap) = TRAP.as_ref().filter(|trap| trap.point == point) else { return };
        if trap.times_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
