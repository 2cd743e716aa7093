//! What a run does when the system fails it: every operation of representative chains, each call in turn.
//!
//! The binary is built with `fault-injection`, which makes a chosen call fail. A run without a fault says how many calls
//! of each operation there are; the sweep then spoils one after the other.

mod chains;
mod effects;
mod sweep;
mod trial;
