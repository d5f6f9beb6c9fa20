//! Hostcalls on bodies and the configuration.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::abi::Status;
use crate::guest::hostcall;
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_buffer_bytes",
        |caller: Caller<'_, HostState>,
         kind: u32,
         start: u32,
         max: u32,
         data_at: u32,
         size_at: u32| {
            hostcall(caller, |guest| {
                let part = part(guest.state().buffer(kind)?, start, max)?;
                // As in Envoy, an empty part writes nothing: the guest keeps its null pointer.
                if part.is_empty() { Ok(()) } else { guest.give(data_at, size_at, &part) }
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_buffer_bytes",
        |caller: Caller<'_, HostState>,
         kind: u32,
         start: u32,
         length: u32,
         data: u32,
         size: u32| {
            hostcall(caller, |guest| {
                let replacement = guest.read(data, size)?;
                let buffer = guest.state().buffer(kind)?;
                let range = range(buffer.len(), start, length)?;
                buffer.splice(range, replacement);
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn part(buffer: &[u8], start: u32, max: u32) -> Result<Vec<u8>, Status> {
    let range = range(buffer.len(), start, max)?;
    Ok(buffer.get(range).unwrap_or_default().to_vec())
}

/// The part of `start..start + length` inside the buffer.
fn range(size: usize, start: u32, length: u32) -> Result<std::ops::Range<usize>, Status> {
    let end = start.checked_add(length).ok_or(Status::BadArgument)?;
    let inside = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX).min(size);
    Ok(inside(start)..inside(end))
}
