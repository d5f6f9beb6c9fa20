//! Hostcalls on a request: resume, close, local reply, clear the route cache.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::abi::{Status, decode_pairs};
use crate::guest::hostcall;
use crate::state::{HostState, LocalReply, Stream};

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_continue_stream",
        |caller: Caller<'_, HostState>, kind: u32| {
            hostcall(caller, |guest| Ok(resume(guest.state(), kind)?))
        },
    )?;
    linker.func_wrap(ENV, "proxy_close_stream", |caller: Caller<'_, HostState>, kind: u32| {
        hostcall(caller, |guest| Ok(close(guest.state(), kind)?))
    })?;
    linker.func_wrap(
        ENV,
        "proxy_send_local_response",
        |caller: Caller<'_, HostState>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         grpc_status: i32| {
            hostcall(caller, |guest| {
                guest.read(details, details_size)?;
                let body = guest.read(body, body_size)?;
                let headers = decode_pairs(&guest.read(headers, headers_size)?);
                let headers = headers.into_iter().collect();
                let reply = LocalReply { status, headers, body, grpc_status };
                Ok(reply_locally(guest.state(), reply)?)
            })
        },
    )?;
    link_foreign_functions(linker)
}

fn link_foreign_functions(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_call_foreign_function",
        |caller: Caller<'_, HostState>,
         name: u32,
         name_size: u32,
         data: u32,
         size: u32,
         result_at: u32,
         result_size_at: u32| {
            hostcall(caller, |guest| {
                let name = guest.read_text(name, name_size)?;
                guest.read(data, size)?;
                if name != "clear_route_cache" || !guest.state().has_foreign_functions {
                    return Err(Status::NotFound.into());
                }
                if let Some(stream) = guest.state().stream() {
                    stream.route_cache_clears += 1;
                    stream.route_is_stale = false;
                }
                guest.give(result_at, result_size_at, b"")
            })
        },
    )?;
    Ok(())
}

/// Some version of Envoy crashes or hangs if a filter resumes a stream that is not paused, or one
/// that has a local reply.
fn resume(state: &mut HostState, kind: u32) -> Result<(), Status> {
    let stream = state.stream();
    let (direction, paused) = match (kind, stream) {
        (0, Some(stream)) => ("request", take_pause(stream, |stream| &mut stream.request_paused)),
        (1, Some(stream)) => ("response", take_pause(stream, |stream| &mut stream.response_paused)),
        (0..=3, _) => return Ok(()),
        _ => return Err(Status::BadArgument),
    };
    if !paused {
        state.misuse.push(format!("resumed a {direction} that is not paused"));
    }
    Ok(())
}

fn take_pause(stream: &mut Stream, paused: impl FnOnce(&mut Stream) -> &mut bool) -> bool {
    stream.local_reply.is_none() && std::mem::take(paused(stream))
}

fn close(state: &mut HostState, kind: u32) -> Result<(), Status> {
    if kind > 3 {
        return Err(Status::BadArgument);
    }
    if let Some(stream) = state.stream() {
        (stream.request_paused, stream.response_paused) = (false, false);
    }
    Ok(())
}

fn reply_locally(state: &mut HostState, reply: LocalReply) -> Result<(), Status> {
    let Some(stream) = state.stream() else { return Err(Status::BadArgument) };
    if stream.local_reply.replace(reply).is_some() {
        state.misuse.push("sent two local responses to one request".to_owned());
    }
    Ok(())
}
