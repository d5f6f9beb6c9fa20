//! The limit of open files of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// A connection needs its socket, and a file or a socket to the upstream.
const PER_CONNECTION: u64 = 2;

/// Raises the soft limit to the hard limit, and warns if that is too low for the connections: above
/// it, connections are not even rejected with a response.
pub(super) fn make_room(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let needed = needed(connections);
    if limit.is_some_and(|limit| limit < needed) {
        warn!(limit, needed, "the limit of open files is too low for [limits] max_connections");
    }
}

fn needed(connections: usize) -> u64 {
    PER_CONNECTION.saturating_mul(connections as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_limit() {
        make_room(10_000);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }

    #[test]
    fn a_connection_needs_two_descriptors() {
        assert_eq!((needed(10_000), needed(usize::MAX)), (20_000, u64::MAX));
    }
}
