//! The verdict on a program that is fed as fast as it takes and read slowly, then not at all.

use crate::check::course::Stillness;
use crate::check::series::{Sample, float, rise, second_half};
use crate::grammar::human_size;

use super::{Ending, LEAST_PER_BYTE, Memory, NOISE, Verdict, WARMING_UP, size};

const WAIT_FOR_OUTPUT: &str = "Stop reading while the output is not taken. Node: pipeline(), or wait for 'drain' where \
                               write() returned false. Elsewhere: a bounded queue between reading and writing, or \
                               writes that block.";
const SLOW_THE_INPUT: &str = "Its own work is slower than its input, and nothing tells the input. Take the next piece \
                              when the work on this one is done (call back afterwards, await it), or bound the queue \
                              in front of the work.";
const MUST_READ_ALL: &str = "If it must read all of its input before it can answer, as sort must, give it only input \
                             that fits into its memory and on its disk. If not, let it write results as they come.";
const READ_TO_THE_END: &str = "Give a command that reads until the end of its input. What it reads here are lines of random \
                               text, 99 characters each.";

/// Judges the samples from the first byte on that the program took. `stillness` is how it met its output's being held,
/// and `stored` what it has written to files, in bytes.
#[must_use]
pub fn judge(all: &[Sample], ending: &Ending, stillness: Option<Stillness>, stored: u64) -> Verdict {
    let begin = all.iter().position(|sample| sample.accepted > 0);
    let Some((samples, last)) = begin.and_then(|at| Some((&all[at..], all.last()?))) else {
        return took_nothing(ending);
    };
    match ending {
        Ending::TooLarge(limit) => too_large(samples, last, *limit),
        Ending::Ended(how) => ended(samples, last, how),
        Ending::InputClosed => Verdict::unclear(
            format!("It closed its standard input after {}.", human_size(last.accepted)),
            READ_TO_THE_END,
        ),
        Ending::Done => done(samples, last, stillness.unwrap_or_default(), stored),
    }
}

fn took_nothing(ending: &Ending) -> Verdict {
    match ending {
        Ending::Ended(how) => Verdict::unclear(
            format!("It ended {how} and had read nothing."),
            "Give a command that reads standard input until its end, and writes to standard output.",
        ),
        Ending::TooLarge(limit) => Verdict::unclear(
            format!("Its memory passed {} before it had read a byte.", human_size(*limit)),
            "Allow more with --max-rss: the program's own start takes that much.",
        ),
        Ending::Done | Ending::InputClosed => Verdict::unclear(
            "It read nothing from its standard input.".to_owned(),
            "Give a command that reads standard input; some need an argument for that, such as - or /dev/stdin. One \
             that starts slowly needs a longer --seconds.",
        ),
    }
}

fn too_large(samples: &[Sample], last: &Sample, limit: u64) -> Verdict {
    let limit = human_size(limit);
    if keeps_what_it_took(samples, last) {
        let kept = buffers(last);
        return Verdict {
            sentence: format!("{} It was stopped at --max-rss {limit}.", kept.sentence),
            ..kept
        };
    }
    Verdict::unclear(
        format!(
            "Its memory passed --max-rss {limit}, but it keeps only {} of what it read.",
            human_size(last.backlog())
        ),
        "Allow more with --max-rss: it needs that much for itself.",
    )
}

fn ended(samples: &[Sample], last: &Sample, how: &str) -> Verdict {
    if keeps_what_it_took(samples, last) {
        let kept = buffers(last);
        return Verdict {
            sentence: format!("{} Then it ended {how}.", kept.sentence),
            ..kept
        };
    }
    Verdict::unclear(
        format!(
            "It ended {how} after {:.1} s, having read {}.",
            last.elapsed.as_secs_f64(),
            human_size(last.accepted)
        ),
        READ_TO_THE_END,
    )
}

