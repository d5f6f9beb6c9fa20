//! A blob that comes as slowly as the test likes, and is checked to the byte.

use std::collections::VecDeque;

use bytes::Bytes;
use e2e::production::{Edge, Http, PIECE, WEB, piece};
use reqwest::Response;

/// 256 MiB.
const PIECES: usize = 4096;

/// A download on a connection of its own.
pub(super) struct Download {
    response: Response,
    pending: VecDeque<Bytes>,
    pieces: usize,
}

impl Download {
    pub(super) async fn start(edge: &Edge, http: Http) -> Self {
        let path = format!("/v2/acme/dependency_proxy/containers/alpine/blobs/{PIECES}");
        let response = edge.client(http).unwrap().get(edge.url(WEB, &path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, pending: VecDeque::new(), pieces: 0 }
    }

    /// Lets the cell send a little more, and reads it.
    pub(super) async fn reads_on(&mut self, edge: &Edge) {
        self.read_to(edge, self.pieces + 64).await;
    }

    pub(super) async fn ends_well(mut self, edge: &Edge) {
        self.read_to(edge, PIECES).await;
        assert!(self.pending.is_empty());
        while let Some(rest) = self.response.chunk().await.unwrap() {
            assert!(rest.is_empty(), "the blob goes on after its end");
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
            assert!(expected == read, "piece {} is another", self.pieces);
            self.pieces += 1;
        }
    }
}
