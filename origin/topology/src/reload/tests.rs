use std::fs;

use tempfile::TempDir;

use super::*;

const VALID: &str = "env = \"test\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\n";
const CHANGED: &str = "env = \"changed\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\n";

struct Watched {
    watcher: Watcher,
    live: LiveConfig,
    folder: TempDir,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("topology.toml");
        fs::write(&file, VALID).unwrap();
        let (watcher, live, _) = Watcher::open(&file).unwrap();
        Self { watcher, live, folder }
    }

    fn write(&self, text: &str) {
        fs::write(&self.watcher.file, text).unwrap();
    }

    fn move_into_place(&self, text: &str) {
        let aside = self.folder.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, &self.watcher.file).unwrap();
    }

    /// Does what each tick does; returns whether the file was read.
    async fn poll(&mut self) -> bool {
        let changed = self.watcher.changes.poll(false);
        if changed {
            self.watcher.reload().await;
        }
        changed
    }

    async fn poll_until_read(&mut self) {
        assert!(!self.poll().await && self.poll().await);
    }

    fn state(&self) -> ConfigState {
        self.live.borrow().clone()
    }
}

#[tokio::test]
async fn an_unchanged_file_is_read_once() {
    let mut watched = Watched::new();
    for _ in 0..3 {
        assert!(!watched.poll().await);
    }
    assert_eq!(watched.state().generation, 1);
}

#[tokio::test]
async fn a_changed_file_is_read_when_it_has_settled() {
    let mut watched = Watched::new();
    watched.write("env = \"changed\"\n");
    assert!(!watched.poll().await);
    watched.write(CHANGED);
    watched.poll_until_read().await;
    let state = watched.state();
    assert_eq!((state.config.env.as_str(), state.generation), ("changed", 2));
    assert!(!watched.poll().await);
}

#[tokio::test]
async fn a_file_of_the_same_length_moved_into_place_is_read() {
    let mut watched = Watched::new();
    watched.move_into_place(&VALID.replace("test", "next"));
    watched.poll_until_read().await;
    assert_eq!(watched.state().config.env, "next");
}

#[tokio::test]
async fn an_invalid_file_is_rejected_once_and_the_previous_configuration_stays() {
    let mut watched = Watched::new();
    watched.move_into_place("env = \"test\"\ncells = []\n");
    watched.poll_until_read().await;
    let state = watched.state();
    assert_eq!((state.config.env.as_str(), state.generation), ("test", 1));
    assert!(state.refused.unwrap().ends_with("cells: at least one cell is needed"));
    assert!(!watched.poll().await);
    watched.move_into_place(CHANGED);
    watched.poll_until_read().await;
    assert_eq!(watched.state().refused, None);
}

#[tokio::test]
async fn a_missing_file_is_rejected_until_it_is_back() {
    let mut watched = Watched::new();
    fs::remove_file(&watched.watcher.file).unwrap();
    watched.poll_until_read().await;
    assert!(watched.state().refused.unwrap().starts_with("cannot read "));
    watched.write(VALID);
    watched.poll_until_read().await;
    assert_eq!(watched.state().refused, None);
}

#[tokio::test]
async fn a_hangup_does_not_wait_until_the_file_has_settled() {
    let mut watched = Watched::new();
    watched.write(CHANGED);
    assert!(watched.watcher.changes.poll(true));
}
