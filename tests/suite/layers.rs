//! No layer uses one above it, and the commands in the documents are valid.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use highwater::grammar;
use highwater::plan::{Limits, Plan, catalog};

use crate::harness::{Folder, highwater};
use crate::support::documents;

/// From the bottom up; layers in one row do not use each other.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["platform"],
    &["child"],
    &["flow"],
    &["graph"],
    &["stage"],
    &["grammar"],
    &["catalog"],
    &["records"],
    &["net"],
    &["endpoints", "transforms", "exec"],
    &["plan"],
    &["engine"],
    &["view"],
    &["report"],
    &["check"],
    &["attach"],
    &["serve"],
    &["cli"],
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file's lines of code with their numbers.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = read_to_string(path).expect("text");
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned()));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}

/// The layer that a file below `src` belongs to; `None` for the crate's own two files.
fn layer_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).expect("below src");
    let first = inside
        .components()
        .next()
        .expect("a name")
        .as_os_str()
        .to_string_lossy();
    let name = first.trim_end_matches(".rs").to_owned();
    (name != "main" && name != "lib").then_some(name)
}

fn height(layer: &str) -> usize {
    LAYERS.iter().position(|row| row.contains(&layer)).unwrap_or_else(|| {
        panic!("{layer} is no layer; put it where it belongs in LAYERS and in the map of src/lib.rs")
    })
}

/// The modules that a line of code names behind `crate::`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).flat_map(|rest| {
        let group = rest
            .strip_prefix('{')
            .map(|rest| rest.split('}').next().unwrap_or(rest));
        let paths: Vec<&str> = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
        paths.into_iter().map(|path| {
            let path = path.trim();
            let end = path
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(path.len());
            &path[..end]
        })
    })
}

