//! The verdict on a server whose clients read slowly: what it holds in memory and has written to files, against what the
//! clients have received. How much of its responses it has made cannot be seen.

use crate::check::series::{Sample, float, second_half};
use crate::grammar::human_size;

use super::{Certainty, Ending, Memory, NOISE, Verdict, WARM_UP, size};

/// Bytes of memory that a server may keep for one slow client: a buffer, and what its runtime needs.
const FAIR_SHARE: u64 = 1 << 20;
/// From here on it has made what its client cannot take yet; between the two the verdict is unclear.
const UNFAIR_SHARE: u64 = 4 << 20;
/// The same on disk, where proxies keep more.
const FAIR_DISK: u64 = 32 << 20;
const UNFAIR_DISK: u64 = 64 << 20;
/// As [`WARM_UP`], but a server compiles its handlers when the first client comes.
const STARTING: u64 = 2 * WARM_UP;

const WAIT_FOR_CLIENTS: &str = "Make the response only as fast as the client takes it. Node: pipeline(source, response), or \
                                wait for 'drain' where response.write() returned false. Elsewhere: stream from the source, \
                                with writes that block or are awaited.";
const BOUND_THE_FILES: &str = "Bound the temporary files, or do without them. nginx: proxy_max_temp_file_size 0, or \
                               proxy_buffering off. lighttpd: server.stream-response-body = 2.";

/// What the clients met with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// How many there were.
    pub count: u64,
    /// How many of them got a byte.
    pub served: u64,
    /// Something that is no response to go by: the status of an error, or why a connection ended.
    pub trouble: Option<String>,
    /// The shortest of the responses that were over.
    pub shortest: Option<u64>,
    /// The bytes of a whole response, where its head says so.
    pub length: Option<u64>,
    /// Whether bytes waited for every client that was served, nearly all the time: it was they who were slow, not the
    /// server.
    pub are_the_slow_ones: bool,
}

/// What a check of a server has seen.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The samples since the clients came.
    pub samples: &'a [Sample],
    /// The one with the most memory.
    pub peak: Option<Sample>,
    /// The server before they came.
    pub idle: Sample,
    /// What they met with.
    pub clients: &'a Clients,
}

/// Judges a server.
#[must_use]
pub fn judge(evidence: Evidence<'_>, ending: &Ending) -> Verdict {
    let Evidence {
        samples, idle, clients, ..
    } = evidence;
    let memory = Memory::of(samples);
    let late = second_half(samples);
    let (Some(last), Some(high)) = (samples.last(), late.iter().map(|sample| sample.memory).max()) else {
        return Verdict::unclear(
            "There was no time to see anything.".to_owned(),
            "Look longer: --seconds.",
            Certainty::Open,
        );
    };
    let grown = high.saturating_sub(idle.memory);
    let stored = last.disk.saturating_sub(idle.disk);
    let story = story(
        clients,
        last,
        idle.memory,
        evidence.peak.map_or(high, |peak| peak.memory),
        stored,
    );
    let served = clients.served.max(1);
    if grown > STARTING + served * UNFAIR_SHARE && grown > last.returned {
        let verdict = Verdict::buffers(high, story, WAIT_FOR_CLIENTS);
        return verdict.with(Certainty::Final).followed_by(ending);
    }
    let each = stored / served;
    // The whole response is on disk already, and would be whatever its length.
    let is_all = clients
        .length
        .is_some_and(|length| each > FAIR_SHARE.max(length / 10 * 9));
    if each > UNFAIR_DISK || is_all {
        let verdict = Verdict::buffers(stored, story, BOUND_THE_FILES);
        return verdict.with(Certainty::Final).followed_by(ending);
    }
    if let Some(doubt) = doubt(clients, ending, &story) {
        return doubt;
    }
    let peak = evidence.peak.map_or(0, |peak| peak.memory.saturating_sub(idle.memory));
    if peak > STARTING + served * UNFAIR_SHARE
        || grown > STARTING + served * FAIR_SHARE
        || memory.rise > memory.threshold.max(float(WARM_UP))
    {
        return unclear(
            format!("{story} In the second half it rose by {}.", size(memory.rise)),
            "Look longer (--seconds) or with more --clients: what is kept for each of them shows, what is only warming \
             up does not.",
        );
    }
    let written = late.last().map_or(0, |last| last.disk - late[0].disk);
    if each > FAIR_DISK || written > served * FAIR_SHARE {
        return unclear(
            format!("{story} It was still writing."),
            "Look longer: --seconds. A file that is bounded comes to rest.",
        );
    }
    Verdict::honours(
        format!("{story} It makes its response as fast as they take it."),
        Certainty::Enough,
    )
}

/// Why flat memory and few files would be no acquittal.
fn doubt(clients: &Clients, ending: &Ending, story: &str) -> Option<Verdict> {
    let (sentence, advice) = match ending {
        Ending::Ended(how) => (
            format!("The server ended {how}. {story}"),
            "See why it ended, and check again.",
        ),
        Ending::TooLarge(limit) => (
            format!("The server's memory passed {}. {story}", human_size(*limit)),
            "Allow more with --max-rss.",
        ),
        Ending::TooMuchDisk(limit) => (
            format!("The server wrote {} to files. {story}", human_size(*limit)),
            "Allow more with --max-disk, or see what else it writes.",
        ),
        Ending::Done | Ending::InputClosed => {
            if let Some(trouble) = &clients.trouble {
                (
                    format!("A client got no response to go by: {trouble}."),
                    "Give the URL of a large download that the server answers with 200.",
                )
            } else if clients.served == 0 {
                (
                    format!("None of {} clients got a byte.", clients.count),
                    "Look longer (--seconds): the server has not answered yet.",
                )
            } else if let Some(shortest) = clients.shortest {
                (
                    format!(
                        "A response was over after {}: sockets hold that much by themselves, whatever the server does.",
                        human_size(shortest)
                    ),
                    "Give the URL of a larger response, tens of megabytes at least.",
                )
            } else if !clients.are_the_slow_ones {
                (
                    format!("The server made its response more slowly than its clients read it. {story}"),
                    "Let the clients read more slowly: --rate.",
                )
            } else {
                return None;
            }
        }
    };
    Some(unclear(sentence, advice))
}

