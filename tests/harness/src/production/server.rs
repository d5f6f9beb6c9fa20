//! A TLS server on its own runtime, so that a test can kill it like a process.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// A running server on loopback.
#[derive(Debug)]
pub(super) struct Server {
    runtime: Option<Runtime>,
    port: u16,
}

impl Server {
    pub(super) fn start(router: Router, tls: ServerConfig) -> Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            let listener = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(tls)) };
            axum::serve(listener, router).await
        });
        Ok(Self { runtime: Some(runtime), port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks every connection and stops listening.
    pub(super) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
