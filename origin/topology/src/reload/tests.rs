use tempfile::TempDir;

use super::*;

const GOOD: &str = "env = \"test\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\n";
const CHANGED: &str = "env = \"changed\"\n[[cells]]\nid = 1\naddress = \"cell-1\"\n";

struct Watched {
    watcher: Watcher,
    live: Live,
    folder: TempDir,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("topology.toml");
        fs::write(&file, GOOD).unwrap();
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

    /// What the interval does; whether the file was read.
    async fn look(&mut self) -> bool {
        let wants_reading = self.watcher.wants_reading(false);
        if wants_reading {
            self.watcher.reload().await;
        }
        wants_reading
    }

    async fn looks_until_read(&mut self) {
        assert!(!self.look().await && self.look().await);
    }

    fn state(&self) -> State {
        self.live.borrow().clone()
    }
}

#[tokio::test]
async fn a_file_that_stays_as_it_is_is_read_once() {
    let mut watched = Watched::new();
    for _ in 0..3 {
        assert!(!watched.look().await);
    }
    assert_eq!(watched.state().generation, 1);
}

#[tokio::test]
async fn a_file_is_read_when_it_has_come_to_rest() {
    let mut watched = Watched::new();
    watched.write("env = \"changed\"\n");
    assert!(!watched.look().await);
    watched.write(CHANGED);
    watched.looks_until_read().await;
    let state = watched.state();
    assert_eq!((state.config.env.as_str(), state.generation), ("changed", 2));
    assert!(!watched.look().await);
}

#[tokio::test]
async fn a_file_of_the_same_length_moved_into_place_is_another_one() {
    let mut watched = Watched::new();
    watched.move_into_place(&GOOD.replace("test", "next"));
    watched.looks_until_read().await;
    assert_eq!(watched.state().config.env, "next");
}

#[tokio::test]
async fn a_wrong_file_is_refused_once_and_the_former_one_kept() {
    let mut watched = Watched::new();
    watched.move_into_place("env = \"test\"\ncells = []\n");
    watched.looks_until_read().await;
    let state = watched.state();
    assert_eq!((state.config.env.as_str(), state.generation), ("test", 1));
    assert!(state.refused.unwrap().ends_with("cells: at least one cell is needed"));
    assert!(!watched.look().await);
    watched.move_into_place(CHANGED);
    watched.looks_until_read().await;
    assert_eq!(watched.state().refused, None);
}

#[tokio::test]
async fn a_file_that_is_gone_is_refused_until_it_is_back() {
    let mut watched = Watched::new();
    fs::remove_file(&watched.watcher.file).unwrap();
    watched.looks_until_read().await;
    assert!(watched.state().refused.unwrap().starts_with("cannot read "));
    watched.write(GOOD);
    watched.looks_until_read().await;
    assert_eq!(watched.state().refused, None);
}

#[tokio::test]
async fn a_hangup_does_not_wait_for_rest() {
    let mut watched = Watched::new();
    watched.write(CHANGED);
    assert!(watched.watcher.wants_reading(true));
}
