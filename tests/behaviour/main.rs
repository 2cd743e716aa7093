//! The program as its users run it: the binary, real files, pipes and sockets, and the real tools as its peers.
//!
//! Nothing here sleeps or tries again: a test goes on when it has read a line, a byte or an end.

mod browser;
mod chains;
mod connecting;
mod contrast;
mod ctl;
mod descriptors;
mod endings;
mod endpoints;
mod failing_positions;
mod harness;
mod kernel_queues;
mod keys;
mod kills;
mod layers;
mod limits;
mod memory;
mod memory_bound;
mod metrics;
mod misbehaving;
mod namespace;
mod replacing;
mod report;
mod resuming;
mod roundtrip;
mod security;
mod slow_peers;
mod sparse;
mod toxic;
mod transcripts;
mod verifying;
mod zero_copy;
