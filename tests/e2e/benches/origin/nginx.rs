//! nginx, as a cache in front of a registry and as a server of the same bytes as files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use harness::image::Image;
use harness::process::{Process, free_port};
use harness::program;
use oci::Digest;
use tempfile::TempDir;

use crate::site::Site;

/// A running nginx with both servers.
#[derive(Debug)]
pub(crate) struct Nginx {
    cache: u16,
    files: u16,
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    pub(crate) async fn start(upstream: &str, image: &Image) -> Result<Self> {
        let folder = TempDir::new()?;
        let (cache, files) = (free_port()?, free_port()?);
        let locations = write(folder.path(), image)?;
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration(folder.path(), [cache, files], upstream, &locations))?;
        let file = file.display().to_string();
        let arguments = ["-c", &file, "-e", "stderr"];
        let nginx = program::system("nginx")?;
        let mut process = Process::start("nginx", &nginx, &arguments, folder.path())?;
        process.wait_until_ready(&format!("http://127.0.0.1:{files}/ready")).await?;
        Ok(Self { cache, files, _process: process, _folder: folder })
    }

    pub(crate) fn cache(&self) -> Site {
        Site::open("nginx proxy_cache", self.cache, "library/app")
    }

    pub(crate) fn files(&self) -> Site {
        Site::open("nginx static", self.files, "library/app")
    }
}

/// One location per path, so that each has its own media type, as in a registry.
fn write(folder: &Path, image: &Image) -> Result<String> {
    let mut locations = String::new();
    let mut add = |end: &str, media_type: &str, bytes: &[u8]| -> Result<()> {
        let file = folder.join(Digest::of(bytes).hex());
        fs::write(&file, bytes)?;
        let file = file.display();
        locations += &format!(
            "location = /v2/library/app/{end} {{ default_type {media_type}; alias {file}; }}\n"
        );
        Ok(())
    };
    for manifest in image.manifests() {
        add(&format!("manifests/{}", manifest.digest()), &manifest.media_type, &manifest.bytes)?;
    }
    add("manifests/latest", &image.top.media_type, &image.top.bytes)?;
    // Platforms share layers.
    for blob in image.blobs.iter().collect::<BTreeSet<_>>() {
        add(&format!("blobs/{}", Digest::of(blob)), "application/octet-stream", blob)?;
    }
    Ok(locations)
}

fn configuration(home: &Path, ports: [u16; 2], upstream: &str, locations: &str) -> String {
    let (home, [cache, files]) = (home.display(), ports);
    // As root, nginx runs its workers as the user `nobody`, who cannot read this folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; {user} worker_processes auto; pid {home}/nginx.pid; error_log {home}/nginx.err;\n\
         events {{ worker_connections 2048; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on;\n\
         open_file_cache max=1000;\n\
         client_body_temp_path {home}; proxy_temp_path {home}/temp; fastcgi_temp_path {home};\n\
         uwsgi_temp_path {home}; scgi_temp_path {home};\n\
         proxy_cache_path {home}/cache levels=1:2 keys_zone=cache:10m max_size=10g inactive=1h\n\
         use_temp_path=off;\n\
         server {{ listen 127.0.0.1:{cache}; location / {{ proxy_pass {upstream};\n\
         proxy_cache cache; proxy_cache_key $uri; proxy_cache_valid 200 1h; proxy_cache_lock on;\n\
         proxy_max_temp_file_size 0; }} }}\n\
         server {{ listen 127.0.0.1:{files}; location = /ready {{ return 200 ok; }}\n\
         {locations} }} }}\n"
    )
}
