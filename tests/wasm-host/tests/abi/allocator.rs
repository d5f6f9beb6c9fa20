//! Where the host puts the bytes it returns to a guest.

use crate::*;

/// Reads the header `x-word` and logs the value at the address that the allocator returned.
const READ_A_HEADER: &str = r#"
    (import "env" "proxy_get_header_map_value"
        (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (data (i32.const 0) "x-word")
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $get (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 64) (i32.const 68)))
        (call $say (i32.load (i32.const 64)) (i32.load (i32.const 68)))
        (call $say (i32.const 80) (i32.const 1))
        (i32.const 0))"#;

fn allocator(name: &str, letter: char) -> String {
    format!(
        r#"(func (export "{name}") (param i32) (result i32)
               (i32.store8 (i32.const 80) (i32.const {})) (i32.const 4096))"#,
        letter as u32
    )
}

#[test]
fn malloc_is_preferred() {
    let old = allocator("proxy_on_memory_allocate", 'p');
    let mut host = started(&format!("{READ_A_HEADER}{old}{}", allocator("malloc", 'm')));
    request(&mut host);
    assert_eq!(logged(&host), ["hello", "m"]);
}

#[test]
fn proxy_on_memory_allocate_is_used_without_a_malloc() {
    let old = allocator("proxy_on_memory_allocate", 'p');
    let mut host = started(&format!("{READ_A_HEADER}{old}"));
    request(&mut host);
    assert_eq!(logged(&host), ["hello", "p"]);
}

#[test]
fn nothing_is_allocated_for_an_empty_value() {
    let mut host = started(&format!("{READ_A_HEADER}{}", allocator("malloc", 'm')));
    host.on_request_headers([("x-word", "")]).unwrap();
    assert_eq!(logged(&host), ["", "\0"]);
}

#[test]
fn a_pointer_outside_the_memory_returns_a_status_and_does_not_trap() {
    let mut host = started(&format!(
        r#"(import "env" "proxy_get_header_map_value"
               (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (i32.store8 (i32.const 80) (i32.add (i32.const 48)
                   (call $get (i32.const 0) (i32.const -1) (i32.const 9) (i32.const 64) (i32.const 68))))
               (call $say (i32.const 80) (i32.const 1))
               (i32.const 0))
           {MALLOC}"#
    ));
    request(&mut host);
    assert_eq!(logged(&host), ["6"]);
}
