use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use std::ops::Range;

use prometheus_client::metrics::gauge::Gauge;

use super::*;
use crate::body::bytes_of;
use crate::upstream::{ProtocolError, UpstreamError};

const ACME: GroupId = GroupId(1);
const GLOBEX: GroupId = GroupId(2);

/// In-fetch fetches in a temporary spool folder.
struct Setup {
    folder: tempfile::TempDir,
    fetches: Arc<InflightFetches>,
}

fn setup() -> Setup {
    setup_with(None)
}

fn setup_with(limit: Option<u64>) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let fetches = InflightFetches::new(folder.path(), limit, Gauge::default()).unwrap();
    Setup { folder, fetches }
}

fn requester(group: GroupId) -> Requester {
    Requester { group, image: "app".to_owned() }
}

impl Setup {
    fn lead(&self, digest: &Digest) -> Leader {
        match self.fetches.join(digest, &requester(ACME)) {
            Join::Lead(leader) => leader,
            _ => panic!("a fetch is already running"),
        }
    }

    fn join(&self, digest: &Digest) -> Arc<Fetch> {
        match self.fetches.join(digest, &requester(ACME)) {
            Join::Granted(fetch) => fetch,
            _ => panic!("no fetch of this group is running"),
        }
    }
}

async fn write(leader: &Leader, length: Option<u64>, parts: &[&'static str]) -> Spool {
    let mut spool = leader.spool(length).await.unwrap();
    for part in parts {
        let chunk = Bytes::from_static(part.as_bytes());
        spool = spool.append(vec![chunk]).await.unwrap().unwrap();
        leader.spooled(length, spool.received());
    }
    spool
}

/// Reads until the fetch ends or leaves its spool.
async fn read(fetch: Arc<Fetch>, mut range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let NextRead::Piece(piece, got) = fetch.next(range.clone()).await? {
        let pieces = futures_util::stream::iter([Ok(piece)]).boxed();
        let parts: Vec<Bytes> = bytes_of(pieces).try_collect().await?;
        bytes.extend(parts.concat());
        range.start = got.end;
    }
    Ok(bytes)
}

fn nothing_more() -> Incoming {
    futures_util::stream::empty().boxed()
}

#[tokio::test]
async fn requests_after_the_first_join_the_fetch_of_their_group() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let leader = setup.lead(&digest);
    setup.join(&digest);
    assert!(matches!(setup.fetches.join(&digest, &requester(GLOBEX)), Join::NotGranted(_)));
    drop(leader);
    setup.lead(&digest);
}

#[tokio::test]
async fn readers_that_start_at_any_offset_get_the_same_bytes() {
    let (setup, digest) = (setup(), Digest::of(b"hello world"));
    let leader = setup.lead(&digest);
    let early = tokio::spawn(read(setup.join(&digest), 0..u64::MAX));
    leader.streaming(Some(11));
    let _spool = write(&leader, Some(11), &["hello", " world"]).await;
    let late = tokio::spawn(read(setup.join(&digest), 6..u64::MAX));
    let part = tokio::spawn(read(setup.join(&digest), 2..4));
    leader.complete(11);
    assert_eq!(early.await.unwrap().unwrap(), b"hello world");
    assert_eq!(late.await.unwrap().unwrap(), b"world");
    assert_eq!(part.await.unwrap().unwrap(), b"ll");
}

#[tokio::test]
async fn the_last_byte_is_withheld_until_the_digest_is_verified() {
    let (setup, digest) = (setup(), Digest::of(b"hello"));
    let leader = setup.lead(&digest);
    let _spool = write(&leader, Some(5), &["hello"]).await;
    let fetch = setup.join(&digest);
    assert_eq!(read(Arc::clone(&fetch), 0..4).await.unwrap(), b"hell");
    leader.failed(UpstreamError::from(ProtocolError::DigestMismatch).into());
    assert!(fetch.next(4..5).await.is_err(), "the body must not end cleanly");
}

#[tokio::test]
async fn without_a_known_length_the_end_is_withheld_until_the_digest_is_verified() {
    let (setup, digest) = (setup(), Digest::of(b"hello"));
    let leader = setup.lead(&digest);
    let _spool = write(&leader, None, &["hello"]).await;
    let fetch = setup.join(&digest);
    assert_eq!(read(Arc::clone(&fetch), 0..5).await.unwrap(), b"hello");
    leader.failed(UpstreamError::Timeout.into());
    assert!(fetch.next(5..u64::MAX).await.is_err(), "the body must not end cleanly");
}

