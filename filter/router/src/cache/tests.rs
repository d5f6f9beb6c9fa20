use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::classify::{self, HttpAnswer};

const NOW: Millis = Millis(1_000_000);

/// The service says nothing of how long.
const SILENT: Lifetime = Lifetime { fresh_seconds: None, stale_seconds: None };

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

fn found() -> Answer {
    let body = br#"{"action":"PROXY","proxy":{"address":"cell-1"}}"#.to_vec();
    classify::read(&Ok(HttpAnswer { status: 200, body, ..HttpAnswer::default() })).unwrap()
}

/// Where the answer to `q` comes from at `seconds` after [`NOW`].
fn source_at(cache: &mut Cache, seconds: u32) -> Option<Source> {
    cache.get("q", NOW.plus_seconds(seconds)).map(|(_, source)| source)
}

#[test]
fn a_found_cell_is_fresh_for_the_configured_time_less_a_tenth_at_most() {
    let mut cache = cache();
    cache.put("q", &found(), SILENT, NOW);
    assert_eq!(source_at(&mut cache, 53), Some(Source::Cache));
    assert_eq!(source_at(&mut cache, 60), Some(Source::Revalidating));
}

#[test]
fn an_expired_cell_serves_for_a_while_and_one_reader_is_to_ask_anew() {
    let mut cache = cache();
    cache.put("q", &found(), SILENT, NOW);
    assert_eq!(source_at(&mut cache, 83), Some(Source::Revalidating));
    let expired = NOW.plus_seconds(70);
    assert!(cache.claim_refresh("q", 1500, expired));
    assert!(!cache.claim_refresh("q", 1500, expired.plus(1499)));
    assert!(cache.claim_refresh("q", 1500, expired.plus(1500)), "no answer ever came");
    assert_eq!(source_at(&mut cache, 90), None);
    cache.put("q", &found(), SILENT, NOW.plus_seconds(90));
    assert_eq!(source_at(&mut cache, 91), Some(Source::Cache));
}

#[test]
fn a_refresh_that_failed_is_not_tried_again_before_five_seconds() {
    let mut cache = cache();
    cache.put("q", &found(), SILENT, NOW);
    let failed = NOW.plus_seconds(70);
    assert!(cache.claim_refresh("q", 1, failed));
    cache.last_good("q", failed);
    assert_eq!(source_at(&mut cache, 74), Some(Source::Stale));
    assert!(!cache.claim_refresh("q", 1, failed.plus_seconds(4)));
    assert_eq!(source_at(&mut cache, 75), Some(Source::Revalidating));
    assert!(cache.claim_refresh("q", 1, failed.plus_seconds(5)));
}

#[test]
fn not_found_is_kept_for_its_own_time() {
    let mut cache = cache();
    cache.put("q", &Answer::NotFound, SILENT, NOW);
    assert_eq!(cache.get("q", NOW.plus_seconds(8)), Some((Answer::NotFound, Source::Cache)));
    assert_eq!(source_at(&mut cache, 10), None);
}

#[test]
fn the_services_max_age_wins() {
    let mut cache = cache();
    cache.put("q", &found(), fresh(600), NOW);
    assert_eq!(source_at(&mut cache, 500), Some(Source::Cache));
    cache.put("q", &found(), fresh(0), NOW);
    assert_eq!(source_at(&mut cache, 0), None);
}

#[test]
fn the_last_good_cell_serves_stale_until_the_next_try_is_due() {
    let mut cache = cache();
    cache.put("q", &found(), SILENT, NOW);
    assert!(cache.last_good("q", NOW.plus_seconds(100_000)).is_some());
    assert_eq!(source_at(&mut cache, 100_004), Some(Source::Stale));
    assert_eq!(source_at(&mut cache, 100_005), None);
    cache.put("q", &found(), SILENT, NOW.plus_seconds(100_005));
    assert_eq!(source_at(&mut cache, 100_006), Some(Source::Cache));
}

