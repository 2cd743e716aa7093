//! What a call may say of a file: the parameters, and what they are together.

use crate::catalog::{Args, Kind, Param, Place};
use crate::error::Problem;
use crate::stage::Holes;

const fn flag(name: &'static str, default: &'static str, help: &'static str) -> Param {
    Param {
        name,
        kind: Kind::Flag,
        place: Place::Named,
        required: false,
        default: Some(default),
        help,
    }
}

/// Lending pages instead of copying them.
pub const ZERO_COPY: Param = flag(
    "zero-copy",
    "false",
    "lend a file's own pages to a pipe or a socket; a file that changes meanwhile changes what was sent",
);

/// Waiting for the disk.
pub const SYNC: Param = flag("sync", "true", "whether to wait until the disk has everything");

/// What `write` takes for a file.
pub const WRITE: &[Param] = &[
    flag(
        "append",
        "false",
        "write behind what the file has; the run's own bytes are cut off if it fails",
    ),
    flag("clobber", "true", "whether a file that exists may be replaced"),
    SYNC,
    Param {
        kind: Kind::Text,
        default: None,
        ..flag(
            "mode",
            "",
            "permissions in octal; else the old file's, or what the system gives a new one",
        )
    },
    flag(
        "in-place",
        "false",
        "empty a file that exists and write to it where it is, instead of replacing it",
    ),
    Param {
        kind: Kind::Choice(&["auto", "always", "never"]),
        ..flag(
            "sparse",
            "auto",
            "holes in the file: where the source has some, wherever blocks are zeros, or none",
        )
    },
    flag(
        "verify",
        "false",
        "whether to read everything back and compare it before it takes its place",
    ),
    flag(
        "resume",
        "false",
        "whether to keep what was written when the run ends early, and go on with it the next time",
    ),
    Param {
        kind: Kind::Size,
        default: None,
        ..flag(
            "checkpoint",
            "",
            "with resume=true, after how many bytes the journal is brought up to date; 64MiB unless given",
        )
    },
];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// What becomes of a file that exists.
    pub existing: Existing,
    /// Whether a file that exists may be replaced.
    pub clobber: bool,
    /// Whether to wait until the disk has everything.
    pub sync: bool,
    /// The permissions that the file gets; `None` for the old file's, or those that the system gives a new one.
    pub mode: Option<u32>,
    /// When it has holes.
    pub sparse: Sparse,
    /// What is to be known of the bytes.
    pub checks: WriteChecks,
}

/// What becomes of a file that exists when it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// A new one takes its place.
    Replace,
    /// It is emptied, and written where it is.
    Empty,
    /// It is written behind what it has.
    Append,
}

/// When a file has holes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sparse {
    /// Where the source has them, and its bytes arrive unchanged.
    #[default]
    Auto,
    /// Wherever whole blocks are zeros.
    Always,
    /// Nowhere.
    Never,
}

/// What a write may be asked for beyond writing: to be read back, and to be resumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteChecks {
    /// Whether everything is read back.
    pub verify: bool,
    /// After how many bytes each a checkpoint is noted, if another run may go on.
    pub resume: Option<u64>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            existing: Existing::Replace,
            clobber: true,
            sync: true,
            mode: None,
            sparse: Sparse::Auto,
            checks: WriteChecks::default(),
        }
    }
}

/// What a kill costs at most to be written again, where the user says nothing: a second or so of a fast disk.
const CHECKPOINT: u64 = 64 << 20;

impl WriteOptions {
    /// Reads the parameters, and refuses what they cannot be together, or with a file that is `not_regular` as it says.
    pub fn of(args: &Args, not_regular: Option<&str>) -> Result<Self, Problem> {
        let existing = if args.flag("append") {
            Existing::Append
        } else if args.flag("in-place") {
            Existing::Empty
        } else {
            Existing::Replace
        };
        let options = Self {
            existing,
            clobber: args.flag("clobber"),
            sync: args.flag("sync"),
            mode: args.text("mode").map(|text| octal(text, args)).transpose()?,
            sparse: match args.choice("sparse") {
                Some("always") => Sparse::Always,
                Some("never") => Sparse::Never,
                _ => Sparse::Auto,
            },
            checks: WriteChecks {
                verify: args.flag("verify"),
                resume: checkpoint(args)?,
            },
        };
        if existing == Existing::Append && !options.clobber {
            let why = "append=true writes to a file that exists, clobber=false refuses it";
            return Err(Problem::at(args.span_of("append"), why).help("leave one of them out"));
        }
        for (name, wanted) in [
            ("verify", options.checks.verify),
            ("resume", options.checks.resume.is_some()),
        ] {
            if !wanted {
                continue;
            }
            let refused = |why: String, help: &str| Err(Problem::at(args.span_of(name), why).help(help));
            if let Some(what) = not_regular {
                let why = format!("{name}=true needs a regular file, and this is {what}");
                return refused(why, &format!("write to a file, or leave {name}=true out"));
            }
            let why = match existing {
                Existing::Append => "a file of its own, append=true writes behind another",
                Existing::Empty => "a file of its own, in-place=true writes to one that is there",
                Existing::Replace if !options.sync => "what is on the disk, sync=false does not wait for it",
                Existing::Replace => continue,
            };
            return refused(format!("{name}=true needs {why}"), "leave one of them out");
        }
        Ok(options)
    }

    /// What is done with zeros where the bytes pass through a link: of a file that can have holes like that, from a source
    /// that has some or not.
    pub fn holes(&self, possible: Holes, expected: bool) -> Holes {
        match (self.sparse, expected) {
            (Sparse::Always, _) | (Sparse::Auto, true) => possible,
            (Sparse::Auto, false) | (Sparse::Never, _) => Holes::None,
        }
    }
}

/// How many bytes lie between two checkpoints, if there are any.
fn checkpoint(args: &Args) -> Result<Option<u64>, Problem> {
    let given = args.size("checkpoint");
    if !args.flag("resume") {
        return given.map_or(Ok(None), |_| {
            let problem = Problem::at(args.span_of("checkpoint"), "without resume=true there is no journal");
            Err(problem.help("add resume=true, or leave checkpoint= out"))
        });
    }
    if given == Some(0) {
        let why = "a checkpoint needs at least a byte behind the last one";
        let problem = Problem::at(args.span_of("checkpoint"), why);
        return Err(problem.help("each one waits for the disk: 1MiB is little, 1GiB is much"));
    }
    Ok(Some(given.unwrap_or(CHECKPOINT)))
}

fn octal(text: &str, args: &Args) -> Result<u32, Problem> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| {
        Problem::at(args.span_of("mode"), format!("`{text}` is no file mode"))
            .help("write permissions in octal, for example mode=644")
    })
}

impl WriteChecks {
    /// Whether nothing has to be known of the bytes.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
