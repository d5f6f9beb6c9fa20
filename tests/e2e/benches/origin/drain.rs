//! The cheapest client: the kernel discards the bytes and never copies them here. Otherwise the
//! measurement would mostly show the client's own work.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::net::{RecvFlags, recv};

use crate::site::Site;

/// The most bytes that one call discards.
const GULP: usize = 1 << 20;

/// Measures the bytes per second of all clients, each of which repeats its request as soon as it is
/// complete.
///
/// # Errors
/// A response is not 200, or breaks off.
pub(crate) fn bytes_per_second(
    site: &Site,
    end: &str,
    clients: usize,
    time: Duration,
) -> Result<f64> {
    let (total, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..clients).map(|_| scope.spawn(|| drain(site, end, &total, &stop))).collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| {
            client.join().unwrap_or_else(|_| anyhow::bail!("a client broke"))
        })
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    Ok(total.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

fn drain(site: &Site, end: &str, total: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let request = request(site, end);
    let mut socket = TcpStream::connect(("127.0.0.1", site.port()))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut buffer = vec![0; GULP];
    while !stop.load(Ordering::Relaxed) {
        socket.write_all(request.as_bytes())?;
        let mut left = body_length(&mut socket, total).with_context(|| site.name.to_owned())?;
        while left > 0 {
            let gulp = usize::try_from(left).unwrap_or(GULP).min(GULP);
            let part = buffer.get_mut(..gulp).unwrap_or_default();
            let (_, dropped) = recv(&socket, part, RecvFlags::TRUNC)?;
            ensure!(dropped > 0, "{}: the body broke off", site.name);
            left -= dropped as u64;
            total.fetch_add(dropped as u64, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn request(site: &Site, end: &str) -> String {
    let head = format!("GET {} HTTP/1.1\r\nHost: bench\r\n", site.path(end));
    let headers = site.headers().into_iter();
    headers.fold(head, |head, (name, value)| format!("{head}{name}: {value}\r\n")) + "\r\n"
}

/// Reads the head of a response; returns the bytes of the body that are still to come.
fn body_length(socket: &mut TcpStream, total: &AtomicU64) -> Result<u64> {
    let mut read = Vec::new();
    let mut part = [0; 4096];
    let end = loop {
        let length = socket.read(&mut part)?;
        ensure!(length > 0, "the connection closed without a response");
        read.extend_from_slice(part.get(..length).unwrap_or_default());
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(read.get(..end).unwrap_or_default()).to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    let length: u64 = length.context("a response without a length")?.trim().parse()?;
    let early = (read.len() - end) as u64;
    total.fetch_add(early, Ordering::Relaxed);
    Ok(length.saturating_sub(early))
}
