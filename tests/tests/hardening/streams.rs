//! Large bodies flow through, up and down, and are kept nowhere.

use bytes::Bytes;
use e2e::production::{Edge, PIECE, WEB, piece};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::BOTH;

const UPLOAD: &str = "/v2/acme/dependency_proxy/containers/alpine/blobs/uploads/1";

#[tokio::test]
async fn an_upload_reaches_the_cell_while_the_client_still_sends() {
    let edge = Edge::start().await.unwrap();
    let [cell, ..] = &edge.cells;
    for (round, http) in (1..).zip(BOTH) {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
        let body =
            stream::poll_fn(move |context| pieces.poll_recv(context)).map(Ok::<_, std::io::Error>);
        let request = edge.client(http).unwrap().patch(edge.url(WEB, UPLOAD));
        let answer = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());

        let (pieces, before) = (256, (round - 1) * 256 * PIECE);
        for sent in 1..=pieces {
            sender.send(piece(sent)).await.unwrap();
            // More than Envoy may keep stays on the way only if Envoy waits for the end.
            let at_the_cell = (sent * PIECE).saturating_sub(2 * 1024 * 1024);
            cell.received(before + at_the_cell).await.unwrap();
        }
        drop(sender);
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
        cell.received(before + pieces * PIECE).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_download_that_nobody_reads_envoy_keeps_little() {
    let edge = Edge::start().await.unwrap();
    let [cell, ..] = &edge.cells;
    let pieces = 4096;
    cell.allow(pieces);
    let path = format!("/v2/acme/dependency_proxy/containers/alpine/blobs/{pieces}");
    for http in BOTH {
        let response = edge.client(http).unwrap().get(edge.url(WEB, &path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        // Of 256 MiB, what fits into windows, socket buffers and Envoy's own is under way now.
        let kept = edge.stat("server.memory_allocated").await.unwrap();
        assert!(kept < 128 * 1024 * 1024, "{kept} bytes");
        let mut body = response.bytes_stream();
        let (mut length, mut sum) = (0_usize, 0_u64);
        while let Some(bytes) = body.next().await {
            let bytes = bytes.unwrap();
            length += bytes.len();
            sum = bytes.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
        }
        assert_eq!(length, pieces * PIECE);
        assert!(sum > 0);
    }
}
