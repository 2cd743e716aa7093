//! Helpers of the tests: the binary and its peers, and environments in which something is scarce or slow.

pub mod certificates;
pub mod documents;
pub mod harness;
#[cfg(feature = "http")]
pub mod http;
pub mod memory_bound;
pub mod namespace;
#[cfg(feature = "nats")]
pub mod nats;
pub mod port;
pub mod postgres;
#[cfg(feature = "s3")]
pub mod s3;
pub mod skip;
pub mod toxic;