#[tokio::test]
async fn readers_of_a_detached_fetch_get_the_spooled_bytes_and_continue_from_there() {
    let (setup, digest) = (setup(), Digest::of(b"hello"));
    let leader = setup.lead(&digest);
    let _spool = write(&leader, Some(5), &["hel"]).await;
    let fetch = setup.join(&digest);
    leader.detach(Detached::new(Some(5), 3, Hasher::new(digest.algorithm()), nothing_more()));
    assert_eq!(read(Arc::clone(&fetch), 1..5).await.unwrap(), b"el");
    for (from, first) in [(3, true), (3, false), (4, false)] {
        let NextRead::Detached(detached) = fetch.next(from..5).await.unwrap() else {
            panic!("the spool has bytes at {from}");
        };
        assert_eq!((detached.spooled, detached.length), (3, Some(5)));
        assert_eq!(detached.take_rest().is_some(), first, "one reader takes over the response");
    }
    setup.lead(&digest);
}

#[tokio::test]
async fn a_spool_that_reaches_its_limit_returns_the_chunks_that_do_not_fit() {
    let (setup, digest) = (setup_with(Some(8)), Digest::of(b"hello world"));
    let leader = setup.lead(&digest);
    assert!(matches!(leader.spool(Some(11)).await, Err(UncachedReason::Limit)));
    let spool = leader.spool(None).await.unwrap();
    let batch = ["hello", " world", "!"].map(|part| Bytes::from_static(part.as_bytes()));
    let full = spool.append(batch.to_vec()).await.unwrap().unwrap_err();
    assert_eq!((full.reason, full.received), (UncachedReason::Limit, 5));
    assert_eq!(full.rest, [" world", "!"]);
    assert_eq!(full.hasher.finish(), Digest::of(b"hello"));
}

/// Every write to `/dev/full` fails with "no space left on device".
#[tokio::test]
async fn a_full_disk_does_not_fail_the_fetch() {
    let (setup, digest) = (setup(), Digest::of(b"hello"));
    let file = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let path = tempfile::NamedTempFile::new_in(setup.folder.path()).unwrap().into_temp_path();
    let reservation = setup.fetches.space.reservation();
    let spool = Spool::of(file, path, reservation, digest.algorithm());
    let full = spool.append(vec![Bytes::from_static(b"hello")]).await.unwrap().unwrap_err();
    assert_eq!(
        (full.reason, full.received, full.rest.concat()),
        (UncachedReason::Disk, 0, b"hello".to_vec())
    );
}

#[tokio::test]
async fn a_missing_spool_folder_counts_as_a_failing_disk() {
    let (setup, digest) = (setup(), Digest::of(b"hello"));
    std::fs::remove_dir_all(setup.folder.path()).unwrap();
    let leader = setup.lead(&digest);
    assert!(matches!(leader.spool(Some(5)).await, Err(UncachedReason::Disk)));
}

#[tokio::test]
async fn spool_space_is_released_with_the_last_reader() {
    let (setup, digest) = (setup_with(Some(5)), Digest::of(b"hello"));
    let leader = setup.lead(&digest);
    let reader = setup.join(&digest);
    drop(write(&leader, Some(5), &["hello"]).await);
    drop(leader);
    let next = setup.lead(&digest);
    assert!(matches!(next.spool(Some(5)).await, Err(UncachedReason::Limit)));
    drop(reader);
    assert!(next.spool(Some(5)).await.is_ok());
}

#[tokio::test]
async fn a_request_that_retries_after_a_failure_does_not_find_the_failed_fetch() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let leader = setup.lead(&digest);
    let fetch = setup.join(&digest);
    let (fetches, again) = (Arc::clone(&setup.fetches), digest.clone());
    let waiting = tokio::spawn(async move {
        let failed = fetch.started().await.is_err();
        (failed, matches!(fetches.join(&again, &requester(GLOBEX)), Join::Lead(_)))
    });
    leader.failed(UpstreamError::Timeout.into());
    assert_eq!(waiting.await.unwrap(), (true, true));
}

#[tokio::test]
async fn a_late_end_does_not_deregister_the_next_fetch() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let first = setup.lead(&digest);
    first.deregister();
    let _second = setup.lead(&digest);
    drop(first);
    setup.join(&digest);
}

