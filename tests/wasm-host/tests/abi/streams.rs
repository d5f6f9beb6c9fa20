//! Pausing, resuming and replying.

use crate::*;

fn filter(action: &str) -> String {
    format!(
        r#"(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
           (import "env" "proxy_send_local_response"
               (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
           (func $refuse (drop (call $reply (i32.const 503) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {action})
           {MALLOC}"#
    )
}

#[test]
fn a_request_waits_while_it_is_paused() {
    let mut host = started(&filter("(i32.const 1)"));
    let stream = request(&mut host);
    assert_eq!(host.stream_state(stream).unwrap(), StreamState::Paused);
}

#[test]
fn a_local_reply_takes_precedence_over_the_returned_action() {
    let mut host = started(&filter("(call $refuse) (i32.const 0)"));
    let stream = request(&mut host);
    assert_eq!(host.stream_state(stream).unwrap(), StreamState::LocalReply);
    assert_eq!(host.local_reply(stream).unwrap().status, 503);
}

#[test]
fn resuming_a_request_that_is_not_paused_is_an_error() {
    let mut host = started(&filter("(drop (call $continue (i32.const 0))) (i32.const 0)"));
    let error = host.on_request_headers([(":path", "/")]).unwrap_err();
    assert!(error.to_string().contains("resumed a request that is not paused"), "{error}");
}

#[test]
fn a_second_local_reply_is_an_error() {
    let mut host = started(&filter("(call $refuse) (call $refuse) (i32.const 0)"));
    let error = host.on_request_headers([(":path", "/")]).unwrap_err();
    assert!(error.to_string().contains("two local responses"), "{error}");
}

#[test]
fn a_stream_ends_only_once() {
    let mut host = started(&filter("(i32.const 0)"));
    let stream = request(&mut host);
    host.end_stream(stream).unwrap();
    assert!(host.end_stream(stream).is_err());
}
