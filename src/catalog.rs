//! Definitions of stages: name, parameters, texts for the user, and the function that builds the stage.
//!
//! A stage is one [`Definition`]; a catalog is a list of them. Only the definitions determine the checks of a script
//! ([`check_pipeline`]), the error messages, and what `highwater stages` prints ([`list`], [`describe`]).

use crate::error::Problem;
use crate::stage::{BranchPlan, Source, TransformPlan};

mod arguments;
mod form;
mod kind;
mod page;
mod pipeline;
mod reading;
#[cfg(test)]
mod sample;
mod scheme;
mod unknown;

pub use arguments::Args;
pub use form::{all_params, headed_params, positional_form};
pub use kind::Kind;
pub use page::{describe, list};
pub use pipeline::{Checked, check, check_pipeline};
pub use scheme::{Access, Misnamed, Placed, Scheme};
pub use unknown::{find_by_name, nearest};

/// Where in a pipeline a stage can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// No input: only the first.
    Source,
    /// Anywhere.
    Transform,
    /// Anywhere but first; passes its input on, and into pipelines of its own as well.
    Branch,
    /// No output: only the last.
    Sink,
}

impl Role {
    /// Whether a stage of this role has a link behind it.
    #[must_use]
    pub fn feeds_a_link(self) -> bool {
        self != Self::Sink
    }
}

/// What a stage is looked for under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Where data comes from and goes to.
    ReadWrite,
    /// One stream into several outputs.
    Split,
    /// Compression.
    Compress,
    /// Lines, JSON and CSV.
    Records,
    /// How much passes, how fast, and whether it is right.
    Control,
    /// Other programs.
    Programs,
}

impl Topic {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] = [
        Self::ReadWrite,
        Self::Split,
        Self::Compress,
        Self::Records,
        Self::Control,
        Self::Programs,
    ];

    /// Its heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::ReadWrite => "Read and write",
            Self::Split => "Write to several outputs",
            Self::Compress => "Compress and decompress",
            Self::Records => "Records: lines, JSON, CSV",
            Self::Control => "Limit, pace and check",
            Self::Programs => "Run programs",
        }
    }
}

/// Makes a stage's plan from its checked arguments. The function refuses invalid combinations of them.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// The first stage.
    Source(fn(&Args) -> Result<Source, Problem>),
    /// A stage at any position.
    Transform(fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>),
    /// A stage where the stream splits.
    Branch(fn(&Args) -> Result<Box<dyn BranchPlan>, Problem>),
    /// The last stage.
    Sink(fn(&Args) -> Placed),
    /// A stage at any position, with a different plan at each.
    Anywhere {
        /// At the beginning.
        source: fn(&Args) -> Result<Source, Problem>,
        /// Between two stages, and at the end of the main pipeline, before standard output.
        transform: fn(&Args) -> Result<Box<dyn TransformPlan>, Problem>,
        /// At the end of a branch.
        sink: fn(&Args) -> Placed,
    },
}

/// How a parameter is written. Each can also be written as `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The next word without a `KEY=`.
    Positional,
    /// All further words without a `KEY=`; may be given any number of times.
    PositionalMany,
    /// All further words, unchanged, whatever they contain.
    Rest,
    /// Any number of pipelines in parentheses; in the form of the shell's own words each is one word.
    Groups,
    /// Only as `name=value`.
    Named,
    /// Only as `name=value`, any number of times.
    NamedMany,
}

impl Place {
    /// Whether it is written without a `KEY=`.
    #[must_use]
    pub fn is_positional(self) -> bool {
        !matches!(self, Self::Named | Self::NamedMany)
    }

    /// Whether it may be given more than once.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        !matches!(self, Self::Named | Self::Positional)
    }
}

/// One parameter of a stage.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its `KEY`: `[a-z][a-z0-9-]*`.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// How it is written.
    pub place: Place,
    /// Whether it must be given.
    pub required: bool,
    /// The value if it is not given, as a user would write it. It must be readable as `kind`.
    pub default: Option<&'static str>,
    /// What it does, in one line without a full stop.
    pub help: &'static str,
}

impl Param {
    /// One that is written `name=value`, and need not be given.
    #[must_use]
    pub const fn named(name: &'static str, kind: Kind, default: Option<&'static str>, help: &'static str) -> Self {
        Self {
            name,
            kind,
            place: Place::Named,
            required: false,
            default,
            help,
        }
    }
}

/// A pipeline that shows how a stage is used.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The whole pipeline.
    pub text: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// The definition of one stage.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name in a pipeline.
    pub name: &'static str,
    /// Where it can stand.
    pub role: Role,
    /// What it is looked for under.
    pub topic: Topic,
    /// What it does, in one line without a full stop.
    pub summary: &'static str,
    /// Further explanation. An empty line separates paragraphs; other newlines are spaces.
    pub details: &'static str,
    /// Its own parameters, positional ones first. [`LINK_PARAMS`] are added.
    pub params: &'static [Param],
    /// Pipelines that run as they are.
    pub examples: &'static [Example],
    /// The function that builds it.
    pub build: Build,
}

/// Further parameters of every stage that feeds a link.
pub const LINK_PARAMS: &[Param] = &[
    Param {
        name: "high",
        kind: Kind::Size,
        place: Place::Named,
        required: false,
        default: None,
        help: "high-water mark of the link behind this stage",
    },
    Param {
        name: "low",
        kind: Kind::Size,
        place: Place::Named,
        required: false,
        default: None,
        help: "low-water mark of that link; half of high unless given",
    },
    Param {
        name: "high-records",
        kind: Kind::Integer { min: 1, max: i64::MAX },
        place: Place::Named,
        required: false,
        default: None,
        help: "high-water mark of that link in records, beside the one in bytes; none unless given",
    },
    Param {
        name: "low-records",
        kind: Kind::Integer { min: 0, max: i64::MAX },
        place: Place::Named,
        required: false,
        default: None,
        help: "low-water mark of that link in records; half of high-records unless given",
    },
];
