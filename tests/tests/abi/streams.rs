//! Pausing, resuming, answering.

use crate::*;

fn filter(action: &str) -> String {
    format!(
        r#"(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
           (import "env" "proxy_send_local_response"
               (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
           (func $answer (drop (call $reply (i32.const 503) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {action})
           {MALLOC}"#
    )
}

#[test]
fn a_paused_request_waits() {
    let mut host = started(&filter("(i32.const 1)"));
    let stream = request(&mut host);
    assert_eq!(host.outcome(stream).unwrap(), Outcome::Pause);
}

#[test]
fn a_local_reply_outranks_the_returned_action() {
    let mut host = started(&filter("(call $answer) (i32.const 0)"));
    let stream = request(&mut host);
    assert_eq!(host.outcome(stream).unwrap(), Outcome::LocalReply);
    assert_eq!(host.local_reply(stream).unwrap().status, 503);
}

#[test]
fn resuming_what_is_not_paused_is_an_error() {
    let mut host = started(&filter("(drop (call $continue (i32.const 0))) (i32.const 0)"));
    let error = host.on_request_headers([(":path", "/")]).unwrap_err();
    assert!(error.to_string().contains("resumed a request that is not paused"), "{error}");
}

#[test]
fn answering_twice_is_an_error() {
    let mut host = started(&filter("(call $answer) (call $answer) (i32.const 0)"));
    let error = host.on_request_headers([(":path", "/")]).unwrap_err();
    assert!(error.to_string().contains("two local responses"), "{error}");
}

#[test]
fn a_stream_ends_once() {
    let mut host = started(&filter("(i32.const 0)"));
    let stream = request(&mut host);
    host.end_stream(stream).unwrap();
    assert!(host.end_stream(stream).is_err());
}
