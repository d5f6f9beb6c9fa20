//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// A connection's own socket, and the file it is answered from or the upstream's socket.
const EACH: u64 = 2;

/// Raises the limit as far as anybody may, and warns where the connections do not fit all the same:
/// what comes above it is not even refused.
pub(super) fn make_room(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let needed = needed(connections);
    if limit.is_some_and(|limit| limit < needed) {
        warn!(limit, needed, "[limits] max_connections: too few open files are allowed for these");
    }
}

fn needed(connections: usize) -> u64 {
    EACH.saturating_mul(connections as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        make_room(10_000);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }

    #[test]
    fn a_connection_takes_two() {
        assert_eq!((needed(10_000), needed(usize::MAX)), (20_000, u64::MAX));
    }
}
