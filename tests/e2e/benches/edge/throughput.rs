//! Requests per second, by kind of request and proxy.

use anyhow::Result;
use harness::progress;

use crate::load::{Round, round};
use crate::proxies::{Proxies, Way};

const ROUNDS: usize = 7;
const SECONDS: u32 = 2;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The most frequent requests of docker that are routed.
fn kinds() -> [(&'static str, String); 3] {
    let image = "/v2/acme/dependency_proxy/containers/library/alpine";
    [
        ("manifest by tag", format!("{image}/manifests/latest")),
        ("blob", format!("{image}/blobs/{DIGEST}")),
        (
            "token request",
            "/jwt/auth?service=dependency_proxy&scope=repository:acme/dependency_proxy/containers/library/alpine:pull".to_owned(),
        ),
    ]
}

/// Measures the throughput and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    let proxies = Proxies::start().await?;
    println!(
        "\nRequests per second through Envoy (1 worker) to nginx, 1 KiB responses, 16 connections;"
    );
    println!(
        "medians of {ROUNDS} interleaved rounds of {SECONDS} s. In brackets: Envoy's own µs a request.\n"
    );
    println!(
        "{:<16} {:>16} {:>16} {:>16} {:>12} {:>12}",
        "", "no filter", "filter", "Lua", "filter/none", "filter/Lua"
    );
    for (kind, path) in kinds() {
        let [plain, filter, lua] = medians(&proxies, kind, &path)?;
        println!(
            "{kind:<16} {} {} {} {:>12.2} {:>12.2}",
            cell(plain),
            cell(filter),
            cell(lua),
            filter.requests_per_second / plain.requests_per_second,
            filter.requests_per_second / lua.requests_per_second,
        );
    }
    Ok(())
}

fn cell(round: Round) -> String {
    format!("{:>9.0} ({:>4.1})", round.requests_per_second, round.envoy_micros)
}

fn medians(proxies: &Proxies, kind: &str, path: &str) -> Result<[Round; 3]> {
    let mut rounds: [Vec<Round>; 3] = Default::default();
    for number in 0..=ROUNDS {
        progress::show(&format!("{kind}: round {number} of {ROUNDS}"));
        for (way, kept) in Way::ALL.into_iter().zip(&mut rounds) {
            let measured = round(proxies, way, path, SECONDS)?;
            // The first round fills caches and lets V8 optimise.
            if number > 0 {
                kept.push(measured);
            }
        }
    }
    progress::show("");
    Ok(rounds.map(|rounds| Round {
        requests_per_second: median(rounds.iter().map(|round| round.requests_per_second)),
        envoy_micros: median(rounds.iter().map(|round| round.envoy_micros)),
    }))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
