//! highwater moves bytes through a chain of stages, keeps the memory of the whole chain under one hard ceiling, and shows
//! where the bytes are while it does.
//!
//! # Layers
//! A layer uses only the layers below it, which a test checks. From the bottom up:
//!
//! | layer | what it is |
//! |---|---|
//! | [`error`] | errors: an invalid pipeline, and a run that failed |
//! | [`platform`] | all system-specific code |
//! | [`child`] | child processes that lead a process group, and its end |
//! | [`flow`] | chunks, pool, links and meters |
//! | [`graph`] | the shape of a pipeline: a tree of nodes joined by typed edges |
//! | [`stage`] | planned and running stages; their budget and their cancel |
//! | [`grammar`] | text to calls with spans; knows no stage by name |
//! | [`catalog`] | what a stage is to the rest of the program: name, parameters, examples, constructor |
//! | [`records`] | where a record of a byte stream ends, and what is in it: lines, JSON, CSV and server-sent events on slices |
//! | [`net`] | addresses and HTTP heads, for endpoints, metrics and checks |
//! | [`endpoints`], [`transforms`], [`exec`] | the stages themselves, one file for each kind of place or codec family |
//! | [`plan`] | checked calls to a graph of stages with a memory budget |
//! | [`engine`] | opens, starts, steers, joins, decides the one error; takes snapshots |
//! | [`view`] | a snapshot to text: JSON, plain lines, the picture, the summary, the recording; the keys |
//! | [`report`] | recordings to pictures: HTML, SVG, PNG |
//! | [`check`] | whether other people's programs and servers honour backpressure |
//! | [`attach`] | pipelines of other programs: what joins their processes, and how each spends its time |
//! | [`serve`] | one run of a pipeline for each HTTP request |
//! | [`cli`] | options, subcommands, exit codes |
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use highwater::engine::{self, Observer, Watch};
//! use highwater::grammar;
//! use highwater::plan::{Limits, Plan};
//!
//! /// Looks at nothing.
//! struct Blind;
//! impl Observer for Blind {
//!     fn listening(&mut self, _: &str) {}
//!     fn started(&mut self, _: &Arc<Watch>) {}
//! }
//!
//! let (script, problems) = grammar::parse(b"read /dev/zero | take 1MiB | gzip | write /dev/null");
//! let plan = Plan::new(&script, problems, Limits::default())?;
//! let ending = engine::run(plan, engine::Settings::default(), &mut Blind);
//! assert_eq!(ending.exit_code(), 0);
//! # Ok::<(), highwater::error::ChainError>(())
//! ```

pub mod attach;
pub mod catalog;
pub mod check;
pub mod child;
pub mod cli;
pub mod endpoints;
pub mod engine;
pub mod error;
pub mod exec;
pub mod flow;
pub mod grammar;
pub mod graph;
pub mod net;
pub mod plan;
pub mod platform;
pub mod records;
pub mod report;
#[cfg(feature = "http")]
pub mod serve;
pub mod stage;
pub mod transforms;
pub mod view;
