use serde_json::{Value, json};

use crate::config::{self, RulesetModel};
use crate::request::Request;
use crate::rules::variables::Variables;
use crate::rules::{Mismatch, Ruleset};

fn compile(rules: &Value) -> Result<Ruleset, String> {
    let json = json!({"rules": rules}).to_string();
    let model: RulesetModel =
        config::from_json(json.as_bytes()).map_err(|error| error.to_string())?;
    Ruleset::compile(model, None).map_err(|error| error.to_string())
}

fn last() -> Value {
    json!({"id": "last", "action": "classify", "classify": {"type": "FIRST_CELL"}})
}

/// A valid rule with one field replaced.
fn rule(field: &str, value: Value) -> Value {
    let mut rule = json!({
        "id": "one",
        "match": {"type": "path", "regexValue": "/(?<name>.*)"},
        "action": "classify",
        "classify": {"type": "CELL_ID", "value": "${name}"},
    });
    rule[field] = value;
    rule
}

/// Asserts that a rule with this field is rejected with this error.
fn assert_rejected(field: &str, value: Value, expected: &str) {
    let error = compile(&json!([rule(field, value), last()])).unwrap_err();
    assert!(error.contains(expected), "expected {expected:?} in {error:?}");
}

#[test]
fn a_list_of_one_item_may_be_written_as_that_item() {
    let one = rule("hashKey", json!("${name}"));
    let many = rule("hashKey", json!(["${name}"]));
    assert!(compile(&json!([one, last()])).is_ok());
    assert!(compile(&json!([many, last()])).is_ok());
}

#[test]
fn an_error_in_a_condition_names_rule_and_field() {
    let path = |regex: &str| json!({"type": "path", "regexValue": regex});
    for (field, value, expected) in [
        ("mtach", json!([]), "rule `one`, mtach: unknown field `mtach`"),
        ("id", json!("a b"), "rule `a b`, id: an id must"),
        (
            "match",
            json!({"type": "path", "regex_value": "x"}),
            "rule `one`, match.regex_value: keys must be in camel case: write `regexValue`",
        ),
        (
            "classify",
            json!([{"claims": [{"route": "a"}, {"redirect_route": "a"}]}]),
            "rule `one`, classify[0].claims[1].redirect_route: keys must be in camel case: write `redirectRoute`",
        ),
        (
            "match",
            json!(vec![path("/"); 17]),
            "rule `one`, match: a list can have at most 16 items",
        ),
        (
            "match",
            json!({"type": "path", "regex": "x"}),
            "rule `one`, match: unknown field `regex`",
        ),
        ("match", json!({"type": "paht"}), "rule `one`, match.type: unknown variant `paht`"),
        (
            "match",
            json!([path("/(?<name>.*)"), path("(")]),
            "rule `one`, match[1].regexValue: regex",
        ),
        (
            "match",
            json!([path("(?<name>.)"), path("(?<name>.)")]),
            "variable `name` is defined twice",
        ),
        ("match", json!([path("/")]), "rule `one`, classify[0].value: `${name}` uses a variable"),
        (
            "transform",
            json!({"type": "jwt-claims", "input": "${nmae}", "output": "claims"}),
            "rule `one`, transform[0].input: `${nmae}` uses a variable",
        ),
        (
            "transform",
            json!({"type": "jwt-claims", "input": "${name}", "output": "name"}),
            "rule `one`, transform[0].output: variable `name` is defined twice",
        ),
        (
            "transform",
            json!({"type": "routable-token-payload", "input": ["a", "b", "c"], "output": "x"}),
            "rule `one`, transform[0].input: expected the whole token",
        ),
        ("validate", json!({"exist": ["${decoded.c}"]}), "rule `one`, validate.exist[0]: "),
        ("validate", json!({"exists": []}), "rule `one`, validate.exists: unknown field"),
    ] {
        assert_rejected(field, value, expected);
    }
}

