//! `exec` and `sh`: other programs as stages.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::io::Errno;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{Failure, Problem, brief};
use crate::flow::{Inlet, Outlet};
use crate::stage::{
    BoxFuture, Context, Conversion, Endpoint, Facts, MemoryUse, OpenReader, OpenWriter, Outside, Source, Stage,
    TransformPlan, Work,
};

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
    kind: Kind::Bytes,
    place: Place::NamedMany,
    required: false,
    default: None,
    help: "a variable of its environment, env=NAME=VALUE; any number of them",
};

const DIR: Param = Param {
    name: "dir",
    kind: Kind::Bytes,
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
    help: "how long it may take to end after SIGTERM, before SIGKILL",
};

const TTY: Param = Param {
    name: "tty",
    kind: Kind::Flag,
    place: Place::Named,
    required: false,
    default: Some("false"),
    help: "whether it may use the terminal, as programs do that ask for a password",
};

static EXEC: Definition = Definition {
    name: "exec",
    role: Role::Transform,
    topic: Topic::Programs,
    summary: "run a program",
    details: "Options of the stage stand before the program; every word behind it is the program's own. At the beginning of a \
              pipeline the program reads the standard input of highwater, elsewhere what the stage before it gives. What \
              it writes to standard output goes on; at the end of a branch it is shown, as what it writes to standard \
              error is everywhere: line by line, with the stage's name, without disturbing the live view.\n\n\
              The run succeeds only if the program exits with 0. If it exits with another code or is killed by a signal, \
              the exit code is 11, the error has the last line that it wrote to standard error, and no output is \
              committed. Two things are no error: a program that stops reading early and exits with 0, and whatever \
              becomes of one whose output is not wanted any more, as before `take`. Such a program is ended at once, \
              while a shell waits until it writes: in `exec tail -f log | exec grep -m1 done`, `tail` ends with `grep`.\n\n\
              A program takes the end of its input for success, so it gets that only where the input ended as it should. \
              If the run fails or is interrupted, its input stays open until it is gone: its process group gets SIGTERM \
              and, after grace=, SIGKILL. So in `read in.gz | gunzip | exec ssh host 'cat > x.tmp && mv x.tmp x'` the \
              file x is whole or is not touched. What highwater cannot know is what becomes of it after the end of its \
              input: if another output of the pipeline fails then, the program may have done its work.\n\n\
              A program that leaves something running which holds its output open is waited for as long as grace=, and \
              fails then. If highwater itself is killed with SIGKILL, the system kills the program as well where it is \
              Linux, but not what the program has started. A process that has detached itself from the program, as a \
              daemon does, is the system's from then on, as under a shell; only what is orphaned while a failed run ends \
              its programs is waited for by highwater.\n\n\
              Whether a program waits for its input or works is told by its pipes. One that takes in more than they hold and \
              works on that while nothing more comes counts as idle.\n\n\
              Between two programs, and between a program and the descriptor that its output is written to, the bytes stay in the \
              kernel: they are moved from one pipe to the other without a copy. The level of such a link is what the pipes of the \
              programs hold, its high-water mark what they can hold; once nothing more fits, they count as full. These bytes \
              are the kernel's and no part of --memory. With high= or low= the bytes pass through a link of highwater, whose \
              marks hold.\n\n\
              A program has a process group of its own, so that the terminal stops it when it wants to read from it. \
              With tty=true it stays in that of highwater, and only the program itself is ended if the run fails.",
    params: &[
        Param {
            name: "program",
            kind: Kind::Bytes,
            place: Place::Rest,
            required: true,
            default: None,
            help: "a program of PATH or its path, and its arguments, which are passed as they are",
        },
        ENV,
        DIR,
        GRACE,
        TTY,
    ],
    examples: &[
        Example {
            text: "exec tar c page.html disk.img | gzip | write backup.tar.gz",
            about: "write an archive that is there only if tar has succeeded",
        },
        Example {
            text: "read big.iso.gz | gunzip | exec env=LC_ALL=C sort -u | write sorted",
            about: "sort what a file has, in an order that does not depend on the locale",
        },
    ],
    build: Build::Anywhere {
        source: |args| Ok(Source::of(Box::new(Plan(exec(args)?)))),
        transform: |args| Ok(Box::new(Plan(exec(args)?))),
        sink: |args| Ok(Box::new(Plan(exec(args)?))),
    },
};

