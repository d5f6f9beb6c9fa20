//! Large bodies are streamed in both directions and not buffered.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use harness::production::{Edge, PIECE, WEB, piece};
use tokio::sync::mpsc;

use super::{BOTH, MANIFEST};

const UPLOAD: &str = "/v2/acme/dependency_proxy/containers/alpine/blobs/uploads/1";

#[tokio::test]
async fn an_upload_reaches_the_cell_before_the_client_has_finished() {
    let edge = Edge::start().await.unwrap();
    let [cell, ..] = &edge.cells;
    for (round, http) in (1..).zip(BOTH) {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
        let body =
            stream::poll_fn(move |context| pieces.poll_recv(context)).map(Ok::<_, std::io::Error>);
        let request = edge.client(http).unwrap().patch(edge.url(WEB, UPLOAD));
        let response = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());

        let (pieces, before) = (256, (round - 1) * 256 * PIECE);
        for sent in 1..=pieces {
            sender.send(piece(sent)).await.unwrap();
            // More than Envoy may buffer, so it arrives only if Envoy does not wait for the end.
            let at_the_cell = (sent * PIECE).saturating_sub(2 * 1024 * 1024);
            cell.received(before + at_the_cell).await.unwrap();
        }
        drop(sender);
        assert_eq!(response.await.unwrap().unwrap().status(), 200);
        cell.received(before + pieces * PIECE).await.unwrap();
    }
}

#[tokio::test]
async fn a_download_that_the_client_does_not_read_stays_at_the_cell() {
    let edge = Edge::start().await.unwrap();
    let [cell, ..] = &edge.cells;
    let pieces = 4096;
    cell.allow(pieces);
    let path = format!("/v2/acme/dependency_proxy/containers/alpine/blobs/{pieces}");
    for http in BOTH {
        let before = cell.sent();
        let response = edge.client(http).unwrap().get(edge.url(WEB, &path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        // Waits until no more is sent while many other requests are served.
        let mut sent = before;
        loop {
            for _ in 0..20 {
                assert_eq!(edge.get(http, WEB, MANIFEST, &[]).await.unwrap().status, 200);
            }
            if cell.sent() == sent {
                break;
            }
            sent = cell.sent();
        }
        let under_way = (sent - before) * PIECE;
        assert!(under_way < 64 * 1024 * 1024, "{under_way} bytes of 256 MiB are in flight");
        let kept = edge.stat("server.memory_allocated").await.unwrap();
        assert!(kept < 128 * 1024 * 1024, "{kept} bytes are buffered in Envoy");
        drop(response);
    }
}
