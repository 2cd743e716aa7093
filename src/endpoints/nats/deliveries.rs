//! Messages that were delivered and are not acknowledged.

use std::collections::{HashMap, VecDeque};

use async_nats::Subject;

/// One delivery of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The position behind it.
    pub position: u128,
    /// The message's number in the stream.
    pub stream: u64,
    /// The number of the delivery: the consumer counts those to all its readers.
    pub number: u64,
    /// How often the message was delivered, this time included.
    pub times: u64,
}

/// What the subject says that a delivery is acknowledged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    pub stream: u64,
    pub number: u64,
    pub times: u64,
    /// When the stream got the message, in nanoseconds: with its number that is its identity.
    pub time: u64,
    /// How many messages wait at the server behind it.
    pub pending: u64,
}

/// The subjects of one consumer that its deliveries are acknowledged on. They differ only in numbers, which are kept
/// instead of them.
#[derive(Debug, Clone, Default)]
pub struct Subjects {
    before: String,
    behind: &'static str,
}

impl Subjects {
    /// Reads `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.TIMES.STREAM-NUMBER.NUMBER.TIME.PENDING[.TOKEN]`.
    pub fn parse(&mut self, subject: &str) -> Option<Parsed> {
        let dots = subject.bytes().filter(|byte| *byte == b'.').count();
        let (names, behind) = match dots {
            8 => (4, ""),
            10 => (6, ""),
            11.. => (6, ".0"),
            _ => return None,
        };
        let mut ends = memchr::memchr_iter(b'.', subject.as_bytes());
        let at = ends.nth(names - 1)? + 1;
        let (before, numbers) = subject.split_at(at);
        if self.before != before {
            before.clone_into(&mut self.before);
        }
        self.behind = behind;
        let mut numbers = numbers.split('.').map_while(|token| token.parse().ok());
        let mut next = || numbers.next();
        let (times, stream, number, time, pending) = (next()?, next()?, next()?, next()?, next()?);
        Some(Parsed {
            stream,
            number,
            times,
            time,
            pending,
        })
    }

    /// The subject of a delivery. The server does not look at its time, nor at what was pending.
    pub fn of(&self, delivery: Delivery) -> Subject {
        let Self { before, behind } = self;
        let Delivery {
            stream, number, times, ..
        } = delivery;
        format!("{before}{times}.{stream}.{number}.0.0{behind}").into()
    }
}

/// What became of a delivery that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// It is held now.
    New(Delivery),
    /// The message is held already.
    Held,
    /// Another message of that number is held: the stream was made anew.
    Another,
}

/// Bytes of memory that one of them takes: in the queue, whose room doubles, in a run that is being acknowledged, twice, and
/// in the table of those that are held, which is at most seven eighths full, and in a list of that.
pub const EACH: u64 = 4 * size_of::<Delivery>() as u64 + 7 * size_of::<u64>() as u64;

/// How many positions there are in an epoch: as many as names have digits for.
const EPOCH: u128 = 10_u128.pow(16);

/// The deliveries that are not acknowledged, in their order.
#[derive(Debug, Default)]
pub struct Deliveries {
    held: VecDeque<Delivery>,
    /// The messages that are held: their numbers in the stream, and when it got them.
    streams: HashMap<u64, u64>,
    /// The last number of a delivery.
    last: u64,
    /// Distinguishes numbers that come again, because the server has forgotten deliveries or the consumer is another one;
    /// greater each time.
    epoch: u64,
}

impl Deliveries {
    /// Nothing was delivered yet to a reader that begins at `now`, in microseconds.
    pub fn new(now: u64) -> Self {
        Self {
            epoch: now,
            ..Self::default()
        }
    }

