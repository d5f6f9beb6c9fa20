use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use std::ops::Range;

use prometheus_client::metrics::gauge::Gauge;

use super::*;
use crate::body::bytes_of;

const ACME: GroupId = GroupId(1);
const GLOBEX: GroupId = GroupId(2);

struct Airport {
    folder: tempfile::TempDir,
    flights: Arc<Flights>,
}

fn airport() -> Airport {
    airport_of(None)
}

fn airport_of(limit: Option<u64>) -> Airport {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path(), limit, Gauge::default()).unwrap();
    Airport { folder, flights }
}

fn boarder(group: GroupId) -> Boarder {
    Boarder { group, image: "app".to_owned() }
}

impl Airport {
    fn lead(&self, digest: &Digest) -> Takeoff {
        match self.flights.board(digest, &boarder(ACME)) {
            Boarding::Lead(takeoff) => takeoff,
            _ => panic!("somebody else leads"),
        }
    }

    fn join(&self, digest: &Digest) -> Arc<Flight> {
        match self.flights.board(digest, &boarder(ACME)) {
            Boarding::Joined(flight) => flight,
            _ => panic!("nothing to join"),
        }
    }
}

async fn write(takeoff: &Takeoff, length: Option<u64>, parts: &[&'static str]) -> Spool {
    let mut spool = takeoff.spool(length).await.unwrap();
    for part in parts {
        let chunk = Bytes::from_static(part.as_bytes());
        spool = spool.append(vec![chunk]).await.unwrap().unwrap();
        takeoff.spooled(length, spool.received());
    }
    spool
}

/// What a reader is given until there is no more to be had now or ever.
async fn read(flight: Arc<Flight>, mut range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Next::Piece(piece, got) = flight.next(range.clone()).await? {
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
async fn every_request_after_the_first_joins_its_groups_fetch() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    airport.join(&digest);
    assert!(matches!(airport.flights.board(&digest, &boarder(GLOBEX)), Boarding::Foreign(_)));
    drop(takeoff);
    airport.lead(&digest);
}

#[tokio::test]
async fn readers_from_any_offset_get_the_same_bytes() {
    let (airport, digest) = (airport(), Digest::of(b"hello world"));
    let takeoff = airport.lead(&digest);
    let early = tokio::spawn(read(airport.join(&digest), 0..u64::MAX));
    takeoff.streaming(Some(11));
    let _spool = write(&takeoff, Some(11), &["hello", " world"]).await;
    let late = tokio::spawn(read(airport.join(&digest), 6..u64::MAX));
    let part = tokio::spawn(read(airport.join(&digest), 2..4));
    takeoff.complete(11);
    assert_eq!(early.await.unwrap().unwrap(), b"hello world");
    assert_eq!(late.await.unwrap().unwrap(), b"world");
    assert_eq!(part.await.unwrap().unwrap(), b"ll");
}

#[tokio::test]
async fn the_last_byte_is_withheld_until_the_digest_was_checked() {
    let (airport, digest) = (airport(), Digest::of(b"hello"));
    let takeoff = airport.lead(&digest);
    let _spool = write(&takeoff, Some(5), &["hello"]).await;
    let flight = airport.join(&digest);
    assert_eq!(read(Arc::clone(&flight), 0..4).await.unwrap(), b"hell");
    takeoff.failed(&UpstreamError::Protocol("a blob that is not its digest"));
    assert!(flight.next(4..5).await.is_err(), "never a clean end");
}

#[tokio::test]
async fn without_a_length_the_end_itself_is_withheld() {
    let (airport, digest) = (airport(), Digest::of(b"hello"));
    let takeoff = airport.lead(&digest);
    let _spool = write(&takeoff, None, &["hello"]).await;
    let flight = airport.join(&digest);
    assert_eq!(read(Arc::clone(&flight), 0..5).await.unwrap(), b"hello");
    takeoff.failed(&UpstreamError::Timeout);
    assert!(flight.next(5..u64::MAX).await.is_err(), "never a clean end");
}

#[tokio::test]
async fn a_grounded_flight_gives_what_it_has_and_says_where_it_stopped() {
    let (airport, digest) = (airport(), Digest::of(b"hello"));
    let takeoff = airport.lead(&digest);
    let _spool = write(&takeoff, Some(5), &["hel"]).await;
    let flight = airport.join(&digest);
    takeoff.grounded(Grounding::new(Some(5), 3, Hasher::new(digest.algorithm()), nothing_more()));
    assert_eq!(read(Arc::clone(&flight), 1..5).await.unwrap(), b"el");
    for (from, first) in [(3, true), (3, false), (4, false)] {
        let Next::Grounded(grounding) = flight.next(from..5).await.unwrap() else {
            panic!("more bytes at {from}");
        };
        assert_eq!((grounding.at, grounding.length), (3, Some(5)));
        assert_eq!(grounding.take_rest().is_some(), first, "one reader goes on with the rest");
    }
    airport.lead(&digest);
}

#[tokio::test]
async fn a_spool_that_reaches_its_limit_keeps_what_it_had() {
    let (airport, digest) = (airport_of(Some(8)), Digest::of(b"hello world"));
    let takeoff = airport.lead(&digest);
    assert!(matches!(takeoff.spool(Some(11)).await, Err(Refusal::Limit)));
    let spool = takeoff.spool(None).await.unwrap();
    let batch = ["hello", " world", "!"].map(|part| Bytes::from_static(part.as_bytes()));
    let full = spool.append(batch.to_vec()).await.unwrap().unwrap_err();
    assert_eq!((full.refusal, full.received), (Refusal::Limit, 5));
    assert_eq!(full.rest, [" world", "!"]);
    assert_eq!(full.hasher.finish(), Digest::of(b"hello"));
}

/// `/dev/full` refuses every write with "no space left on device".
#[tokio::test]
async fn a_full_disk_is_no_error_of_the_blob() {
    let (airport, digest) = (airport(), Digest::of(b"hello"));
    let file = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let path = tempfile::NamedTempFile::new_in(airport.folder.path()).unwrap().into_temp_path();
    let room = airport.flights.room.reservation();
    let spool = Spool::of(file, path, room, digest.algorithm());
    let full = spool.append(vec![Bytes::from_static(b"hello")]).await.unwrap().unwrap_err();
    assert_eq!(
        (full.refusal, full.received, full.rest.concat()),
        (Refusal::Disk, 0, b"hello".to_vec())
    );
}

#[tokio::test]
async fn a_folder_that_is_gone_is_a_disk_that_fails() {
    let (airport, digest) = (airport(), Digest::of(b"hello"));
    std::fs::remove_dir_all(airport.folder.path()).unwrap();
    let takeoff = airport.lead(&digest);
    assert!(matches!(takeoff.spool(Some(5)).await, Err(Refusal::Disk)));
}

#[tokio::test]
async fn the_room_of_a_blob_is_free_once_its_last_reader_is_gone() {
    let (airport, digest) = (airport_of(Some(5)), Digest::of(b"hello"));
    let takeoff = airport.lead(&digest);
    let reader = airport.join(&digest);
    drop(write(&takeoff, Some(5), &["hello"]).await);
    drop(takeoff);
    let next = airport.lead(&digest);
    assert!(matches!(next.spool(Some(5)).await, Err(Refusal::Limit)));
    drop(reader);
    assert!(next.spool(Some(5)).await.is_ok());
}

#[tokio::test]
async fn who_looks_again_after_a_failure_finds_no_flight() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    let flight = airport.join(&digest);
    let (flights, again) = (Arc::clone(&airport.flights), digest.clone());
    let waiting = tokio::spawn(async move {
        let failed = flight.departure().await.is_err();
        (failed, matches!(flights.board(&again, &boarder(GLOBEX)), Boarding::Lead(_)))
    });
    takeoff.failed(&UpstreamError::Timeout);
    assert_eq!(waiting.await.unwrap(), (true, true));
}

#[tokio::test]
async fn a_late_end_does_not_take_the_next_flight_off_the_board() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let first = airport.lead(&digest);
    first.leave();
    let _second = airport.lead(&digest);
    drop(first);
    airport.join(&digest);
}

