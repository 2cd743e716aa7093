//! One short check, and its verdict.

mod programs;
mod servers;
mod teardown;
mod usage;

use crate::harness::{Run, highwater, peer};

/// Long enough for something to happen, and a limit that only what keeps its input reaches.
const SHORT: [&str; 3] = ["--seconds=3s", "--max-rss=400MiB", "--json"];

/// A verdict, as its recording has it.
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
    // Spills go where storage is: a temporary folder in memory would not count.
    let run = highwater(["check"].iter().chain(&SHORT).chain(arguments))
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

/// Checks a program of an interpreter, where that is installed.
fn check_with(interpreter: &str, name: &str) -> Option<Verdict> {
    peer(interpreter)?;
    Some(check(&["--", interpreter, &program(name)]))
}