fn unclear(sentence: String, advice: &'static str) -> Verdict {
    Verdict::unclear(sentence, advice, Certainty::Open)
}

fn story(clients: &Clients, last: &Sample, idle: u64, peak: u64, stored: u64) -> String {
    let Clients { count, served, .. } = clients;
    let who = match (*count, *served) {
        (1, _) => "1 slow client got".to_owned(),
        (count, 0) => format!("{count} slow clients waited for their first byte and got"),
        (count, served) if served < count => {
            format!("{served} of {count} slow clients were served at a time, the others waited; together they got")
        }
        (count, _) => format!("{count} slow clients got"),
    };
    let files = match stored {
        0..NOISE => String::new(),
        _ => format!(", and it wrote {} to files", human_size(stored)),
    };
    format!(
        "{who} {}; the server's memory went from {} to {}{files}.",
        human_size(last.returned),
        human_size(idle),
        human_size(peak.max(idle))
    )
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
            served: 4,
            trouble: None,
            shortest: None,
            length: None,
            are_the_slow_ones: true,
        }
    }

    /// What `at` says of memory and disk at each tenth of ten seconds.
    fn judged(at: impl Fn(u64) -> (u64, u64), clients: &Clients) -> Verdict {
        let sample = |t| Sample {
            elapsed: Duration::from_millis(t * 100),
            memory: at(t).0,
            disk: at(t).1,
            returned: t * 25_600,
            ..Sample::default()
        };
        let samples: Vec<Sample> = (1..=100).map(sample).collect();
        let evidence = Evidence {
            samples: &samples,
            peak: samples.iter().max_by_key(|sample| sample.memory).copied(),
            idle: Sample {
                memory: 50 * MIB,
                ..Sample::default()
            },
            clients,
        };
        judge(evidence, &Ending::Done)
    }

    fn finding(memory: impl Fn(u64) -> u64, clients: &Clients) -> Finding {
        judged(|t| (memory(t), 0), clients).finding
    }

    #[test]
    fn flat_memory_honours() {
        assert_eq!(finding(|t| (52 + t % 4) * MIB, &clients()), Finding::Honours);
    }

    #[test]
    fn a_response_made_at_once_buffers() {
        assert_eq!(finding(|t| (50 + t.min(20) * 10) * MIB, &clients()), Finding::Buffers);
        assert_eq!(finding(|t| (50 + t) * MIB, &clients()), Finding::Buffers);
    }

    #[test]
    fn between_the_two_is_doubt() {
        assert_eq!(finding(|t| (50 + t.min(40)) * MIB, &clients()), Finding::Unclear);
    }

    #[test]
    fn memory_that_was_let_go_is_doubt() {
        let let_go = |t| if t < 30 { 300 * MIB } else { 50 * MIB };
        assert_eq!(finding(let_go, &clients()), Finding::Unclear);
    }

    #[test]
    fn files_without_bound_buffer_though_memory_is_flat() {
        let verdict = judged(|t| (52 * MIB, t * 4 * MIB), &clients());
        assert_eq!(verdict.finding, Finding::Buffers, "{verdict:?}");
        assert!(verdict.sentence.contains("wrote 400 MiB to files"), "{verdict:?}");
        let bounded = judged(|t| (52 * MIB, t.min(10) * 6 * MIB), &clients());
        assert_eq!(bounded.finding, Finding::Honours, "{bounded:?}");
        let whole = Clients {
            length: Some(15 * MIB),
            ..clients()
        };
        assert_eq!(
            judged(|t| (52 * MIB, t.min(10) * 6 * MIB), &whole).finding,
            Finding::Buffers
        );
        assert_eq!(judged(|t| (52 * MIB, t * MIB), &clients()).finding, Finding::Unclear);
    }

    #[test]
    fn clients_that_wait_for_their_turn_are_told_apart() {
        let one = Clients { served: 1, ..clients() };
        let verdict = judged(|_| (52 * MIB, 0), &one);
        assert_eq!(verdict.finding, Finding::Honours);
        assert!(
            verdict.sentence.starts_with("1 of 4 slow clients were served"),
            "{verdict:?}"
        );
        let none = Clients { served: 0, ..clients() };
        assert_eq!(finding(|_| 52 * MIB, &none), Finding::Unclear);
    }

    #[test]
    fn a_response_that_tells_nothing_is_no_acquittal() {
        let short = Clients {
            shortest: Some(1000),
            ..clients()
        };
        let wrong = Clients {
            trouble: Some("HTTP status 404 Not Found".to_owned()),
            ..clients()
        };
        let fast = Clients {
            are_the_slow_ones: false,
            ..clients()
        };
        for clients in [short, wrong, fast] {
            assert_eq!(finding(|_| 52 * MIB, &clients), Finding::Unclear, "{clients:?}");
        }
    }
}