#[test]
fn an_error_in_an_action_names_rule_and_field() {
    for (field, value, expected) in [
        ("proxy", json!({}), "rule `one`, proxy.address: missing field `address`"),
        ("action", json!("redirect"), "rule `one`, action: unknown variant"),
        ("action", json!("proxy"), "rule `one`, classify: action `proxy` cannot have"),
        ("proxy", json!({"address": "cell-1"}), "rule `one`, proxy: action `classify` cannot have"),
        ("classify", json!([]), "rule `one`, classify: action `classify` requires"),
        ("classify", json!({}), "rule `one`, classify[0]: `type` or `claims`"),
        (
            "classify",
            json!({"type": "CELL_ID"}),
            "rule `one`, classify[0].value: this type requires",
        ),
        (
            "classify",
            json!({"type": "FIRST_CELL", "value": "1"}),
            "classify[0].value: `FIRST_CELL`",
        ),
        (
            "classify",
            json!([{"claims": [{"route": "a"}], "type": "FIRST_CELL"}]),
            "rule `one`, classify[0]: `type` and `claims` cannot",
        ),
        (
            "classify",
            json!([{"claims": [{"route": "${a}"}]}]),
            "rule `one`, classify[0].claims[0].route: `${a}`",
        ),
        ("classify", json!([{"claims": [{"rout": "a"}]}]), "unknown variant `rout`"),
        ("hashKey", json!(["${name", "x"]), "rule `one`, hashKey[0]: malformed template `${name`"),
        ("rewritePath", json!("jwt"), "rule `one`, rewritePath: a path must start with"),
        ("rewritePath", json!("/a?b=${name}"), "rule `one`, rewritePath: a path must start with"),
        ("rewritePath", json!("/a/../${name}"), "rule `one`, rewritePath: a path must start with"),
        ("rewritePath", json!("/a\r\n${name}"), "rule `one`, rewritePath: a path must start with"),
        ("rewritePath", json!("/%2e${name}"), "rule `one`, rewritePath: a path must start with"),
        ("onUnavailable", json!("ignore"), "rule `one`, onUnavailable: unknown variant"),
    ] {
        assert_rejected(field, value, expected);
    }
}

#[test]
fn a_condition_that_can_never_hold_is_rejected() {
    let named = |kind: &str, name: &str| json!([{"type": kind, "name": name}]);
    let method = |values: Value| json!([{"type": "method", "values": values}]);
    for (field, value, expected) in [
        ("match", named("header", ""), "rule `one`, match[0].name: not a valid header name"),
        ("match", named("header", "a b"), "rule `one`, match[0].name: not a valid header name"),
        ("match", named("header", ":path"), "rule `one`, match[0].name: pseudo-headers"),
        ("match", named("header", "X-Cell"), "rule `one`, match[0].name: this header is set"),
        ("match", named("header", "x_forwarded_host"), "match[0].name: this header is set"),
        ("match", named("query", ""), "rule `one`, match[0].name: the parameter name"),
        ("match", method(json!([])), "rule `one`, match[0].values: at least one"),
        ("match", method(json!("get")), "rule `one`, match[0].values: methods must be in"),
        ("match", method(json!(["GET", ""])), "rule `one`, match[0].values: methods must"),
        ("match", method(json!("GET HEAD")), "rule `one`, match[0].values: methods must"),
        ("validate", json!({"exist": []}), "rule `one`, validate.exist: at least one template"),
        ("validate", json!({"exist": [""]}), "rule `one`, validate.exist: at least one template"),
    ] {
        assert_rejected(field, value, expected);
    }
}

#[test]
fn a_reserved_route_is_one_path_segment() {
    for route in ["", "/", "api/v4"] {
        let json = json!({"reservedRoutes": ["api", route], "rules": [last()]}).to_string();
        let model: RulesetModel = config::from_json(json.as_bytes()).unwrap();
        let error = Ruleset::compile(model, None).unwrap_err().to_string();
        assert!(error.starts_with("reservedRoutes: each must be one path segment"), "{error}");
    }
}

#[test]
fn a_decoded_token_has_only_the_routing_fields() {
    let rule = |field: &str| {
        json!({
            "id": "one",
            "match": {"type": "header", "name": "x", "regexValue": "(?<token>.*)"},
            "transform": {"type": "routable-token-payload", "input": "${token}", "output": "d"},
            "action": "classify",
            "classify": {"type": "CELL_ID", "value": format!("${{{field}}}")},
        })
    };
    assert!(compile(&json!([rule("d.c"), last()])).is_ok());
    for field in ["d", "d.cell", "d.c.x", "token.c"] {
        assert!(compile(&json!([rule(field), last()])).is_err(), "{field}");
    }
}

