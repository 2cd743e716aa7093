//! Pipelines of other programs: which processes are joined, and how each of them spends its time.
//!
//! A [`Census`] lists the processes and what joins them, [`pipelines`](Census::pipelines) orders them into graphs, and
//! a [`Look`] samples one of those. What it finds is in an [`Attached`], which is [`Observed`](crate::engine::Observed) as
//! a run is, so that all views show it. docs/ATTACH.md describes the method and what it cannot see.

mod activity;
mod attached;
mod census;
mod levels;
mod look;
mod member;
mod pipeline;

pub use attached::Attached;
pub use census::{Census, Process};
pub use look::Look;
pub use pipeline::{Pipeline, Stage};
