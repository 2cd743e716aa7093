use super::*;
use crate::check::verdict::Finding;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BLOCKED: Reaction = Reaction {
    taken: 4096,
    intake: Intake::Stopped,
    is_busy: false,
    is_output_full: true,
};
const CONTINUING: Reaction = Reaction {
    taken: 100 * MIB,
    intake: Intake::Continues,
    is_busy: true,
    is_output_full: true,
};
const NO_OUTPUT: Reaction = Reaction {
    is_output_full: false,
    ..CONTINUING
};
const NONE: Written = Written { temporary: 0, kept: 0 };

/// Ten seconds; `at` returns for each tenth the bytes read, written and in memory.
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

fn judged(samples: &[Sample], ending: &Ending, reaction: Reaction, written: Written) -> Verdict {
    let mut samples = samples.to_vec();
    for sample in &mut samples {
        sample.disk = written.temporary + written.kept;
    }
    let evidence = Evidence {
        samples: &samples,
        peak: samples.iter().max_by_key(|sample| sample.memory).copied(),
        reaction: Some(reaction),
        written,
    };
    judge(evidence, ending)
}

fn done(samples: &[Sample], reaction: Reaction) -> Verdict {
    judged(samples, &Ending::Done, reaction, NONE)
}

#[track_caller]
fn is(verdict: &Verdict, finding: Finding, words: &str) {
    assert_eq!(verdict.finding, finding, "{verdict:?}");
    assert!(verdict.sentence.contains(words), "{verdict:?}");
}

#[test]
fn stopping_with_flat_memory_honours() {
    let flat = samples(|t| (t * 6400 + 132_000, t * 6400, 5 * MIB + t % 3 * 4096));
    let verdict = done(&flat, BLOCKED);
    is(&verdict, Finding::Honours, "read 4.00 KiB more and stopped");
    assert_eq!(verdict.certainty, Certainty::Final);
}

#[test]
fn a_large_full_buffer_honours() {
    let filled = samples(|t| (t.min(20) * 10 * MIB + t * 6400, t * 6400, (5 + t.min(20) * 10) * MIB));
    is(&done(&filled, BLOCKED), Finding::Honours, "came to rest at 205 MiB");
}

#[test]
fn freed_memory_is_mentioned() {
    let memory = |t| if t < 30 { t * 10 } else { 5 };
    let let_go = samples(|t| (t.min(30) * 10 * MIB + t * 6400, t * 6400, memory(t) * MIB));
    is(
        &done(&let_go, BLOCKED),
        Finding::Honours,
        "was 290 MiB at its highest and 5.00 MiB at the end",
    );
}

#[test]
fn a_rising_backlog_never_honours() {
    // A mebibyte a second, whatever happens to the output.
    let timer = samples(|t| (t / 10 * MIB + 1, t * 640, 5 * MIB + t / 10 * MIB));
    let verdict = done(&timer, BLOCKED);
    is(&verdict, Finding::Unclear, "still rising");
    assert_eq!(verdict.certainty, Certainty::Open);
    let verdict = done(&timer, CONTINUING);
    is(&verdict, Finding::Buffers, "");
}

#[test]
fn a_leak_without_input_is_unclear() {
    let leaking = samples(|t| (t * 6400 + 132_000, t * 6400, (5 + t) * MIB));
    is(&done(&leaking, BLOCKED), Finding::Unclear, "all the same");
}

#[test]
fn memory_that_follows_the_backlog_buffers() {
    let fast = samples(|t| (t * 10 * MIB, t * 6400, 40 * MIB + t * 11 * MIB));
    let verdict = done(&fast, CONTINUING);
    is(&verdict, Finding::Buffers, "could give back only");
    assert_eq!((verdict.seen, verdict.certainty), (1140 * MIB, Certainty::Final));
    // Slow enough to be missed: 200 KiB a second more than it returns.
    let slow = samples(|t| (t * 26_880, t * 6400, 9 * MIB + t * 20_480));
    is(&done(&slow, CONTINUING), Finding::Unclear, "");
    let slow = samples(|t| (t * 53_760, t * 6400, 9 * MIB + t * 47_360));
    let verdict = done(&slow, CONTINUING);
    is(&verdict, Finding::Buffers, "");
    assert_eq!(verdict.certainty, Certainty::Enough);
}

#[test]
fn a_freed_peak_buffers() {
    let memory = |t| if t < 80 { 3 + t * 10 } else { 3 };
    let slurped = samples(|t| (t * 10 * MIB, 0, memory(t) * MIB));
    let verdict = done(&slurped, NO_OUTPUT);
    is(&verdict, Finding::Buffers, "rose with the difference to 793 MiB");
    assert_eq!(verdict.certainty, Certainty::Open);
}

