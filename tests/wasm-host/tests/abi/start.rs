//! The order in which a VM starts.

use crate::*;

#[test]
fn a_reactor_is_initialized_before_its_main_and_never_started() {
    let host = started(&format!(
        r#"(data (i32.const 0) "init main start ")
           (func (export "main") (param i32 i32) (result i32)
               (call $say (i32.const 5) (i32.const 4)) (i32.const 0))
           (func (export "_start") (call $say (i32.const 10) (i32.const 5)))
           (func (export "_initialize") (call $say (i32.const 0) (i32.const 4)))
           {MALLOC}"#
    ));
    assert_eq!(logged(&host), ["init", "main"]);
}

#[test]
fn a_command_is_started_and_its_main_is_not_called() {
    let host = started(&format!(
        r#"(data (i32.const 0) "main start ")
           (func (export "main") (param i32 i32) (result i32)
               (call $say (i32.const 0) (i32.const 4)) (i32.const 0))
           (func (export "_start") (call $say (i32.const 5) (i32.const 5)))
           {MALLOC}"#
    ));
    assert_eq!(logged(&host), ["start"]);
}

#[test]
fn the_root_context_is_created_then_started_then_configured() {
    let host = started(&format!(
        r#"(data (i32.const 0) "create start configure")
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
               (call $say (i32.const 13) (i32.const 9)) (i32.const 1))
           (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
               (call $say (i32.const 7) (i32.const 5)) (i32.const 1))
           (func (export "proxy_on_context_create") (param i32 i32)
               (call $say (i32.const 0) (i32.const 6)))
           {MALLOC}"#
    ));
    assert_eq!(logged(&host), ["create", "start", "configure"]);
}

#[test]
fn only_logging_is_allowed_while_the_vm_starts() {
    let error = refused(&format!(
        r#"(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
           (func (export "_initialize") (drop (call $now (i32.const 0))))
           {MALLOC}"#
    ));
    assert!(error.to_string().contains("only proxy_log may be called"), "{error}");
}

#[test]
fn a_refused_configuration_is_reported_with_the_log_lines() {
    let error = refused(&format!(
        r#"(data (i32.const 0) "no rules")
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
               (call $say (i32.const 0) (i32.const 8)) (i32.const 0))
           {MALLOC}"#
    ));
    assert!(matches!(&error, StartError::Refused(logs) if logs.len() == 1), "{error}");
    assert!(error.to_string().contains("no rules"), "{error}");
}

#[test]
fn a_module_without_an_abi_version_is_refused() {
    let error = FilterModule::new("(module)").unwrap_err();
    assert_eq!(error.to_string(), "missing or unknown proxy-wasm ABI version");
}

#[test]
fn a_module_without_an_allocator_does_not_start() {
    assert!(refused("").to_string().contains("exports no malloc"));
}

#[test]
fn an_unknown_import_traps_only_when_it_is_called() {
    let body = format!(
        r#"(import "env" "proxy_fly" (func $fly))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (call $fly) (i32.const 0))
           {MALLOC}"#
    );
    let error = started(&body).on_request_headers([(":path", "/")]).unwrap_err();
    assert!(error.to_string().contains("proxy_fly"), "{error}");
}

#[test]
fn an_endless_loop_traps() {
    let body = format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (loop $again (br $again)) (i32.const 0))
           {MALLOC}"#
    );
    let error = started(&body).on_request_headers([(":path", "/")]).unwrap_err();
    assert!(error.to_string().contains("fuel"), "{error}");
}
