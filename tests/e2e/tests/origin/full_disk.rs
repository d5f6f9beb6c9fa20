//! A full disk: images are still streamed, uncached and complete.

use std::fs;

use anyhow::Result;
use harness::cell::{Cell, CellOptions};
use harness::client::{Login, Puller};
use harness::fault::{FaultRegistry, Faults};
use harness::image::{Image, noise};
use harness::member::guest;
use harness::origin_config::OriginConfig;
use harness::process::{Process, free_port};
use harness::program;
use oci::Digest;
use origin::config::Config;
use origin::metrics::PassThroughLabels;
use reqwest::Method;
use tempfile::TempDir;

use super::{Pull, eventually};

/// An origin in a process whose files are limited to 400 KiB: the write that exceeds the limit
/// fails as on a full disk, in the middle of a chunk.
struct Cramped {
    url: String,
    acme: Login,
    process: Process,
    _folder: TempDir,
}

/// With SIGXFSZ ignored, the write returns an error. A block is 512 bytes.
const LIMITED: &str = r#"trap '' XFSZ; ulimit -f 800; exec "$0" serve --config "$1""#;

impl Cramped {
    async fn start(upstream: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_port()?;
        let config = OriginConfig::new(folder.path(), port).set("upstream", "url", upstream);
        let file = folder.path().join("origin.toml");
        config.write(&file)?;
        let acme = guest(&Config::load(&file)?, "acme", "alice").await?;
        let (shell, origin) = (program::system("sh")?, program::own("origin")?);
        let (origin, file) = (origin.display().to_string(), file.display().to_string());
        let arguments = ["-c", LIMITED, &origin, &file];
        let mut process = Process::start("origin", &shell, &arguments, folder.path())?;
        let url = format!("http://127.0.0.1:{port}");
        process.wait_until_ready(&format!("{url}/-/liveness")).await?;
        Ok(Self { url, acme, process, _folder: folder })
    }

    fn client(&self) -> Puller {
        Puller::new(&self.url, "acme", "app", Some(&self.acme)).unwrap()
    }
}

async fn registry(layers: &[Vec<u8>]) -> FaultRegistry {
    let upstream = FaultRegistry::start().await.unwrap();
    upstream.add("library/app", "latest", &Image::single(layers));
    upstream
}

#[tokio::test]
async fn a_disk_that_fills_up_during_a_fetch_loses_the_copy_and_no_byte() {
    let (large, small) = (noise(1, 3_000_000), noise(2, 100_000));
    let upstream = registry(&[large.clone(), small.clone()]).await;
    let cramped = Cramped::start(upstream.url()).await.unwrap();
    let client = cramped.client();
    let path = format!("blobs/{}", Digest::of(&large));
    assert!(client.blob(&Digest::of(&large)).await.unwrap().body == large);
    assert_eq!(upstream.count("GET", &path), 1, "one client continues with the started fetch");

    upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let ranges =
        [None, None, Some("bytes=100-2999999"), Some("bytes=200000-2000000"), Some("bytes=-5")];
    let mut opened = Vec::new();
    for range in ranges {
        let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
        opened.push(client.open(Method::GET, &path, &headers).await.unwrap());
    }
    assert_eq!(upstream.count("GET", &path), 2);
    upstream.fail(Faults::default());
    upstream.release();
    let wanted =
        [0..3_000_000, 0..3_000_000, 100..3_000_000, 200_000..2_000_001, 2_999_995..3_000_000];
    let bodies = opened.into_iter().map(|response| tokio::spawn(response.bytes()));
    for (body, wanted) in bodies.collect::<Vec<_>>().into_iter().zip(wanted) {
        assert!(body.await.unwrap().unwrap() == large[wanted.clone()], "{wanted:?}");
    }
    let head = client.request(Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!(head.header("x-cache"), "MISS");

    let path = format!("blobs/{}", Digest::of(&small));
    assert!(client.blob(&Digest::of(&small)).await.unwrap().body == small);
    eventually(async || {
        let head = client.request(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
    assert!(
        cramped.process.log().contains("the spool cannot be written"),
        "the operator is informed"
    );
}

#[tokio::test]
async fn a_corrupt_blob_ends_with_an_error_on_a_full_disk_as_well() {
    let large = noise(1, 3_000_000);
    let upstream = registry(std::slice::from_ref(&large)).await;
    let cramped = Cramped::start(upstream.url()).await.unwrap();
    for without_length in [false, true] {
        upstream.fail(Faults { corrupt: true, without_length, ..Faults::default() });
        assert!(cramped.client().blob(&Digest::of(&large)).await.is_err());
    }
}

#[tokio::test]
async fn without_a_spool_folder_everything_is_streamed_and_nothing_is_stored() {
    let pull = Pull::start().await;
    let own = fs::read_dir(pull.cell.spool()).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(&own).unwrap();
    for fetches in 1..=2 {
        assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
        assert_eq!(pull.blob_gets(), fetches);
    }
    let range = [("range", "bytes=1000-1999")];
    let path = format!("blobs/{}", pull.layer_digest());
    let part = pull.client().request(Method::GET, &path, &range).await.unwrap();
    assert!(part.status == 206 && part.body == pull.layer()[1000..2000]);
    fs::create_dir(own).unwrap();
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    eventually(async || {
        let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
}

#[tokio::test]
async fn a_blob_that_does_not_fit_into_the_spool_is_streamed_immediately() {
    let (first, second) = (noise(1, 60_000), noise(2, 60_000));
    let upstream = registry(&[first.clone(), second.clone()]).await;
    let store = "url = \"memory:\"\nspool_limit = \"100kB\"\n".to_owned();
    let options = CellOptions { store: Some(store), ..CellOptions::default() };
    let cell = Cell::with_options(&options, upstream.url(), "").await.unwrap();
    let acme = cell.member_of("acme").await.unwrap();
    let client = Puller::new(cell.url(), "acme", "app", Some(&acme)).unwrap();
    upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", Digest::of(&first));
    let held = client.open(Method::GET, &path, &[]).await.unwrap();
    upstream.fail(Faults::default());
    let path = format!("blobs/{}", Digest::of(&second));
    for fetches in 1..=2 {
        assert!(client.blob(&Digest::of(&second)).await.unwrap().body == second);
        assert_eq!(upstream.count("GET", &path), fetches);
    }
    let reason = PassThroughLabels { reason: "limit" };
    assert_eq!(cell.metrics().blobs_passed_through.get_or_create(&reason).get(), 2);
    upstream.release();
    assert!(held.bytes().await.unwrap() == first);
    eventually(async || {
        assert!(client.blob(&Digest::of(&second)).await.unwrap().body == second);
        let head = client.request(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
}
