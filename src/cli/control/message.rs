//! The messages of a control socket: one line of JSON for the request, one for the reply.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::grammar::Throughput;

/// A request to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// Set the rate of a throttle.
    Set {
        /// A stage's name or its index.
        stage: String,
        /// What may pass in a second.
        rate: Throughput,
    },
    /// Pause the sinks.
    Pause,
    /// Resume the sinks.
    Resume,
    /// Return one sample.
    Stats,
}

/// The reply of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Done; a line for standard output, without its newline.
    Done(String),
    /// Refused; the reason, in a phrase.
    Refused(String),
}

/// The longest message; only a sample of a very long pipeline comes near.
const LONGEST: u64 = 1 << 20;

/// Sends one message.
pub fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Receives one message.
///
/// # Errors
/// As read(2), or if the peer closed early or sent something else.
pub fn receive<T: DeserializeOwned>(from: impl Read) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(from.take(LONGEST)).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_survives_a_round_trip() {
        let set = Request::Set {
            stage: "throttle".to_owned(),
            rate: Throughput::Records(5),
        };
        for message in [set, Request::Pause, Request::Resume, Request::Stats] {
            let mut line = Vec::new();
            send(&mut line, &message).expect("sent");
            assert_eq!(receive::<Request>(&line[..]).expect("received"), message);
        }
    }

    #[test]
    fn half_a_message_is_none() {
        for line in ["", "{\"command\":\"pause\"}", "{\"command\":\"explode\"}\n", "\n"] {
            assert!(receive::<Request>(line.as_bytes()).is_err(), "{line}");
        }
    }
}
