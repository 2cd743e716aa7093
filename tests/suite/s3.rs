//! Objects of S3's protocol, against moto's server, and against a relay in front of it that misbehaves.

mod credentials;
mod reading;
mod resuming;
mod writing;

/// The sizes of the tests: parts have 5 MiB.
const MIB: usize = 1 << 20;
