//! The shipped files as they are, but for folders, ports and addresses.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::certificates::Authority;
use super::{Cell, Changes, REGISTRY, WEB};
use crate::{ecds, program};

/// The names that servers behind the edge have.
pub(super) const INSIDE: [&str; 6] = [
    "topology.internal.example.com",
    "cell-1.internal.example.com",
    "cell-2.internal.example.com",
    "cell-3.internal.example.com",
    "registry.cell-1.internal.example.com",
    "registry.cell-2.internal.example.com",
];

/// A file below `envoy/`.
///
/// # Errors
/// There is none.
pub fn shipped(name: &str) -> Result<String> {
    let path = program::workspace().join("envoy").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Writes all of `/etc/envoy` into `home`; `ports` are those of the Topology Service, of the edge and
/// of its metrics.
pub(super) fn write(
    home: &Path,
    authority: &Authority,
    ports: [u16; 3],
    cells: &[Cell],
    changes: Changes<'_>,
) -> Result<()> {
    fs::create_dir_all(home.join("etc/secrets"))?;
    fs::create_dir_all(home.join("run"))?;
    install_certificates(&home.join("etc/tls"), authority)?;
    symlink(program::filter_wasm()?, home.join("etc/filter.wasm"))?;
    for name in ["web", "registry", "client", "internal-ca"] {
        let name = format!("secrets/{name}.yaml");
        fs::write(home.join("etc").join(&name), here(&shipped(&name)?, home))?;
    }
    for name in ["filter-web.yaml", "filter-registry.yaml"] {
        let text = ecds::render(&shipped(name)?, &program::workspace())?;
        fs::write(home.join("etc").join(name), here(&text, home))?;
    }
    fs::write(home.join("etc/clusters.yaml"), here(&clusters(cells)?, home))?;
    let bootstrap = changed(bootstrap(ports)?, changes)?;
    Ok(fs::write(home.join("envoy.yaml"), here(&bootstrap, home))?)
}

fn install_certificates(folder: &Path, authority: &Authority) -> Result<()> {
    for (name, host) in [("web", WEB), ("registry", REGISTRY), ("client", "edge.example.com")] {
        authority.certify(&[host])?.install(&folder.join(name), 1)?;
    }
    fs::create_dir_all(folder.join("internal-ca"))?;
    Ok(fs::write(folder.join("internal-ca/ca.crt"), authority.pem())?)
}

fn here(text: &str, home: &Path) -> String {
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

/// The second origin of `cell-2` is added as an operator would.
fn clusters(cells: &[Cell]) -> Result<String> {
    let shipped = shipped("clusters.yaml")?;
    let [first, second, another, registry_1, registry_2, ..] = cells else { return Ok(shipped) };
    let of = |name: &str| format!("{{ address: {name}.internal.example.com, port_value: 443 }}");
    let at = |cell: &Cell| format!("{{ address: 127.0.0.1, port_value: {} }}", cell.port());
    let added = format!(
        "{}\n            - endpoint:\n                address:\n                  socket_address: {}",
        at(second),
        at(another)
    );
    changed(
        shipped,
        &[
            (&of("cell-1"), &at(first)),
            (&of("cell-2"), &added),
            (&of("registry.cell-1"), &at(registry_1)),
            (&of("registry.cell-2"), &at(registry_2)),
        ],
    )
}

fn changed(mut text: String, changes: Changes<'_>) -> Result<String> {
    for (from, to) in changes {
        ensure!(text.contains(from), "the shipped file holds no {from}");
        text = text.replace(from, to);
    }
    Ok(text)
}
