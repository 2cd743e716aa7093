//! One short check, and its verdict.

mod programs;
mod servers;
mod teardown;
mod usage;

use crate::harness::{Run, highwater, peer};

/// Long enough for evidence.
const SHORT: &str = "3s";

/// A verdict, as recorded.
struct Verdict {
    run: Run,
    word: String,
    sentence: String,
    /// The last line.
    end: serde_json::Value,
    /// The last sample.
    last: serde_json::Value,
}

/// Checks with `arguments` behind the options of a short check.
fn check(arguments: &[&str]) -> Verdict {
    check_within(SHORT, arguments)
}

/// As [`check`], for a program that a busy machine may hold up; it ends sooner if it is sure.
fn check_within(seconds: &str, arguments: &[&str]) -> Verdict {
    // The limit is one that only a program that keeps its input reaches.
    let options = ["check", "--seconds", seconds, "--max-rss=400MiB", "--json"];
    // Spilled files must be on storage: a temporary folder in memory would not count.
    let run = highwater(options.iter().chain(arguments))
        .environment("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .run();
    let lines: Vec<serde_json::Value> = run
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("an object"))
        .collect();
    let end = lines
        .last()
        .unwrap_or_else(|| panic!("no verdict: {}", run.stderr))
        .clone();
    assert_eq!(end["event"], "check-end", "{}", run.stderr);
    let text = |name: &str| end[name].as_str().expect("text").to_owned();
    let verdict = Verdict {
        word: text("verdict"),
        sentence: text("sentence"),
        end: end.clone(),
        last: lines[lines.len() - 2].clone(),
        run,
    };
    println!("{arguments:?}: {} {} {}", verdict.word, verdict.sentence, verdict.last);
    let code = match verdict.word.as_str() {
        "honours" => 0,
        "buffers" => 1,
        _ => 13,
    };
    assert_eq!(
        (verdict.run.code, end["exit"]["code"].as_i64()),
        (Some(code), Some(code.into()))
    );
    verdict
}

impl Verdict {
    #[track_caller]
    fn is(self, word: &str) -> Self {
        assert_eq!(self.word, word, "{} {}", self.sentence, self.last);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.sentence.contains(words), "{}", self.sentence);
        self
    }

    /// A number of the last sample.
    fn number(&self, name: &str) -> u64 {
        self.last[name].as_u64().expect("a number")
    }
}

/// The path of a program beside these tests.
fn program(name: &str) -> String {
    format!("{}/tests/suite/check/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Checks a program of an interpreter, if that is installed.
fn check_with(interpreter: &str, name: &str) -> Option<Verdict> {
    peer(interpreter)?;
    Some(check(&["--", interpreter, &program(name)]))
}
