//! Addresses and HTTP heads, shared by endpoints, metrics and checks.

mod address;
pub mod http;

pub use address::{Address, AddressError};
