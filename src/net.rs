//! Addresses, connections, TLS and HTTP, shared by endpoints, metrics and checks.

mod address;
mod connect;
pub mod drain;
pub mod http;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod retry;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tls")]
mod transport;

pub use address::{Address, AddressError};
pub use connect::{Dial, tune, unusable};
#[cfg(feature = "tls")]
pub use transport::Transport;
