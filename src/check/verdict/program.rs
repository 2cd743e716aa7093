//! The verdict on a program that is fed as fast as it reads, while its output is read slowly and then not at all.

use crate::check::schedule::{Intake, Reaction};
use crate::check::series::{Sample, float, rise, second_half};
use crate::grammar::human_size;
use crate::platform::Written;

use super::{Certainty, Ending, LEAST_PER_BYTE, Memory, NOISE, Verdict, WARM_UP, size};

/// Flat memory counts as evidence only after so many bytes of input.
const ENOUGH_INPUT: u64 = 32 << 20;

const WAIT_FOR_OUTPUT: &str = "Stop reading while the output is not taken. Node: pipeline(), or wait for 'drain' where \
                               write() returned false. Elsewhere: a bounded queue between reading and writing, or \
                               writes that block.";
const SLOW_THE_INPUT: &str = "Its own work is slower than its input, and nothing slows the input down. Take the next \
                              piece when the work on this one is done (call back afterwards, await it), or bound the \
                              queue in front of the work.";
const MUST_READ_ALL: &str = "If it must read all of its input before it can give anything back, as sort must, give it only \
                             input that fits into its memory and on its disk. If not, let it write results as they come.";
const READ_TO_THE_END: &str = "Give a command that reads until the end of its input. If it expects another format: \
                               --input-kind json or csv, or --input FILE.";
const LOOK_LONGER: &str = "Look longer: --seconds.";

/// The evidence of a check of a program.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The samples, from the start of the program.
    pub samples: &'a [Sample],
    /// The one with the most memory.
    pub peak: Option<Sample>,
    /// What it did while its output was not read; `None` if that was not tried.
    pub reaction: Option<Reaction>,
    /// The files that it wrote.
    pub written: Written,
}

/// Judges the samples from the first byte on that the program read.
#[must_use]
pub fn judge(evidence: Evidence<'_>, ending: &Ending) -> Verdict {
    let all = evidence.samples;
    let begin = all.iter().position(|sample| sample.accepted > 0);
    let Some((samples, last)) = begin.and_then(|at| Some((&all[at..], all.last()?))) else {
        return read_nothing(ending);
    };
    let observed = Observed {
        samples,
        last,
        base: samples[0].memory,
        peak: evidence.peak.filter(|peak| peak.accepted > 0).unwrap_or(*last),
        memory: Memory::of(samples),
        written: evidence.written,
        reaction: evidence.reaction.unwrap_or_default(),
    };
    observed.judge(ending)
}

fn open(sentence: String, advice: &'static str) -> Verdict {
    Verdict::unclear(sentence, advice, Certainty::Open)
}

fn read_nothing(ending: &Ending) -> Verdict {
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

/// The samples since the first byte, and what follows from them.
struct Observed<'a> {
    samples: &'a [Sample],
    last: &'a Sample,
    /// Memory at the first sample.
    base: u64,
    peak: Sample,
    memory: Memory,
    written: Written,
    reaction: Reaction,
}