#[test]
fn no_layer_knows_one_above_it() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let Some(layer) = layer_of(&path) else { continue };
        for (number, line) in code(&path) {
            for used in named(&line).filter(|used| *used != layer) {
                if height(used) >= height(&layer) {
                    wrong.push(format!("{}:{number}: {layer} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Calls to the system that may fail and do not go through [`highwater::platform`].
const SYSTEM_CALLS: &[&str] = &[
    "rustix::fs::",
    "rustix::io::",
    "rustix::net::",
    "rustix::rand::",
    "TcpStream::connect",
    "TcpListener::bind",
    "UnixStream::connect",
    "UnixListener::bind",
    "lookup_host",
    "thread::Builder",
    "thread::spawn",
    "new_current_thread",
    ".accept()",
    ".exists()",
    ".into_std()",
    ".local_addr()",
    ".metadata()",
    ".set_nonblocking(",
    ".set_read_timeout(",
    ".set_write_timeout(",
    ".symlink_metadata()",
    ".try_clone()",
    ".try_clone_to_owned()",
];

/// Modules whose types make such calls: a file or a peer that is used through the standard library's or tokio's traits.
const CALLERS: &[&str] = &["std::fs", "tokio::fs", "tokio::net", "tokio::process"];

/// Types are not calls. A sign that begins with a dot is a method.
fn is_call(code: &str, sign: &str) -> bool {
    code.match_indices(sign).any(|(at, _)| {
        let alone = sign.starts_with('.') || !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[at + sign.len()..];
        alone && (!sign.ends_with("::") || rest.starts_with(|c: char| c.is_lowercase()))
    })
}

#[test]
fn a_call_is_told_from_a_type() {
    assert!(is_call("rustix::fs::open(path)", "rustix::fs::"));
    assert!(is_call("let stat = file.metadata()?;", ".metadata()"));
    assert!(!is_call(
        "files::seek(fd, rustix::fs::SeekFrom::End(0))",
        "rustix::fs::"
    ));
    assert!(!is_call("not_rustix::fs::open(path)", "rustix::fs::"));
}

/// So that a test can make any of them fail.
#[test]
fn all_system_calls_pass_the_platform() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let name = path
            .strip_prefix(root())
            .expect("below the root")
            .to_string_lossy()
            .into_owned();
        let is_test = name.ends_with("tests.rs") || name.contains("/tests/") || name.ends_with("bench.rs");
        // These files run no pipeline.
        let is_aside = [
            "src/cli/ctl.rs",
            "src/cli/demo",
            "src/cli/generate",
            "src/report",
            "src/cli/report",
            "src/check",
            "src/cli/check",
        ]
        .iter()
        .any(|aside| name.starts_with(aside));
        if is_test || is_aside || name.starts_with("src/platform/") {
            continue;
        }
        let lines = code(&path).into_iter();
        let begins_tests = |line: &str| line.contains("#[cfg(test)]") || line.contains("#[cfg(all(test,");
        for (number, line) in lines.take_while(|(_, line)| !begins_tests(line)) {
            let is_named = CALLERS.iter().any(|caller| is_call(&line, caller));
            let is_use = line.trim_start().starts_with("use ");
            // What an event says of itself is no file's, and an endpoint's own method asks the platform.
            let line = line.replace("event.metadata()", "").replace("self.accept()", "");
            if is_named || !is_use && SYSTEM_CALLS.iter().any(|sign| is_call(&line, sign)) {
                wrong.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn layers_match_the_map() {
    let named: BTreeSet<&str> = LAYERS.iter().copied().flatten().copied().collect();
    let files = sources(&root().join("src"));
    let there: BTreeSet<String> = files.iter().filter_map(|path| layer_of(path)).collect();
    assert_eq!(there.iter().map(String::as_str).collect::<BTreeSet<_>>(), named);
    let map = read_to_string(root().join("src/lib.rs")).expect("text");
    let rows: Vec<usize> = LAYERS
        .iter()
        .map(|row| {
            map.find(&format!("[`{}`]", row[0]))
                .unwrap_or_else(|| panic!("{} is not on the map", row[0]))
        })
        .collect();
    assert!(rows.is_sorted(), "the map has another order");
}

#[test]
fn only_the_platform_is_unsafe() {
    for path in sources(&root().join("src")) {
        let words = |line: &str| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe")
        };
        let is_unsafe = code(&path).iter().any(|(_, line)| words(line));
        let may_be = layer_of(&path).as_deref() == Some("platform");
        assert!(may_be || !is_unsafe, "{} is unsafe", path.display());
    }
}

#[test]
fn only_the_platform_knows_the_system() {
    for path in sources(&root().join("src")) {
        if layer_of(&path).as_deref() == Some("platform") {
            continue;
        }
        for (number, line) in code(&path) {
            let asks = ["target_os", "/proc/", "libc::"]
                .iter()
                .find(|sign| line.contains(**sign));
            assert!(asks.is_none(), "{}:{number}: {line}", path.display());
        }
    }
}

#[test]
fn catalog_examples_can_be_planned() {
    for definition in catalog() {
        assert!(!definition.examples.is_empty(), "{} has no example", definition.name);
        for example in definition.examples {
            let (script, problems) = grammar::parse(example.text.as_bytes());
            if let Err(error) = Plan::new(&script, problems, Limits::default()) {
                panic!("{}: {error}", definition.name);
            }
            let names = script.calls.iter().map(|call| call.name.bytes.as_slice());
            assert!(
                names.into_iter().any(|name| name == definition.name.as_bytes()),
                "{} is not in its own example",
                definition.name
            );
        }
    }
}

/// The first command of a shell line as words, if it is highwater; up to a pipe, a redirection or the end.
fn highwater_call(line: &str) -> Option<Vec<String>> {
    let start = line
        .match_indices("highwater")
        .map(|(at, _)| at)
        .find(|at| line[..*at].trim_end().is_empty() || line[..*at].trim_end().ends_with(['|', ';', '&', '$', '(']))?;
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line[start..].chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, '|' | '>' | '<' | '&' | ';' | '#' | ')') => break,
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Some(words)
}

#[test]
fn commands_of_documents_can_be_planned() {
    let folder = Folder::new();
    let mut is_shell = false;
    let mut tried = 0;
    let text = documents::text()
        .replace("\\\n", " ")
        .replace("cargo run --release -- ", "highwater ");
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_shell = line.trim() == "```sh";
            continue;
        }
        let Some(words) = is_shell
            .then(|| highwater_call(line.trim().trim_start_matches("$ ")))
            .flatten()
        else {
            continue;
        };
        let arguments = match &words[1..] {
            // What a service runs is planned as any other pipeline.
            [first, .., pipeline] if first == "serve" => std::slice::from_ref(pipeline),
            arguments => arguments,
        };
        let runs_nothing = arguments.first().is_none_or(|first| {
            matches!(
                first.as_str(),
                "demo"
                    | "stages"
                    | "attach"
                    | "report"
                    | "explain"
                    | "generate"
                    | "check"
                    | "--version"
                    | "--help"
                    | "-h"
                    | "-V"
            )
        });
        if runs_nothing {
            continue;
        }
        let run = highwater(std::iter::once("explain").chain(arguments.iter().map(String::as_str)))
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(0), "{line}\n{}", run.stderr);
        tried += 1;
    }
    assert!(tried > 0, "the documents show no command line");
}
