//! The program itself: signals and its log.

use std::path::Path;

use e2e::process::{Process, free_port};
use origin::admin;
use origin::db::groups::{Role, Visibility};
use tempfile::TempDir;

use super::{Config, FaultRegistry, Image, Login, Puller, Value, digest, hang, layer, until};

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
        std::fs::write(&file, configuration(folder.path(), port, upstream.url())).unwrap();
        let login = member(&Config::load(&file).unwrap()).await;
        let url = format!("http://127.0.0.1:{port}");
        let program = e2e::program::own("origin").unwrap();
        let arguments = ["serve", "--log-json", "--config", &file.display().to_string()];
        let mut process = Process::start("origin", &program, &arguments, folder.path()).unwrap();
        process.ready(&format!("{url}/-/readiness")).await.unwrap();
        let client = Puller::new(&url, "acme", "app", Some(&login)).unwrap();
        Self { process, upstream, client, password: login.password, _folder: folder }
    }

    async fn end(&mut self) -> bool {
        let ended = async || self.process.ended().unwrap();
        until("the end", ended).await.unwrap().success()
    }

    async fn logged(&self, text: &str) {
        until(text, async || self.process.log().contains(text).then_some(())).await.unwrap();
    }
}

fn configuration(folder: &Path, port: u16, upstream: &str) -> String {
    let home = folder.display();
    format!(
        "[cell]\nid = 1\n[http]\nlisten = \"127.0.0.1:{port}\"\nexternal_url = \"http://edge\"\n\
         [database]\nurl = \"sqlite:{home}/origin.db\"\n\
         [store]\nurl = \"file://{home}/objects\"\nspool = \"{home}/spool\"\n\
         [auth]\nsigning_key = \"{home}/key.pem\"\n[upstream]\nurl = \"{upstream}\"\n"
    )
}

async fn member(config: &Config) -> Login {
    let db = admin::open(config).await.unwrap();
    admin::create_group(&db, "acme", Visibility::Private).await.unwrap();
    admin::create_user(&db, "ann").await.unwrap();
    admin::add_member(&db, "acme", "ann", Role::Guest).await.unwrap();
    let token = admin::create_token(config, &db, "ann", "test").await.unwrap();
    Login { username: "ann".to_owned(), password: token.expose().to_owned() }
}

#[tokio::test]
async fn told_to_stop_it_lets_a_stream_end_and_logs_it_to_the_last_line() {
    let mut program = Program::start().await;
    let answer = hang(&program.upstream, &program.client).await;
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    program.process.ask_to_end();
    program.logged("stopping").await;
    program.upstream.release();
    assert!(answer.bytes().await.unwrap() == layer());
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
async fn told_twice_it_ends_at_once() {
    let mut program = Program::start().await;
    let answer = hang(&program.upstream, &program.client).await;
    program.process.ask_to_end();
    program.logged("stopping").await;
    program.process.ask_to_end();
    assert!(program.end().await);
    assert!(answer.bytes().await.is_err());
}
