//! The timers of root contexts, and their access to requests.

use crate::*;

/// Every request sets a tick period of 10 ms; every tick runs `body`.
fn ticking(body: &str) -> FilterHost {
    started(&format!(
        r#"(import "env" "proxy_set_tick_period_milliseconds"
               (func $every (param i32) (result i32)))
           (import "env" "proxy_set_effective_context" (func $enter (param i32) (result i32)))
           (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
           (global $last (mut i32) (i32.const 0))
           (func $digit (param i32)
               (i32.store8 (i32.const 512) (i32.add (i32.const 48) (local.get 0)))
               (call $say (i32.const 512) (i32.const 1)))
           (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
               (global.set $last (local.get $context))
               (drop (call $every (i32.const 10))) (i32.const 1))
           (func (export "proxy_on_tick") (param $root i32) {body})
           {MALLOC}"#
    ))
}

#[test]
fn a_timer_fires_once_per_period() {
    let mut host = ticking("(call $digit (local.get $root))");
    host.run_for(100).unwrap();
    assert!(logged(&host).is_empty(), "no timer is set yet");
    request(&mut host);
    host.run_for(9).unwrap();
    assert!(logged(&host).is_empty());
    host.run_for(26).unwrap();
    assert_eq!(logged(&host), ["1", "1", "1"]);
}

#[test]
fn a_period_of_zero_stops_it() {
    let mut host = ticking("(call $digit (call $every (i32.const 0)))");
    request(&mut host);
    host.run_for(100).unwrap();
    assert_eq!((logged(&host), host.tick_period_ms()), (vec!["0"], 0));
}

#[test]
fn a_tick_can_enter_a_request_and_resume_it() {
    let body = "(drop (call $enter (global.get $last))) (drop (call $continue (i32.const 0)))
        (drop (call $every (i32.const 0)))";
    let mut host = ticking(body);
    let stream = request(&mut host);
    host.run_for(10).unwrap();
    assert_eq!(host.stream_state(stream).unwrap(), StreamState::Continued);
    assert_eq!(host.tick_period_ms(), 0, "a request's timer belongs to its root");
}

#[test]
fn an_ended_request_cannot_be_entered() {
    let mut host = ticking("(call $digit (call $enter (global.get $last)))");
    let stream = request(&mut host);
    host.end_stream(stream).unwrap();
    host.run_for(10).unwrap();
    assert_eq!(logged(&host), ["2"]);
}

#[test]
fn each_configuration_has_its_own_timer() {
    let mut host = ticking("(call $digit (local.get $root))");
    request(&mut host);
    host.reconfigure("").unwrap();
    host.run_for(10).unwrap();
    assert_eq!((logged(&host), host.tick_period_ms()), (vec!["1"], 0));
}
