//! The SQL statements of a request for cached content, counted in the origin's log.

use anyhow::Result;
use harness::distribution::Distribution;
use harness::image::{Image, noise};
use oci::Digest;
use reqwest::Method;

use crate::origins::{Origin, Setup};
use crate::report::{headline, value};

const REQUESTS: u32 = 200;

/// Counts the statements and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    let layer = noise(5, 100_000);
    let image = Image::single(std::slice::from_ref(&layer));
    let upstream = Distribution::start().await?;
    upstream.push("library/app", "latest", &image).await?;
    let log = "warn,sqlx::query=debug";
    let without_memory =
        Setup { log, auth: "membership_cache = \"0s\"", cache: "memory = 0", ..Setup::default() };
    let ends = [
        "manifests/latest".to_owned(),
        format!("manifests/{}", image.top.digest()),
        format!("blobs/{}", Digest::of(&layer)),
    ];
    for (how, setup) in [
        (
            "SQL statements of a request for cached content, by default",
            Setup { log, ..Setup::default() },
        ),
        (
            "SQL statements of a request for cached content, without the memory cache",
            without_memory,
        ),
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
    site.fill_cache(end).await?;
    let before = origin.process.log().len();
    for _ in 0..REQUESTS {
        site.request(Method::GET, end).await?.bytes().await?;
    }
    let log = origin.process.log();
    let lines = log.get(before..).unwrap_or_default().lines();
    let statements: Vec<_> = lines.filter(|line| line.contains("sqlx::query")).collect();
    let writes = statements.iter().filter(|line| is_write(line)).count();
    let kind = end.split(':').next().unwrap_or(end);
    value(&format!("{kind}: statements"), per_request(statements.len()), "per request");
    value(&format!("{kind}: of these writes"), per_request(writes), "per request");
    Ok(())
}

fn is_write(line: &str) -> bool {
    ["INSERT", "UPDATE", "DELETE", "BEGIN"].iter().any(|word| line.contains(word))
}

fn per_request(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(REQUESTS)
}
