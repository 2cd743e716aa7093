//! The pictures of a report, one file for each kind.

pub mod chain;
pub mod check;
pub mod memory;
pub mod pins;
pub mod rates;
