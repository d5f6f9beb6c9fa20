//! Files arrive byte for byte, however they are sent.

use super::client::{Client, request};
use super::{LENGTH, Sending, TestServer};

const SIZES: [usize; 7] = [0, 1, 100, 8 * 1024, 400_000, 1024 * 1024, LENGTH];

#[tokio::test]
async fn files_of_every_size_arrive_whole_on_one_connection() {
    for sending in Sending::ALL {
        let server = TestServer::sending(sending).await;
        let mut client = server.client().await;
        for size in SIZES {
            let response = client.get(&format!("/file/{size}")).await;
            assert!(response.body == server.bytes(0..size), "{size}, {sending:?}");
            assert_eq!(client.get("/plain").await.body, b"plain");
        }
        server.ended("2xx", "complete", 2 * SIZES.len() as u64).await;
        let sent = SIZES.iter().sum::<usize>() + SIZES.len() * "plain".len();
        assert_eq!(server.server.metrics.sent_bytes.get(), sent as u64);
    }
}

#[tokio::test]
async fn pipelined_requests_get_their_responses_in_order() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let paths = SIZES.map(|size| request(&format!("/file/{size}")) + &request("/plain"));
    client.send(&paths.concat()).await;
    for size in SIZES {
        assert!(client.response().await.body == server.bytes(0..size), "{size}");
        assert_eq!(client.response().await.body, b"plain");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_chunked() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for size in SIZES {
        let response = client.get(&format!("/chunked/{size}")).await;
        assert!(response.body == server.bytes(0..size), "{size}");
    }
    server.ended("2xx", "complete", SIZES.len() as u64).await;
}

#[tokio::test]
async fn for_http_1_0_the_end_of_the_connection_ends_the_body() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("GET /chunked/3000000 HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert!(client.rest().await.as_deref() == Ok(server.bytes(0..3_000_000)));
}

#[tokio::test]
async fn bytes_and_files_keep_their_order() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    assert!(client.get("/mixed").await.body == server.bytes(0..3_000_001));
}

#[tokio::test]
async fn a_growing_file_is_sent_as_it_grows() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send(&request("/growing")).await;
    let ready = client.response();
    let feed = async {
        for _ in 0..4 {
            server.noise.more.add_permits(1);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (response, ()) = tokio::join!(ready, feed);
    assert!(response.body == server.bytes(0..1_200_000));
}

#[tokio::test]
async fn a_slow_client_gets_the_same_bytes() {
    let server = TestServer::start().await;
    let mut slow = Client::narrow(server.address).await;
    let mut fast = server.client().await;
    slow.send(&request("/file/3000000")).await;
    assert!(fast.get("/file/3000000").await.body == server.bytes(0..3_000_000));
    assert!(slow.response().await.body == server.bytes(0..3_000_000));
}

#[tokio::test]
async fn a_client_that_disconnects_midway_affects_no_other() {
    let server = TestServer::start().await;
    let mut other = server.client().await;
    let mut leaving = Client::narrow(server.address).await;
    leaving.send(&request(&format!("/file/{LENGTH}"))).await;
    leaving.head().await;
    drop(leaving);
    assert!(other.get(&format!("/file/{LENGTH}")).await.body == server.bytes(0..LENGTH));
    server.ended("2xx", "gone", 1).await;
    server.ended("2xx", "complete", 1).await;
}

#[tokio::test]
async fn a_file_shorter_than_announced_never_ends_cleanly() {
    for sending in Sending::ALL {
        let server = TestServer::sending(sending).await;
        let mut client = server.client().await;
        client.send(&request("/short")).await;
        client.head().await;
        let received = client.rest().await.unwrap_or_else(|received| received);
        assert!(received == server.bytes(0..received.len()) && received.len() <= LENGTH);
        server.ended("2xx", "cut", 1).await;
    }
}

#[tokio::test]
async fn a_body_that_fails_never_ends_cleanly() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let server = TestServer::start().await;
        let mut client = server.client().await;
        client.send(&format!("GET /broken {version}\r\nhost: x\r\n\r\n")).await;
        let received =
            client.rest().await.unwrap_or_else(|received| [received, b"reset".to_vec()].concat());
        assert!(!received.ends_with(b"\r\n0\r\n\r\n"), "{version}");
        assert!(version == "HTTP/1.1" || received.ends_with(b"reset"), "{version}");
        server.ended("2xx", "cut", 1).await;
    }
}

#[tokio::test]
async fn bytes_beyond_the_announced_length_are_not_sent_and_end_the_connection() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send(&(request("/long") + &request("/file/5000"))).await;
    assert!(client.response().await.body == server.bytes(0..1000));
    let rest = client.rest().await.unwrap_or_else(|rest| rest);
    assert!(rest.is_empty(), "{} bytes out of step", rest.len());
}

#[tokio::test]
async fn http_2_gets_the_same_bytes() {
    let server = TestServer::start().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for path in ["/file/0", "/file/100", "/file/16777217", "/chunked/400000"] {
        let response = client.get(format!("http://{}{path}", server.address)).send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        let size: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        assert!(response.bytes().await.unwrap() == server.bytes(0..size), "{path}");
    }
    server.ended("2xx", "complete", 4).await;
}
