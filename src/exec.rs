//! `exec` and `sh`: other programs as stages.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::{Problem, brief};
use crate::flow::{Inlet, Outlet};
use crate::stage::{Context, Conversion, MemoryUse, Stage, TransformPlan, Work};

mod bell;
mod driver;
mod ending;
mod input;
mod lines;
mod output;
mod program;

pub use lines::TARGET;
use program::Program;

/// The stages that run programs.
pub static STAGES: &[&Definition] = &[&EXEC, &SH];

const ENV: Param = Param {
    name: "env",
    kind: Kind::Endpoint,
    place: Place::Named,
    required: false,
    default: None,
    help: "a variable for its environment, NAME=VALUE; may be given several times",
};

const DIR: Param = Param {
    name: "dir",
    kind: Kind::Endpoint,
    place: Place::Named,
    required: false,
    default: None,
    help: "the folder in which it runs",
};

const GRACE: Param = Param {
    name: "grace",
    kind: Kind::Duration,
    place: Place::Named,
    required: false,
    default: Some("2s"),
    help: "how long it may take to end after SIGTERM; then it is killed",
};

const TTY: Param = Param {
    name: "tty",
    kind: Kind::Flag,
    place: Place::Named,
    required: false,
    default: Some("false"),
    help: "whether it may use the terminal, for programs that ask for a password there",
};

static EXEC: Definition = Definition {
    name: "exec",
    role: Role::Transform,
    summary: "run a program",
    details: "todo",
    params: &[
        Param {
            name: "program",
            kind: Kind::Endpoint,
            place: Place::Positional,
            required: true,
            default: None,
            help: "its name, looked for in the folders of PATH, or its path",
        },
        Param {
            name: "argument",
            kind: Kind::Endpoint,
            place: Place::PositionalMany,
            required: false,
            default: None,
            help: "what it is given, word by word, as it is",
        },
        ENV,
        DIR,
        GRACE,
        TTY,
    ],
    examples: &[Example {
        text: "exec tar c . | zstd | write backup.tar.zst",
        about: "an archive that is there only if tar has succeeded",
    }],
    build: Build::Transform(|args| Ok(Box::new(Plan(exec(args)?)))),
};

static SH: Definition = Definition {
    name: "sh",
    role: Role::Transform,
    summary: "run a script of the shell",
    details: "todo",
    params: &[
        Param {
            name: "script",
            kind: Kind::Endpoint,
            place: Place::Positional,
            required: true,
            default: None,
            help: "what `sh -c` is to run",
        },
        Param {
            name: "argument",
            kind: Kind::Endpoint,
            place: Place::PositionalMany,
            required: false,
            default: None,
            help: "what the script knows as $1, $2, …",
        },
        ENV,
        DIR,
        GRACE,
        TTY,
    ],
    examples: &[Example {
        text: "read access.log | sh 'sort | uniq -c' | write counts",
        about: "count the lines of a log",
    }],
    build: Build::Transform(|args| Ok(Box::new(Plan(sh(args)?)))),
};

/// The program of a call of `exec`.
fn exec(args: &Args) -> Result<Program, Problem> {
    let name = OsString::from_vec(args.required_endpoint("program").to_vec());
    let last = Path::new(&name).file_name().unwrap_or(&name);
    let speaker = format!("exec {}", brief(last.as_bytes()));
    let arguments = words(args, "argument");
    program(args, "program", name, arguments, speaker)
}

/// The program of a call of `sh`.
fn sh(args: &Args) -> Result<Program, Problem> {
    let mut arguments = vec![
        "-c".into(),
        OsString::from_vec(args.required_endpoint("script").to_vec()),
        "sh".into(),
    ];
    arguments.extend(words(args, "argument"));
    program(args, "script", "sh".into(), arguments, "sh".to_owned())
}

fn words(args: &Args, name: &str) -> Vec<OsString> {
    let words = args.endpoints(name).into_iter();
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}

fn program(
    args: &Args,
    param: &str,
    name: OsString,
    arguments: Vec<OsString>,
    speaker: String,
) -> Result<Program, Problem> {
    let program = Program {
        name,
        arguments,
        variables: variables(args)?,
        folder: args
            .endpoint("dir")
            .map(|folder| PathBuf::from(OsString::from_vec(folder.to_vec()))),
        grace: args.duration("grace").unwrap_or_default(),
        uses_terminal: args.flag("tty"),
        speaker,
    };
    let shown = brief(program.name.as_bytes());
    match program.find() {
        Ok(_) => Ok(program),
        Err(error) => {
            let problem = match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR) => {
                    Problem::at(args.span_of(param), format!("there is no program `{shown}`"))
                }
                Some(Errno::ACCESS) => Problem::at(args.span_of(param), format!("`{shown}` may not be executed")),
                _ => Problem::at(args.span_of(param), format!("`{shown}` cannot be looked up: {error}")),
            };
            Err(problem.help(if program.name.as_bytes().contains(&b'/') {
                "its path is seen from the folder in which it runs"
            } else {
                "it is looked for in the folders of PATH"
            }))
        }
    }
}

/// The variables that the user sets.
fn variables(args: &Args) -> Result<Vec<(OsString, OsString)>, Problem> {
    let variable = |word: &[u8]| {
        let at = word.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        let (name, value) = (word[..at].to_vec(), word[at + 1..].to_vec());
        Some((OsString::from_vec(name), OsString::from_vec(value)))
    };
    let words = args.endpoints("env").into_iter();
    words
        .map(|word| {
            variable(word).ok_or_else(|| {
                Problem::at(args.span_of("env"), format!("`{}` is no variable", brief(word)))
                    .help("write a name and a value: env=LANG=C")
            })
        })
        .collect()
}

/// A program at whatever place of the pipeline.
struct Plan(Program);

/// Bytes that a stage holds for the lines of its program: what is being read and the line that has not ended, twice.
const STATE: u64 = 24 << 10;

impl TransformPlan for Plan {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }

    fn ends_early(&self) -> bool {
        true
    }
}

impl MemoryUse for Plan {
    fn state_bytes(&self) -> u64 {
        STATE
    }
}

impl Conversion for Plan {}

impl Stage for Plan {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        self.work(Some(input), Some(out), context)
    }
}

impl Plan {
    fn work(self: Box<Self>, input: Option<Inlet>, out: Option<Outlet>, context: Context) -> Work {
        Work::Thread(Box::new(move || driver::run(&self.0, input, out, &context)))
    }
}
