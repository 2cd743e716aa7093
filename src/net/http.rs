//! HTTP/1.1.

#[cfg(feature = "http")]
pub mod body;
pub mod head;
#[cfg(feature = "http")]
pub mod server;