#[test]
fn reading_all_input_first_buffers() {
    let sort = done(&samples(|t| (t * 10 * MIB, 0, t * 12 * MIB)), NO_OUTPUT);
    is(&sort, Finding::Buffers, "gave nothing back while it was reading");
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
    // A garbage-collected heap varies by more than a little while gigabytes pass.
    let collected = samples(|t| (t * 100 * MIB, 0, (60 + t * 7 % 31) * MIB));
    is(&done(&collected, NO_OUTPUT), Finding::Honours, "");
    let little = samples(|t| (t * 4096, 0, 3 * MIB));
    is(&done(&little, NO_OUTPUT), Finding::Unclear, "too little");
}

#[test]
fn temporary_files_buffer_and_kept_ones_honour() {
    let reading = samples(|t| (t * MIB, 0, 9 * MIB));
    let temporary = Written {
        temporary: 90 * MIB,
        kept: 0,
    };
    let sort = judged(&reading, &Ending::Done, NO_OUTPUT, temporary);
    is(&sort, Finding::Buffers, "90.0 MiB went into temporary files");
    let kept = Written {
        temporary: 0,
        kept: 90 * MIB,
    };
    let split = judged(&reading, &Ending::Done, NO_OUTPUT, kept);
    is(&split, Finding::Honours, "90.0 MiB went to files");
    // Its output is full, and it does not need it.
    let tee = samples(|t| (t * MIB, 64_000, 9 * MIB));
    is(
        &judged(&tee, &Ending::Done, CONTINUING, kept),
        Finding::Honours,
        "went to files",
    );
}

#[test]
fn dropping_input_is_unclear() {
    let dropping = samples(|t| (t * 10 * MIB, t * 6400, 3 * MIB));
    is(&done(&dropping, CONTINUING), Finding::Unclear, "drops input");
    // A few matches fill the pipe at the end, too.
    let mut filter = samples(|t| (t * 10 * MIB, 4096, 3 * MIB));
    filter[..80].iter_mut().for_each(|sample| sample.waiting = 0);
    is(&done(&filter, CONTINUING), Finding::Honours, "gave 8.00 KiB back");
}

#[test]
fn working_on_large_blocks_is_unclear() {
    let blocks = samples(|t| (t.min(20) * 20 * MIB, 0, (10 + t.min(20) * 30) * MIB));
    let working = Reaction {
        intake: Intake::Stopped,
        ..NO_OUTPUT
    };
    let verdict = done(&blocks, working);
    is(&verdict, Finding::Unclear, "It works on the 400 MiB");
    assert!(verdict.advice.contains("Look longer") && verdict.certainty == Certainty::Open);
}

#[test]
fn a_busy_program_gets_a_longer_look() {
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
fn a_paused_program_is_unclear() {
    let filled = samples(|t| (t.min(70) * 5 * MIB, 0, t.min(70) * 6 * MIB));
    let resting = Reaction {
        intake: Intake::Paused,
        ..NO_OUTPUT
    };
    assert_eq!(done(&filled, resting).finding, Finding::Unclear);
}

#[test]
fn a_smaller_output_is_no_backlog() {
    let filter = samples(|t| (t * MIB + 132_000, t * 6400, 5 * MIB));
    let verdict = done(&filter[..1], BLOCKED);
    is(&verdict, Finding::Honours, "It makes less of what it takes");
}

#[test]
fn the_memory_limit_needs_a_backlog() {
    let limit = Ending::TooLarge(256 * MIB);
    let none = Reaction::default();
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
fn disk_limit_is_judged_by_files() {
    let limit = Ending::TooMuchDisk(64 * MIB);
    let reading = samples(|t| (t * MIB, 0, 9 * MIB));
    let files = |temporary, kept| Written {
        temporary: temporary * MIB,
        kept: kept * MIB,
    };
    let none = Reaction::default();
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
fn early_end_is_judged_by_memory() {
    let ended = Ending::Ended("with signal 6".to_owned());
    let none = Reaction::default();
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
fn every_unclear_verdict_has_advice() {
    let quiet = samples(|_| (4096, 0, MIB));
    let still = Reaction {
        intake: Intake::Stopped,
        ..Reaction::default()
    };
    for verdict in [
        done(&[], Reaction::default()),
        done(&quiet, still),
        done(&samples(|t| (t * 1024, t, MIB)), Reaction::default()),
    ] {
        assert!(
            verdict.finding == Finding::Unclear && !verdict.advice.is_empty(),
            "{verdict:?}"
        );
    }
}
