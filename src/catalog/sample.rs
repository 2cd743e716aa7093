//! A small catalog with one of everything, for the tests of this folder.

use super::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic, check, check_pipeline};
use crate::error::{ChainError, Problem};
use crate::grammar::parse;
use crate::stage::Source;
use snapbox::IntoData;

const NAMED: Param = Param {
    name: "",
    kind: Kind::Text,
    place: Place::Named,
    required: false,
    default: None,
    help: "a parameter of the sample",
};

const PATHS: Param = Param {
    name: "path",
    kind: Kind::Endpoint(&[]),
    place: Place::PositionalMany,
    required: true,
    help: "where the bytes come from",
    ..NAMED
};

fn never_built(_: &Args) -> Result<Source, Problem> {
    unreachable!("a sample is only read")
}

const READ: Definition = Definition {
    name: "read",
    role: Role::Source,
    topic: Topic::ReadWrite,
    summary: "reads files, one after the other",
    details: "",
    params: &[PATHS],
    examples: &[],
    build: Build::Source(never_built),
};

pub(super) const CATALOG: &[&Definition] = &[
    &READ,
    &Definition {
        name: "gzip",
        role: Role::Transform,
        topic: Topic::Compress,
        summary: "compresses",
        params: &[Param {
            name: "level",
            kind: Kind::Integer { min: 1, max: 9 },
            place: Place::Positional,
            ..NAMED
        }],
        ..READ
    },
    &Definition {
        name: "throttle",
        role: Role::Transform,
        topic: Topic::Control,
        summary: "lets no more than so many bytes a second through, and says so in a summary that needs two lines",
        params: &[
            Param {
                name: "rate",
                kind: Kind::Rate,
                place: Place::Positional,
                required: true,
                ..NAMED
            },
            Param {
                name: "burst",
                kind: Kind::Size,
                ..NAMED
            },
        ],
        ..READ
    },
    &Definition {
        name: "sum",
        role: Role::Transform,
        topic: Topic::Control,
        summary: "has a parameter of every kind",
        details: "A first paragraph that is long enough to be wrapped, because it goes on\nand on beyond eighty columns.\n\nA second one.",
        params: &[
            Param {
                name: "size",
                kind: Kind::Size,
                place: Place::Positional,
                required: true,
                ..NAMED
            },
            Param {
                name: "rate",
                kind: Kind::Rate,
                ..NAMED
            },
            Param {
                name: "wait",
                kind: Kind::Duration,
                ..NAMED
            },
            Param {
                name: "label",
                help: "what to call it, in a text so long that it needs a second line in the table",
                ..NAMED
            },
            Param {
                name: "quiet",
                kind: Kind::Flag,
                ..NAMED
            },
            Param {
                name: "level",
                kind: Kind::Integer { min: 1, max: 9 },
                ..NAMED
            },
            Param {
                name: "algo",
                kind: Kind::Choice(&["crc32", "sha256"]),
                default: Some("sha256"),
                ..NAMED
            },
        ],
        examples: &[Example {
            text: "read a | sum 1 label='a b'",
            about: "sums it up",
        }],
        ..READ
    },
    &Definition {
        name: "tee",
        role: Role::Branch,
        topic: Topic::Split,
        summary: "parts the stream",
        params: &[Param {
            name: "branch",
            kind: Kind::Pipeline,
            place: Place::Groups,
            required: true,
            ..NAMED
        }],
        ..READ
    },
    &Definition {
        name: "run",
        role: Role::Transform,
        topic: Topic::Programs,
        summary: "runs a program",
        params: &[
            Param {
                name: "program",
                kind: Kind::Bytes,
                place: Place::Rest,
                required: true,
                ..NAMED
            },
            Param {
                name: "env",
                kind: Kind::Bytes,
                place: Place::NamedMany,
                ..NAMED
            },
        ],
        ..READ
    },
    &Definition {
        name: "write",
        role: Role::Sink,
        topic: Topic::ReadWrite,
        summary: "writes a file",
        params: &[Param {
            place: Place::Positional,
            ..PATHS
        }],
        ..READ
    },
];

/// The arguments of a pipeline of one stage.
#[track_caller]
pub(super) fn args(text: &str) -> Args {
    let (script, problems) = parse(text.as_bytes());
    assert_eq!(problems, []);
    check(&script.calls[0], CATALOG).unwrap().1
}

/// Compares the rendered problems of a pipeline with the expected ones.
#[track_caller]
pub(super) fn refused(text: &str, expected: snapbox::data::Inline) {
    let (script, mut problems) = parse(text.as_bytes());
    problems.extend(check_pipeline(&script, CATALOG).err().unwrap_or_default());
    let error = ChainError {
        text: script.text,
        problems,
    };
    snapbox::assert_data_eq!(error.to_string(), expected.raw());
}