#[tokio::test]
async fn only_the_same_group_and_image_share_a_failure() {
    let airport = airport();
    let takeoff = airport.lead(&Digest::of(b"x"));
    assert!(takeoff.flight.is_led_for(&boarder(ACME)));
    assert!(!takeoff.flight.is_led_for(&boarder(GLOBEX)));
    let other = Boarder { group: ACME, image: "quay.io/app".to_owned() };
    assert!(!takeoff.flight.is_led_for(&other));
}

#[tokio::test]
async fn a_fetch_is_shown_to_the_groups_it_carries_only() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    assert!(airport.flights.own(&digest, ACME).is_none());
    let takeoff = airport.lead(&digest);
    assert!(airport.flights.own(&digest, ACME).is_some());
    assert!(airport.flights.own(&digest, GLOBEX).is_none());
    takeoff.flight.grant(GLOBEX);
    assert!(airport.flights.own(&digest, GLOBEX).is_some());
}

#[tokio::test]
async fn a_refusal_reaches_everybody_who_waits_for_headers() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    let flight = airport.join(&digest);
    let waiting = tokio::spawn(async move { flight.departure().await.map(drop) });
    takeoff.failed(&UpstreamError::Status { status: 404, retry_after: None });
    let seen = waiting.await.unwrap();
    assert!(matches!(seen, Err(UpstreamError::Status { status: 404, .. })));
}

