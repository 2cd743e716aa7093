//! The verdict on a program that is fed as fast as it takes and read slowly, then not at all.

use crate::check::course::{Intake, Stillness};
use crate::check::series::{Sample, float, rise, second_half};
use crate::grammar::human_size;
use crate::platform::Written;

use super::{Certainty, Ending, LEAST_PER_BYTE, Memory, NOISE, Verdict, WARMING_UP, size};

/// Bytes that must have passed before memory that stays flat says anything.
const TELLING: u64 = 32 << 20;

const WAIT_FOR_OUTPUT: &str = "Stop reading while the output is not taken. Node: pipeline(), or wait for 'drain' where \
                               write() returned false. Elsewhere: a bounded queue between reading and writing, or \
                               writes that block.";
const SLOW_THE_INPUT: &str = "Its own work is slower than its input, and nothing tells the input. Take the next piece \
                              when the work on this one is done (call back afterwards, await it), or bound the queue \
                              in front of the work.";
const MUST_READ_ALL: &str = "If it must read all of its input before it can give anything back, as sort must, give it only \
                             input that fits into its memory and on its disk. If not, let it write results as they come.";
const READ_TO_THE_END: &str = "Give a command that reads until the end of its input. If it expects another format: \
                               --input-kind json or csv, or --input FILE.";
const LOOK_LONGER: &str = "Look longer: --seconds.";

/// What a check of a program has seen.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The samples, from the start of the program.
    pub samples: &'a [Sample],
    /// The one with the most memory.
    pub peak: Option<Sample>,
    /// How it met its output's being held; `None` where that was not tried.
    pub stillness: Option<Stillness>,
    /// What became of the files that it wrote.
    pub written: Written,
    /// Whether it gave more than was read: reading slowly held it up.
    pub gives_plenty: bool,
}

/// Judges the samples from the first byte on that the program took.
#[must_use]
pub fn judge(evidence: Evidence<'_>, ending: &Ending) -> Verdict {
    let all = evidence.samples;
    let begin = all.iter().position(|sample| sample.accepted > 0);
    let Some((samples, last)) = begin.and_then(|at| Some((&all[at..], all.last()?))) else {
        return took_nothing(ending);
    };
    let seen = Seen {
        samples,
        last,
        base: samples[0].memory,
        peak: evidence.peak.filter(|peak| peak.accepted > 0).unwrap_or(*last),
        memory: Memory::of(samples),
        written: evidence.written,
        gives_plenty: evidence.gives_plenty,
        stillness: evidence.stillness.unwrap_or_default(),
    };
    match ending {
        Ending::TooLarge(limit) => seen.too_large(*limit),
        Ending::TooMuchDisk(limit) => seen.too_much_disk(*limit),
        Ending::Ended(how) => seen.ended(how),
        Ending::InputClosed => open(
            format!("It closed its standard input after {}.", human_size(last.accepted)),
            READ_TO_THE_END,
        ),
        Ending::Done => seen.done(),
    }
}

fn open(sentence: String, advice: &'static str) -> Verdict {
    Verdict::unclear(sentence, advice, Certainty::Open)
}

fn took_nothing(ending: &Ending) -> Verdict {
    match ending {
        Ending::Ended(how) => open(
            format!("It ended {how} and had read nothing."),
            "Give a command that reads standard input until its end, and writes to standard output.",
        ),
        Ending::TooLarge(limit) => open(
            format!("Its memory passed {} before it had read a byte.", human_size(*limit)),
            "Allow more with --max-rss: the program's own start takes that much.",
        ),
        Ending::TooMuchDisk(limit) => open(
            format!("It wrote {} to files before it had read a byte.", human_size(*limit)),
            "Allow more with --max-disk: the program's own start takes that much.",
        ),
        Ending::Done | Ending::InputClosed => open(
            "It read nothing from its standard input.".to_owned(),
            "Give a command that reads standard input; some need an argument for that, such as - or /dev/stdin. One \
             that starts slowly needs a longer --seconds.",
        ),
    }
}

