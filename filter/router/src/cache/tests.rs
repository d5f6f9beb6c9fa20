use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::classify::{self, CallResponse};

const NOW: Millis = Millis(1_000_000);

/// A response without `Cache-Control`.
const UNSPECIFIED: Lifetime = Lifetime { fresh_seconds: None, stale_seconds: None };

fn fresh(seconds: u32) -> Lifetime {
    Lifetime { fresh_seconds: Some(seconds), stale_seconds: Some(0) }
}

fn cache() -> Cache {
    Cache::new(CacheConfig {
        max_entries: 8,
        positive_ttl_seconds: 60,
        negative_ttl_seconds: 10,
        stale_while_revalidate_seconds: 30,
    })
}

fn found() -> Classification {
    let body = br#"{"action":"PROXY","proxy":{"address":"cell-1"}}"#.to_vec();
    classify::read(&Ok(CallResponse { status: 200, body, ..CallResponse::default() })).unwrap()
}

/// Returns where `q` is served from, `seconds` after [`NOW`].
fn source_at(cache: &mut Cache, seconds: u32) -> Option<Source> {
    cache.get("q", NOW.plus_seconds(seconds)).map(|(_, source)| source)
}

#[test]
fn a_cell_is_fresh_for_the_configured_time_less_at_most_a_tenth() {
    let mut cache = cache();
    cache.put("q", &found(), UNSPECIFIED, NOW);
    assert_eq!(source_at(&mut cache, 53), Some(Source::Cache));
    assert_eq!(source_at(&mut cache, 60), Some(Source::Revalidating));
}

#[test]
fn an_expired_cell_is_served_for_a_while_and_one_request_revalidates_it() {
    let mut cache = cache();
    cache.put("q", &found(), UNSPECIFIED, NOW);
    assert_eq!(source_at(&mut cache, 83), Some(Source::Revalidating));
    let expired = NOW.plus_seconds(70);
    assert!(cache.claim_refresh("q", 1500, expired));
    assert!(!cache.claim_refresh("q", 1500, expired.plus(1499)));
    assert!(cache.claim_refresh("q", 1500, expired.plus(1500)), "the revalidation never ended");
    assert_eq!(source_at(&mut cache, 90), None);
    cache.put("q", &found(), UNSPECIFIED, NOW.plus_seconds(90));
    assert_eq!(source_at(&mut cache, 91), Some(Source::Cache));
}

#[test]
fn a_failed_revalidation_is_retried_after_five_seconds() {
    let mut cache = cache();
    cache.put("q", &found(), UNSPECIFIED, NOW);
    let failed = NOW.plus_seconds(70);
    assert!(cache.claim_refresh("q", 1, failed));
    cache.last_good("q", failed);
    assert_eq!(source_at(&mut cache, 74), Some(Source::Stale));
    assert!(!cache.claim_refresh("q", 1, failed.plus_seconds(4)));
    assert_eq!(source_at(&mut cache, 75), Some(Source::Revalidating));
    assert!(cache.claim_refresh("q", 1, failed.plus_seconds(5)));
}

#[test]
fn not_found_has_a_lifetime_of_its_own() {
    let mut cache = cache();
    cache.put("q", &Classification::NotFound, UNSPECIFIED, NOW);
    assert_eq!(
        cache.get("q", NOW.plus_seconds(8)),
        Some((Classification::NotFound, Source::Cache))
    );
    assert_eq!(source_at(&mut cache, 10), None);
}

#[test]
fn max_age_overrides_the_configured_lifetime() {
    let mut cache = cache();
    cache.put("q", &found(), fresh(600), NOW);
    assert_eq!(source_at(&mut cache, 500), Some(Source::Cache));
    cache.put("q", &found(), fresh(0), NOW);
    assert_eq!(source_at(&mut cache, 0), None);
}

