//! What passes through a control socket: one line of JSON there, one line back.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// Another rate for a throttle.
    Set {
        /// A stage's name or its index.
        stage: String,
        /// Bytes per second.
        rate: u64,
    },
    /// Let the sink take nothing more.
    Pause,
    /// Let the sink go on.
    Resume,
    /// One sample.
    Stats,
}

/// What a run answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Done; the line is for standard output, without its newline.
    Done(String),
    /// It cannot be; why, in a phrase.
    Refused(String),
}

/// No message is longer, except a sample of a very long chain.
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
/// As read(2), and where the peer left early or speaks another language.
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
    fn a_message_comes_back_as_it_was_sent() {
        let set = Request::Set {
            stage: "throttle".to_owned(),
            rate: 5,
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
