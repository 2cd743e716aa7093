//! HTTP/1.1.

pub mod head;
mod url;

pub use url::Url;