impl Observed<'_> {
    fn judge(&self, ending: &Ending) -> Verdict {
        let Reaction {
            intake, is_output_full, ..
        } = self.reaction;
        let is_done = *ending == Ending::Done;
        if *ending == Ending::InputClosed {
            let read = human_size(self.last.accepted);
            return open(format!("It closed its standard input after {read}."), READ_TO_THE_END);
        }
        if is_done && intake == Intake::Stopped && is_output_full {
            return self.stopped();
        }
        // A program that has paused may have filled a bounded buffer.
        if (!is_done || intake == Intake::Continues) && self.keeps_in_memory() {
            return self.buffers_in_memory().followed_by(ending);
        }
        if self.has_large_files() && self.writes_temporary_files() {
            return self.buffers_in_files().followed_by(ending);
        }
        let reads_to_the_end = is_done && intake != Intake::Stopped || matches!(ending, Ending::TooMuchDisk(_));
        if reads_to_the_end && !self.drops_input() && self.is_flat() {
            return self.consumes().followed_by(ending);
        }
        self.unclear(ending)
    }

    /// Bytes by which its memory rose at most.
    fn growth(&self) -> u64 {
        self.peak.memory.saturating_sub(self.base)
    }

    /// Whether its memory rises with its backlog, or rose with it at any time.
    fn keeps_in_memory(&self) -> bool {
        /// A smaller peak may be a young heap that grows while little has been read.
        const LEAST_PEAK: u64 = 64 << 20;
        /// An object around each small piece may take much more than the piece.
        const MOST_PER_BYTE: f64 = 64.0;
        let kept = rise(second_half(self.samples), Sample::backlog);
        let rises = self.memory.rises() && kept >= float(NOISE) && self.memory.rise >= kept * LEAST_PER_BYTE;
        let (growth, backlog) = (float(self.growth()), float(self.peak.backlog()));
        let range = backlog * LEAST_PER_BYTE..=backlog * MOST_PER_BYTE;
        rises || (self.growth() >= LEAST_PEAK && self.peak.backlog() >= NOISE && range.contains(&growth))
    }

    /// Bytes in files. Short-lived files may be missed, but the kernel counts all that is written.
    fn stored(&self) -> u64 {
        self.last.disk.max(self.written.temporary + self.written.kept)
    }

    /// Whether a good part of what it read and did not return is in files.
    fn has_large_files(&self) -> bool {
        float(self.stored()) >= float(NOISE).max(float(self.last.backlog()) * LEAST_PER_BYTE)
    }

    fn writes_temporary_files(&self) -> bool {
        self.written.temporary > self.written.kept
    }

    /// Whether its output is smaller than its input without keeping the difference.
    fn transforms(&self) -> bool {
        transforms(self.last.backlog(), self.growth() + self.last.disk)
    }

    /// Whether it kept reading although its output pipe was full, and the input is not in files either.
    fn drops_input(&self) -> bool {
        // A filter with few matches fills the pipe only at the end.
        let read_slowly: Vec<&Sample> = self.samples.iter().filter(|sample| !sample.is_held).collect();
        let full = read_slowly.iter().filter(|sample| sample.waiting > 0).count();
        let was_full = full * 2 >= read_slowly.len();
        self.reaction.intake == Intake::Continues && self.reaction.is_output_full && was_full && !self.has_large_files()
    }

    /// Whether much input has passed without a rise of its memory.
    fn is_flat(&self) -> bool {
        let late = second_half(self.samples);
        let passed = late.last().map_or(0, |last| last.accepted - late[0].accepted);
        let allowed = float(WARM_UP.max(passed / 16)).max(self.memory.threshold);
        let growth_allowed = WARM_UP.max(self.last.accepted / 8);
        passed >= ENOUGH_INPUT && self.memory.rise <= allowed && self.growth() <= growth_allowed
    }

    /// It stopped reading when its output was not read.
    fn stopped(&self) -> Verdict {
        let level = human_size(self.memory.level);
        let backlog = human_size(self.last.backlog());
        let late = rise(second_half(self.samples), Sample::backlog);
        if late >= float(NOISE.max(self.last.backlog() / 4)) {
            return open(
                format!("It has taken {backlog} more than it gave back, and that was still rising."),
                LOOK_LONGER,
            );
        }
        // Once it has stopped, a rise has another cause than its input.
        let allowed = self.memory.threshold.max(float(WARM_UP.max(self.memory.level / 4)));
        if self.memory.rise > allowed {
            return open(
                format!(
                    "It stopped reading when its output was not taken, but its memory rose by {} all the same, to {level}.",
                    size(self.memory.rise)
                ),
                "Look longer (--seconds): a large buffer that fills comes to rest, a leak does not.",
            );
        }
        let how = match self.reaction.taken {
            0 => "stopped reading at once".to_owned(),
            taken => format!("read {} more and stopped", human_size(taken)),
        };
        let difference = if self.transforms() {
            let (given, taken) = (human_size(self.last.given()), human_size(self.last.accepted));
            format!("It makes less of what it takes ({given} of {taken})")
        } else {
            format!("In the end it had taken {backlog} more than it gave back")
        };
        Verdict::honours(
            format!(
                "When its output was not taken, it {how}. {difference}, and {}{}.",
                self.memory_words(),
                self.files_words()
            ),
            Certainty::Final,
        )
    }

    fn buffers_in_memory(&self) -> Verdict {
        let (exchange, advice) = self.exchange();
        let highest = human_size(self.peak.memory);
        let files = self.files_words();
        let sentence = format!("{exchange}; its memory rose with the difference to {highest}{files}.");
        let verdict = Verdict::buffers(self.peak.memory, sentence, advice);
        // Memory that it has freed since may have been needed to start only.
        let has_freed = self.last.memory < self.peak.memory / 2;
        if has_freed || self.may_fill_blocks() {
            verdict.with(Certainty::Open)
        } else {
            verdict
        }
    }

    fn buffers_in_files(&self) -> Verdict {
        let (exchange, advice) = self.exchange();
        let (files, memory) = (human_size(self.stored()), self.memory_words());
        let sentence = format!("{exchange}; {files} went into temporary files, and {memory}.");
        Verdict::buffers(self.stored(), sentence, advice)
    }

    /// What it read and returned, and what to change about that.
    fn exchange(&self) -> (String, &'static str) {
        let (taken, given) = (human_size(self.last.accepted), human_size(self.last.given()));
        match (self.last.given(), self.last.waiting) {
            (0, _) => (
                format!("It took in {taken} and gave nothing back while it was reading"),
                MUST_READ_ALL,
            ),
            (_, 0) => (
                format!("It took in {taken} and gave back {given}, though there was room for more"),
                SLOW_THE_INPUT,
            ),
            _ => (
                format!("It took in {taken} and could give back only {given}"),
                WAIT_FOR_OUTPUT,
            ),
        }
    }

    /// Whether it may be a compressor that fills the large blocks of its threads: it is always busy and has returned
    /// nothing yet. The blocks are bounded, so a longer check decides.
    fn may_fill_blocks(&self) -> bool {
        const BLOCKS: u64 = 512 << 20;
        let late = second_half(self.samples);
        let busy = late.iter().filter(|sample| sample.is_running).count();
        self.last.given() == 0 && self.last.backlog() < BLOCKS && busy * 10 >= late.len() * 9
    }

    /// It reads all its input, and neither its memory nor temporary files grow.
    fn consumes(&self) -> Verdict {
        let given = match self.last.given() {
            0 => "nothing".to_owned(),
            given => human_size(given),
        };
        Verdict::honours(
            format!(
                "It took {} and gave {given} back, so there was nothing to hold it up; {}{}.",
                human_size(self.last.accepted),
                self.memory_words(),
                self.files_words()
            ),
            Certainty::Enough,
        )
    }

    fn unclear(&self, ending: &Ending) -> Verdict {
        let (taken, given) = (human_size(self.last.accepted), human_size(self.last.given()));
        match ending {
            Ending::TooLarge(limit) => open(
                format!(
                    "Its memory passed --max-rss {}, but it keeps only {} of what it read.",
                    human_size(*limit),
                    human_size(self.last.backlog())
                ),
                "Allow more with --max-rss: it needs that much for itself.",
            ),
            Ending::TooMuchDisk(_) => open(
                format!(
                    "It wrote {} to files, more than --max-disk allows.",
                    human_size(self.last.disk)
                ),
                "Allow more with --max-disk.",
            ),
            Ending::Ended(how) => {
                let after = self.last.elapsed.as_secs_f64();
                open(
                    format!("It ended {how} after {after:.1} s, having read {taken}."),
                    READ_TO_THE_END,
                )
            }
            _ if self.reaction.intake == Intake::Stopped && self.reaction.is_busy => open(
                format!("It works on the {taken} that it took, has given back {given}, and takes no more meanwhile."),
                "Look longer (--seconds): what works on large blocks gives its first output late.",
            ),
            _ if self.reaction.intake == Intake::Stopped => open(
                format!("It read {taken} and then no more, and gave back {given}, which is too little to hold it up."),
                "Give a command that writes while it reads. If it expects another format: --input-kind json or csv, or \
                 --input FILE.",
            ),
            _ if self.drops_input() => Verdict::unclear(
                format!("It read on ({taken}) while its output was not taken, and did not grow: it drops input."),
                "See where its input goes.",
                Certainty::Enough,
            ),
            _ => open(
                format!(
                    "It read {taken} and gave back {given}, too little to fill its output pipe or to show in its memory."
                ),
                "Look longer (--seconds), or read more slowly (--rate), so that its output waits.",
            ),
        }
    }

    fn memory_words(&self) -> String {
        let (level, highest) = (human_size(self.memory.level), human_size(self.peak.memory));
        let above = self.peak.memory.saturating_sub(self.memory.level.max(self.base));
        if above > WARM_UP {
            format!("its memory was {highest} at its highest and {level} at the end")
        } else if self.growth() > WARM_UP {
            format!("its memory came to rest at {level}")
        } else {
            format!("its memory stayed at {level}")
        }
    }

    /// The files that it wrote, if they matter.
    fn files_words(&self) -> String {
        match self.last.disk {
            disk if disk >= NOISE => format!(", and {} went to files", human_size(disk)),
            _ => String::new(),
        }
    }
}

/// Whether a difference between input and output is larger than what could be kept of it.
#[must_use]
pub fn transforms(backlog: u64, room: u64) -> bool {
    backlog >= NOISE && float(room) < float(backlog) * LEAST_PER_BYTE
}

#[cfg(test)]
mod tests;
