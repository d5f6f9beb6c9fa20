//! An HTTP/1 client that shows every byte.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

pub(super) struct Client(BufReader<TcpStream>);

pub(super) struct RawResponse {
    pub(super) status: u16,
    head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl RawResponse {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}: ");
        self.head.iter().find_map(|line| line.strip_prefix(&name))
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// Connects with a receive buffer so small that unread data soon stalls the server.
    pub(super) async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self(BufReader::with_capacity(1000, socket.connect(address).await.unwrap()))
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn get(&mut self, path: &str) -> RawResponse {
        self.send(&request(path)).await;
        self.response().await
    }

    pub(super) async fn response(&mut self) -> RawResponse {
        let mut response = self.head().await;
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = self.chunks().await;
        } else if let Some(length) = response.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            response.body = body;
        }
        response
    }

    pub(super) async fn head(&mut self) -> RawResponse {
        let mut head: Vec<String> = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
                return RawResponse { status, head, body: Vec::new() };
            }
            head.push(line);
        }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line().await, 16).unwrap();
            let mut chunk = vec![0; length];
            self.0.read_exact(&mut chunk).await.unwrap();
            body.extend(chunk);
            assert_eq!(self.line().await, "");
            if length == 0 {
                return body;
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("cut after {line:?}")).to_owned()
    }

    /// Reads until the server closes; `Err` holds what came before a reset.
    pub(super) async fn rest(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest).await {
            Ok(_) => Ok(rest),
            Err(_) => Err(rest),
        }
    }
}

pub(super) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}