#[test]
fn not_found_is_no_good_answer_once_stale_and_unmakes_a_found_one() {
    let mut cache = cache();
    cache.put("q", &found(), SILENT, NOW);
    cache.put("q", &Answer::NotFound, SILENT, NOW);
    assert!(cache.last_good("q", NOW).is_none());
    cache.put("q", &found(), SILENT, NOW);
    assert_eq!(source_at(&mut cache, 1), Some(Source::Cache));
}

#[test]
fn a_flood_of_unknown_names_leaves_the_found_cells() {
    let mut cache = cache();
    cache.put("q", &found(), SILENT, NOW);
    for n in 0..1000 {
        cache.put(&n.to_string(), &Answer::NotFound, SILENT, NOW);
    }
    assert_eq!(source_at(&mut cache, 1), Some(Source::Cache));
}

#[test]
fn two_questions_expire_apart() {
    assert_ne!(jittered("a", NOW, 60), jittered("b", NOW, 60));
}

#[test]
fn cache_control_is_read_by_its_directives() {
    for (value, fresh_seconds, stale_seconds) in [
        (&b"max-age=30"[..], Some(30), None),
        (b"public, Max-Age=30", Some(30), None),
        (b"max-age=30, stale-while-revalidate=60", Some(30), Some(60)),
        (b"stale-while-revalidate=0", None, Some(0)),
        (b"no-store", Some(0), Some(0)),
        (b"max-age=30, no-cache", Some(0), Some(0)),
        (b"private", None, None),
        (b"max-age=abc", None, None),
        (b"max-age=-1", None, None),
        (b"\xff", None, None),
        (b"", None, None),
    ] {
        let expected = Lifetime { fresh_seconds, stale_seconds };
        assert_eq!(Lifetime::of(value), expected, "{}", String::from_utf8_lossy(value));
    }
}

/// The shared memory of one process.
#[derive(Debug, Clone, Default)]
struct Process(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl Shared for Process {
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
        cache.share(Box::new(process.clone()));
        cache
    })
}

#[test]
fn what_one_worker_found_all_know_for_as_long() {
    let [mut one, mut other] = two_workers();
    one.put("q", &found(), fresh(60), NOW);
    assert_eq!(source_at(&mut other, 50), Some(Source::Cache));
    assert_eq!(source_at(&mut other, 61), None);
    assert!(other.last_good("q", NOW.plus_seconds(61)).is_some());
    one.put("q", &found(), fresh(60), NOW.plus_seconds(70));
    assert_eq!(source_at(&mut other, 80), Some(Source::Cache), "it was found anew since");
}

#[test]
fn what_is_not_found_any_more_is_taken_back_from_all() {
    let [mut one, mut other] = two_workers();
    one.put("q", &found(), SILENT, NOW);
    one.put("q", &Answer::NotFound, SILENT, NOW);
    assert_eq!(source_at(&mut other, 0), None);
}

#[test]
fn what_is_no_record_of_the_question_is_not_believed() {
    let process = Process::default();
    let mut worker = cache();
    worker.share(Box::new(process.clone()));
    worker.put("q", &found(), SILENT, NOW);
    let records: Vec<_> = process.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let [(key, value)] = records.as_slice() else { panic!("{records:?}") };
    let text = String::from_utf8(value.clone()).unwrap();
    for spoilt in [
        text.replace("\"q\"", "\"p\""),
        text.replace("cell-1", "cell-1\\r\\nx: y"),
        String::new(),
        "[".repeat(1000),
    ] {
        process.set(key, spoilt.as_bytes());
        let mut other = cache();
        other.share(Box::new(process.clone()));
        assert_eq!(source_at(&mut other, 0), None, "{spoilt}");
    }
}

#[test]
fn the_records_of_all_questions_have_a_fixed_number_of_places() {
    let process = Process::default();
    let mut worker = cache();
    worker.share(Box::new(process.clone()));
    for n in 0..60_000 {
        worker.put(&n.to_string(), &found(), SILENT, NOW);
    }
    assert!(process.0.borrow().len() <= 16_384);
}