fn done(samples: &[Sample], last: &Sample, stillness: Stillness, stored: u64) -> Verdict {
    let memory = Memory::of(samples);
    if stillness.is_still && stillness.is_output_full {
        return still(last, &memory, stillness);
    }
    let late = second_half(samples);
    let kept = rise(late, Sample::backlog);
    if memory.rises() && kept >= NOISE && memory.rise >= kept * LEAST_PER_BYTE {
        return buffers(last);
    }
    if float(stored) >= NOISE.max(float(last.backlog()) * LEAST_PER_BYTE) {
        return stores(last, stored);
    }
    if stillness.is_still {
        return Verdict::unclear(
            format!(
                "It read {} and then no more, and gave back {}, which is too little to hold it up.",
                human_size(last.accepted),
                human_size(last.given())
            ),
            "Give a command that answers while it reads. What it reads here are lines of random text, 99 characters \
             each.",
        );
    }
    let taken = human_size(last.accepted);
    if stillness.is_output_full {
        return Verdict::unclear(
            format!(
                "It read on ({taken}) while nobody took its output, and did not grow: it drops input or puts it elsewhere."
            ),
            "See where it goes: dropped, or to files, which are not bounded either.",
        );
    }
    if last.given() == 0 {
        return Verdict::unclear(
            format!("It read {taken}, gave nothing back and did not grow, so there was nothing to hold up."),
            "Nothing, if it is meant to be the end of the line. Otherwise give a command that writes what it reads.",
        );
    }
    Verdict::unclear(
        format!(
            "It read {taken} and gave back {}, too little to fill its output pipe; it did not grow.",
            human_size(last.given())
        ),
        "Read more slowly (--rate) or for longer (--seconds), so that its output waits.",
    )
}

/// It stopped reading when nobody took its output.
fn still(last: &Sample, memory: &Memory, stillness: Stillness) -> Verdict {
    let level = human_size(memory.level);
    // What it held when it stopped cannot grow any more, so a rise beyond it is not of its input.
    let allowed = memory.threshold.max(float(WARMING_UP.max(memory.level / 4)));
    if memory.rise > allowed {
        return Verdict::unclear(
            format!(
                "It stopped reading when nobody took its output, but its memory rose by {} all the same, to {level}.",
                size(memory.rise)
            ),
            "Check for longer (--seconds): a large buffer that fills comes to rest, a leak does not.",
        );
    }
    Verdict::honours(format!(
        "When nobody took its output, it {}. In the end it had taken {} more than it gave back, and its memory stayed at {level}.",
        match stillness.taken {
            0 => "stopped reading at once".to_owned(),
            taken => format!("read {} more and stopped", human_size(taken)),
        },
        human_size(last.backlog()),
    ))
}

/// Whether the memory it gained is of the size of what it took and did not give back.
fn keeps_what_it_took(samples: &[Sample], last: &Sample) -> bool {
    /// An object around each small piece may take much more than the piece.
    const MOST_PER_BYTE: f64 = 64.0;
    let first = samples.first().map_or(0, |first| first.rss);
    let peak = samples.iter().map(|sample| sample.rss).max().unwrap_or(0);
    let grown = float(peak.saturating_sub(first));
    let kept = float(last.backlog());
    grown >= float(WARMING_UP) && kept >= NOISE && grown >= kept * LEAST_PER_BYTE && grown <= kept * MOST_PER_BYTE
}

/// Its memory is bounded, but the disk is not.
fn stores(last: &Sample, stored: u64) -> Verdict {
    let (taken, stored) = (human_size(last.accepted), human_size(stored));
    if last.given() == 0 {
        return Verdict::buffers(
            format!(
                "Nothing came back while it was reading: it took in {taken}, all that it was given, and put {stored} into files."
            ),
            MUST_READ_ALL,
        );
    }
    Verdict::buffers(
        format!(
            "It took in {taken}, gave back {}, and read on while nobody took its output: {stored} went into files.",
            human_size(last.given())
        ),
        WAIT_FOR_OUTPUT,
    )
}

