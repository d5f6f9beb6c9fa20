//! Hostcalls on metrics.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::guest::hostcall;
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_define_metric",
        |caller: Caller<'_, HostState>, kind: u32, name: u32, name_size: u32, id_at: u32| {
            hostcall(caller, |guest| {
                let name = guest.read_text(name, name_size)?;
                let id = guest.state().metrics.define(kind, name)?;
                guest.write_u32(id_at, id)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_increment_metric",
        |caller: Caller<'_, HostState>, id: u32, offset: i64| {
            hostcall(caller, |guest| Ok(guest.state().metrics.increment(id, offset)?))
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_record_metric",
        |caller: Caller<'_, HostState>, id: u32, value: u64| {
            hostcall(caller, |guest| Ok(guest.state().metrics.record(id, value)?))
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_metric",
        |caller: Caller<'_, HostState>, id: u32, value_at: u32| {
            hostcall(caller, |guest| {
                let value = guest.state().metrics.get(id)?;
                guest.write_u64(value_at, value)
            })
        },
    )?;
    Ok(())
}
