//! What is measured: a program with its arguments, written as a line.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How our own binary is called in lines and tables.
pub const OURS: &str = "highwater";

/// Peers that are looked for on PATH.
pub const PEERS: [&str; 23] = [
    "cat",
    "dd",
    "cp",
    "tee",
    "pv",
    "mbuffer",
    "socat",
    "nc",
    "gzip",
    "pigz",
    "crabz",
    "igzip",
    "rapidgzip",
    "zstd",
    "node",
    "jq",
    "jaq",
    "mlr",
    "xan",
    "mawk",
    "rg",
    "sed",
    "curl",
];

/// Where a program is; our own is the one that was just built.
pub fn found(program: &str) -> Option<PathBuf> {
    if program == OURS {
        return Some(PathBuf::from(env!("CARGO_BIN_EXE_highwater")));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Words of a command line, separated by spaces, or in single quotes: the program, its arguments, `< FILE` and `> FILE`. `{in}`, `{out}`,
/// `{port}` and `{sink}` stand for what a run puts there.
#[derive(Debug, Clone)]
pub struct Contender {
    /// How it is called in tables.
    pub name: String,
    line: String,
    /// What it reads, where that is not what everyone in its row reads.
    input: Option<PathBuf>,
    /// Whether it writes a space behind the colons and commas of JSON, which counts as no difference.
    pub is_spaced: bool,
}

/// What the words in braces stand for.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    pub input: &'a Path,
    pub output: &'a Path,
    pub port: u16,
    /// Where ours writes: `-`, or a place that swallows everything.
    pub sink: &'a str,
}

impl<'a> Places<'a> {
    /// Nothing to connect to, and standard output.
    pub fn new(input: &'a Path, output: &'a Path) -> Self {
        Self {
            input,
            output,
            port: 0,
            sink: "-",
        }
    }
}

/// Every other part between quotes stands in them.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('\'').enumerate().flat_map(|(index, part)| {
        let is_quoted = index % 2 == 1;
        let separator = if is_quoted { '\'' } else { ' ' };
        part.split(separator).filter(|word| !word.is_empty())
    })
}

impl Contender {
    /// The first word of the line is its name.
    pub fn new(line: &str) -> Self {
        let name = line.split(' ').next().unwrap_or_default();
        Self::named(name, line)
    }

    pub fn named(name: &str, line: &str) -> Self {
        Self {
            name: name.to_owned(),
            line: line.to_owned(),
            input: None,
            is_spaced: false,
        }
    }

    /// Has it read a file of its own.
    pub fn reading(mut self, input: Option<PathBuf>) -> Self {
        self.input = input;
        self
    }

    /// Lets it write a space behind colons and commas.
    pub fn spaced(self) -> Self {
        Self {
            is_spaced: true,
            ..self
        }
    }

    pub fn line(&self) -> &str {
        &self.line
    }

    /// The program that it runs.
    pub fn program(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// What would run it: nothing on standard input, output and error unless it says otherwise.
    pub fn command(&self, places: Places) -> io::Result<Command> {
        let input = self.input.as_deref().unwrap_or(places.input);
        let mut words = words(&self.line).map(|word| {
            word.replace("{in}", &input.to_string_lossy())
                .replace("{out}", &places.output.to_string_lossy())
                .replace("{sink}", places.sink)
                .replace("{port}", &places.port.to_string())
        });
        let program = words.next().unwrap_or_default();
        let executable = found(&program).ok_or_else(|| io::Error::other(format!("{program} is missing")))?;
        let mut command = Command::new(executable);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        while let Some(word) = words.next() {
            match word.as_str() {
                "<" => drop(command.stdin(File::open(words.next().unwrap_or_default())?)),
                ">" => drop(command.stdout(File::create(words.next().unwrap_or_default())?)),
                _ => drop(command.arg(word)),
            }
        }
        Ok(command)
    }
}
