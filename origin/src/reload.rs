//! Keeps the upstreams in step with the configuration file and the password files it names.
//!
//! A file that cannot be used is rejected and logged; the previous upstreams stay in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use anyhow::Result;
use runtime::reload::FileWatcher;
use tracing::{error, info};

use crate::App;
use crate::config::Config;

/// Watches the configuration from before it is read, so that no change during the start is missed.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    files: FileWatcher,
}

impl Watch {
    /// Reads the configuration and starts watching. From now on SIGHUP does not terminate the
    /// process.
    ///
    /// # Errors
    /// The configuration is invalid, or the handler of SIGHUP cannot be installed.
    pub fn load(file: &Path) -> Result<(Config, Self)> {
        let mut files = FileWatcher::new(file)?;
        let config = Config::load(file)?;
        files.watch(files_of(file, &config));
        Ok((config, Self { file: file.to_owned(), files }))
    }

    /// Reloads the upstreams of `app` on each change, until the app is dropped.
    pub fn start(self, app: &Arc<App>) {
        tokio::spawn(self.run(Arc::downgrade(app)));
    }

    async fn run(mut self, app: Weak<App>) {
        loop {
            let changed = self.files.tick().await;
            let Some(app) = app.upgrade() else { return };
            if changed {
                self.reload(&app);
            }
        }
    }

    fn reload(&mut self, app: &App) {
        match self.replace_upstreams(app) {
            Ok(()) => {
                app.metrics.reloaded("ok");
                info!("using the upstreams of the changed configuration");
            }
            Err(reason) => {
                app.metrics.reloaded("refused");
                let reason = format!("{reason:#}");
                error!(reason, "rejected the changed configuration; the previous one stays in use");
            }
        }
    }

    fn replace_upstreams(&mut self, app: &App) -> Result<()> {
        let config = Config::load(&self.file)?;
        // Before the password files are read, so that a change in between is reported.
        self.files.watch(files_of(&self.file, &config));
        app.upstreams.replace(&config)
    }
}

/// Returns the configuration file and the password files that it names.
fn files_of(file: &Path, config: &Config) -> Vec<PathBuf> {
    let upstreams = std::iter::once(&config.upstream).chain(&config.upstreams);
    let passwords = upstreams.flat_map(|upstream| upstream.password_files().cloned());
    std::iter::once(file.to_owned()).chain(passwords).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::tests::MINIMAL;

    #[tokio::test]
    async fn a_change_before_the_origin_has_started_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, password) = (folder.path().join("origin.toml"), folder.path().join("password"));
        let login = format!("username = \"me\"\npassword_file = \"{}\"", password.display());
        fs::write(&file, format!("{MINIMAL}[upstream]\n{login}\n")).unwrap();
        fs::write(&password, "one").unwrap();
        for changed in [&file, &password] {
            let (_, mut watch) = Watch::load(&file).unwrap();
            assert!(!watch.files.poll(false), "nothing has changed yet");
            fs::write(changed, format!("{}\n", fs::read_to_string(changed).unwrap())).unwrap();
            assert!(!watch.files.poll(false) && watch.files.poll(false), "{}", changed.display());
        }
    }
}
