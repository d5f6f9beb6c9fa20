//! Shared data with compare-and-swap.

use crate::*;

/// For every request, sets "k" with a CAS number one less than the number of headers, and logs the
/// status and the value's new CAS number.
fn host() -> FilterHost {
    started(&format!(
        r#"(import "env" "proxy_set_shared_data"
               (func $set (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_get_shared_data"
               (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (data (i32.const 0) "k")
           (func (export "proxy_on_request_headers") (param $id i32) (param $cas i32) (param i32)
               (result i32)
               (i32.store8 (i32.const 80) (i32.add (i32.const 48) (call $set
                   (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
                   (i32.sub (local.get $cas) (i32.const 1)))))
               (drop (call $get (i32.const 0) (i32.const 1)
                   (i32.const 64) (i32.const 68) (i32.const 72)))
               (i32.store8 (i32.const 81) (i32.add (i32.const 48) (i32.load (i32.const 72))))
               (call $say (i32.const 80) (i32.const 2))
               (i32.const 0))
           {MALLOC}"#
    ))
}

fn set(host: &mut FilterHost, cas: usize) -> String {
    host.on_request_headers(vec![("a", "b"); cas + 1]).unwrap();
    host.logs().last().unwrap().message.clone()
}

const OK: char = '0';
const CAS_MISMATCH: char = '8';

#[test]
fn a_cas_of_zero_overwrites_and_every_write_has_a_new_number() {
    let mut host = host();
    assert_eq!(set(&mut host, 0), format!("{OK}1"));
    assert_eq!(set(&mut host, 0), format!("{OK}2"));
}

#[test]
fn a_current_cas_writes_and_an_old_one_does_not() {
    let mut host = host();
    set(&mut host, 0);
    assert_eq!(set(&mut host, 1), format!("{OK}2"));
    assert_eq!(set(&mut host, 1), format!("{CAS_MISMATCH}2"));
}

#[test]
fn a_new_key_accepts_any_cas() {
    assert_eq!(set(&mut host(), 7), format!("{OK}1"));
}
