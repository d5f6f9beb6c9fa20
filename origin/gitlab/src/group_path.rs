//! The full path of a group, such as `acme/team`.

use std::fmt;
use std::str::FromStr;

/// The longest path GitLab accepts.
const MAX_LENGTH: usize = 255;

/// A group's full path, validated, and folded to lower case because GitLab ignores case in paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupPath(String);

/// The text breaks GitLab's rules for the path of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a group path consists of segments separated by `/`; a segment holds letters, digits, `_`, `-` \
     and `.`, and starts with a letter, a digit or `_`"
)]
pub struct GroupPathError;

impl GroupPath {
    /// The path in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the parent group; `None` for a top-level group.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.to_owned()))
    }
}

impl FromStr for GroupPath {
    type Err = GroupPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH || !text.split('/').all(is_segment) {
            return Err(GroupPathError);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the path and the paths of its ancestors, topmost first: `a`, `a/b`, `a/b/c`.
pub fn lineage(path: &str) -> impl Iterator<Item = &str> {
    let ancestors = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
    ancestors.chain([path])
}

fn is_segment(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(is_word) && text.chars().all(|c| is_word(c) || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_folded_to_lower_case() {
        let path: GroupPath = "ACME/Team_1".parse().unwrap();
        assert_eq!(path.as_str(), "acme/team_1");
        assert_eq!(path, "acme/TEAM_1".parse().unwrap());
    }

    #[test]
    fn a_path_that_gitlab_would_refuse_is_refused() {
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for text in
            ["", "/", "acme/", "/acme", "..", "acme/..", "-a", "a%2fb", "a;b", "ä", &too_long]
        {
            assert_eq!(text.parse::<GroupPath>(), Err(GroupPathError), "{text}");
        }
    }

    #[test]
    fn the_parent_is_one_segment_shorter() {
        let path: GroupPath = "acme/team/tools".parse().unwrap();
        assert_eq!(path.parent(), Some("acme/team".parse().unwrap()));
        assert_eq!("acme".parse::<GroupPath>().unwrap().parent(), None);
    }

    #[test]
    fn the_lineage_starts_at_the_top() {
        assert_eq!(lineage("a/b/c").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(lineage("a").collect::<Vec<_>>(), ["a"]);
    }
}
