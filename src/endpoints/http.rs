//! HTTP/1.1.

pub mod listen;
