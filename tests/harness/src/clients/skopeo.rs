//! skopeo, which copies images without storing them.

use std::path::Path;

use anyhow::Result;

pub use super::ClientRun;
use super::command;
use crate::client::Login;

/// Pulls an image with all its platforms into a folder that must not exist.
///
/// # Errors
/// skopeo is not installed.
pub async fn pull(image: &str, login: &Login, into: &Path) -> Result<ClientRun> {
    pull_as(image, Some(login), into).await
}

/// Pulls an image with or without a login.
///
/// # Errors
/// skopeo is not installed.
pub async fn pull_as(image: &str, login: Option<&Login>, into: &Path) -> Result<ClientRun> {
    let (from, to) = (format!("docker://{image}"), format!("dir:{}", into.display()));
    let login = login.map_or("--src-no-creds".to_owned(), |login| {
        format!("--src-creds={}:{}", login.username, login.password)
    });
    run(&["--insecure-policy", "copy", "--all", "--src-tls-verify=false", &login, &from, &to]).await
}

/// Pushes an image that [`Image::write`](crate::image::Image::write) wrote, with all its platforms
/// and digests.
///
/// # Errors
/// skopeo is not installed.
pub async fn push(from: &Path, image: &str, login: &Login) -> Result<ClientRun> {
    let (from, to) = (format!("dir:{}", from.display()), format!("docker://{image}"));
    let login = format!("--dest-creds={}:{}", login.username, login.password);
    let how = ["--all", "--preserve-digests", "--dest-tls-verify=false", &login];
    run(&[&["--insecure-policy", "copy"], &how[..], &[&from, &to]].concat()).await
}

/// Logs in, with the credentials stored in `folder`.
///
/// # Errors
/// skopeo is not installed.
pub async fn log_in(host: &str, login: &Login, folder: &Path) -> Result<ClientRun> {
    let file = folder.join("auth.json").display().to_string();
    let Login { username, password } = login;
    run(&[
        "login",
        "--tls-verify=false",
        "--authfile",
        &file,
        "--username",
        username,
        "--password",
        password,
        host,
    ])
    .await
}

async fn run(arguments: &[&str]) -> Result<ClientRun> {
    let mut command = command("skopeo")?;
    command.args(arguments);
    super::run(command).await
}
