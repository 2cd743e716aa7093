//! The parameters of a file that is followed.

use crate::catalog::{Kind as Value, Param};

/// Whether it is followed.
pub const FOLLOW: Param = Param::named(
    "follow",
    Value::Flag,
    Some("false"),
    "go on with what is appended, and with the file that takes its name, until a signal; late lines of the file before are \
     read for five minutes",
);

const START: &str = "start";
/// From what is appended from now on.
pub const END: &str = "end";

/// Where it begins.
pub const FROM: Param = Param::named(
    "from",
    Value::Choice(&[START, END]),
    Some(START),
    "where following begins without an earlier state: at the file's start, or behind its last line",
);

/// Where it notes what is durable.
pub const STATE: Param = Param::named(
    "state",
    Value::Bytes,
    None,
    "the file that notes what is durable, for the next run to go on there",
);

/// All of them.
pub static PARAMS: &[Param] = &[FOLLOW, FROM, STATE];
