//! An origin killed at any moment leaves no inconsistency: the next one serves the right bytes, and
//! sweeps what the killed one left unfinished.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use harness::fault::FaultRegistry;
use harness::image::{Image, noise};
use harness::persistent::{CellStorage, PersistentCell};
use harness::postgres::Postgres;
use harness::seaweed::Seaweed;
use oci::Digest;
use origin::inject::Point;
use origin::store::Key;

/// Everything is old enough to be swept, and a serving origin does not sweep.
const STORE: &str = "sweep_interval = \"0s\"\norphan_grace = \"0s\"";
const CACHE: &str = "read_times_interval = \"100ms\"";

async fn upstream() -> (FaultRegistry, Image) {
    let upstream = FaultRegistry::start().await.unwrap();
    let image = Image::multi(&[noise(1, 700_000), noise(2, 300_000)]);
    upstream.add("library/app", "latest", &image);
    (upstream, image)
}

/// Asserts that `origin check` finds nothing but objects without a row.
fn assert_only_orphans(cell: &PersistentCell, when: &str) {
    let checked = cell.check(&[], None).unwrap();
    assert!(checked.status.is_some_and(|status| status < 2), "{when}: {checked:?}");
    assert!(checked.defects.iter().all(|line| line.starts_with("orphan ")), "{when}: {checked:?}");
}

/// Asserts that a repair leaves no object and no spooled byte of the killed process.
fn assert_swept(cell: &PersistentCell, when: &str) {
    assert_eq!(cell.check(&["--repair"], None).unwrap().status, Some(0), "{when}");
    let checked = cell.check(&[], None).unwrap();
    assert_eq!((checked.status, checked.defects.len()), (Some(0), 0), "{when}");
    assert_eq!(files_in(&cell.folder().join("spool")), 0, "{when}");
}

