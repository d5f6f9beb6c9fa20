//! SIGINT and SIGTERM: at the first one a service finishes its requests, at the second one it exits.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts the signals to stop that the process has received.
#[derive(Debug, Clone)]
pub struct StopSignals(watch::Receiver<usize>);

impl StopSignals {
    /// Starts listening. From now on neither signal terminates the process by default.
    ///
    /// # Errors
    /// A signal handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (count, received) = watch::channel(0_usize);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                count.send_modify(|count| *count = count.saturating_add(1));
            }
        });
        Ok(Self(received))
    }

    /// Waits for the first signal: the service should stop accepting and finish its requests.
    pub fn first(&self) -> impl Future<Output = ()> + Send + use<> {
        self.clone().received(1)
    }

    /// Waits for the second signal: the operator does not want to wait for the requests.
    pub fn second(&self) -> impl Future<Output = ()> + Send + use<> {
        self.clone().received(2)
    }

    async fn received(mut self, count: usize) {
        // The sender lives as long as the runtime, so this ends only by the signals.
        let _ = self.0.wait_for(|received| *received >= count).await;
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_first_and_the_second_signal_differ() {
        let signals = StopSignals::listen().unwrap();
        let (first, mut second) = (signals.first(), Box::pin(signals.second()));
        kill_process(getpid(), Signal::TERM).unwrap();
        tokio::select! {
            biased;
            () = &mut second => panic!("one signal was counted twice"),
            () = first => {}
        }
        kill_process(getpid(), Signal::INT).unwrap();
        second.await;
    }
}
