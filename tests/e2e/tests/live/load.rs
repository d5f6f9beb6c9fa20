//! Constant load: each client sends all its requests on one connection, which it never reopens.

use std::sync::Arc;

use bytes::Bytes;
use harness::production::{Edge, WEB};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::MANIFEST;

/// The progress of a client: the number of responses, and the rule of the last one.
type Progress = Arc<watch::Sender<(u64, String)>>;

/// Four clients, two of each protocol.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    clients: Vec<(Progress, JoinHandle<()>)>,
}

impl Load {
    pub(super) async fn start(edge: &Edge) -> Self {
        let stop = watch::Sender::new(false);
        let mut clients = Vec::new();
        for _ in 0..2 {
            let progress = Progress::default();
            let stream = edge.connect(b"http/1.1").await.unwrap();
            let client = tokio::spawn(http_1(stream, Arc::clone(&progress), stop.subscribe()));
            clients.push((progress, client));
            let progress = Progress::default();
            let stream = edge.connect(b"h2").await.unwrap();
            let client = tokio::spawn(http_2(stream, Arc::clone(&progress), stop.subscribe()));
            clients.push((progress, client));
        }
        let mut load = Self { stop, clients };
        load.progress().await;
        load
    }

    /// Waits until every client has received some more responses.
    pub(super) async fn progress(&mut self) {
        for (progress, client) in &mut self.clients {
            let (seen, _) = *progress.borrow();
            let mut progress = progress.subscribe();
            tokio::select! {
                more = progress.wait_for(|(count, _)| *count >= seen + 20) => drop(more.unwrap()),
                ended = client => panic!("a client ended: {ended:?}"),
            }
        }
    }

    /// Waits until every client is served by this rule.
    pub(super) async fn until_rule(&self, edge: &Edge, rule: &str) {
        let by_rule = |(progress, _): &(Progress, _)| progress.borrow().1 == rule;
        edge.until(rule, async || self.clients.iter().all(by_rule)).await.unwrap();
    }

    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        for (_, client) in self.clients {
            client.await.unwrap();
        }
    }
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

async fn http_1(mut stream: Stream, progress: Progress, stop: watch::Receiver<bool>) {
    let request = format!("GET {MANIFEST} HTTP/1.1\r\nHost: {WEB}\r\n\r\n");
    while !*stop.borrow() {
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let rule = head.lines().find_map(|line| line.strip_prefix("x-cell-rule: "));
        count(&progress, rule.unwrap_or_default());
    }
}

/// Reads one response to its end, and returns its head.
async fn read_response(stream: &mut Stream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.unwrap().parse::<usize>().unwrap() {
                return head.to_owned();
            }
        }
        let more = stream.read_buf(&mut read).await.unwrap();
        assert!(more > 0, "the connection was closed");
    }
}

async fn http_2(stream: Stream, progress: Progress, stop: watch::Receiver<bool>) {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sender: h2::client::SendRequest<Bytes> = sender;
    while !*stop.borrow() {
        let request = http::Request::get(format!("https://{WEB}{MANIFEST}")).body(()).unwrap();
        sender = sender.ready().await.unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let rule =
            response.headers().get("x-cell-rule").map(|rule| rule.to_str().unwrap().to_owned());
        let mut body = response.into_body();
        while let Some(bytes) = body.data().await {
            let length = bytes.unwrap().len();
            body.flow_control().release_capacity(length).unwrap();
        }
        count(&progress, &rule.unwrap_or_default());
    }
    assert!(!connection.is_finished());
}

fn count(progress: &Progress, rule: &str) {
    progress.send_modify(|(count, last)| {
        *count += 1;
        rule.clone_into(last);
    });
}
