use rustix::process::{Signal, getpid, kill_process};
use tempfile::TempDir;

use super::*;

struct Folder {
    folder: TempDir,
    watcher: FileWatcher,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("first"), "one").unwrap();
        let watcher = FileWatcher::new(&folder.path().join("first")).unwrap();
        Self { folder, watcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn poll(&mut self) -> bool {
        self.watcher.poll(false)
    }
}

#[tokio::test]
async fn an_unchanged_file_is_never_reported() {
    let mut folder = Folder::new();
    assert!(!folder.poll() && !folder.poll() && !folder.poll());
}

#[tokio::test]
async fn a_change_is_reported_once_when_the_file_has_settled() {
    let mut folder = Folder::new();
    folder.write("first", "half");
    assert!(!folder.poll());
    folder.write("first", "all of it");
    assert!(!folder.poll());
    assert!(folder.poll());
    assert!(!folder.poll());
}

#[tokio::test]
async fn a_file_of_the_same_length_moved_into_place_is_a_change() {
    let mut folder = Folder::new();
    folder.write("aside", "two");
    fs::rename(folder.path("aside"), folder.path("first")).unwrap();
    assert!(!folder.poll() && folder.poll());
}

#[tokio::test]
async fn a_removed_file_is_a_change_and_so_is_its_return() {
    let mut folder = Folder::new();
    fs::remove_file(folder.path("first")).unwrap();
    assert!(!folder.poll() && folder.poll());
    folder.write("first", "one");
    assert!(!folder.poll() && folder.poll());
}

#[tokio::test]
async fn a_request_does_not_wait_until_the_file_has_settled() {
    let mut folder = Folder::new();
    folder.write("first", "two");
    assert!(folder.watcher.poll(true));
    assert!(!folder.poll());
}

#[tokio::test]
async fn every_watched_file_counts_and_no_other() {
    let mut folder = Folder::new();
    let files = ["first", "second"].map(|name| folder.path(name));
    folder.watcher.watch(files);
    folder.write("second", "there now");
    assert!(!folder.poll() && folder.poll());
    folder.watcher.watch([folder.path("first")]);
    folder.write("second", "of no interest");
    assert!(!folder.poll() && !folder.poll());
}

#[tokio::test]
async fn a_change_between_watching_and_reading_is_reported() {
    let mut folder = Folder::new();
    folder.write("first", "changed");
    let files = ["first", "second"].map(|name| folder.path(name));
    folder.watcher.watch(files);
    assert!(!folder.poll() && folder.poll());
}

#[tokio::test]
async fn a_hangup_asks_to_read_the_files() {
    let mut folder = Folder::new();
    kill_process(getpid(), Signal::HUP).unwrap();
    let reported = async { while !folder.watcher.tick().await {} };
    tokio::time::timeout(Duration::from_secs(60), reported).await.unwrap();
}
