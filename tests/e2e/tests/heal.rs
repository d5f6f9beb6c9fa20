//! Damaged objects are repaired by the next pull, found by `origin check`, or swept. A pull of
//! cached content writes nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness::fault::FaultRegistry;
use harness::image::{Image, noise};
use harness::persistent::PersistentCell;
use harness::process::Process;
use harness::wait::until;
use oci::Digest;
use origin::store::Key;
use reqwest::Method;

struct Cached {
    upstream: FaultRegistry,
    cell: PersistentCell,
    image: Image,
    origin: Process,
}

impl Cached {
    /// Starts a Cell with `library/app:latest` completely cached.
    async fn start(store: &str, cache: &str) -> Self {
        let upstream = FaultRegistry::start().await.unwrap();
        let image = Image::multi(&[noise(1, 400_000)]);
        upstream.add("library/app", "latest", &image);
        let cell = PersistentCell::new(upstream.url(), store, cache).await.unwrap();
        let origin = cell.start(None).await.unwrap();
        cell.pull("app", "latest", &image).await.unwrap();
        let cached = Self { upstream, cell, image, origin };
        until("all blobs", async || cached.has_all().await.then_some(())).await.unwrap();
        cached
    }

    async fn has_all(&self) -> bool {
        let puller = self.cell.puller("app").unwrap();
        for blob in &self.image.blobs {
            let path = format!("blobs/{}", Digest::of(blob));
            let head = puller.request(Method::HEAD, &path, &[]).await.unwrap();
            if head.header("x-cache") != "HIT" {
                return false;
            }
        }
        true
    }

    fn layer(&self) -> Digest {
        Digest::of(self.image.blobs.last().unwrap())
    }

    fn object(&self, key: &Key<'_>) -> PathBuf {
        self.cell.objects().join(key.path().as_ref())
    }
}

fn damages(bytes: &[u8]) -> [Option<Vec<u8>>; 4] {
    let shorter = bytes.split_last().unwrap().1.to_vec();
    [None, Some(shorter), Some(Vec::new()), Some([bytes, b"x"].concat())]
}

fn damage(object: &Path, content: Option<&[u8]>) {
    match content {
        Some(bytes) => fs::write(object, bytes).unwrap(),
        None => fs::remove_file(object).unwrap(),
    }
}

