//! Whether the server still has what a reader holds. An acknowledgement has a message's number and nothing else: a server that
//! has lost its last messages gives their numbers to others, and a stream or a consumer that is made anew begins with 1.

use std::sync::Arc;
use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ConsumerInfoErrorKind::{NotFound, StreamNotFound};
use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
use tokio::time::sleep;

use crate::error::{Failure, Kind};

use super::server::Events;

/// The pause before the server is asked again, which doubles.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is to be there.
pub struct Check {
    pub context: Context,
    pub events: Arc<Events>,
    pub stream: String,
    pub consumer: String,
    /// When the consumer was made.
    pub created: DateTime,
    /// The messages that are held: their numbers, the highest first, and when the stream got them, in nanoseconds.
    pub messages: Vec<(u64, u64)>,
}

impl Check {
    /// Asks the server, until it has answered.
    ///
    /// # Errors
    /// What is not there any more.
    pub async fn run(self) -> Result<(), Failure> {
        let mut pause = PAUSE;
        loop {
            if let Some(answer) = self.ask().await {
                return answer;
            }
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// The server's answer; `None` if it has not said. Who may not ask goes on without.
    async fn ask(&self) -> Option<Result<(), Failure>> {
        let of_stream = self.context.get_stream_no_info(&self.stream).await.ok()?;
        let consumer = of_stream.consumer_info(&self.consumer);
        match self.events.unless_denied("CONSUMER.INFO", consumer).await {
            Some(Ok(info)) if is_later(info.created, self.created) => {
                return Some(Err(
                    self.lost_consumer("it was made anew: what is held is of the one before")
                ));
            }
            Some(Ok(_)) | None => {}
            Some(Err(error)) if matches!(error.kind(), NotFound | StreamNotFound) => {
                return Some(Err(self.lost_consumer("it is not there any more")));
            }
            Some(Err(_)) => return None,
        }
        let Some((highest, _)) = self.messages.first() else {
            return Some(Ok(()));
        };
        let info = self.events.unless_denied("STREAM.INFO", of_stream.get_info()).await;
        let (first, last) = match info {
            Some(Ok(info)) => (info.state.first_sequence, info.state.last_sequence),
            Some(Err(_)) => return None,
            None => (0, u64::MAX),
        };
        if *highest > last {
            return Some(Err(self.lost_messages()));
        }
        // Messages are removed one by one, and only the last ones are lost: one that is there says that all before it are.
        // No reader misses a message that was removed.
        for (number, time) in self.messages.iter().filter(|(number, _)| *number >= first) {
            let message = of_stream.get_raw_message(*number);
            match self.events.unless_denied("STREAM.MSG.GET", message).await {
                Some(Ok(found)) if found.time.unix_timestamp_nanos() == i128::from(*time) => break,
                Some(Ok(_)) => return Some(Err(self.lost_messages())),
                Some(Err(error)) if error.kind() == NoMessageFound => {}
                Some(Err(_)) => return None,
                None => break,
            }
        }
        Some(Ok(()))
    }

    fn lost_consumer(&self, why: &str) -> Failure {
        let operation = format!("cannot read through the consumer {}", self.consumer);
        Failure::because(Kind::Source, operation, why)
    }

    fn lost_messages(&self) -> Failure {
        let operation = format!("cannot read from the stream {}", self.stream);
        let why = "the server has lost its last messages, and others may have their numbers";
        Failure::because(Kind::Source, operation, why)
    }
}

/// Whether that is another moment: a server that was started again says the same one less exactly.
fn is_later(one: DateTime, other: DateTime) -> bool {
    const SECOND: u128 = 1_000_000_000;
    let [one, other] = [one, other].map(DateTime::unix_timestamp_nanos);
    one.abs_diff(other) > SECOND
}
