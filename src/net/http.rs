//! HTTP/1.1.

#[cfg(feature = "http")]
pub mod body;
#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
mod content_range;
#[cfg(feature = "http")]
mod exchange;
#[cfg(feature = "http")]
pub mod fields;
pub mod head;
#[cfg(feature = "http")]
pub mod netrc;
#[cfg(feature = "http")]
mod payload;
#[cfg(feature = "http")]
mod proxy;
#[cfg(feature = "http")]
mod response;
#[cfg(feature = "http")]
mod retries;
#[cfg(feature = "http")]
pub mod server;
#[cfg(feature = "http")]
mod upload;
mod url;

#[cfg(feature = "http")]
pub use client::{Attempt, Client, Request, Retry, retry_after};
#[cfg(feature = "http")]
pub use content_range::ContentRange;
#[cfg(feature = "http")]
pub use response::{Framing, Response, refusal};
#[cfg(feature = "http")]
pub use retries::{Retries, refused};
#[cfg(feature = "http")]
pub use upload::Upload;
pub use url::Url;

/// The most that one buffer of a connection holds, in bytes: the head of a response, a part of a body, or what is queued
/// to be sent.
#[cfg(feature = "http")]
const BUFFER: usize = 64 << 10;

/// The most memory that one connection holds besides TLS, in bytes: its buffer, and one part of a body on its way out of
/// it or into it.
#[cfg(feature = "http")]
pub const MEMORY: u64 = 2 * BUFFER as u64;