    /// Adds a delivery. Positions only grow. They are even behind a message and odd
    /// before it, so that two readers of a consumer never have the same one, even if both began at the same moment.
    pub fn add(&mut self, parsed: Parsed, now: impl FnOnce() -> u64) -> Added {
        if parsed.number <= self.last {
            self.epoch = now().max(self.epoch + 1);
        }
        self.last = parsed.number;
        match self.streams.insert(parsed.stream, parsed.time) {
            None => {}
            Some(time) if time == parsed.time => return Added::Held,
            Some(_) => return Added::Another,
        }
        let delivery = Delivery {
            position: u128::from(self.epoch) * EPOCH + 2 * u128::from(parsed.number),
            stream: parsed.stream,
            number: parsed.number,
            times: parsed.times,
        };
        self.held.push_back(delivery);
        Added::New(delivery)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// The messages that are held, with when the stream got them: the highest number first.
    pub fn messages(&self) -> Vec<(u64, u64)> {
        let mut messages: Vec<_> = self.streams.iter().map(|(number, time)| (*number, *time)).collect();
        messages.sort_unstable();
        messages.reverse();
        messages
    }

    /// Takes those up to a position. They count until they are forgotten.
    pub fn take_up_to(&mut self, position: u128) -> Vec<Delivery> {
        let count = self.held.partition_point(|delivery| delivery.position <= position);
        self.held.drain(..count).collect()
    }

    /// The server has acknowledged them.
    pub fn forget(&mut self, acknowledged: &[Delivery]) {
        for delivery in acknowledged {
            self.streams.remove(&delivery.stream);
        }
    }

    /// Drops the one that was added last.
    pub fn drop_last(&mut self) {
        if let Some(delivery) = self.held.pop_back() {
            self.streams.remove(&delivery.stream);
        }
    }

    /// Those that nothing was taken of.
    pub fn iter(&self) -> impl Iterator<Item = Delivery> {
        self.held.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(stream: u64, number: u64) -> Parsed {
        Parsed {
            stream,
            number,
            times: 1,
            time: 10 * stream,
            pending: 0,
        }
    }

    impl Added {
        fn delivery(self) -> Delivery {
            match self {
                Self::New(delivery) => delivery,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn each_form_of_a_subject_is_read() {
        for (subject, shown) in [
            ("$JS.ACK.S.c.2.10.11.123.4", "$JS.ACK.S.c.2.10.11.0.0"),
            ("$JS.ACK._.acc.S.c.2.10.11.123.4", "$JS.ACK._.acc.S.c.2.10.11.0.0"),
            (
                "$JS.ACK._.acc.S.c.2.10.11.123.4.token",
                "$JS.ACK._.acc.S.c.2.10.11.0.0.0",
            ),
        ] {
            let mut subjects = Subjects::default();
            let parsed = subjects.parse(subject).expect("a subject");
            assert_eq!(
                (parsed.times, parsed.stream, parsed.number, parsed.time, parsed.pending),
                (2, 10, 11, 123, 4)
            );
            let delivery = Deliveries::default().add(parsed, || 0).delivery();
            assert_eq!(subjects.of(delivery).as_str(), shown);
        }
        for wrong in ["", "$JS.ACK.S.c.2.10.11.123", "$JS.ACK.S.c.x.10.11.123.4", "_INBOX.a"] {
            assert_eq!(Subjects::default().parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn message_that_is_held_is_not_added() {
        let mut held = Deliveries::default();
        held.add(parsed(5, 1), || 0).delivery();
        held.add(parsed(6, 2), || 0).delivery();
        assert_eq!(held.add(parsed(5, 3), || 0), Added::Held);
        let taken = held.take_up_to(2);
        assert_eq!(taken.len(), 1);
        assert_eq!(held.add(parsed(5, 4), || 0), Added::Held, "not confirmed yet");
        held.forget(&taken);
        held.add(parsed(5, 5), || 0).delivery();
        assert_eq!(held.len(), 2);
        let other = Parsed {
            time: 51,
            ..parsed(5, 1)
        };
        assert_eq!(held.add(other, || 0), Added::Another);
    }

    #[test]
    fn positions_grow_when_numbers_come_again() {
        let mut held = Deliveries::default();
        let mut position = |stream, number| held.add(parsed(stream, number), || 7).delivery().position;
        let positions = [
            position(1, 8),
            position(2, 9),
            position(3, 4),
            position(4, 5),
            position(5, 2),
        ];
        assert!(positions.is_sorted(), "{positions:?}");
        assert_eq!(positions[1], 18);
        assert_eq!(positions[2] / EPOCH, 7);
        assert_eq!(positions[4] / EPOCH, 8);
    }

    #[test]
    fn readers_of_another_moment_have_other_positions() {
        let position = |began| Deliveries::new(began).add(parsed(1, 1), || 0).delivery().position;
        assert!(position(5) < position(6));
    }
}
