//! Generates the files that follow from the program and are committed beside it: the manual pages, the completions, the
//! tables of the documents and their pictures. A test compares them with the generated ones.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::ValueEnum;

use crate::error::{Failure, Kind, shown};

mod completions;
mod man;
mod picture;
mod tables;
mod topic;

/// What can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Everything
    All,
    /// Manual pages, to man/
    Man,
    /// Completions for bash, zsh, fish, elvish and `PowerShell`, to completions/
    Completions,
    /// The tables between markers, in README.md and docs/
    Readme,
    /// The pictures of the live view and the demo, to man/
    #[value(hide = true)]
    Picture,
}

/// A file: its path below the project's directory, and its text.
type Generated = (String, String);

/// Writes the selected files below the directory `to`.
pub fn write(what: What, to: &Path) -> Result<(), Failure> {
    let failed = |what, path: &Path, error| {
        let name = shown(path.as_os_str().as_bytes());
        Failure::io(Kind::Sink, format!("generate: cannot {what} {name}"), error)
    };
    let wants = |one| what == one || what == What::All;
    let mut files: Vec<Generated> = Vec::new();
    if wants(What::Man) {
        let pages = man::pages();
        files.extend(pages.map_err(|error| Failure::io(Kind::Other, "generate: cannot render the pages", error))?);
    }
    if wants(What::Completions) {
        files.extend(completions::scripts());
    }
    if wants(What::Picture) {
        files.extend(picture::files());
    }
    if wants(What::Readme) {
        for document in tables::DOCUMENTS {
            let path = to.join(document.path);
            let text = fs::read_to_string(&path).map_err(|error| failed("read", &path, error))?;
            let renewed = document.renewed(&text).map_err(|why| {
                let what = format!("generate: cannot renew {}", document.path);
                Failure::because(Kind::Sink, what, why)
            })?;
            files.push((document.path.to_owned(), renewed));
        }
    }
    for (name, text) in files {
        let path = to.join(name);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text));
        written.map_err(|error| failed("write", &path, error))?;
    }
    Ok(())
}
