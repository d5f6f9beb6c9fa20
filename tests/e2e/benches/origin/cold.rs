//! The wall time of a cold pull: skopeo through an origin with an empty cache, and directly from
//! the upstream.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use harness::distribution::Distribution;
use harness::image::{Image, noise};
use harness::{program, progress};
use tempfile::TempDir;

use crate::origins::{Origin, Setup};
use crate::report::{Budget, ROUNDS, headline, median, ratio, value};

const LAYERS: u64 = 8;
const LAYER: usize = 16_000_000;

/// Measures the pulls and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    headline("A cold pull by skopeo: 8 layers of 16 MB, wall time");
    let upstream = Distribution::start().await?;
    let layers: Vec<_> = (0..LAYERS).map(|seed| noise(10 + seed, LAYER)).collect();
    upstream.push("library/app", "latest", &Image::single(&layers)).await?;
    let (mut direct, mut cold) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        progress::show(&format!("cold pull: round {round} of {ROUNDS}"));
        let image = format!("{}/library/app:latest", upstream.url());
        let straight = pull(&image, "--src-no-creds")?;
        let origin = Origin::start(&upstream.url(), Setup::default()).await?;
        let image = format!(
            "http://127.0.0.1:{}/acme/dependency_proxy/containers/library/app:latest",
            origin.port
        );
        let login = format!("--src-creds={}:{}", origin.login.username, origin.login.password);
        let through = pull(&image, &login)?;
        if round > 0 {
            direct.push(straight);
            cold.push(through);
        }
    }
    progress::show("");
    let (direct, cold) = (median(direct), median(cold));
    value("straight from the upstream", direct, "s");
    value("through an empty origin", cold, "s");
    ratio("through / straight", cold / direct, Budget::AtMost(1.05));
    Ok(())
}

/// The time of a pull into an empty folder, in seconds.
fn pull(image: &str, login: &str) -> Result<f64> {
    let folder = TempDir::new()?;
    let from = image.replacen("http:", "docker:", 1);
    let to = format!("dir:{}", folder.path().join("image").display());
    let started = Instant::now();
    let output = Command::new(program::system("skopeo")?)
        .args(["--insecure-policy", "copy", "--src-tls-verify=false", login, &from, &to])
        .env_remove("REGISTRY_AUTH_FILE")
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{image}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(started.elapsed().as_secs_f64())
}