#[test]
fn the_last_good_cell_is_served_stale_until_the_next_attempt_is_due() {
    let mut cache = cache();
    cache.put("q", &found(), UNSPECIFIED, NOW);
    assert!(cache.last_good("q", NOW.plus_seconds(100_000)).is_some());
    assert_eq!(source_at(&mut cache, 100_004), Some(Source::Stale));
    assert_eq!(source_at(&mut cache, 100_005), None);
    cache.put("q", &found(), UNSPECIFIED, NOW.plus_seconds(100_005));
    assert_eq!(source_at(&mut cache, 100_006), Some(Source::Cache));
}

#[test]
fn not_found_replaces_a_found_cell_and_is_never_served_stale() {
    let mut cache = cache();
    cache.put("q", &found(), UNSPECIFIED, NOW);
    cache.put("q", &Classification::NotFound, UNSPECIFIED, NOW);
    assert!(cache.last_good("q", NOW).is_none());
    cache.put("q", &found(), UNSPECIFIED, NOW);
    assert_eq!(source_at(&mut cache, 1), Some(Source::Cache));
}

#[test]
fn a_flood_of_unknown_names_does_not_evict_cells() {
    let mut cache = cache();
    cache.put("q", &found(), UNSPECIFIED, NOW);
    for n in 0..1000 {
        cache.put(&n.to_string(), &Classification::NotFound, UNSPECIFIED, NOW);
    }
    assert_eq!(source_at(&mut cache, 1), Some(Source::Cache));
}

#[test]
fn two_queries_expire_at_different_times() {
    assert_ne!(jittered("a", NOW, 60), jittered("b", NOW, 60));
}

/// The shared memory of one process.
#[derive(Debug, Clone, Default)]
struct Process(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl SharedStore for Process {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.borrow().get(key).cloned()
    }

    fn set(&self, key: &str, value: &[u8]) {
        self.0.borrow_mut().insert(key.to_owned(), value.to_vec());
    }
}

fn two_workers() -> [Cache; 2] {
    let process = Process::default();
    [cache(), cache()].map(|mut cache| {
        cache.use_store(Box::new(process.clone()));
        cache
    })
}

#[test]
fn all_workers_serve_what_one_found_for_the_same_lifetime() {
    let [mut one, mut other] = two_workers();
    one.put("q", &found(), fresh(60), NOW);
    assert_eq!(source_at(&mut other, 50), Some(Source::Cache));
    assert_eq!(source_at(&mut other, 61), None);
    assert!(other.last_good("q", NOW.plus_seconds(61)).is_some());
    one.put("q", &found(), fresh(60), NOW.plus_seconds(70));
    assert_eq!(source_at(&mut other, 80), Some(Source::Cache), "another worker revalidated it");
}

#[test]
fn not_found_removes_the_shared_record() {
    let [mut one, mut other] = two_workers();
    one.put("q", &found(), UNSPECIFIED, NOW);
    one.put("q", &Classification::NotFound, UNSPECIFIED, NOW);
    assert_eq!(source_at(&mut other, 0), None);
}

#[test]
fn an_invalid_shared_record_is_ignored() {
    let process = Process::default();
    let mut worker = cache();
    worker.use_store(Box::new(process.clone()));
    worker.put("q", &found(), UNSPECIFIED, NOW);
    let records: Vec<_> = process.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let [(key, value)] = records.as_slice() else { panic!("{records:?}") };
    let text = String::from_utf8(value.clone()).unwrap();
    for invalid in [
        text.replace("\"q\"", "\"p\""),
        text.replace("cell-1", "cell-1\\r\\nx: y"),
        String::new(),
        "[".repeat(1000),
    ] {
        process.set(key, invalid.as_bytes());
        let mut other = cache();
        other.use_store(Box::new(process.clone()));
        assert_eq!(source_at(&mut other, 0), None, "{invalid}");
    }
}

#[test]
fn the_number_of_shared_records_is_bounded() {
    let process = Process::default();
    let mut worker = cache();
    worker.use_store(Box::new(process.clone()));
    for n in 0..60_000 {
        worker.put(&n.to_string(), &found(), UNSPECIFIED, NOW);
    }
    assert!(process.0.borrow().len() <= 16_384);
}