static SH: Definition = Definition {
    name: "sh",
    role: Role::Transform,
    topic: Topic::Programs,
    summary: "run a script of the shell",
    details: "`sh SCRIPT` is `exec sh -c SCRIPT`, with the same options; words behind the script are its $1, $2 and so on. A \
              script's status is that of its last command: begin it with `set -e`, and keep in mind that a pipeline within \
              it has the status of its own last command. Two stages tell more than one pipeline within a script.",
    params: &[
        Param {
            name: "script",
            kind: Kind::Bytes,
            place: Place::Rest,
            required: true,
            default: None,
            help: "what `sh -c` runs, and what it knows as $1, $2, …",
        },
        ENV,
        DIR,
        GRACE,
        TTY,
    ],
    examples: &[Example {
        text: "read page.html | sh \"sort | uniq -c\" | write counts",
        about: "count how often each line is there",
    }],
    build: Build::Anywhere {
        source: |args| Ok(Source::of(Box::new(Plan(sh(args)?)))),
        transform: |args| Ok(Box::new(Plan(sh(args)?))),
        sink: |args| Ok(Box::new(Plan(sh(args)?))),
    },
};

/// The program of a call of `exec`.
fn exec(args: &Args) -> Result<Program, Problem> {
    let mut words = args.words("program").into_iter().map(owned);
    // The parameter is required, so that there is a first one.
    let name = words.next().unwrap_or_default();
    let last = Path::new(&name).file_name().unwrap_or(&name);
    let speaker = format!("exec {}", brief(last.as_bytes()));
    program(args, "program", name, words.collect(), speaker)
}

/// The program of a call of `sh`.
fn sh(args: &Args) -> Result<Program, Problem> {
    let mut arguments: Vec<OsString> = args.words("script").into_iter().map(owned).collect();
    arguments.insert(0, "-c".into());
    // What it knows as $0, and begins its own complaints with.
    arguments.insert(2.min(arguments.len()), "sh".into());
    program(args, "script", "sh".into(), arguments, "sh".to_owned())
}

fn owned(word: &[u8]) -> OsString {
    OsString::from_vec(word.to_vec())
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
        folder: args.words("dir").pop().map(|folder| owned(folder).into()),
        grace: args.duration("grace").unwrap_or_default(),
        uses_terminal: args.flag("tty"),
        speaker,
    };
    let name = program.name.as_bytes();
    let shown = brief(name);
    let message = match program.find().err().as_ref().and_then(Errno::from_io_error) {
        Some(Errno::NOENT | Errno::NOTDIR) => format!("there is no program `{shown}`"),
        Some(Errno::ACCESS) => format!("`{shown}` cannot be executed"),
        // What else may be wrong shows when it is started.
        _ => return Ok(program),
    };
    let help = if name.contains(&b'/') {
        "a path is seen from the folder in which the program runs"
    } else {
        "it is looked for in the folders of PATH; for any other place write its path"
    };
    Err(Problem::at(args.span_of(param), message).help(help))
}

/// The variables that the user sets.
fn variables(args: &Args) -> Result<Vec<(OsString, OsString)>, Problem> {
    let variable = |word: &[u8]| {
        let at = word.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        Some((owned(&word[..at]), owned(&word[at + 1..])))
    };
    let refused = |word| {
        Problem::at(args.span_of("env"), format!("`{}` is not a variable", brief(word)))
            .help("write a name and a value: env=LANG=C")
    };
    let words = args.words("env").into_iter();
    words.map(|word| variable(word).ok_or_else(|| refused(word))).collect()
}

/// A program at whatever place of the pipeline.
struct Plan(Program);

/// Bytes that a stage holds for the lines of its program: what is being read, and two lines that have not ended.
const STATE: u64 = 16 << 10;

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

    fn outside(&self) -> Option<Outside> {
        Some(Outside::Child)
    }

    fn joins_pipes(&self) -> bool {
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
        Work::Thread(Box::new(move || driver::run(&self.0, Some(input), Some(out), &context)))
    }
}

impl Endpoint for Plan {
    fn shown(&self) -> String {
        brief(self.0.name.as_bytes())
    }

    fn state_bytes(&self) -> u64 {
        STATE
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts {
            outside: Some(Outside::Child),
            ..Facts::default()
        })
    }

    fn can_stop(&self) -> bool {
        false
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        Err("a program")
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        let run = move |out, context: &Context| driver::run(&self.0, None, Some(out), context);
        Box::pin(async move { Ok(OpenReader::Driver(Box::new(run))) })
    }

    fn lends_pipe(&self) -> bool {
        true
    }

    fn takes_pipe(&self) -> bool {
        true
    }

    fn ends_early(&self) -> bool {
        true
    }

    fn effect(&self) -> String {
        format!("runs {}", self.shown())
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        let run = move |input, context: &Context| driver::run(&self.0, Some(input), None, context);
        Box::pin(async move { Ok(OpenWriter::Driver(Box::new(run))) })
    }
}
