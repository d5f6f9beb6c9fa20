//! A download at the test's pace, checked byte by byte.

use std::collections::VecDeque;

use bytes::Bytes;
use harness::production::{Edge, HttpVersion, PIECE, WEB, piece};
use reqwest::Response;

/// 256 MiB.
const PIECES: usize = 4096;

/// A download on its own connection.
pub(super) struct Download {
    response: Response,
    pending: VecDeque<Bytes>,
    pieces: usize,
}

impl Download {
    pub(super) async fn start(edge: &Edge, http: HttpVersion) -> Self {
        let path = format!("/v2/acme/dependency_proxy/containers/alpine/blobs/{PIECES}");
        let response = edge.client(http).unwrap().get(edge.url(WEB, &path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, pending: VecDeque::new(), pieces: 0 }
    }

    /// Lets the Cell send some more, and reads it.
    pub(super) async fn read_more(&mut self, edge: &Edge) {
        self.read_to(edge, self.pieces + 64).await;
    }

    pub(super) async fn finish(mut self, edge: &Edge) {
        self.read_to(edge, PIECES).await;
        assert!(self.pending.is_empty());
        while let Some(rest) = self.response.chunk().await.unwrap() {
            assert!(rest.is_empty(), "the blob is longer than it should be");
        }
    }

    async fn read_to(&mut self, edge: &Edge, pieces: usize) {
        let [cell, ..] = &edge.cells;
        cell.allow(pieces);
        while self.pieces < pieces {
            let expected = piece(self.pieces);
            let mut read = Vec::with_capacity(PIECE);
            while read.len() < PIECE {
                let mut bytes = match self.pending.pop_front() {
                    Some(bytes) => bytes,
                    None => self.response.chunk().await.unwrap().unwrap(),
                };
                let rest = bytes.split_off(bytes.len().min(PIECE - read.len()));
                read.extend_from_slice(&bytes);
                if !rest.is_empty() {
                    self.pending.push_front(rest);
                }
            }
            assert!(expected == read, "piece {} is wrong", self.pieces);
            self.pieces += 1;
        }
    }
}
