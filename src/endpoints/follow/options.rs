//! The parameters of a file that is followed.

use crate::catalog::{Kind as Value, Param, Place};

const fn named(name: &'static str, kind: Value, default: Option<&'static str>, help: &'static str) -> Param {
    Param {
        name,
        kind,
        place: Place::Named,
        required: false,
        default,
        help,
    }
}

/// Whether it is followed.
pub const FOLLOW: Param = named(
    "follow",
    Value::Flag,
    Some("false"),
    "go on with what is appended, and with the file that takes its name, until a signal",
);

const START: &str = "start";
/// From what is appended from now on.
pub const END: &str = "end";

/// Where it begins.
pub const FROM: Param = named(
    "from",
    Value::Choice(&[START, END]),
    Some(START),
    "where following begins without an earlier state: at the file's start, or behind its last line",
);

/// Where it notes what is durable.
pub const STATE: Param = named(
    "state",
    Value::Bytes,
    None,
    "the file that notes what is durable, for the next run to go on there",
);

/// All of them.
pub static PARAMS: &[Param] = &[FOLLOW, FROM, STATE];
