//! The encoding of the proxy-wasm ABI 0.2.1: status codes, and maps as proxy-wasm-cpp-host
//! (`src/pairs_util.cc`) writes and reads them.

/// The most pairs the host accepts from a guest in one map.
pub const MAX_PAIRS: usize = 1024;

/// The longest map the host accepts from a guest, in bytes.
pub const MAX_PAIRS_BYTES: usize = 1024 * 1024;

/// A header map in wire order: names and values are bytes.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The result of a hostcall, with its value in the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after proxy-wasm's WasmResult")]
pub enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
}

/// The severity of a log line, in the order of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the usual names")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl LogLevel {
    const ALL: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical];

    /// The level with this number in the ABI.
    #[must_use]
    pub fn from_wire(level: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(level).ok()?).copied()
    }
}

/// Encodes a map: the count, all lengths, then every name and value with a NUL after it.
#[must_use]
pub fn encode_pairs(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = wire_length(pairs.len());
    for (name, value) in pairs {
        bytes.extend(wire_length(name.len()));
        bytes.extend(wire_length(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text);
        bytes.push(0);
    }
    bytes
}

fn wire_length(length: usize) -> Vec<u8> {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

/// Decodes a map. A malformed or oversized one becomes an empty map and not an error, as in Envoy:
/// a guest's oversized local reply loses its headers.
#[must_use]
pub fn decode_pairs(bytes: &[u8]) -> Pairs {
    if bytes.len() > MAX_PAIRS_BYTES {
        return Pairs::new();
    }
    read_pairs(bytes).unwrap_or_default()
}

fn read_pairs(mut rest: &[u8]) -> Option<Pairs> {
    let count = take_length(&mut rest)?;
    if count > MAX_PAIRS {
        return None;
    }
    let lengths = (0..count)
        .map(|_| Some((take_length(&mut rest)?, take_length(&mut rest)?)))
        .collect::<Option<Vec<_>>>()?;
    let pairs = lengths
        .into_iter()
        .map(|(name, value)| Some((take_text(&mut rest, name)?, take_text(&mut rest, value)?)))
        .collect::<Option<Pairs>>()?;
    rest.is_empty().then_some(pairs)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

fn take_text(rest: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (text, after) = rest.split_at_checked(length)?;
    let (0, after) = after.split_first()? else { return None };
    *rest = after;
    Some(text.to_vec())
}

/// Encodes the path of a property: its parts, separated by NULs.
#[must_use]
pub fn encode_property_path(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}