#[test]
fn the_last_rule_and_only_the_last_is_unconditional() {
    for (rules, expected) in [
        (json!([]), "a ruleset must have at least one rule"),
        (
            json!([rule("id", json!("one"))]),
            "rule `one`, match: the last rule must be unconditional",
        ),
        (
            json!([last(), rule("id", json!("one"))]),
            "rule `one`, id: unreachable: the previous rule `last` is unconditional",
        ),
        (json!([rule("id", json!("last")), last()]), "rule `last`, id: another rule has this id"),
    ] {
        let error = compile(&rules).unwrap_err();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
}

#[test]
fn an_error_names_a_rule_without_an_id_by_its_position() {
    let error = compile(&json!([last(), {"action": "proxy"}])).unwrap_err();
    assert!(error.contains("rule `#2`, id: missing field `id`"), "{error}");
}

#[test]
fn a_proxy_rule_uses_its_own_address_or_the_filters() {
    let compile = |rule: Value, default| {
        let json = json!({"rules": [rule]}).to_string();
        Ruleset::compile(config::from_json(json.as_bytes()).unwrap(), default)
            .map_err(|error| error.to_string())
    };
    let bare = json!({"id": "legacy", "action": "proxy"});
    assert!(compile(bare.clone(), Some("cell-1")).is_ok());
    assert!(compile(bare.clone(), None).unwrap_err().contains("rule `legacy`, proxy: no address"));
    assert!(compile(bare, Some("a b")).unwrap_err().contains("not a valid cluster name"));
    let own = json!({"id": "legacy", "action": "proxy", "proxy": {"address": "cell-1"}});
    assert!(compile(own, None).is_ok());
}

#[test]
fn a_published_rule_of_gitlabs_works_unchanged() {
    let gitlabs: Value = serde_json::from_str(
        r#"{
          "id": "session_token_header_runner_token",
          "match": {"type":"header","name":"runner-token",
            "regexValue":"^glrtr?-(?<payload>[0-9A-Za-z_-]{27,300})\\.01\\.(?<payload_length>[0-9a-z]{2})[0-9a-z]{7}$"},
          "transform": {"type":"routable-token-payload","input":["${payload}","${payload_length}"],"output":"decoded"},
          "action": "classify",
          "classify": {"type":"CELL_ID","value":"${decoded.c}"},
          "validate": {"exist":["${decoded.c}"]}
        }"#,
    )
    .unwrap();
    let ruleset = compile(&json!([gitlabs, last()])).unwrap();
    let matches = |token: &str| {
        let headers = [("runner-token".to_owned(), token.as_bytes().to_vec())];
        let mut variables = Variables::default();
        let matched = ruleset.rules[0].matches(&Request::new(&headers), &mut variables);
        matched.map(|()| variables.texts(&"decoded.c".parse().unwrap()))
    };
    let token = "glrtr-YWFhYWFhYWFhYWFhYWFhYWM6MTAKbzoxCA.01.0y0zl2msc";
    assert_eq!(matches(token), Ok(vec!["36".to_owned()]));
    assert_eq!(matches(&token.replace(".01.", ".02.")), Err(Mismatch::Match(0)));
    assert_eq!(matches(&token.replace(".0y", ".zz")), Err(Mismatch::Exist(0)));
}

#[test]
fn a_rule_does_not_match_if_its_rewritten_path_is_ambiguous() {
    let rule = json!({
        "id": "one",
        "match": {"type": "query", "name": "to", "regexValue": "(?<to>.*)"},
        "action": "classify",
        "classify": {"type": "CELL_ID", "value": "1"},
        "rewritePath": "/go/${to}/x",
    });
    let ruleset = compile(&json!([rule, last()])).unwrap();
    let matches = |query: &str| {
        let path = format!("/?to={query}").into_bytes();
        let headers = [(":path".to_owned(), path)];
        let mut variables = Variables::default();
        let rule = &ruleset.rules[0];
        rule.matches(&Request::new(&headers), &mut variables)?;
        Ok(rule.rewrite_path(&variables))
    };
    assert_eq!(matches("a/b"), Ok(Some("/go/a/b/x".to_owned())));
    for query in
        ["a%20b", "a%3fb", "a%23b", "a%2525b", "a%5cb", "..", ".", "%2f", "a%2f%2fb", "%c3%a9"]
    {
        assert_eq!(matches(query), Err(Mismatch::RewritePath), "{query}");
    }
}

#[test]
fn too_many_expressions_are_rejected() {
    let cookie = |_| json!({"type": "cookie", "regexName": "a", "regexValue": "b"});
    let wide = |n| {
        let id = format!("rule-{n}");
        let classify = json!({"type": "FIRST_CELL"});
        let cookies: Vec<_> = (0..16).map(cookie).collect();
        json!({"id": id, "match": cookies, "action": "classify", "classify": classify})
    };
    let rules = |count| (0..count).map(wide).chain([last()]).collect::<Vec<_>>();
    assert!(compile(&json!(rules(9))).is_ok());
    let error = compile(&json!(rules(10))).unwrap_err();
    assert_eq!(error, "rule `rule-9`, match: a ruleset can have at most 300 regular expressions");
}

#[test]
fn too_many_rules_are_rejected() {
    let rules: Vec<_> = (0..=200).map(|n| rule("id", json!(format!("rule-{n}")))).collect();
    assert!(compile(&json!(rules)).unwrap_err().contains("rules: a ruleset can have at most 200"));
}
