//! Hostcalls that call other services. gRPC is not supported: every gRPC call fails with
//! `INTERNAL_FAILURE`, as in an Envoy that cannot send it. The SDK returns that as an `Err`.

use wasmtime::{Caller, Linker, Result};

use super::ENV;
use crate::abi::{Status, decode_pairs};
use crate::guest::hostcall;
use crate::headers::HeaderMap;
use crate::state::{Call, CallId, HostState, StreamId};

const INTERNAL_FAILURE: u32 = Status::InternalFailure as u32;
const NOT_FOUND: u32 = Status::NotFound as u32;

type Caller0<'a> = Caller<'a, HostState>;

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_http_call",
        |caller: Caller0<'_>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         trailers: u32,
         trailers_size: u32,
         timeout_ms: u32,
         token_at: u32| {
            hostcall(caller, |guest| {
                let cluster = guest.read_text(cluster, cluster_size)?;
                let headers = decode_pairs(&guest.read(headers, headers_size)?);
                let body = guest.read(body, body_size)?;
                guest.read(trailers, trailers_size)?;
                guest.write_u32(token_at, 0)?;
                let headers = headers.into_iter().collect();
                let token = dispatch(guest.state(), cluster, headers, body, timeout_ms)?;
                guest.write_u32(token_at, token)
            })
        },
    )?;
    link_grpc(linker)
}

/// Envoy refuses a call to an unknown cluster, and one that lacks a pseudo header.
fn dispatch(
    state: &mut HostState,
    cluster: String,
    headers: HeaderMap,
    body: Vec<u8>,
    timeout_ms: u32,
) -> Result<u32, Status> {
    let complete =
        [":method", ":path", ":authority"].iter().all(|name| headers.get(name).is_some());
    if !complete || state.unknown_clusters.contains(&cluster) {
        return Err(Status::BadArgument);
    }
    state.calls_made += 1;
    let id = CallId(state.calls_made);
    let stream = Some(StreamId(state.active)).filter(|id| state.streams.contains_key(id));
    let root = state.active_root();
    state.calls.insert(id, Call { id, stream, cluster, headers, body, timeout_ms, root });
    Ok(id.0)
}

#[rustfmt::skip]
fn link_grpc(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(ENV, "proxy_grpc_call",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| INTERNAL_FAILURE)?;
    linker.func_wrap(ENV, "proxy_grpc_stream",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| INTERNAL_FAILURE)?;
    linker.func_wrap(ENV, "proxy_grpc_send", |_: u32, _: u32, _: u32, _: u32| NOT_FOUND)?;
    linker.func_wrap(ENV, "proxy_grpc_cancel", |_: u32| NOT_FOUND)?;
    linker.func_wrap(ENV, "proxy_grpc_close", |_: u32| NOT_FOUND)?;
    linker.func_wrap(ENV, "proxy_get_status", |caller: Caller0<'_>, code_at: u32, data_at: u32, size_at: u32| {
        hostcall(caller, |guest| {
            guest.write_u32(code_at, 0)?;
            guest.give(data_at, size_at, b"")
        })
    })?;
    Ok(())
}
