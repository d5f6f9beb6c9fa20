//! Hostcalls on header maps: single values and whole maps.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::abi::{Status, decode_pairs, encode_pairs};
use crate::guest::hostcall;
use crate::state::HostState;

pub(super) fn link_values(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_value",
        |caller: Caller<'_, HostState>,
         map: u32,
         key: u32,
         key_size: u32,
         data_at: u32,
         size_at: u32| {
            hostcall(caller, |guest| {
                let key = guest.read(key, key_size)?;
                let value = guest.state().map(map)?.get(key).map(<[u8]>::to_vec);
                guest.give(data_at, size_at, &value.ok_or(Status::NotFound)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_add_header_map_value",
        |caller: Caller<'_, HostState>, map: u32, key: u32, key_size: u32, data: u32, size: u32| {
            hostcall(caller, |guest| {
                let (key, value) = (guest.read(key, key_size)?, guest.read(data, size)?);
                guest.state().map_mut(map)?.add(&key, value);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_replace_header_map_value",
        |caller: Caller<'_, HostState>, map: u32, key: u32, key_size: u32, data: u32, size: u32| {
            hostcall(caller, |guest| {
                let (key, value) = (guest.read(key, key_size)?, guest.read(data, size)?);
                guest.state().map_mut(map)?.set(&key, value);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_remove_header_map_value",
        |caller: Caller<'_, HostState>, map: u32, key: u32, key_size: u32| {
            hostcall(caller, |guest| {
                let key = guest.read(key, key_size)?;
                guest.state().map_mut(map)?.remove(&key);
                Ok(())
            })
        },
    )?;
    Ok(())
}

pub(super) fn link_maps(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_pairs",
        |caller: Caller<'_, HostState>, map: u32, data_at: u32, size_at: u32| {
            hostcall(caller, |guest| {
                let pairs = guest.state().map(map)?.pairs().to_vec();
                let bytes = if pairs.is_empty() { Vec::new() } else { encode_pairs(&pairs) };
                guest.give(data_at, size_at, &bytes)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_header_map_pairs",
        |caller: Caller<'_, HostState>, map: u32, data: u32, size: u32| {
            hostcall(caller, |guest| {
                let pairs = decode_pairs(&guest.read(data, size)?);
                *guest.state().map_mut(map)? = pairs.into_iter().collect();
                Ok(())
            })
        },
    )?;
    Ok(())
}
