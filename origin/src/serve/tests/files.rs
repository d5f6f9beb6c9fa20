//! Bytes that never pass through this process arrive as they are.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Buf as _;

use super::client::{Client, request};
use super::{Gate, LENGTH};
use crate::config::Limits;
use crate::metrics::Metrics;
use crate::serve::exchange::Exchange;
use crate::serve::id::RequestId;
use crate::serve::line::{Break, Line, is_placeholder};
use crate::serve::part::Part;

const SIZES: [usize; 7] = [0, 1, 100, 8 * 1024, 400_000, 1024 * 1024, LENGTH];

#[tokio::test]
async fn files_of_every_size_arrive_whole_on_one_connection() {
    for copying in [false, true] {
        let gate = Gate::with(Limits::default(), copying).await;
        let mut client = gate.client().await;
        for size in SIZES {
            let answer = client.get(&format!("/file/{size}")).await;
            assert!(answer.body == gate.bytes(0..size), "{size}, copying: {copying}");
            assert_eq!(client.get("/plain").await.body, b"plain");
        }
        gate.ended("2xx", "complete", 2 * SIZES.len() as u64).await;
        let sent = SIZES.iter().sum::<usize>() + SIZES.len() * "plain".len();
        assert_eq!(gate.shared.metrics.sent_bytes.get(), sent as u64);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    let paths = SIZES.map(|size| request(&format!("/file/{size}")) + &request("/plain"));
    client.send(&paths.concat()).await;
    for size in SIZES {
        assert!(client.answer().await.body == gate.bytes(0..size), "{size}");
        assert_eq!(client.answer().await.body, b"plain");
    }
}

#[tokio::test]
async fn without_a_length_files_come_in_chunks() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    for size in SIZES {
        let answer = client.get(&format!("/chunked/{size}")).await;
        assert!(answer.body == gate.bytes(0..size), "{size}");
    }
    gate.ended("2xx", "complete", SIZES.len() as u64).await;
}

#[tokio::test]
async fn to_an_old_client_the_connections_end_is_the_bodys() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    client.send("GET /chunked/3000000 HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert!(client.rest().await.as_deref() == Ok(gate.bytes(0..3_000_000)));
}

#[tokio::test]
async fn bytes_and_files_keep_their_order() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    assert!(client.get("/mixed").await.body == gate.bytes(0..3_000_001));
}

#[tokio::test]
async fn a_growing_file_is_sent_as_it_grows() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    client.send(&request("/growing")).await;
    let ready = client.answer();
    let feed = async {
        for _ in 0..4 {
            gate.noise.more.add_permits(1);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (answer, ()) = tokio::join!(ready, feed);
    assert!(answer.body == gate.bytes(0..1_200_000));
}

#[tokio::test]
async fn a_slow_client_gets_the_same_bytes() {
    let gate = Gate::open().await;
    let mut slow = Client::narrow(gate.address).await;
    let mut fast = gate.client().await;
    slow.send(&request("/file/3000000")).await;
    assert!(fast.get("/file/3000000").await.body == gate.bytes(0..3_000_000));
    assert!(slow.answer().await.body == gate.bytes(0..3_000_000));
}

#[tokio::test]
async fn a_client_that_hangs_up_midway_harms_nobody() {
    let gate = Gate::open().await;
    let mut other = gate.client().await;
    let mut leaving = Client::narrow(gate.address).await;
    leaving.send(&request(&format!("/file/{LENGTH}"))).await;
    leaving.head().await;
    drop(leaving);
    assert!(other.get(&format!("/file/{LENGTH}")).await.body == gate.bytes(0..LENGTH));
    gate.ended("2xx", "gone", 1).await;
    gate.ended("2xx", "complete", 1).await;
}

#[tokio::test]
async fn a_file_that_is_too_short_never_ends_cleanly() {
    for copying in [false, true] {
        let gate = Gate::with(Limits::default(), copying).await;
        let mut client = gate.client().await;
        client.send(&request("/short")).await;
        client.head().await;
        let came = client.rest().await.unwrap_or_else(|came| came);
        assert!(came == gate.bytes(0..came.len()) && came.len() <= LENGTH);
        gate.ended("2xx", "cut", 1).await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_never_ends_cleanly() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let gate = Gate::open().await;
        let mut client = gate.client().await;
        client.send(&format!("GET /broken {version}\r\nhost: x\r\n\r\n")).await;
        let came = client.rest().await.unwrap_or_else(|came| [came, b"reset".to_vec()].concat());
        assert!(!came.ends_with(b"\r\n0\r\n\r\n"), "{version}");
        assert!(version == "HTTP/1.1" || came.ends_with(b"reset"), "{version}");
        gate.ended("2xx", "cut", 1).await;
    }
}

#[tokio::test]
async fn bytes_beyond_the_length_are_not_sent_and_end_the_connection() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    client.send(&(request("/long") + &request("/file/5000"))).await;
    assert!(client.answer().await.body == gate.bytes(0..1000));
    let rest = client.rest().await.unwrap_or_else(|rest| rest);
    assert!(rest.is_empty(), "{} bytes out of step", rest.len());
}

#[tokio::test]
async fn http_2_gets_the_same_bytes() {
    let gate = Gate::open().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for path in ["/file/0", "/file/100", "/file/16777217", "/chunked/400000"] {
        let answer = client.get(format!("http://{}{path}", gate.address)).send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        let size: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        assert!(answer.bytes().await.unwrap() == gate.bytes(0..size), "{path}");
    }
    gate.ended("2xx", "complete", 4).await;
}

fn part_of(line: &Arc<Line>, length: usize) -> Part {
    let request = http::Request::new(());
    let id = RequestId::of(request.headers());
    let metrics = Arc::new(Metrics::default());
    Part::file(length, Arc::clone(line), Exchange::begin(&request, &id, Arc::clone(line), metrics))
}

#[test]
fn a_placeholder_is_shown_to_the_socket_and_to_nobody_else() {
    let line = Arc::new(Line::new(Limits::default()));
    let mut part = part_of(&line, 3);
    let mut slices = [IoSlice::new(b"x")];
    assert_eq!(part.chunks_vectored(&mut slices), 1);
    assert!(is_placeholder(&slices[0]) && slices[0].len() == 3);
    assert_eq!(line.broken(), None);
    assert_eq!((part.chunk(), line.broken()), (&b""[..], Some(Break::Source)));
    part.advance(3);
}

#[test]
fn a_placeholder_that_is_lost_ends_the_connection() {
    let line = Arc::new(Line::new(Limits::default()));
    drop(part_of(&line, 1));
    assert_eq!(line.broken(), Some(Break::Lost));
    assert!(line.check().is_err());
}

#[test]
fn a_placeholder_that_stands_for_nothing_ends_the_connection() {
    let line = Line::new(Limits::default());
    let file = Arc::new(tempfile::tempfile().unwrap());
    line.promise(file, 0..10);
    assert_eq!(line.due(10).unwrap().range, 0..10);
    line.kept(4);
    assert_eq!(line.due(6).unwrap().range, 4..10);
    assert!(line.due(7).is_err());
    assert_eq!(line.broken(), Some(Break::Source));
}
