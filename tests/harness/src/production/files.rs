//! The shipped files with other folders, ports and addresses.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::certificates::Authority;
use super::{Changes, FakeCell, MIRROR, REGISTRY, WEB};
use crate::program;

/// The host names of the servers behind the edge.
pub(super) const INSIDE: [&str; 6] = [
    "topology.internal.example.com",
    "cell-1.internal.example.com",
    "cell-2.internal.example.com",
    "cell-3.internal.example.com",
    "registry.cell-1.internal.example.com",
    "registry.cell-2.internal.example.com",
];

/// Reads a file below `envoy/`.
///
/// # Errors
/// It cannot be read.
pub fn shipped(name: &str) -> Result<String> {
    let path = program::workspace().join("envoy").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Writes all of `/etc/envoy` into `home`. `ports` are those of the Topology Service, the edge and
/// its metrics.
pub(super) fn write(
    home: &Path,
    authority: &Authority,
    ports: [u16; 3],
    cells: &[FakeCell],
    changes: Changes<'_>,
) -> Result<()> {
    fs::create_dir_all(home.join("etc/secrets"))?;
    fs::create_dir_all(home.join("run"))?;
    install_certificates(&home.join("etc/tls"), authority)?;
    symlink(program::filter_wasm()?, home.join("etc/filter.wasm"))?;
    for name in ["web", "registry", "client", "internal-ca"] {
        let name = format!("secrets/{name}.yaml");
        fs::write(home.join("etc").join(&name), relocated(&shipped(&name)?, home))?;
    }
    for name in ["filter-web.yaml", "filter-registry.yaml"] {
        let text = router::install::render(&shipped(name)?, &program::workspace())?;
        fs::write(home.join("etc").join(name), relocated(&text, home))?;
    }
    fs::write(home.join("etc/clusters.yaml"), relocated(&clusters(cells)?, home))?;
    let bootstrap = changed(bootstrap(ports)?, changes)?;
    Ok(fs::write(home.join("envoy.yaml"), relocated(&bootstrap, home))?)
}

fn install_certificates(folder: &Path, authority: &Authority) -> Result<()> {
    let web = [WEB, MIRROR];
    for (name, hosts) in
        [("web", &web[..]), ("registry", &[REGISTRY]), ("client", &["edge.example.com"])]
    {
        authority.certify(hosts)?.install(&folder.join(name), 1)?;
    }
    fs::create_dir_all(folder.join("internal-ca"))?;
    Ok(fs::write(folder.join("internal-ca/ca.crt"), authority.pem())?)
}

fn relocated(text: &str, home: &Path) -> String {
    let home = home.display();
    text.replace("/etc/envoy", &format!("{home}/etc"))
        .replace("/var/run/envoy", &format!("{home}/run"))
        .replace("/dev/stdout", &format!("{home}/access.log"))
}

fn bootstrap([topology, edge, stats]: [u16; 3]) -> Result<String> {
    let listener = |port| format!("{{ address: 127.0.0.1, port_value: {port} }}");
    changed(
        shipped("envoy.yaml")?,
        &[
            ("{ address: 0.0.0.0, port_value: 8443 }", &listener(edge)),
            ("{ address: 127.0.0.1, port_value: 9902 }", &listener(stats)),
            ("{ address: topology.internal.example.com, port_value: 443 }", &listener(topology)),
        ],
    )
}

fn clusters(cells: &[FakeCell]) -> Result<String> {
    let shipped = shipped("clusters.yaml")?;
    let names =
        ["cell-1", "origin-1.cell-2", "origin-2.cell-2", "registry.cell-1", "registry.cell-2"];
    let addresses = names.iter().zip(cells).map(|(name, cell)| {
        let address = |host: &str, port| format!("{{ address: {host}, port_value: {port} }}");
        let shipped = address(&format!("{name}.internal.example.com"), 443);
        (shipped, address("127.0.0.1", cell.port()))
    });
    addresses.into_iter().try_fold(shipped, |text, (from, to)| changed(text, &[(&from, &to)]))
}

fn changed(mut text: String, changes: Changes<'_>) -> Result<String> {
    for (from, to) in changes {
        ensure!(text.contains(from), "the shipped file lacks {from}");
        text = text.replace(from, to);
    }
    Ok(text)
}
