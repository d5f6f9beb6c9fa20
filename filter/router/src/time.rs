//! Time as the host supplies it; the router has no clock of its own.

/// A moment in milliseconds since an epoch that the host chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// Returns the moment `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> Self {
        self.plus(u64::from(seconds) * 1000)
    }

    /// Returns the moment `milliseconds` later.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Returns the milliseconds since `earlier`, or 0 if `earlier` is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
