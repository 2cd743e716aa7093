//! Addresses and HTTP heads: what endpoints, metrics and checks share of the network protocols.

mod address;
pub mod http;

pub use address::{Address, AddressError};