#[tokio::test]
async fn a_leader_that_vanishes_leaves_nobody_waiting() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    let flight = airport.join(&digest);
    takeoff.streaming(Some(2));
    drop(takeoff);
    assert!(flight.next(0..2).await.is_err());
    assert!(matches!(flight.departure().await, Ok(Departure::Moot)));
}

#[tokio::test]
async fn groups_that_come_before_the_commit_are_linked_with_it() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    assert!(takeoff.flight.grant(GLOBEX));
    let mut passengers = takeoff.passengers();
    passengers.sort_by_key(|group| group.0);
    assert_eq!(passengers, [ACME, GLOBEX]);
    assert!(!takeoff.flight.grant(GroupId(3)), "it must write its own link");
    airport.join(&digest);
}

fn files_in(folder: &Path) -> usize {
    let all = std::fs::read_dir(folder).unwrap().map(|found| found.unwrap().path());
    all.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

fn folders_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_spool_file_goes_with_its_fetch() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    let spool = takeoff.spool(None).await.unwrap();
    assert_eq!(files_in(airport.folder.path()), 1);
    drop((takeoff, spool));
    assert_eq!(files_in(airport.folder.path()), 0);
}

#[tokio::test]
async fn what_a_dead_process_spooled_goes_at_the_next_start_and_what_a_living_one_does_stays() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let folder = airport.folder.path();
    let dead = folder.join(format!("{}dead", folder::PREFIX));
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("half"), "x").unwrap();
    let takeoff = airport.lead(&digest);
    let spool = takeoff.spool(None).await.unwrap();
    let neighbour = Flights::new(folder, None, Gauge::default()).unwrap();
    assert!(!dead.exists());
    assert_eq!((folders_in(folder), files_in(folder)), (2, 1));
    drop((takeoff, spool, neighbour));
    assert_eq!((folders_in(folder), files_in(folder)), (1, 0));
}

#[tokio::test]
async fn what_others_keep_in_the_spool_folder_is_not_ours_to_remove() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "x").unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    drop(Flights::new(folder.path(), None, Gauge::default()).unwrap());
    assert_eq!(folders_in(folder.path()), 2);
}