/// The samples, and what they come to.
struct Seen<'a> {
    samples: &'a [Sample],
    last: &'a Sample,
    /// Memory when it took its first byte.
    base: u64,
    /// The most memory that it had since.
    peak: Sample,
    memory: Memory,
    written: Written,
    gives_plenty: bool,
    stillness: Stillness,
}

impl Seen<'_> {
    fn done(&self) -> Verdict {
        let still = self.stillness;
        if still.intake == Intake::Stopped && still.is_output_full {
            return self.stopped();
        }
        let late = second_half(self.samples);
        let kept = rise(late, Sample::backlog);
        let follows = self.memory.rises() && kept >= float(NOISE) && self.memory.rise >= kept * LEAST_PER_BYTE;
        if still.intake == Intake::GoesOn && (follows || self.peak_holds_input()) {
            return self.buffers();
        }
        if self.stored() > self.written.kept && self.is_large(self.stored()) {
            return self.stores();
        }
        if still.intake == Intake::Stopped {
            return self.stopped_without_output();
        }
        let taken = human_size(self.last.accepted);
        let is_held_up = still.is_output_full && self.gives_plenty;
        if is_held_up && still.intake == Intake::GoesOn && !self.writes_what_it_takes() {
            return Verdict::unclear(
                format!("It read on ({taken}) while its output was not taken, and did not grow: it drops input."),
                "See where its input goes.",
                Certainty::Enough,
            );
        }
        let passed = late.last().map_or(0, |last| last.accepted - late[0].accepted);
        let allowed = float(WARMING_UP.max(passed / 16)).max(self.memory.threshold);
        let is_flat = self.memory.rise <= allowed && self.grown() <= WARMING_UP.max(self.last.accepted / 8);
        if is_flat && passed >= TELLING {
            return self.consumes();
        }
        open(
            format!(
                "It read {taken} and gave back {}, too little to fill its output pipe or to show in its memory.",
                human_size(self.last.given())
            ),
            "Look longer (--seconds), or read more slowly (--rate), so that its output waits.",
        )
    }

    /// Bytes by which its memory rose at most.
    fn grown(&self) -> u64 {
        self.peak.memory.saturating_sub(self.base)
    }

    /// Whether its memory has ever grown by what it had taken and not given back.
    fn peak_holds_input(&self) -> bool {
        /// Less may be a young heap that grows while little has been read.
        const MUCH: u64 = 64 << 20;
        self.grown() >= MUCH && is_kept(self.grown(), self.peak.backlog())
    }

    /// What it took is much more than it gave back, and more than it can hold: its output is just smaller.
    fn transforms(&self) -> bool {
        transforms(self.last.backlog(), self.grown() + self.last.disk)
    }

    /// It consumes its input into files that stay where they are.
    fn writes_what_it_takes(&self) -> bool {
        self.written.kept >= self.written.temporary && self.is_large(self.last.disk.max(self.written.kept))
    }

    /// Whether so many bytes are a good part of what it took and did not give back.
    fn is_large(&self, bytes: u64) -> bool {
        float(bytes) >= float(NOISE).max(float(self.last.backlog()) * LEAST_PER_BYTE)
    }

    /// Bytes in temporary files. Not all of those were seen that are only open for a moment, but all that was written
    /// is counted.
    fn stored(&self) -> u64 {
        if self.written.temporary > self.written.kept {
            self.last.disk.max(self.written.temporary)
        } else {
            self.written.temporary
        }
    }

    /// It stopped reading when its output was not taken.
    fn stopped(&self) -> Verdict {
        let level = human_size(self.memory.level);
        let late = rise(second_half(self.samples), Sample::backlog);
        if late >= float(NOISE.max(self.last.backlog() / 4)) {
            return open(
                format!(
                    "It has taken {} more than it gave back, and that was still rising.",
                    human_size(self.last.backlog())
                ),
                LOOK_LONGER,
            );
        }
        // What it held when it stopped cannot grow any more, so a rise beyond it is not of its input.
        let allowed = self.memory.threshold.max(float(WARMING_UP.max(self.memory.level / 4)));
        if self.memory.rise > allowed {
            return open(
                format!(
                    "It stopped reading when its output was not taken, but its memory rose by {} all the same, to {level}.",
                    size(self.memory.rise)
                ),
                "Look longer (--seconds): a large buffer that fills comes to rest, a leak does not.",
            );
        }
        let how = match self.stillness.taken {
            0 => "stopped reading at once".to_owned(),
            taken => format!("read {} more and stopped", human_size(taken)),
        };
        let difference = if self.transforms() {
            format!(
                "It makes less of what it takes ({} of {}), and {}.",
                human_size(self.last.given()),
                human_size(self.last.accepted),
                self.memory_words()
            )
        } else {
            format!(
                "In the end it had taken {} more than it gave back, and {}.",
                human_size(self.last.backlog()),
                self.memory_words()
            )
        };
        Verdict::honours(
            format!(
                "When its output was not taken, it {how}. {difference}{}",
                self.files_words()
            ),
            Certainty::Final,
        )
    }

    fn memory_words(&self) -> String {
        let level = human_size(self.memory.level);
        let above = self.peak.memory.saturating_sub(self.memory.level.max(self.base));
        if above > WARMING_UP {
            format!(
                "its memory was {} at its highest and {level} at the end",
                human_size(self.peak.memory)
            )
        } else if self.grown() > WARMING_UP {
            format!("its memory came to rest at {level}")
        } else {
            format!("its memory stayed at {level}")
        }
    }

    /// What went to files, where that is worth a word.
    fn files_words(&self) -> String {
        match self.last.disk {
            disk if disk >= NOISE => format!(" {} went to files.", human_size(disk)),
            _ => String::new(),
        }
    }

    fn stopped_without_output(&self) -> Verdict {
        let (taken, given) = (human_size(self.last.accepted), human_size(self.last.given()));
        if self.stillness.is_busy {
            return open(
                format!("It works on the {taken} that it took, has given back {given}, and takes no more meanwhile."),
                "Look longer (--seconds): what works on large blocks gives its first output late.",
            );
        }
        open(
            format!("It read {taken} and then no more, and gave back {given}, which is too little to hold it up."),
            "Give a command that writes while it reads. If it expects another format: --input-kind json or csv, or \
             --input FILE.",
        )
    }

    /// Its memory is bounded, but the disk is not.
    fn stores(&self) -> Verdict {
        let stored = self.stored();
        let (taken, files) = (human_size(self.last.accepted), human_size(stored));
        if self.last.given() == 0 {
            return Verdict::buffers(
                stored,
                format!(
                    "Nothing came back while it was reading: it took in {taken}, all that it was given, and put {files} into \
                     temporary files. {}.",
                    capitalized(&self.memory_words())
                ),
                MUST_READ_ALL,
            );
        }
        Verdict::buffers(
            stored,
            format!(
                "It took in {taken}, gave back {}, and read on while its output was not taken: {files} went into temporary \
                 files. {}.",
                human_size(self.last.given()),
                capitalized(&self.memory_words())
            ),
            WAIT_FOR_OUTPUT,
        )
    }

    /// What it takes goes away, and it does not grow.
    fn consumes(&self) -> Verdict {
        let back = match self.last.given() {
            0 => "nothing".to_owned(),
            given => human_size(given),
        };
        let files = match self.last.disk {
            disk if disk >= NOISE => format!(", and {} went to files", human_size(disk)),
            _ => String::new(),
        };
        Verdict::honours(
            format!(
                "It took {} and gave {back} back, so there was nothing to hold it up; {}{files}.",
                human_size(self.last.accepted),
                self.memory_words()
            ),
            Certainty::Enough,
        )
    }

    fn buffers(&self) -> Verdict {
        let (taken, highest) = (human_size(self.last.accepted), human_size(self.peak.memory));
        let given = human_size(self.last.given());
        let (story, advice) = match (self.last.given(), self.last.waiting) {
            (0, _) => (
                format!(
                    "Nothing came back while it was reading: it took in {taken}, all that it was given, and its memory rose \
                     with it to {highest}."
                ),
                MUST_READ_ALL,
            ),
            (_, 0) => (
                format!(
                    "It took in {taken} and gave back {given}, though there was room for more; its memory rose with the \
                     difference to {highest}."
                ),
                SLOW_THE_INPUT,
            ),
            (_, _) => (
                format!(
                    "It took in {taken} and could give back only {given}; its memory rose with the difference to {highest}."
                ),
                WAIT_FOR_OUTPUT,
            ),
        };
        let verdict = Verdict::buffers(self.peak.memory, format!("{story}{}", self.files_words()), advice);
        // What it has let go may have been a start.
        let has_let_go = self.last.memory < self.peak.memory / 2;
        if has_let_go || self.may_fill_blocks() {
            Verdict {
                certainty: Certainty::Open,
                ..verdict
            }
        } else {
            verdict
        }
    }

    /// Whether it may be a compressor that fills the large blocks of its threads: it works all the time and gives nothing
    /// back yet. Such blocks come to an end, so they are waited for.
    fn may_fill_blocks(&self) -> bool {
        const BLOCKS: u64 = 512 << 20;
        let late = second_half(self.samples);
        let busy = late.iter().filter(|sample| sample.is_running).count();
        self.last.given() == 0 && self.last.backlog() < BLOCKS && busy * 10 >= late.len() * 9
    }

    fn too_large(&self, limit: u64) -> Verdict {
        let limit = human_size(limit);
        if is_kept(self.grown(), self.peak.backlog()) {
            return self.buffers().saying(&format!("It was stopped at --max-rss {limit}."));
        }
        open(
            format!(
                "Its memory passed --max-rss {limit}, but it keeps only {} of what it read.",
                human_size(self.last.backlog())
            ),
            "Allow more with --max-rss: it needs that much for itself.",
        )
    }

    fn too_much_disk(&self, limit: u64) -> Verdict {
        let stopped = format!("It was stopped at --max-disk {}.", human_size(limit));
        if is_kept(self.grown(), self.peak.backlog()) {
            return self.buffers().saying(&stopped);
        }
        if self.written.temporary > self.written.kept {
            return self.stores().saying(&stopped);
        }
        if self.last.accepted >= TELLING && self.grown() <= WARMING_UP.max(self.last.accepted / 8) {
            return self.consumes().saying(&stopped);
        }
        open(
            format!(
                "It wrote {} to files, more than --max-disk allows.",
                human_size(self.last.disk)
            ),
            "Allow more with --max-disk.",
        )
    }

    fn ended(&self, how: &str) -> Verdict {
        if is_kept(self.grown(), self.peak.backlog()) {
            return self.buffers().saying(&format!("Then it ended {how}."));
        }
        open(
            format!(
                "It ended {how} after {:.1} s, having read {}.",
                self.last.elapsed.as_secs_f64(),
                human_size(self.last.accepted)
            ),
            READ_TO_THE_END,
        )
    }
}

