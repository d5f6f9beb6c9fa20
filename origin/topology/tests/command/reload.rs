//! The configuration file changes while clients send requests all the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tonic::transport::Channel;
use topology::proto::classify_service_client::ClassifyServiceClient;
use topology::proto::types::v1::claim::Claim;

use crate::interfaces::{by_claims, connect};
use crate::process::{Service, send};

const ONE_CELL: &str = "env = \"test\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\n\
    [[claims]]\ncell = 1\nroute = \"acme\"\n";
const TWO_CELLS: &str = "env = \"test\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\n\
    [[cells]]\nid = 2\naddress = \"cell-2\"\n\
    [[claims]]\ncell = 1\nroute = \"acme\"\n";

fn move_into_place(file: &Path, text: &str) {
    let aside = file.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, file).unwrap();
}

/// Waits until the service reports this generation; returns its health.
fn generation(service: &Service, generation: u64) -> serde_json::Value {
    health(service, |health| health["generation"] == generation)
}

fn health(service: &Service, matches: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let response = service.get("/health/ready");
        assert_eq!(response.status, 200);
        let health = response.json();
        if matches(&health) {
            return health;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn has_second_cell(service: &Service) -> bool {
    service.classify(r#"{"type":"CELL_ID","value":"2"}"#).status == 200
}

struct Folder {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

fn folder(text: &str) -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    fs::write(&file, text).unwrap();
    Folder { _folder: folder, file }
}

/// Clients that send requests until they are stopped, and fail on the first error.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    rest: Vec<JoinHandle<()>>,
    grpc: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(service: &Service, channel: Channel) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let rest = (0..2).map(|_| {
            let (address, stop, sent) = (service.rest.clone(), stop.clone(), sent.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let request = r#"{"claims":[{"route":"acme"}]}"#;
                    let response = send(&address, "POST", "/v1/classify", request).unwrap();
                    assert_eq!(response.status, 200, "{}", response.body);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let rest = rest.collect();
        let grpc = tokio::spawn(load_over_grpc(channel, stop.clone(), sent.clone()));
        Self { stop, sent, rest, grpc }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.rest {
            client.join().unwrap();
        }
        self.grpc.await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

async fn load_over_grpc(channel: Channel, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) {
    let mut client = ClassifyServiceClient::new(channel);
    while !stop.load(Ordering::Relaxed) {
        let response = client.classify(by_claims(&[Claim::Route("acme".into())])).await.unwrap();
        assert_eq!(response.into_inner().proxy.unwrap().address, "cell-1");
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_valid_and_invalid_files_replace_each_other() {
    let Folder { file, _folder } = folder(ONE_CELL);
    let service = Service::start(&file, &["--grpc-listen", "127.0.0.1:0"]);
    let load = Load::start(&service, connect(&service).await);
    assert!(!has_second_cell(&service));

    move_into_place(&file, TWO_CELLS);
    assert_eq!(generation(&service, 2)["cells"], 2);
    assert!(has_second_cell(&service));

    move_into_place(&file, "env = \"test\"\n[[cells]]\nid = 1\nadress = \"cell-1\"\n");
    let refused = health(&service, |health| health["refused"].is_string());
    let reason = refused["refused"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{}:4: ", file.display())), "{reason}");
    assert_eq!(refused["generation"], 2);
    assert!(has_second_cell(&service));
    let page = service.get("/metrics").body;
    assert!(page.contains("topology_config_file_served 0\n"), "{page}");
    assert!(page.contains("topology_config_reloads_total{result=\"refused\"} 1\n"), "{page}");

    move_into_place(&file, ONE_CELL);
    assert!(generation(&service, 3)["refused"].is_null());
    assert!(!has_second_cell(&service));

    assert!(load.stop().await > 0);
    let (_, log) = service.terminate();
    let refusal = log.iter().find(|line| line.contains("rejected the changed")).unwrap();
    assert!(refusal.contains("unknown field `adress`"), "{refusal}");
}

#[test]
fn a_hangup_reloads_the_file_at_once() {
    let Folder { file, _folder } = folder(ONE_CELL);
    let service = Service::start(&file, &[]);
    service.signal(Signal::HUP);
    generation(&service, 2);
}

#[test]
fn a_volume_that_swaps_a_symlink_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, text| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("topology.toml"), text).unwrap();
    };
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(to, folder.path().join(from)).unwrap();
    };
    version("..1", ONE_CELL);
    version("..2", TWO_CELLS);
    link("..data", "..1");
    link("topology.toml", "..data/topology.toml");
    let service = Service::start(&folder.path().join("topology.toml"), &[]);
    assert!(!has_second_cell(&service));
    link("..data_tmp", "..2");
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    generation(&service, 2);
    assert!(has_second_cell(&service));
}
