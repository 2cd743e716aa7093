//! The parameters of a file, and their valid combinations.

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

/// Sends pages without copying them.
pub const ZERO_COPY: Param = flag(
    "zero-copy",
    "false",
    "send a file's pages to a pipe or a socket without a copy; a later change of the file changes what was sent",
);

/// Waits for the disk.
pub const SYNC: Param = flag("sync", "true", "whether to wait until the disk has everything");

/// The parameters of `write` for a file.
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
            "with resume=true, after how many bytes, read or written, the journal is brought up to date, and every 5 s as well; 64MiB unless given",
        )
    },
];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// What happens to an existing file.
    pub existing: Existing,
    /// Whether an existing file may be replaced.
    pub clobber: bool,
    /// Whether to wait until the disk has everything.
    pub sync: bool,
    /// The permissions of the file; `None` for those of the old file, or those that the system gives a new one.
    pub mode: Option<u32>,
    /// When it gets holes.
    pub sparse: Sparse,
    /// Checks of the written bytes.
    pub checks: WriteChecks,
}

/// What happens to an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced by a new one.
    Replace,
    /// It is emptied and written in place.
    Empty,
    /// It is appended to.
    Append,
}

/// When a file gets holes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sparse {
    /// If the source has them and its bytes arrive unchanged.
    #[default]
    Auto,
    /// Wherever whole blocks are zeros.
    Always,
    /// Never.
    Never,
}

/// What a write does besides writing: read the file back, and make it resumable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteChecks {
    /// Whether the whole file is read back.
    pub verify: bool,
    /// The number of bytes between two checkpoints, if a later run may continue.
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

/// The default: what has to be written again after a kill is about a second's work of a fast disk.
const CHECKPOINT: u64 = 64 << 20;

impl WriteOptions {
    /// Reads the parameters, and refuses invalid combinations, also with an endpoint that is not a regular file, which
    /// `not_regular` describes.
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

    /// How zeros are left out when bytes pass through a link: for a file that can have holes like `possible`, and a
    /// source that has some if `expected`.
    pub fn holes(&self, possible: Holes, expected: bool) -> Holes {
        match (self.sparse, expected) {
            (Sparse::Always, _) | (Sparse::Auto, true) => possible,
            (Sparse::Auto, false) | (Sparse::Never, _) => Holes::None,
        }
    }
}

/// The number of bytes between two checkpoints, if there are any.
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
        Problem::at(args.span_of("mode"), format!("`{text}` is not a file mode"))
            .help("write permissions in octal, for example mode=644")
    })
}

impl WriteChecks {
    /// Whether there are none.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
