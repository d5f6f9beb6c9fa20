//! The hostcalls: one closure each, which reads its arguments, changes the state and writes its
//! results. They are those of the ABI 0.2.1 that the Rust SDK 0.2.5 imports; any other import traps
//! when it is called.

mod buffers;
mod calls;
mod headers;
mod metrics;
mod shared;
mod streams;
mod system;

use wasmtime::{Linker, Module, Result};

use super::state::HostState;

const ENV: &str = "env";

type Link = fn(&mut Linker<HostState>) -> Result<()>;

const GROUPS: [Link; 8] = [
    system::link,
    headers::link_values,
    headers::link_maps,
    buffers::link,
    calls::link,
    streams::link,
    shared::link,
    metrics::link,
];

/// Registers every hostcall.
pub(super) fn link(linker: &mut Linker<HostState>, module: &Module) -> Result<()> {
    for group in GROUPS {
        group(linker)?;
    }
    linker.define_unknown_imports_as_traps(module)
}
