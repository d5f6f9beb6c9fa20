//! Hostcalls on shared data and shared queues.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::guest::hostcall;
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_shared_data",
        |caller: Caller<'_, HostState>,
         key: u32,
         key_size: u32,
         data_at: u32,
         size_at: u32,
         cas_at: u32| {
            hostcall(caller, |guest| {
                let key = guest.read(key, key_size)?;
                let (value, cas) = guest.state().shared_data.get(&key)?;
                guest.give(data_at, size_at, &value)?;
                guest.write_u32(cas_at, cas)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_shared_data",
        |caller: Caller<'_, HostState>, key: u32, key_size: u32, data: u32, size: u32, cas: u32| {
            hostcall(caller, |guest| {
                let (key, value) = (guest.read(key, key_size)?, guest.read(data, size)?);
                Ok(guest.state().shared_data.set(key, value, cas)?)
            })
        },
    )?;
    link_queue_names(linker)?;
    link_queues(linker)
}

fn link_queue_names(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_register_shared_queue",
        |caller: Caller<'_, HostState>, name: u32, name_size: u32, token_at: u32| {
            hostcall(caller, |guest| {
                let name = guest.read(name, name_size)?;
                let token = guest.state().shared_queues.register(name);
                guest.write_u32(token_at, token)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_resolve_shared_queue",
        |caller: Caller<'_, HostState>,
         vm_id: u32,
         vm_id_size: u32,
         name: u32,
         name_size: u32,
         token_at: u32| {
            hostcall(caller, |guest| {
                guest.read(vm_id, vm_id_size)?;
                let name = guest.read(name, name_size)?;
                let token = guest.state().shared_queues.resolve(&name)?;
                guest.write_u32(token_at, token)
            })
        },
    )?;
    Ok(())
}

fn link_queues(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_enqueue_shared_queue",
        |caller: Caller<'_, HostState>, token: u32, data: u32, size: u32| {
            hostcall(caller, |guest| {
                let value = guest.read(data, size)?;
                Ok(guest.state().shared_queues.enqueue(token, value)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_dequeue_shared_queue",
        |caller: Caller<'_, HostState>, token: u32, data_at: u32, size_at: u32| {
            hostcall(caller, |guest| {
                let value = guest.state().shared_queues.dequeue(token)?;
                guest.give(data_at, size_at, &value)
            })
        },
    )?;
    Ok(())
}
