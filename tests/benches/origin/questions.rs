//! SQL statements a warm request costs, read off the origin's own log.

use anyhow::Result;
use e2e::distribution::Distribution;
use e2e::image::{Image, noise};
use oci::Digest;
use reqwest::Method;

use crate::origins::{Origin, Setup};
use crate::report::{headline, value};

const REQUESTS: u32 = 200;

/// Counts and prints.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    let layer = noise(5, 100_000);
    let image = Image::single(std::slice::from_ref(&layer));
    let upstream = Distribution::start().await?;
    upstream.push("library/app", "latest", &image).await?;
    let log = "warn,sqlx::query=debug";
    let forgetful =
        Setup { log, auth: "membership_cache = \"0s\"", cache: "memory = 0", ..Setup::default() };
    let ends = [
        "manifests/latest".to_owned(),
        format!("manifests/{}", image.top.digest()),
        format!("blobs/{}", Digest::of(&layer)),
    ];
    for (how, setup) in [
        ("SQL statements a warm request, as shipped", Setup { log, ..Setup::default() }),
        ("SQL statements a warm request, nothing kept in memory", forgetful),
    ] {
        headline(how);
        let origin = Origin::start(&upstream.url(), setup).await?;
        for end in &ends {
            count(&origin, end).await?;
        }
    }
    Ok(())
}

async fn count(origin: &Origin, end: &str) -> Result<()> {
    let site = origin.site("origin");
    site.warm(end).await?;
    let before = origin.process.log().len();
    for _ in 0..REQUESTS {
        site.ask(Method::GET, end).await?.bytes().await?;
    }
    let log = origin.process.log();
    let lines = log.get(before..).unwrap_or_default().lines();
    let statements: Vec<_> = lines.filter(|line| line.contains("sqlx::query")).collect();
    let writes = statements.iter().filter(|line| is_write(line)).count();
    let kind = end.split(':').next().unwrap_or(end);
    value(&format!("{kind}: statements"), per_request(statements.len()), "a request");
    value(&format!("{kind}: of these writes"), per_request(writes), "a request");
    Ok(())
}

fn is_write(line: &str) -> bool {
    ["INSERT", "UPDATE", "DELETE", "BEGIN"].iter().any(|word| line.contains(word))
}

fn per_request(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(REQUESTS)
}
