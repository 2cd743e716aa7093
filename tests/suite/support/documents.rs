//! The documents whose commands are tested: those in blocks of `sh`.

use std::fs;
use std::path::Path;

/// The text of the README and of every document in `docs`.
pub fn text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = fs::read_dir(root.join("docs"))
        .expect("the folder is there")
        .map(|entry| entry.expect("can be listed").path())
        .collect();
    paths.sort();
    paths.insert(0, root.join("README.md"));
    paths
        .iter()
        .map(|path| fs::read_to_string(path).expect("is text"))
        .collect()
}
