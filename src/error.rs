//! The two kinds of error: an invalid pipeline ([`ChainError`]), and a run that failed ([`Failure`]).

mod failure;
mod panic;
mod problem;
mod wrapping;

pub use failure::{Failure, Kind, Stop};
pub use panic::{bug, keep_panics};
pub use problem::{ChainError, Problem, brief, shown, shown_lines};
pub use wrapping::wrapping;
