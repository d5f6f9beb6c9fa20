//! What is damaged is healed by the pull that meets it, found by `origin check`, or swept; and a warm
//! pull writes nothing.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use e2e::fault::FaultRegistry;
use e2e::image::{Image, noise};
use e2e::lasting::LastingCell;
use e2e::process::Process;
use e2e::wait::until;
use oci::Digest;
use origin::store::Key;
use reqwest::Method;

struct Warm {
    upstream: FaultRegistry,
    cell: LastingCell,
    image: Image,
    origin: Process,
}

impl Warm {
    /// A cell that has `library/app:latest` whole.
    async fn start(store: &str, cache: &str) -> Self {
        let upstream = FaultRegistry::start().await.unwrap();
        let image = Image::multi(&[noise(1, 400_000)]);
        upstream.add("library/app", "latest", &image);
        let cell = LastingCell::new(upstream.url(), store, cache).await.unwrap();
        let origin = cell.start(None).await.unwrap();
        cell.pull("app", "latest", &image).await.unwrap();
        let warm = Self { upstream, cell, image, origin };
        until("all blobs", async || warm.has_all().await.then_some(())).await.unwrap();
        warm
    }

    async fn has_all(&self) -> bool {
        let puller = self.cell.puller("app").unwrap();
        for blob in &self.image.blobs {
            let path = format!("blobs/{}", Digest::of(blob));
            let head = puller.ask(Method::HEAD, &path, &[]).await.unwrap();
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
async fn a_blob_that_is_gone_or_of_another_length_is_healed_by_the_pull_that_meets_it() {
    let warm = Warm::start("", "").await;
    let (layer, puller) = (warm.layer(), warm.cell.puller("app").unwrap());
    let (bytes, object) = (warm.image.blobs.last().unwrap(), warm.object(&Key::Blob(&layer)));
    let path = format!("blobs/{layer}");
    for content in damages(bytes) {
        for (range, status, expected) in [
            (None, 200, bytes.as_slice()),
            (Some("bytes=399999-"), 206, bytes.last_chunk::<1>().unwrap()),
            (Some("bytes=0-1"), 206, bytes.first_chunk::<2>().unwrap()),
        ] {
            damage(&object, content.as_deref());
            let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
            let head = puller.ask(Method::HEAD, &path, &[]).await.unwrap();
            assert_eq!((head.status, head.header("content-length")), (200, "400000"));
            let answer = puller.ask(Method::GET, &path, &headers).await.unwrap();
            assert_eq!(answer.status, status, "{range:?}");
            assert!(answer.body == expected, "{range:?}");
            let healed = async || (fs::read(&object).ok()? == *bytes).then_some(());
            until("the object", healed).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_gone_or_spoilt_is_healed_by_the_pull_that_meets_it() {
    // What lies in memory was checked, so it is served whatever became of the object.
    let warm = Warm::start("", "memory = 0").await;
    let (top, puller) = (&warm.image.top, warm.cell.puller("app").unwrap());
    let digest = top.digest();
    let object = warm.object(&Key::Manifest(&digest));
    let other = top.bytes.iter().rev().copied().collect();
    for content in damages(&top.bytes).into_iter().chain([Some(other)]) {
        for reference in ["latest", &digest.to_string()] {
            damage(&object, content.as_deref());
            let path = format!("manifests/{reference}");
            let head = puller.ask(Method::HEAD, &path, &[]).await.unwrap();
            assert_eq!(head.header("content-length"), top.bytes.len().to_string());
            assert!(puller.manifest(reference).await.unwrap().body == top.bytes, "{reference}");
            assert!(fs::read(&object).unwrap() == top.bytes, "and the object is healed");
        }
    }
}

#[tokio::test]
async fn a_check_beside_a_serving_origin_tells_mends_and_lets_the_next_pull_heal() {
    let warm = Warm::start("", "").await;
    let (layer, top) = (warm.layer(), warm.image.top.digest());
    let clean = warm.cell.check(&[], None).unwrap();
    assert_eq!((clean.status, clean.defects), (Some(0), vec![]), "{}", clean.news);

    let mut spoilt = warm.image.blobs.last().unwrap().clone();
    spoilt.reverse();
    fs::write(warm.object(&Key::Blob(&layer)), spoilt).unwrap();
    fs::remove_file(warm.object(&Key::Manifest(&top))).unwrap();
    let mut found = warm.cell.check(&[], None).unwrap();
    found.defects.sort();
    let expected = [format!("missing-object manifest {top}"), format!("wrong-bytes blob {layer}")];
    assert_eq!((found.status, found.defects.as_slice()), (Some(1), expected.as_slice()));
    assert_eq!(warm.cell.check(&["--quick"], None).unwrap().defects.len(), 1);

    let mended = warm.cell.check(&["--repair"], None).unwrap();
    assert_eq!(mended.status, Some(0));
    assert!(mended.defects.iter().all(|line| line.ends_with(" repaired")), "{mended:?}");
    assert_eq!(warm.cell.check(&[], None).unwrap().defects.len(), 0);
    let gets = |digest: &Digest| warm.upstream.count("GET", &format!("/blobs/{digest}"));
    let config = Digest::of(warm.image.blobs.first().unwrap());
    let before = (gets(&layer), gets(&config));
    warm.cell.pull("app", "latest", &warm.image).await.unwrap();
    assert_eq!((gets(&layer), gets(&config)), (before.0 + 1, before.1), "what was whole stayed");
}

#[tokio::test]
async fn a_check_that_cannot_look_says_so_by_its_status() {
    let warm = Warm::start("", "").await;
    let (rows, aside) = (warm.cell.folder().join("origin.db"), warm.cell.folder().join("aside"));
    let Warm { cell, mut origin, .. } = warm;
    origin.stop();
    fs::rename(rows, aside).unwrap();
    let checked = cell.check(&[], None).unwrap();
    assert_eq!(checked.status, Some(2));
    assert!(checked.news.starts_with("origin: "), "{}", checked.news);
}

#[tokio::test]
async fn what_no_row_speaks_of_is_swept_once_it_is_old_enough() {
    let warm = Warm::start("sweep_interval = \"1s\"", "").await;
    let stray = |name: &[u8], age: u64| {
        let object = warm.object(&Key::Blob(&Digest::of(name)));
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
    assert!(young.exists(), "it may be a fill's");
    warm.cell.pull("app", "latest", &warm.image).await.unwrap();
    assert_eq!(warm.cell.check(&[], None).unwrap().defects.len(), 0);
}

/// How many transactions SQLite's write-ahead log holds: frames that end one name the database's
/// size after it (sqlite.org/fileformat2.html, "WAL Frame").
fn commits(cell: &LastingCell) -> usize {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let log = fs::read(cell.folder().join("origin.db-wal")).unwrap();
    let word = |at: usize| u32::from_be_bytes(*log.get(at..).unwrap().first_chunk().unwrap());
    let frame = FRAME_HEADER + word(8) as usize;
    let frames = (HEADER..log.len()).step_by(frame).filter(|at| at + frame <= log.len());
    frames.filter(|at| word(at + 4) != 0).count()
}

#[tokio::test]
async fn a_warm_pull_writes_nothing() {
    let warm = Warm::start("", "").await;
    let before = commits(&warm.cell);
    for _ in 0..10 {
        warm.cell.pull("app", "latest", &warm.image).await.unwrap();
    }
    assert_eq!(commits(&warm.cell), before, "ten pulls of everything");
}
