//! `ecds FOLDER TEMPLATE…`: renders filter configurations and moves them into a folder that Envoy
//! watches; see `envoy/README.md`. Nothing is moved unless all of them are sound.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::ecds;

#[derive(Debug, Parser)]
#[command(about = "Checks filter configurations and moves them to where Envoy takes them up")]
struct Arguments {
    /// The folder Envoy watches
    folder: PathBuf,
    /// Templates; `${FILE}` in them is replaced by the file, looked for in the current folder
    #[arg(required = true)]
    templates: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { folder, templates } = Arguments::parse();
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let rendered: Result<Vec<_>> =
        templates.iter().map(|path| Ok((target(&folder, path)?, render(path)?))).collect();
    for (path, text) in rendered? {
        ecds::move_into_place(&path, &text)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn target(folder: &Path, template: &Path) -> Result<PathBuf> {
    let name =
        template.file_name().with_context(|| format!("{} is no file", template.display()))?;
    Ok(folder.join(name))
}

fn render(template: &Path) -> Result<String> {
    let text = std::fs::read_to_string(template);
    let text = text.with_context(|| template.display().to_string())?;
    ecds::render(&text, Path::new(".")).with_context(|| template.display().to_string())
}
