//! The committed files match those of `highwater generate`, and real shells and the real `man` accept them.
//!
//! `HIGHWATER_REGENERATE=1 cargo test --test suite generated` rewrites the committed files.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::skip;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn generate(to: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["generate", "all", "--to"])
        .arg(to)
        .status()
        .expect("highwater starts");
    assert!(status.success());
}

/// The text of each generated file below `project`.
fn generated(project: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in ["man", "completions", "docs"] {
        for entry in fs::read_dir(project.join(folder)).expect("the folder is there") {
            let path = entry.expect("can be listed").path();
            let name = format!("{folder}/{}", path.file_name().expect("has a name").display());
            files.insert(name, fs::read_to_string(&path).expect("is text"));
        }
    }
    let readme = fs::read_to_string(project.join("README.md")).expect("is text");
    files.insert("README.md".to_owned(), readme);
    files
}

#[test]
fn committed_files_match_generated_ones() {
    if env::var_os("HIGHWATER_REGENERATE").is_some_and(|value| value == "1") {
        generate(Path::new(PROJECT));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let committed = generated(Path::new(PROJECT));
    // Tables are written into documents that are there.
    fs::create_dir(folder.path().join("docs")).expect("a folder");
    let documents = committed
        .iter()
        .filter(|(name, _)| *name == "README.md" || name.starts_with("docs/"));
    for (name, text) in documents {
        fs::write(folder.path().join(name), text).expect("can be written");
    }
    generate(folder.path());
    let made = generated(folder.path());
    let differs = made
        .keys()
        .chain(committed.keys())
        .find(|name| committed.get(*name) != made.get(*name));
    assert_eq!(
        differs, None,
        "this file is not what the code generates: HIGHWATER_REGENERATE=1 cargo test --test suite generated"
    );
}

/// The output of another program, in the project's folder; `None` if it is missing and optional.
fn peer(name: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(name)
        .args(arguments)
        .current_dir(PROJECT)
        .env("MANWIDTH", "80")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.is_empty(), "{name} {arguments:?}: {errors}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => {
            skip::skip(format_args!("{name}: {error}"));
            None
        }
    }
}

#[test]
fn manual_pages_are_read_without_a_warning() {
    for entry in fs::read_dir(Path::new(PROJECT).join("man")).expect("the folder is there") {
        let path = entry.expect("can be listed").path();
        if path.extension().is_none_or(|extension| extension != "1") {
            continue;
        }
        let path = path.to_str().expect("is UTF-8");
        let Some(page) = peer("man", &["--warnings", "-l", path]) else {
            return;
        };
        assert!(page.contains("highwater"), "{path}");
    }
}

/// Typed text before the tab key, and what must be offered.
const TYPED: [(&str, &str); 10] = [
    ("highwater --memory 1M read x :: gz", "gzip"),
    ("highwater 'read x | gz", "gzip"),
    ("highwater explain 'thr", "throttle"),
    ("highwater read x :: throttle bu", "burst="),
    ("highwater 'read x | throttle bu", "burst="),
    ("highwater --mem", "--memory"),
    ("highwater check --max-r", "--max-rss"),
    ("highwater generate --t", "--to"),
    ("highwater demo --sec", "--seconds"),
    ("highwater report --out", "--output"),
];

#[test]
fn bash_completes_stages() {
    let script = r#"
        source completions/highwater.bash
        for line; do
            COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
            read -ra COMP_WORDS <<< "$line"
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _highwater_with_stages highwater "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[@]}"
        done
        complete -p highwater
    "#;
    let lines = TYPED.map(|(line, _)| line);
    let Some(answer) = peer("bash", &[&["--norc", "-c", script, "bash"], &lines[..]].concat()) else {
        return;
    };
    let answers: Vec<&str> = answer.lines().collect();
    for ((line, offered), answer) in TYPED.iter().zip(&answers) {
        assert!(answer.contains(offered), "{line}: {answer}");
    }
    assert!(answers[TYPED.len()].contains("_highwater_with_stages"));
}

#[test]
fn fish_completes_stages() {
    let script = "source completions/highwater.fish; for line in $argv; complete -C $line | string join ' '; end";
    let lines = TYPED.map(|(line, _)| line);
    let Some(answer) = peer("fish", &[&["--no-config", "-c", script], &lines[..]].concat()) else {
        return;
    };
    for ((line, offered), answer) in TYPED.iter().zip(answer.lines()) {
        assert!(answer.contains(offered), "{line}: {answer}");
    }
    assert_eq!(answer.lines().count(), TYPED.len());
}

#[test]
fn zsh_completes_stages() {
    // zsh completes only at its prompt, so a second zsh runs behind a pseudo-terminal.
    let script = r#"
        zmodload zsh/zpty
        zpty prompt zsh -f -i
        read_until() {
            local text= piece
            while [[ $text != *$1* ]] && zpty -r prompt piece; do
                text+=$piece
            done
            print -r -- "$text"
        }
        zpty -w prompt "PS1= fpath=($PWD/completions \$fpath); autoload -Uz compinit; compinit -u -D"
        zpty -w prompt "show() { print -r -- \"<<<\$BUFFER>>>\"; BUFFER=; zle reset-prompt }; zle -N show; bindkey '^X' show"
        zpty -w prompt "print re''ady"
        read_until ready > /dev/null
        for line; do
            zpty -wn prompt "$line"$'\t\x18'
            read_until '>>>' | tr -d '\r\n' | sed 's/.*<<<//'
            print
        done
        zpty -d prompt
    "#;
    let lines = TYPED.map(|(line, _)| line);
    let Some(answer) = peer("zsh", &[&["-f", "-c", script, "zsh"], &lines[..]].concat()) else {
        return;
    };
    let answers: Vec<&str> = answer.lines().filter(|line| !line.trim().is_empty()).collect();
    for ((line, offered), answer) in TYPED.iter().zip(&answers) {
        assert!(answer.contains(offered), "{line}: {answer}");
    }
    assert_eq!(answers.len(), TYPED.len(), "{answer}");
}