fn files_in(folder: &Path) -> usize {
    let Ok(found) = fs::read_dir(folder) else { return 0 };
    let paths = found.map(|found| found.unwrap().path());
    paths.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

/// Pulls until the origin is killed; every complete response must be right.
async fn pull_until_killed(cell: &PersistentCell, at: &str, image: &Image) {
    let mut origin = cell.start(Some(at)).await.unwrap();
    for _ in 0..3 {
        let _ = cell.pull("app", "latest", image).await;
    }
    cell.wait_until_killed(&mut origin).await.unwrap();
}

async fn assert_recovery(cell: PersistentCell, at: &str, image: &Image) {
    pull_until_killed(&cell, at, image).await;
    assert_only_orphans(&cell, at);
    let mut origin = cell.start(None).await.unwrap();
    cell.pull("app", "latest", image).await.unwrap_or_else(|error| panic!("{at}: {error}"));
    origin.stop();
    assert_swept(&cell, at);
}

/// The points that a pull passes.
fn serving() -> impl Iterator<Item = Point> {
    let elsewhere = [Point::OrphanFound, Point::RepairHalfDone];
    Point::ALL.into_iter().filter(move |point| !elsewhere.contains(point))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_origin_killed_at_any_step_of_a_pull_leaves_no_inconsistency() {
    let (upstream, image) = upstream().await;
    let moments = serving().flat_map(|point| {
        let last = if point == Point::ReadsWritten { 1 } else { 2 };
        (1..=last).map(move |times| format!("{}:{times}", point.as_str()))
    });
    let lives = moments.map(async |at| {
        let cell = PersistentCell::new(upstream.url(), STORE, CACHE).await.unwrap();
        assert_recovery(cell, &at, &image).await;
    });
    stream::iter(lives).buffer_unordered(4).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_origin_killed_at_any_step_of_a_pull_leaves_no_inconsistency_in_postgresql_and_s3() {
    let (postgres, s3) = (Postgres::shared().await.unwrap(), Seaweed::shared().await.unwrap());
    let (upstream, image) = upstream().await;
    let points = serving().filter(|point| *point != Point::ReadsWritten);
    let lives = points.map(async |point| {
        let store = format!("{}{STORE}", s3.bucket().store_lines());
        let storage = CellStorage { database: postgres.database().unwrap(), store };
        let cell = PersistentCell::with_storage(&storage, upstream.url()).await.unwrap();
        assert_recovery(cell, point.as_str(), &image).await;
    });
    stream::iter(lives).buffer_unordered(4).collect::<()>().await;
}

/// The points of a repairing check, each with the damage that leads there.
#[tokio::test]
async fn a_check_killed_during_a_repair_leaves_no_inconsistency() {
    let (upstream, image) = upstream().await;
    for point in [Point::OrphanFound, Point::RepairHalfDone] {
        let cell = PersistentCell::new(upstream.url(), STORE, CACHE).await.unwrap();
        let mut origin = cell.start(None).await.unwrap();
        cell.pull("app", "latest", &image).await.unwrap();
        origin.stop();
        let stray = Digest::of(b"stray");
        let object = cell.objects().join(Key::Blob(&stray).path().as_ref());
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, "stray").unwrap();
        let layer = Digest::of(image.blobs.last().unwrap());
        fs::write(cell.objects().join(Key::Blob(&layer).path().as_ref()), "corrupt").unwrap();

        let at = point.as_str();
        assert_eq!(cell.check(&["--repair"], Some(at)).unwrap().status, None, "{at}");
        let mut origin = cell.start(None).await.unwrap();
        cell.pull("app", "latest", &image).await.unwrap();
        origin.stop();
        assert_swept(&cell, at);
    }
}

/// The number of kills under load, at moments that the seed determines.
const KILLS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_origin_killed_at_any_time_under_load_leaves_no_inconsistency() {
    let upstream = FaultRegistry::start().await.unwrap();
    let cell = PersistentCell::new(upstream.url(), STORE, CACHE).await.unwrap();
    let mut images = Vec::new();
    for kill in 0..KILLS {
        let image = Image::multi(&[noise(kill * 2 + 1, 900_000), noise(kill * 2 + 2, 50_000)]);
        upstream.add("library/app", &format!("v{kill}"), &image);
        images.push((format!("v{kill}"), image));
        let mut origin = cell.start(None).await.unwrap();
        let pulls = (0..4).map(async |client: usize| {
            for (tag, image) in images.iter().rev().cycle().skip(client % 2) {
                if cell.pull("app", tag, image).await.is_err() {
                    return;
                }
            }
        });
        let moment = Duration::from_millis(u64::from(noise(kill + 1, 1)[0]) * 2);
        let killer = async {
            tokio::time::sleep(moment).await;
            origin.kill();
        };
        tokio::join!(join_all(pulls), killer);
        assert_only_orphans(&cell, &format!("kill {kill} after {moment:?}"));
    }
    let mut origin = cell.start(None).await.unwrap();
    for (tag, image) in &images {
        cell.pull("app", tag, image).await.unwrap();
    }
    origin.stop();
    assert_swept(&cell, "at the end");
}

/// A bug in a fetch that several requests share must be seen: as 500, not as an outage, during which
/// a stale copy would be served.
#[tokio::test]
async fn a_panic_in_a_shared_fetch_is_an_internal_error_and_never_served_stale() {
    let (upstream, image) = upstream().await;
    let cell = PersistentCell::new(upstream.url(), STORE, CACHE).await.unwrap();
    let mut origin = cell.start(Some("manifest-fetched:1:panic")).await.unwrap();
    let first = cell.puller("app").unwrap().manifest("latest").await.unwrap();
    assert_eq!((first.status, first.code().as_deref()), (500, Some("UNKNOWN")));
    cell.pull("app", "latest", &image).await.unwrap();
    origin.stop();

    let moved = Image::single(&[noise(9, 1000)]);
    upstream.add("library/app", "latest", &moved);
    let _origin = cell.start(Some("manifest-fetched:1:panic")).await.unwrap();
    let panicked = cell.puller("app").unwrap().manifest("latest").await.unwrap();
    assert_eq!((panicked.status, panicked.code().as_deref()), (500, Some("UNKNOWN")));
    assert_eq!(panicked.header("x-cache"), "", "the cached copy must not hide the bug");
    cell.pull("app", "latest", &moved).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_the_fetch_of_a_blob_fails_its_requests_and_the_next_one_fetches_it() {
    let (upstream, image) = upstream().await;
    let layer = Digest::of(image.blobs.last().unwrap());
    for (point, headers_sent) in [(Point::BlobFetchStarted, false), (Point::BlobSpooled, true)] {
        let cell = PersistentCell::new(upstream.url(), STORE, CACHE).await.unwrap();
        let fault = format!("{}:1:panic", point.as_str());
        let _origin = cell.start(Some(&fault)).await.unwrap();
        match cell.puller("app").unwrap().blob(&layer).await {
            Ok(response) => {
                let internal = (response.status, response.code());
                assert_eq!(internal, (500, Some("UNKNOWN".to_owned())), "{fault}");
            }
            Err(_) => assert!(headers_sent, "{fault}: the response was cut off"),
        }
        cell.pull("app", "latest", &image).await.unwrap();
    }
}
