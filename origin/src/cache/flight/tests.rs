use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::*;
use crate::body::bytes_of;

const ACME: GroupId = GroupId(1);
const GLOBEX: GroupId = GroupId(2);

struct Airport {
    folder: tempfile::TempDir,
    flights: Arc<Flights>,
}

fn airport() -> Airport {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path()).unwrap();
    Airport { folder, flights }
}

impl Airport {
    fn lead(&self, digest: &Digest) -> Takeoff {
        match self.flights.board(digest, ACME).unwrap() {
            Boarding::Lead(takeoff) => takeoff,
            _ => panic!("somebody else leads"),
        }
    }

    fn join(&self, digest: &Digest) -> Arc<Flight> {
        match self.flights.board(digest, ACME).unwrap() {
            Boarding::Joined(flight) => flight,
            _ => panic!("nothing to join"),
        }
    }
}

async fn write(takeoff: &Takeoff, length: Option<u64>, parts: &[&'static str]) {
    let mut spool = takeoff.spool().unwrap();
    for part in parts {
        spool = spool.append(Bytes::from_static(part.as_bytes())).await.unwrap();
        takeoff.spooled(length, spool.received());
    }
}

async fn read(flight: Arc<Flight>, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let parts: Vec<Bytes> = bytes_of(flight.read(range)).try_collect().await?;
    Ok(parts.concat())
}

#[tokio::test]
async fn every_request_after_the_first_joins_its_groups_fetch() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    airport.join(&digest);
    assert!(matches!(airport.flights.board(&digest, GLOBEX).unwrap(), Boarding::Foreign(_)));
    drop(takeoff);
    airport.lead(&digest);
}

#[tokio::test]
async fn readers_from_any_offset_get_the_same_bytes() {
    let (airport, digest) = (airport(), Digest::of(b"hello world"));
    let takeoff = airport.lead(&digest);
    let early = tokio::spawn(read(airport.join(&digest), 0..u64::MAX));
    takeoff.streaming(Some(11));
    write(&takeoff, Some(11), &["hello", " world"]).await;
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
    takeoff.streaming(Some(5));
    write(&takeoff, Some(5), &["hello"]).await;
    let mut stream = Box::pin(bytes_of(airport.join(&digest).read(0..5)));
    assert_eq!(stream.next().await.unwrap().unwrap(), "hell");
    takeoff.failed(&UpstreamError::Protocol("a blob that is not its digest"));
    assert!(stream.next().await.unwrap().is_err(), "never a clean end");
}

#[tokio::test]
async fn without_a_length_the_end_itself_is_withheld() {
    let (airport, digest) = (airport(), Digest::of(b"hello"));
    let takeoff = airport.lead(&digest);
    takeoff.streaming(None);
    write(&takeoff, None, &["hello"]).await;
    let mut stream = Box::pin(bytes_of(airport.join(&digest).read(0..u64::MAX)));
    assert_eq!(stream.next().await.unwrap().unwrap(), "hello");
    takeoff.failed(&UpstreamError::Timeout);
    assert!(stream.next().await.unwrap().is_err(), "never a clean end");
}

#[tokio::test]
async fn a_refusal_reaches_everybody_who_waits_for_headers() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    let flight = airport.join(&digest);
    let waiting = tokio::spawn(async move { flight.departure().await.map(drop) });
    takeoff.failed(&UpstreamError::Status { status: 404, retry_after: None });
    drop(takeoff);
    let seen = waiting.await.unwrap();
    assert!(matches!(seen, Err(UpstreamError::Status { status: 404, .. })));
}

#[tokio::test]
async fn a_leader_that_vanishes_leaves_nobody_waiting() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    let flight = airport.join(&digest);
    takeoff.streaming(Some(2));
    let mut stream = Arc::clone(&flight).read(0..2);
    drop(takeoff);
    assert!(stream.next().await.unwrap().is_err());
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

#[tokio::test]
async fn a_spool_file_goes_with_its_fetch_and_old_ones_at_start() {
    let (airport, digest) = (airport(), Digest::of(b"x"));
    let takeoff = airport.lead(&digest);
    assert_eq!(std::fs::read_dir(airport.folder.path()).unwrap().count(), 1);
    drop(takeoff);
    assert_eq!(std::fs::read_dir(airport.folder.path()).unwrap().count(), 0);
    std::fs::write(airport.folder.path().join(format!("{SPOOL_PREFIX}left-over")), "x").unwrap();
    Flights::new(airport.folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(airport.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_others_keep_in_the_spool_folder_is_not_ours_to_remove() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "x").unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    Flights::new(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
