//! PostgreSQL's protocol, as far as COPY needs it: rows pass through without ever being held whole.

mod connection;
mod message;
mod target;

pub use connection::{Connection, MEMORY};
pub use target::{Encryption, Host, Target};
