//! A header map that behaves like Envoy's: names in lower case, order kept, duplicates allowed.

use super::abi::Pairs;

/// Headers or trailers; values are bytes and need not be UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderMap(Pairs);

impl HeaderMap {
    /// The first value of this name, as `proxy_get_header_map_value` returns it.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Every value of this name, in order.
    pub fn all(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_slice())
    }

    /// The first value of this name as text; bytes that are not UTF-8 become `U+FFFD`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// All names and values, in order.
    #[must_use]
    pub fn pairs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.0
    }

    pub(super) fn add(&mut self, name: &[u8], value: Vec<u8>) {
        self.0.push((name.to_ascii_lowercase(), value));
    }

    /// Replaces every value of this name by one.
    pub(super) fn set(&mut self, name: &[u8], value: Vec<u8>) {
        self.remove(name);
        self.add(name, value);
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(key, _)| *key != name);
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.add(name.as_ref(), value.as_ref().to_vec());
        }
        headers
    }
}
