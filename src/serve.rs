//! A service that runs a pipeline for each HTTP request.
//!
//! One ceiling is over all runs: each has a share of it, and a request for which no share is left waits in a line. A
//! run's standard input is the request's body and its standard output the response's. Nothing else of a request reaches
//! a pipeline: its path selects one of the routes, literally, and the rest is ignored.
//!
//! Everything runs on the calling thread's reactor, besides the threads that the stages of the runs have.

mod access_log;
mod admission;
mod counters;
mod entry;
mod explain;
mod handler;
mod host;
mod live;
mod look;
mod media_type;
mod metrics;
mod picture;
mod route;
mod run;
pub mod sample;
mod service;
mod shares;
mod slow_client;
mod status;

pub use access_log::LogTarget;
pub use host::Hosts;
pub use route::{Refusal, Route, RouteOptions};
pub use service::{Service, Settings, Shown};
pub use shares::{Shares, TooLittle, Wanted};

/// The path of the health check.
pub const HEALTH: &str = "/-/health";
/// Paths that begin so are the service's own.
pub const RESERVED: &str = "/-/";
