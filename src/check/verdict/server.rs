//! The verdict on a server whose clients read slowly. How much of its response the kernel has taken cannot be seen, so
//! this one rests on the server's memory, against what the clients have got.

use crate::check::series::{Sample, float, second_half};
use crate::grammar::human_size;

use super::{Ending, Memory, Verdict, WARMING_UP, size};

/// What a server may keep for one slow client without being called boundless: a buffer, and what its runtime needs.
const FAIR_SHARE: u64 = 1 << 20;
/// From here on it keeps what it should not have made yet; between the two is doubt.
const UNFAIR_SHARE: u64 = 4 << 20;
/// As [`WARMING_UP`], but a server compiles its handlers when the first client comes.
const STARTING: u64 = 2 * WARMING_UP;

const WAIT_FOR_CLIENTS: &str = "Make the response only as fast as the client takes it. Node: pipeline(source, response), or \
                                wait for 'drain' where response.write() returned false. Elsewhere: stream from the source, \
                                with writes that block or are awaited.";

/// What the clients met with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// How many there were.
    pub count: u64,
    /// Something that is no response to go by: the status line of an error, or why a connection ended.
    pub trouble: Option<String>,
    /// The shortest of the responses that were over.
    pub shortest: Option<u64>,
    /// Whether bytes waited for every client, nearly all the time: it was they who were slow, not the server.
    pub are_the_slow_ones: bool,
}

/// Judges the samples; `idle` is what the server held before the clients came.
#[must_use]
pub fn judge(samples: &[Sample], idle: u64, clients: &Clients, ending: &Ending) -> Verdict {
    let memory = Memory::of(samples);
    let late: Vec<u64> = second_half(samples).iter().map(|sample| sample.rss).collect();
    let (Some(last), Some(high)) = (samples.last(), late.iter().max()) else {
        return Verdict::unclear(
            "There was no time to see anything.".to_owned(),
            "Check for longer: --seconds.",
        );
    };
    let grown = high.saturating_sub(idle);
    let count = clients.count;
    let received = human_size(last.returned);
    let story = format!(
        "{count} slow client{} got {received}; the server's memory went from {} to {}.",
        if count == 1 { "" } else { "s" },
        human_size(idle),
        human_size(*high)
    );
    let unfair = STARTING + count * UNFAIR_SHARE;
    if grown > unfair && float(grown) > float(last.returned) {
        let after = match ending {
            Ending::Done | Ending::InputClosed => String::new(),
            Ending::TooLarge(limit) => format!(" The clients left at --max-rss {}.", human_size(*limit)),
            Ending::Ended(how) => format!(" Then the server ended {how}."),
        };
        return Verdict::buffers(format!("{story}{after}"), WAIT_FOR_CLIENTS);
    }
    if let Ending::Ended(how) = ending {
        return Verdict::unclear(
            format!("The server ended {how}. {story}"),
            "See why it ended, and check again.",
        );
    }
    if let Ending::TooLarge(limit) = ending {
        return Verdict::unclear(
            format!("The server's memory passed {}. {story}", human_size(*limit)),
            "Allow more with --max-rss.",
        );
    }
    if let Some(trouble) = &clients.trouble {
        return Verdict::unclear(
            format!("A client got no response to go by: {trouble}."),
            "Give the URL of a large download that the server answers with 200.",
        );
    }
    if let Some(shortest) = clients.shortest {
        return Verdict::unclear(
            format!(
                "A response was over after {}: sockets hold that much by themselves, whatever the server does.",
                human_size(shortest)
            ),
            "Give the URL of a larger response, tens of megabytes at least.",
        );
    }
    if !clients.are_the_slow_ones {
        return Verdict::unclear(
            format!("The server made its response more slowly than its clients read it. {story}"),
            "Let the clients read more slowly: --rate.",
        );
    }
    if grown > STARTING + count * FAIR_SHARE || memory.rise > memory.threshold.max(float(WARMING_UP)) {
        return Verdict::unclear(
            format!("{story} In the second half it rose by {}.", size(memory.rise)),
            "Check for longer (--seconds) or with more --clients: what is kept for each of them shows, what is only \
             warming up does not.",
        );
    }
    Verdict::honours(format!("{story} It makes its response as fast as they take it."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::verdict::Finding;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn clients() -> Clients {
        Clients {
            count: 4,
            trouble: None,
            shortest: None,
            are_the_slow_ones: true,
        }
    }

    fn samples(rss: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |t| Sample {
            elapsed: Duration::from_millis(t * 100),
            rss: rss(t),
            returned: t * 25_600,
            ..Sample::default()
        };
        (1..=100).map(sample).collect()
    }

    fn finding(rss: impl Fn(u64) -> u64, clients: &Clients) -> Finding {
        judge(&samples(rss), 50 * MIB, clients, &Ending::Done).finding
    }

    #[test]
    fn memory_that_stays_where_it_was_honours() {
        assert_eq!(finding(|t| (52 + t % 4) * MIB, &clients()), Finding::Honours);
    }

    #[test]
    fn a_response_that_was_made_beforehand_buffers_though_it_grows_no_more() {
        assert_eq!(finding(|t| (50 + t.min(20) * 10) * MIB, &clients()), Finding::Buffers);
        assert_eq!(finding(|t| (50 + t) * MIB, &clients()), Finding::Buffers);
    }

    #[test]
    fn between_the_two_is_doubt() {
        assert_eq!(finding(|t| (50 + t.min(40)) * MIB, &clients()), Finding::Unclear);
    }

    #[test]
    fn a_response_that_tells_nothing_is_no_acquittal() {
        let flat = |_| 52 * MIB;
        let short = Clients {
            shortest: Some(1000),
            ..clients()
        };
        let wrong = Clients {
            trouble: Some("HTTP/1.1 404 Not Found".to_owned()),
            ..clients()
        };
        let fast = Clients {
            are_the_slow_ones: false,
            ..clients()
        };
        for clients in [short, wrong, fast] {
            assert_eq!(finding(flat, &clients), Finding::Unclear, "{clients:?}");
        }
    }
}
