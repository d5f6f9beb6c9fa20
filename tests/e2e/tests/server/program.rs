//! The program: signals and the log.

use harness::member::guest;
use harness::origin_config::OriginConfig;
use harness::process::{Process, free_port};
use tempfile::TempDir;

use super::{Config, FaultRegistry, Image, Puller, Value, digest, hang, layer, until};

struct Program {
    process: Process,
    upstream: FaultRegistry,
    client: Puller,
    password: String,
    _folder: TempDir,
}

impl Program {
    async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let upstream = FaultRegistry::start().await.unwrap();
        upstream.add("library/app", "latest", &Image::single(&[layer()]));
        let file = folder.path().join("origin.toml");
        let config = OriginConfig::new(folder.path(), port).set("upstream", "url", upstream.url());
        config.write(&file).unwrap();
        let login = guest(&Config::load(&file).unwrap(), "acme", "ann").await.unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let program = harness::program::own("origin").unwrap();
        let arguments = ["serve", "--log-json", "--config", &file.display().to_string()];
        let mut process = Process::start("origin", &program, &arguments, folder.path()).unwrap();
        process.wait_until_ready(&format!("{url}/-/readiness")).await.unwrap();
        let client = Puller::new(&url, "acme", "app", Some(&login)).unwrap();
        Self { process, upstream, client, password: login.password, _folder: folder }
    }

    async fn end(&mut self) -> bool {
        let ended = async || self.process.exit_status().unwrap();
        until("the end", ended).await.unwrap().success()
    }

    async fn logged(&self, text: &str) {
        until(text, async || self.process.log().contains(text).then_some(())).await.unwrap();
    }
}

#[tokio::test]
async fn on_sigterm_it_finishes_its_responses_and_logs_them() {
    let mut program = Program::start().await;
    let response = hang(&program.upstream, &program.client).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    program.process.terminate();
    program.logged("stopping").await;
    program.upstream.release();
    assert!(response.bytes().await.unwrap() == layer());
    assert!(program.end().await);
    let log = program.process.log();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let own = |event: &&Value| event["span"]["id"] == id && event["message"] == "answered";
    let line = events.iter().find(own).unwrap();
    assert_eq!((&line["status"], &line["end"]), (&Value::from(200), &Value::from("complete")));
    assert_eq!((&line["sent"], &line["cache"]), (&Value::from(500_000), &Value::from("MISS")));
    assert_eq!(line["span"]["method"], "GET");
    assert!(line["span"]["path"].as_str().unwrap().ends_with(&digest().to_string()));
    assert!(!log.contains(&program.password));
}

#[tokio::test]
async fn on_a_second_sigterm_it_exits_immediately() {
    let mut program = Program::start().await;
    let response = hang(&program.upstream, &program.client).await;
    program.process.terminate();
    program.logged("stopping").await;
    program.process.terminate();
    assert!(program.end().await);
    assert!(response.bytes().await.is_err());
}
