//! Hostcalls on logs, time, properties and contexts.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::abi::{LogLevel, Status};
use crate::guest::{hostcall, hostcall_at_any_time};
use crate::state::{HostState, LogLine, Tick};

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_log",
        |caller: Caller<'_, HostState>, level: u32, data: u32, size: u32| {
            hostcall_at_any_time(caller, |guest| {
                let level = LogLevel::from_wire(level).ok_or(Status::BadArgument)?;
                let message = guest.read_text(data, size)?;
                guest.state().logs.push(LogLine { level, message });
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_log_level",
        |caller: Caller<'_, HostState>, level_at: u32| {
            hostcall(caller, |guest| {
                let level = guest.state().log_level as u32;
                guest.write_u32(level_at, level)
            })
        },
    )?;
    link_time(linker)?;
    link_properties(linker)?;
    link_contexts(linker)
}

fn link_time(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_current_time_nanoseconds",
        |caller: Caller<'_, HostState>, time_at: u32| {
            hostcall(caller, |guest| {
                let now = guest.state().now_ns;
                guest.write_u64(time_at, now)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_tick_period_milliseconds",
        |caller: Caller<'_, HostState>, period_ms: u32| {
            hostcall(caller, |guest| {
                let state = guest.state();
                let root = state.active_root();
                if period_ms == 0 {
                    state.ticks.remove(&root);
                } else {
                    state.ticks.insert(root, Tick::set(period_ms, state.now_ns));
                }
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn link_properties(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_property",
        |caller: Caller<'_, HostState>, path: u32, path_size: u32, data_at: u32, size_at: u32| {
            hostcall(caller, |guest| {
                let path = guest.read(path, path_size)?;
                let value = guest.state().properties.get(&path).cloned();
                guest.give(data_at, size_at, &value.ok_or(Status::NotFound)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_property",
        |caller: Caller<'_, HostState>, path: u32, path_size: u32, data: u32, size: u32| {
            hostcall(caller, |guest| {
                let (path, value) = (guest.read(path, path_size)?, guest.read(data, size)?);
                guest.state().properties.insert(path, value);
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn link_contexts(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_set_effective_context",
        |caller: Caller<'_, HostState>, context: u32| {
            hostcall(caller, |guest| {
                let state = guest.state();
                if !state.live.contains(&context) {
                    return Err(Status::BadArgument.into());
                }
                state.active = context;
                Ok(())
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_done", |caller: Caller<'_, HostState>| {
        hostcall(caller, |guest| {
            let state = guest.state();
            let waiting = state.unfinished.remove(&state.active);
            if waiting { Ok(()) } else { Err(Status::NotFound.into()) }
        })
    })?;
    Ok(())
}
