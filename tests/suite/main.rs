//! The program as its users run it: the binary, real files, pipes and sockets, and the real tools as its peers.
//!
//! The tests neither sleep nor retry: each step waits for a line, a byte or an end.

mod support;

mod articles;
mod attach;
mod batch;
mod browser;
mod chains;
mod check;
// Without /proc, the peak of a process includes that of its parent, so the memory of these tests would count as the
// demo's.
#[cfg(not(feature = "portable-platform"))]
mod codecs;
mod connecting;
mod contrast;
mod ctl;
mod descriptors;
mod endings;
mod endpoints;
mod examples;
mod exec;
mod export;
mod failing_positions;
#[cfg(feature = "fault-injection")]
mod faults;
mod follow;
mod generated;
#[cfg(feature = "http")]
mod http_listen;
#[cfg(feature = "http")]
mod http_read;
#[cfg(feature = "http")]
mod http_write;
mod joins;
mod kernel_queues;
mod keys;
mod kills;
mod layers;
mod limits;
mod memory;
mod metrics;
mod misbehaving;
#[cfg(feature = "nats")]
mod nats;
mod output;
mod postgres;
#[cfg(not(feature = "portable-platform"))]
mod progress;
mod records;
mod replacing;
mod report;
mod resuming;
mod retrying;
mod roundtrip;
#[cfg(feature = "s3")]
mod s3;
mod security;
#[cfg(feature = "http")]
mod serve;
mod slow_peers;
mod slow_programs;
mod sparse;
mod stages;
#[cfg(not(feature = "portable-platform"))]
mod system_calls;
mod tee;
mod terminal;
mod tls;
mod transcripts;
mod verifying;
#[cfg(feature = "ws")]
mod websocket;
mod zero_copy;

#[cfg(feature = "http")]
use support::http;
use support::postgres as postgres_server;
#[cfg(feature = "s3")]
use support::s3 as s3_server;
use support::{certificates, harness, memory_bound, namespace, toxic};
