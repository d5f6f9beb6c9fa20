//! GitLab's vocabulary: routable tokens, group paths, what looks like a credential. Pure.
