//! `--metrics`: a run's numbers for a monitoring system, over HTTP.
//!
//! The server has a thread and a runtime of its own. A slow or hostile client can delay other clients, but never the
//! data.

mod answer;
mod families;
mod listener;
mod page;
mod server;

pub use families::{Field, LINK, RUN, STAGE};
pub use listener::{Listener, parse_address};
pub use page::page;
pub use server::Server;