/// Whether so much memory is of the size of such a backlog.
fn is_kept(grown: u64, backlog: u64) -> bool {
    /// An object around each small piece may take much more than the piece.
    const MOST_PER_BYTE: f64 = 64.0;
    let (grown, backlog) = (float(grown), float(backlog));
    grown >= float(WARMING_UP)
        && backlog >= float(NOISE)
        && grown >= backlog * LEAST_PER_BYTE
        && grown <= backlog * MOST_PER_BYTE
}

/// Whether a difference between input and output is larger than what could be kept of it.
#[must_use]
pub fn transforms(backlog: u64, room: u64) -> bool {
    backlog >= NOISE && float(room) < float(backlog) * LEAST_PER_BYTE
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::verdict::Finding;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;
    const BLOCKED: Stillness = Stillness {
        taken: 4096,
        intake: Intake::Stopped,
        is_busy: false,
        is_output_full: true,
    };
    const GOING_ON: Stillness = Stillness {
        taken: 100 * MIB,
        intake: Intake::GoesOn,
        is_busy: true,
        is_output_full: true,
    };
    const NO_OUTPUT: Stillness = Stillness {
        is_output_full: false,
        ..GOING_ON
    };
    const NONE: Written = Written { temporary: 0, kept: 0 };

    /// Ten seconds; `at` says for each tenth what was taken, given and in memory.
    fn samples(at: impl Fn(u64) -> (u64, u64, u64)) -> Vec<Sample> {
        let sample = |t| {
            let (accepted, returned, memory) = at(t);
            Sample {
                elapsed: Duration::from_millis(t * 100),
                memory,
                accepted,
                returned,
                waiting: if returned > 0 { 4096 } else { 0 },
                ..Sample::default()
            }
        };
        (1..=100).map(sample).collect()
    }

    fn judged(samples: &[Sample], ending: &Ending, stillness: Stillness, written: Written) -> Verdict {
        let mut samples = samples.to_vec();
        for sample in &mut samples {
            sample.disk = written.temporary + written.kept;
        }
        let evidence = Evidence {
            samples: &samples,
            peak: samples.iter().max_by_key(|sample| sample.memory).copied(),
            stillness: Some(stillness),
            written,
            gives_plenty: samples.last().is_some_and(|last| last.returned > 10_000),
        };
        judge(evidence, ending)
    }

    fn done(samples: &[Sample], stillness: Stillness) -> Verdict {
        judged(samples, &Ending::Done, stillness, NONE)
    }

    #[track_caller]
    fn is(verdict: &Verdict, finding: Finding, words: &str) {
        assert_eq!(verdict.finding, finding, "{verdict:?}");
        assert!(verdict.sentence.contains(words), "{verdict:?}");
    }

    #[test]
    fn what_stops_reading_and_stays_flat_honours() {
        let flat = samples(|t| (t * 6400 + 132_000, t * 6400, 5 * MIB + t % 3 * 4096));
        let verdict = done(&flat, BLOCKED);
        is(&verdict, Finding::Honours, "read 4.00 KiB more and stopped");
        assert_eq!(verdict.certainty, Certainty::Final);
    }

    #[test]
    fn a_large_buffer_that_is_full_is_bounded() {
        let filled = samples(|t| (t.min(20) * 10 * MIB + t * 6400, t * 6400, (5 + t.min(20) * 10) * MIB));
        is(&done(&filled, BLOCKED), Finding::Honours, "came to rest at 205 MiB");
    }

    #[test]
    fn what_was_kept_and_let_go_is_said() {
        let memory = |t| if t < 30 { t * 10 } else { 5 };
        let let_go = samples(|t| (t.min(30) * 10 * MIB + t * 6400, t * 6400, memory(t) * MIB));
        is(
            &done(&let_go, BLOCKED),
            Finding::Honours,
            "was 290 MiB at its highest and 5.00 MiB at the end",
        );
    }

    #[test]
    fn a_rising_backlog_is_never_acquitted() {
        // A mebibyte a second, whatever becomes of the output.
        let timer = samples(|t| (t / 10 * MIB + 1, t * 640, 5 * MIB + t / 10 * MIB));
        let verdict = done(&timer, BLOCKED);
        is(&verdict, Finding::Unclear, "still rising");
        assert_eq!(verdict.certainty, Certainty::Open);
        let verdict = done(&timer, GOING_ON);
        is(&verdict, Finding::Buffers, "");
    }

    #[test]
    fn a_leak_that_reads_no_more_is_not_acquitted() {
        let leaking = samples(|t| (t * 6400 + 132_000, t * 6400, (5 + t) * MIB));
        is(&done(&leaking, BLOCKED), Finding::Unclear, "all the same");
    }

    #[test]
    fn what_keeps_all_that_it_takes_buffers() {
        let fast = samples(|t| (t * 10 * MIB, t * 6400, 40 * MIB + t * 11 * MIB));
        let verdict = done(&fast, GOING_ON);
        is(&verdict, Finding::Buffers, "could give back only");
        assert_eq!((verdict.seen, verdict.certainty), (1140 * MIB, Certainty::Final));
        // Slow enough to be overlooked: 200 KiB a second more than it gives back.
        let slow = samples(|t| (t * 26_880, t * 6400, 9 * MIB + t * 20_480));
        is(&done(&slow, GOING_ON), Finding::Unclear, "");
        let slow = samples(|t| (t * 53_760, t * 6400, 9 * MIB + t * 47_360));
        let verdict = done(&slow, GOING_ON);
        is(&verdict, Finding::Buffers, "");
        assert_eq!(verdict.certainty, Certainty::Enough);
    }

    #[test]
    fn a_peak_that_was_let_go_counts() {
        let memory = |t| if t < 80 { 3 + t * 10 } else { 3 };
        let slurped = samples(|t| (t * 10 * MIB, 0, memory(t) * MIB));
        let verdict = done(&slurped, NO_OUTPUT);
        is(&verdict, Finding::Buffers, "rose with it to 793 MiB");
        assert_eq!(verdict.certainty, Certainty::Open);
    }

    #[test]
    fn a_program_that_must_read_all_buffers() {
        let sort = done(&samples(|t| (t * 10 * MIB, 0, t * 12 * MIB)), NO_OUTPUT);
        is(&sort, Finding::Buffers, "Nothing came back while it was reading");
    }

    #[test]
    fn a_consumer_with_flat_memory_honours() {
        let count = done(&samples(|t| (t * 100 * MIB, 0, 3 * MIB)), NO_OUTPUT);
        is(
            &count,
            Finding::Honours,
            "gave nothing back, so there was nothing to hold it up",
        );
        assert_eq!(count.certainty, Certainty::Enough);
        // A collected heap goes up and down by more than a little while gigabytes pass.
        let collected = samples(|t| (t * 100 * MIB, 0, (60 + t * 7 % 31) * MIB));
        is(&done(&collected, NO_OUTPUT), Finding::Honours, "");
        let little = samples(|t| (t * 4096, 0, 3 * MIB));
        is(&done(&little, NO_OUTPUT), Finding::Unclear, "too little");
    }

    #[test]
    fn temporary_files_are_told_from_written_ones() {
        let reading = samples(|t| (t * MIB, 0, 9 * MIB));
        let temporary = Written {
            temporary: 90 * MIB,
            kept: 0,
        };
        let sort = judged(&reading, &Ending::Done, NO_OUTPUT, temporary);
        is(&sort, Finding::Buffers, "90.0 MiB into temporary files");
        let kept = Written {
            temporary: 0,
            kept: 90 * MIB,
        };
        let split = judged(&reading, &Ending::Done, NO_OUTPUT, kept);
        is(&split, Finding::Honours, "90.0 MiB went to files");
        // Its output is full, and it does not need it.
        let tee = samples(|t| (t * MIB, 64_000, 9 * MIB));
        is(
            &judged(&tee, &Ending::Done, GOING_ON, kept),
            Finding::Honours,
            "went to files",
        );
    }

    #[test]
    fn what_drops_its_input_does_not_honour() {
        let dropping = samples(|t| (t * 10 * MIB, t * 6400, 3 * MIB));
        is(&done(&dropping, GOING_ON), Finding::Unclear, "drops input");
        // A few matches fill the pipe in the end, too.
        let filter = samples(|t| (t * 10 * MIB, 4096, 3 * MIB));
        is(&done(&filter, GOING_ON), Finding::Honours, "gave 8.00 KiB back");
    }

    #[test]
    fn what_works_on_large_blocks_needs_a_longer_look() {
        let blocks = samples(|t| (t.min(20) * 20 * MIB, 0, (10 + t.min(20) * 30) * MIB));
        let working = Stillness {
            intake: Intake::Stopped,
            ..NO_OUTPUT
        };
        let verdict = done(&blocks, working);
        is(&verdict, Finding::Unclear, "It works on the 400 MiB");
        assert!(verdict.advice.contains("Look longer") && verdict.certainty == Certainty::Open);
    }

    #[test]
    fn what_works_all_the_time_is_looked_at_for_longer() {
        let mut filling = samples(|t| (t * 3 * MIB, 0, t * 4 * MIB));
        assert_eq!(done(&filling, NO_OUTPUT).certainty, Certainty::Enough);
        for sample in &mut filling {
            sample.is_running = true;
        }
        let verdict = done(&filling, NO_OUTPUT);
        assert_eq!(
            (verdict.finding, verdict.certainty),
            (Finding::Buffers, Certainty::Open)
        );
    }

    #[test]
    fn what_rests_is_not_convicted() {
        let filled = samples(|t| (t.min(70) * 5 * MIB, 0, t.min(70) * 6 * MIB));
        let resting = Stillness {
            intake: Intake::Rests,
            ..NO_OUTPUT
        };
        assert_eq!(done(&filled, resting).finding, Finding::Unclear);
    }

    #[test]
    fn what_transforms_has_taken_no_more_than_it_gave() {
        let filter = samples(|t| (t * MIB + 132_000, t * 6400, 5 * MIB));
        let verdict = done(&filter[..1], BLOCKED);
        is(&verdict, Finding::Honours, "It makes less of what it takes");
    }

    #[test]
    fn a_limit_convicts_only_what_kept_its_input() {
        let limit = Ending::TooLarge(256 * MIB);
        let none = Stillness::default();
        let kept = samples(|t| (t * 3 * MIB, t * 6400, 40 * MIB + t * 3 * MIB));
        is(
            &judged(&kept[..75], &limit, none, NONE),
            Finding::Buffers,
            "--max-rss 256 MiB",
        );
        let own = samples(|t| (t * 6400 + 8192, t * 6400, 100 * MIB + t * 2 * MIB));
        is(&judged(&own, &limit, none, NONE), Finding::Unclear, "keeps only");
        let before = samples(|t| (0, 0, t * 3 * MIB));
        is(
            &judged(&before, &limit, none, NONE),
            Finding::Unclear,
            "before it had read",
        );
    }

    #[test]
    fn a_full_disk_allowance_is_judged_by_the_files() {
        let limit = Ending::TooMuchDisk(64 * MIB);
        let reading = samples(|t| (t * MIB, 0, 9 * MIB));
        let files = |temporary, kept| Written {
            temporary: temporary * MIB,
            kept: kept * MIB,
        };
        let none = Stillness::default();
        is(
            &judged(&reading, &limit, none, files(64, 0)),
            Finding::Buffers,
            "--max-disk 64.0 MiB",
        );
        is(
            &judged(&reading, &limit, none, files(0, 64)),
            Finding::Honours,
            "--max-disk 64.0 MiB",
        );
    }

    #[test]
    fn what_ends_early_is_judged_by_what_it_kept() {
        let ended = Ending::Ended("with signal 6".to_owned());
        let none = Stillness::default();
        let nothing = judged(&samples(|_| (0, 0, MIB))[..1], &ended, none, NONE);
        assert_eq!(nothing.sentence, "It ended with signal 6 and had read nothing.");
        let few = samples(|t| (t * 4096, t * 4096, MIB));
        is(
            &judged(&few[..3], &ended, none, NONE),
            Finding::Unclear,
            "having read 12.0 KiB",
        );
        let many = samples(|t| (t * 10 * MIB, t * 6400, t * 11 * MIB));
        is(
            &judged(&many[..30], &ended, none, NONE),
            Finding::Buffers,
            "Then it ended with signal 6.",
        );
    }

    #[test]
    fn every_doubt_says_what_to_change() {
        let quiet = samples(|_| (4096, 0, MIB));
        let still = Stillness {
            intake: Intake::Stopped,
            ..Stillness::default()
        };
        for verdict in [
            done(&[], Stillness::default()),
            done(&quiet, still),
            done(&samples(|t| (t * 1024, t, MIB)), Stillness::default()),
        ] {
            assert!(
                verdict.finding == Finding::Unclear && !verdict.advice.is_empty(),
                "{verdict:?}"
            );
        }
    }
}