#[tokio::test]
async fn a_blob_that_is_lost_or_has_a_wrong_length_is_repaired_by_the_next_pull() {
    let cached = Cached::start("", "").await;
    let (layer, puller) = (cached.layer(), cached.cell.puller("app").unwrap());
    let (bytes, object) = (cached.image.blobs.last().unwrap(), cached.object(&Key::Blob(&layer)));
    let path = format!("blobs/{layer}");
    for content in damages(bytes) {
        for (range, status, expected) in [
            (None, 200, bytes.as_slice()),
            (Some("bytes=399999-"), 206, bytes.last_chunk::<1>().unwrap()),
            (Some("bytes=0-1"), 206, bytes.first_chunk::<2>().unwrap()),
        ] {
            damage(&object, content.as_deref());
            let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
            let head = puller.request(Method::HEAD, &path, &[]).await.unwrap();
            assert_eq!((head.status, head.header("content-length")), (200, "400000"));
            let response = puller.request(Method::GET, &path, &headers).await.unwrap();
            assert_eq!(response.status, status, "{range:?}");
            assert!(response.body == expected, "{range:?}");
            let repaired = async || (fs::read(&object).ok()? == *bytes).then_some(());
            until("the object", repaired).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_lost_or_corrupt_is_repaired_by_the_next_pull() {
    // The memory cache holds verified manifests and would serve them whatever happens to the
    // object.
    let cached = Cached::start("", "memory = 0").await;
    let (top, puller) = (&cached.image.top, cached.cell.puller("app").unwrap());
    let digest = top.digest();
    let object = cached.object(&Key::Manifest(&digest));
    let other = top.bytes.iter().rev().copied().collect();
    for content in damages(&top.bytes).into_iter().chain([Some(other)]) {
        for reference in ["latest", &digest.to_string()] {
            damage(&object, content.as_deref());
            let path = format!("manifests/{reference}");
            let head = puller.request(Method::HEAD, &path, &[]).await.unwrap();
            assert_eq!(head.header("content-length"), top.bytes.len().to_string());
            assert!(puller.manifest(reference).await.unwrap().body == top.bytes, "{reference}");
            assert!(fs::read(&object).unwrap() == top.bytes, "the object is repaired");
        }
    }
}

#[tokio::test]
async fn a_check_during_service_reports_and_repairs_so_that_the_next_pull_fetches_again() {
    let cached = Cached::start("", "").await;
    let (layer, top) = (cached.layer(), cached.image.top.digest());
    let clean = cached.cell.check(&[], None).unwrap();
    assert_eq!((clean.status, clean.defects), (Some(0), vec![]), "{}", clean.log);

    let mut corrupt = cached.image.blobs.last().unwrap().clone();
    corrupt.reverse();
    fs::write(cached.object(&Key::Blob(&layer)), corrupt).unwrap();
    fs::remove_file(cached.object(&Key::Manifest(&top))).unwrap();
    let mut found = cached.cell.check(&[], None).unwrap();
    found.defects.sort();
    let expected = [format!("missing-object manifest {top}"), format!("wrong-bytes blob {layer}")];
    assert_eq!((found.status, found.defects.as_slice()), (Some(1), expected.as_slice()));
    assert_eq!(cached.cell.check(&["--quick"], None).unwrap().defects.len(), 1);

    let repaired = cached.cell.check(&["--repair"], None).unwrap();
    assert_eq!(repaired.status, Some(0));
    assert!(repaired.defects.iter().all(|line| line.ends_with(" repaired")), "{repaired:?}");
    assert_eq!(cached.cell.check(&[], None).unwrap().defects.len(), 0);
    let gets = |digest: &Digest| cached.upstream.count("GET", &format!("/blobs/{digest}"));
    let config = Digest::of(cached.image.blobs.first().unwrap());
    let before = (gets(&layer), gets(&config));
    cached.cell.pull("app", "latest", &cached.image).await.unwrap();
    assert_eq!((gets(&layer), gets(&config)), (before.0 + 1, before.1), "intact objects stay");
}

#[tokio::test]
async fn a_check_that_cannot_run_fails_with_its_own_exit_status() {
    let cached = Cached::start("", "").await;
    let (rows, aside) =
        (cached.cell.folder().join("origin.db"), cached.cell.folder().join("aside"));
    let Cached { cell, mut origin, .. } = cached;
    origin.stop();
    fs::rename(rows, aside).unwrap();
    let checked = cell.check(&[], None).unwrap();
    assert_eq!(checked.status, Some(2));
    assert!(checked.log.starts_with("origin: "), "{}", checked.log);
}

#[tokio::test]
async fn an_object_without_a_row_is_swept_once_it_is_old_enough() {
    let cached = Cached::start("sweep_interval = \"1s\"", "").await;
    let stray = |name: &[u8], age: u64| {
        let object = cached.object(&Key::Blob(&Digest::of(name)));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        let file = fs::File::create(&object).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        object
    };
    let young = stray(b"young", 3000);
    let old = stray(b"old", 3700);
    let half = PathBuf::from(format!("{}#1", young.display()));
    fs::rename(stray(b"half", 3700), &half).unwrap();
    until("the sweep", async || (!old.exists() && !half.exists()).then_some(())).await.unwrap();
    assert!(young.exists(), "it may belong to a fill");
    cached.cell.pull("app", "latest", &cached.image).await.unwrap();
    assert_eq!(cached.cell.check(&[], None).unwrap().defects.len(), 0);
}

/// The number of transactions in SQLite's write-ahead log. The last frame of a transaction holds
/// the size of the database after it (sqlite.org/fileformat2.html, "WAL Frame").
fn commits(cell: &PersistentCell) -> usize {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let log = fs::read(cell.folder().join("origin.db-wal")).unwrap();
    let word = |at: usize| u32::from_be_bytes(*log.get(at..).unwrap().first_chunk().unwrap());
    let frame = FRAME_HEADER + word(8) as usize;
    let frames = (HEADER..log.len()).step_by(frame).filter(|at| at + frame <= log.len());
    frames.filter(|at| word(at + 4) != 0).count()
}

#[tokio::test]
async fn a_pull_of_cached_content_writes_nothing() {
    let cached = Cached::start("", "").await;
    let before = commits(&cached.cell);
    for _ in 0..10 {
        cached.cell.pull("app", "latest", &cached.image).await.unwrap();
    }
    assert_eq!(commits(&cached.cell), before, "ten pulls of everything write nothing");
}
