use super::*;
use crate::classify::{self, HttpAnswer};

const NOW: Millis = Millis(1_000_000);

fn cache() -> Cache {
    Cache::new(CacheConfig { max_entries: 8, positive_ttl_seconds: 60, negative_ttl_seconds: 10 })
}

fn found() -> Answer {
    let body = br#"{"action":"PROXY","proxy":{"address":"cell-1"}}"#.to_vec();
    classify::read(&Ok(HttpAnswer { status: 200, cache_control: None, body })).unwrap()
}

/// Where the answer to `q` comes from at `seconds` after [`NOW`].
fn source_at(cache: &mut Cache, seconds: u32) -> Option<Source> {
    cache.get("q", NOW.plus_seconds(seconds)).map(|(_, source)| source)
}

#[test]
fn a_found_cell_is_fresh_for_the_configured_time_less_a_tenth_at_most() {
    let mut cache = cache();
    cache.put("q", &found(), None, NOW);
    assert_eq!(source_at(&mut cache, 53), Some(Source::Cache));
    assert_eq!(source_at(&mut cache, 60), None);
}

#[test]
fn not_found_is_kept_for_its_own_time() {
    let mut cache = cache();
    cache.put("q", &Answer::NotFound, None, NOW);
    assert_eq!(cache.get("q", NOW.plus_seconds(8)), Some((Answer::NotFound, Source::Cache)));
    assert_eq!(source_at(&mut cache, 10), None);
}

#[test]
fn the_services_max_age_wins() {
    let mut cache = cache();
    cache.put("q", &found(), Some(600), NOW);
    assert_eq!(source_at(&mut cache, 500), Some(Source::Cache));
    cache.put("q", &found(), Some(0), NOW);
    assert_eq!(source_at(&mut cache, 0), None);
}

#[test]
fn the_last_good_cell_serves_stale_until_the_next_try_is_due() {
    let mut cache = cache();
    cache.put("q", &found(), None, NOW);
    assert!(cache.last_good("q", NOW.plus_seconds(100_000)).is_some());
    assert_eq!(source_at(&mut cache, 100_004), Some(Source::Stale));
    assert_eq!(source_at(&mut cache, 100_005), None);
    cache.put("q", &found(), None, NOW.plus_seconds(100_005));
    assert_eq!(source_at(&mut cache, 100_006), Some(Source::Cache));
}

#[test]
fn not_found_is_no_good_answer_once_stale_and_unmakes_a_found_one() {
    let mut cache = cache();
    cache.put("q", &found(), None, NOW);
    cache.put("q", &Answer::NotFound, None, NOW);
    assert!(cache.last_good("q", NOW).is_none());
    cache.put("q", &found(), None, NOW);
    assert_eq!(source_at(&mut cache, 1), Some(Source::Cache));
}

#[test]
fn a_flood_of_unknown_names_leaves_the_found_cells() {
    let mut cache = cache();
    cache.put("q", &found(), None, NOW);
    for n in 0..1000 {
        cache.put(&n.to_string(), &Answer::NotFound, None, NOW);
    }
    assert_eq!(source_at(&mut cache, 1), Some(Source::Cache));
}

#[test]
fn two_questions_expire_apart() {
    assert_ne!(jittered("a", NOW, 60), jittered("b", NOW, 60));
}

#[test]
fn cache_control_is_read_by_its_directives() {
    for (value, expected) in [
        (&b"max-age=30"[..], Some(30)),
        (b"public, Max-Age=30", Some(30)),
        (b"no-store", Some(0)),
        (b"max-age=30, no-cache", Some(0)),
        (b"private", None),
        (b"max-age=abc", None),
        (b"max-age=-1", None),
        (b"\xff", None),
        (b"", None),
    ] {
        assert_eq!(max_age(value), expected, "{}", String::from_utf8_lossy(value));
    }
}