#[tokio::test]
async fn only_requests_of_the_same_group_and_image_share_a_failure() {
    let setup = setup();
    let leader = setup.lead(&Digest::of(b"x"));
    assert!(leader.fetch.is_led_by(&requester(ACME)));
    assert!(!leader.fetch.is_led_by(&requester(GLOBEX)));
    let other = Requester { group: ACME, image: "quay.io/app".to_owned() };
    assert!(!leader.fetch.is_led_by(&other));
}

#[tokio::test]
async fn only_granted_groups_see_a_fetch() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    assert!(setup.fetches.granted(&digest, ACME).is_none());
    let leader = setup.lead(&digest);
    assert!(setup.fetches.granted(&digest, ACME).is_some());
    assert!(setup.fetches.granted(&digest, GLOBEX).is_none());
    leader.fetch.grant(GLOBEX);
    assert!(setup.fetches.granted(&digest, GLOBEX).is_some());
}

#[tokio::test]
async fn a_refusal_reaches_every_request_that_waits_for_headers() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let leader = setup.lead(&digest);
    let fetch = setup.join(&digest);
    let waiting = tokio::spawn(async move { fetch.started().await.map(drop) });
    leader.failed(UpstreamError::Status { status: 404, retry_after: None }.into());
    let seen = waiting.await.unwrap();
    let Err(FetchError::Upstream(error)) = seen else { panic!("{seen:?}") };
    assert!(matches!(error, UpstreamError::Status { status: 404, .. }));
}

#[tokio::test]
async fn a_superseded_fetch_sends_its_requesters_back_to_the_store() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let leader = setup.lead(&digest);
    let fetch = setup.join(&digest);
    leader.superseded();
    assert!(matches!(fetch.started().await, Ok(Start::Superseded)));
    setup.lead(&digest);
}

#[tokio::test]
async fn a_leader_that_panics_fails_its_requesters_with_an_internal_error() {
    for streaming in [false, true] {
        let (setup, digest) = (setup(), Digest::of(b"x"));
        let leader = setup.lead(&digest);
        let fetch = setup.join(&digest);
        let waiting = tokio::spawn({
            let fetch = Arc::clone(&fetch);
            async move { fetch.started().await }
        });
        let panicked = tokio::spawn(async move {
            if streaming {
                leader.streaming(Some(2));
            }
            panic!("a bug");
        });
        assert!(panicked.await.unwrap_err().is_panic());
        assert!(fetch.next(0..2).await.is_err(), "the body must not end cleanly");
        let started = waiting.await.unwrap();
        assert!(matches!(started, Err(FetchError::Internal)), "{started:?}");
        setup.lead(&digest);
    }
}

#[tokio::test]
async fn groups_granted_before_the_commit_are_linked_by_it() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let leader = setup.lead(&digest);
    assert!(leader.fetch.grant(GLOBEX));
    let mut linked = leader.close_granted_groups();
    linked.sort_by_key(|group| group.0);
    assert_eq!(linked, [ACME, GLOBEX]);
    assert!(!leader.fetch.grant(GroupId(3)), "a group granted later must write its own link");
    setup.join(&digest);
}

fn files_in(folder: &Path) -> usize {
    let all = std::fs::read_dir(folder).unwrap().map(|found| found.unwrap().path());
    all.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

fn folders_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_spool_file_is_removed_with_its_fetch() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let leader = setup.lead(&digest);
    let spool = leader.spool(None).await.unwrap();
    assert_eq!(files_in(setup.folder.path()), 1);
    drop((leader, spool));
    assert_eq!(files_in(setup.folder.path()), 0);
}

#[tokio::test]
async fn a_start_removes_the_spool_files_of_dead_processes_only() {
    let (setup, digest) = (setup(), Digest::of(b"x"));
    let folder = setup.folder.path();
    let dead = folder.join(format!("{}dead", folder::PREFIX));
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("half"), "x").unwrap();
    let leader = setup.lead(&digest);
    let spool = leader.spool(None).await.unwrap();
    let neighbour = InflightFetches::new(folder, None, Gauge::default()).unwrap();
    assert!(!dead.exists());
    assert_eq!((folders_in(folder), files_in(folder)), (2, 1));
    drop((leader, spool, neighbour));
    assert_eq!((folders_in(folder), files_in(folder)), (1, 0));
}

#[tokio::test]
async fn files_of_other_programs_in_the_spool_folder_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "x").unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    drop(InflightFetches::new(folder.path(), None, Gauge::default()).unwrap());
    assert_eq!(folders_in(folder.path()), 2);
}
