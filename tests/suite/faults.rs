//! How a run handles failing system calls: every operation of representative pipelines, each call in turn.
//!
//! The binary is built with `fault-injection`, which makes a chosen call fail. A run without a fault counts the calls
//! of each operation; the sweep then makes one after the other fail.

mod chains;
mod effects;
mod sweep;
mod trial;
