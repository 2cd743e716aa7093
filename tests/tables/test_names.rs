//! Which tests there are, for the tables that name them.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of the tests in all Rust files, also with their module in front.
pub fn all() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    functions(&root.join("tests"), &mut names);
    functions(&root.join("src"), &mut names);
    names
}

/// Adds those in the Rust files below `folder`.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            names.extend(tests(&text));
        }
    }
}

/// Functions behind `#[test]` in one file, with and without the module that they stand in.
fn tests(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut module = None;
    let mut is_test = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            module = Some(name.to_owned());
        }
        if line == "}" {
            module = None;
        }
        let code = line.trim_start();
        is_test |= code.starts_with("#[test]") || code.starts_with("#[tokio::test");
        let code = code.strip_prefix("async ").unwrap_or(code);
        if let Some((name, _)) = code.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
            if !std::mem::take(&mut is_test) {
                continue;
            }
            found.push(name.to_owned());
            found.extend(module.as_ref().map(|module| format!("{module}::{name}")));
        }
    }
    found
}