fn buffers(last: &Sample) -> Verdict {
    let (taken, rss) = (human_size(last.accepted), human_size(last.rss));
    if last.given() == 0 {
        return Verdict::buffers(
            format!(
                "Nothing came back while it was reading: it took in {taken}, all that it was given, and its memory rose with it to {rss}."
            ),
            MUST_READ_ALL,
        );
    }
    let given = human_size(last.given());
    if last.waiting == 0 {
        return Verdict::buffers(
            format!(
                "It took in {taken} and gave back {given}, though there was room for more; its memory rose with the difference to {rss}."
            ),
            SLOW_THE_INPUT,
        );
    }
    Verdict::buffers(
        format!("It took in {taken} and could give back only {given}; its memory rose with the difference to {rss}."),
        WAIT_FOR_OUTPUT,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::verdict::Finding;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;
    const BLOCKED: Stillness = Stillness {
        taken: 4096,
        is_still: true,
        is_output_full: true,
    };

    /// Ten seconds; `at` says for each tenth what was taken, given and resident.
    fn samples(at: impl Fn(u64) -> (u64, u64, u64)) -> Vec<Sample> {
        let sample = |t| {
            let (accepted, returned, rss) = at(t);
            Sample {
                elapsed: Duration::from_millis(t * 100),
                rss,
                accepted,
                returned,
                waiting: if returned > 0 { 4096 } else { 0 },
                ..Sample::default()
            }
        };
        (1..=100).map(sample).collect()
    }

    fn finding(samples: &[Sample], ending: &Ending, stillness: Stillness) -> Finding {
        judge(samples, ending, Some(stillness), 0).finding
    }

    #[test]
    fn what_stops_reading_and_stays_flat_honours() {
        let flat = samples(|t| (t * 6400 + 132_000, t * 6400, 5 * MIB + t % 3 * 4096));
        let verdict = judge(&flat, &Ending::Done, Some(BLOCKED), 0);
        assert_eq!(verdict.finding, Finding::Honours, "{verdict:?}");
        assert!(
            verdict.sentence.contains("read 4.00 KiB more and stopped"),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_large_buffer_that_is_full_is_bounded() {
        let filled = samples(|t| (t.min(20) * 10 * MIB + t * 6400, t * 6400, (5 + t.min(20) * 10) * MIB));
        assert_eq!(finding(&filled, &Ending::Done, BLOCKED), Finding::Honours);
    }

    #[test]
    fn what_grows_although_it_reads_no_more_is_not_acquitted() {
        let leaking = samples(|t| (t * 6400 + 132_000, t * 6400, (5 + t) * MIB));
        assert_eq!(finding(&leaking, &Ending::Done, BLOCKED), Finding::Unclear);
    }

    #[test]
    fn what_keeps_all_that_it_takes_buffers() {
        let going_on = Stillness {
            taken: 100 * MIB,
            is_still: false,
            is_output_full: true,
        };
        let fast = samples(|t| (t * 10 * MIB, t * 6400, 40 * MIB + t * 11 * MIB));
        assert_eq!(finding(&fast, &Ending::Done, going_on), Finding::Buffers);
        // Slow enough to be overlooked: 200 KiB a second more than it gives back.
        let slow = samples(|t| (t * 26_880, t * 6400, 9 * MIB + t * 20_480));
        assert_eq!(finding(&slow, &Ending::Done, going_on), Finding::Unclear);
        let slow: Vec<Sample> = samples(|t| (t * 53_760, t * 6400, 9 * MIB + t * 47_360));
        assert_eq!(finding(&slow, &Ending::Done, going_on), Finding::Buffers);
    }

    #[test]
    fn what_gives_nothing_back_is_told_from_what_must_read_it_all() {
        let reading = Stillness::default();
        let sort = judge(
            &samples(|t| (t * 10 * MIB, 0, t * 12 * MIB)),
            &Ending::Done,
            Some(reading),
            0,
        );
        assert_eq!(sort.finding, Finding::Buffers);
        assert!(
            sort.sentence.contains("Nothing came back while it was reading"),
            "{sort:?}"
        );
        let count = samples(|t| (t * 100 * MIB, 0, 3 * MIB));
        assert_eq!(finding(&count, &Ending::Done, reading), Finding::Unclear);
        // A collected heap goes up and down by more than a little while gigabytes pass.
        let collected = samples(|t| (t * 100 * MIB, 0, (60 + t * 7 % 31) * MIB));
        assert_eq!(finding(&collected, &Ending::Done, reading), Finding::Unclear);
    }

    #[test]
    fn what_is_put_on_disk_is_kept_all_the_same() {
        let reading = Stillness::default();
        let sort = judge(
            &samples(|t| (t * MIB, 0, 9 * MIB)),
            &Ending::Done,
            Some(reading),
            90 * MIB,
        );
        assert_eq!(sort.finding, Finding::Buffers);
        assert!(
            sort.sentence.contains("Nothing came back") && sort.sentence.contains("into files"),
            "{sort:?}"
        );
        let log = judge(
            &samples(|t| (t * MIB, 0, 9 * MIB)),
            &Ending::Done,
            Some(reading),
            64 << 10,
        );
        assert_eq!(log.finding, Finding::Unclear);
    }

    #[test]
    fn what_drops_its_input_does_not_honour() {
        let dropping = Stillness {
            taken: 100 * MIB,
            is_still: false,
            is_output_full: true,
        };
        let verdict = judge(
            &samples(|t| (t * 10 * MIB, t * 6400, 3 * MIB)),
            &Ending::Done,
            Some(dropping),
            0,
        );
        assert_eq!(verdict.finding, Finding::Unclear);
        assert!(verdict.sentence.contains("drops input"), "{verdict:?}");
    }

    #[test]
    fn what_is_stopped_at_the_limit_buffers_only_if_it_kept_its_input() {
        let limit = Ending::TooLarge(256 * MIB);
        let kept = samples(|t| (t * 3 * MIB, t * 6400, 40 * MIB + t * 3 * MIB));
        assert_eq!(finding(&kept[..75], &limit, Stillness::default()), Finding::Buffers);
        let own = samples(|t| (t * 6400 + 8192, t * 6400, 100 * MIB + t * 2 * MIB));
        assert_eq!(finding(&own, &limit, Stillness::default()), Finding::Unclear);
        let before = samples(|t| (0, 0, t * 3 * MIB));
        assert_eq!(finding(&before, &limit, Stillness::default()), Finding::Unclear);
    }

    #[test]
    fn what_ends_early_is_judged_by_what_it_kept() {
        let ended = Ending::Ended("with signal 6".to_owned());
        let none = judge(&samples(|_| (0, 0, MIB))[..1], &ended, None, 0);
        assert_eq!(none.sentence, "It ended with signal 6 and had read nothing.");
        let few = samples(|t| (t * 4096, t * 4096, MIB));
        assert_eq!(finding(&few[..3], &ended, Stillness::default()), Finding::Unclear);
        let many = samples(|t| (t * 10 * MIB, t * 6400, t * 11 * MIB));
        assert_eq!(finding(&many[..30], &ended, Stillness::default()), Finding::Buffers);
    }

    #[test]
    fn every_doubt_says_what_to_change() {
        let quiet = samples(|_| (4096, 0, MIB));
        let still = Stillness {
            is_still: true,
            ..Stillness::default()
        };
        for verdict in [
            judge(&[], &Ending::Done, None, 0),
            judge(&quiet, &Ending::Done, Some(still), 0),
            judge(&samples(|t| (t * MIB, t, MIB)), &Ending::Done, None, 0),
        ] {
            assert!(
                verdict.finding == Finding::Unclear && !verdict.advice.is_empty(),
                "{verdict:?}"
            );
        }
    }
}
