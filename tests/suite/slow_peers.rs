//! Peers that are slow, late or uneven. The run is their clock: each of its samples is a tick.

use std::iter::repeat;

use serde_json::Value;

use crate::harness::{Folder, Run, Running, highwater, noise};
use crate::toxic::{Toxic, Toxin, jitter, late, reads, writes};

use Toxin::{Close, HalfClose, ReadToEnd, Wait};

/// Whether the system tells how much of the sent data a peer has received.
const TELLS_QUEUES: bool = cfg!(all(target_os = "linux", not(feature = "portable-platform")));

/// A run that never ends must fail its test; it reports samples as long as it runs.
const FAR_TOO_LONG: &str = "120s";

/// A run and its peer.
struct Pair {
    running: Running,
    toxic: Toxic,
    /// The samples so far, without the end.
    samples: Vec<Value>,
}

impl Pair {
    /// Starts a run in `folder`, with a sample every `interval`.
    fn start(folder: &Folder, interval: &str, options: &[&str], pipeline: &str, toxic: Toxic) -> Self {
        let arguments = ["--progress", "json", "--interval", interval, "--timeout", FAR_TOO_LONG];
        let arguments = arguments.iter().chain(options).chain([&pipeline]);
        Self {
            running: highwater(arguments).within(folder).start(),
            toxic,
            samples: Vec::new(),
        }
    }

    /// The next sample, checked against the bounds; `None` at the end of the run.
    #[track_caller]
    fn sample(&mut self) -> Option<&Value> {
        loop {
            let line = self.running.line();
            if line.is_empty() {
                return None;
            }
            // Anything else is the error of a failed run.
            let Ok(object) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            is_within_bounds(&object);
            if object["event"] == "sample" {
                self.samples.push(object);
                return self.samples.last();
            }
        }
    }

    /// Waits for a sample as it is `wanted`, while no tick passes.
    #[track_caller]
    fn await_sample(&mut self, wanted: impl Fn(&Value) -> bool) {
        while !wanted(self.sample().expect("it goes on")) {}
    }

    /// Lets a tick pass with each remaining sample, once `look` has had it and the number of ticks before it; returns
    /// the run, the peer that may still wait, and all samples.
    #[track_caller]
    fn end(mut self, look: impl Fn(&Value, usize)) -> (Run, Toxic, Vec<Value>) {
        let mut ticks = 0;
        while let Some(sample) = self.sample() {
            look(sample, ticks);
            self.toxic.tick();
            ticks += 1;
        }
        (self.running.wait(), self.toxic, self.samples)
    }
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("no {name} in {of}"))
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// Marks and ceiling hold, whatever the peer does.
#[track_caller]
fn is_within_bounds(object: &Value) {
    for link in list(object, "links") {
        assert!(number(link, "peak_bytes") <= number(link, "high_bytes"), "{link}");
    }
    let held = number(object, "buffered_peak_bytes") + number(object, "state_bytes");
    assert!(held <= number(object, "memory_limit_bytes"), "{object}");
}

/// The most that a peer with these steps can have read or written after so many ticks.
fn due(steps: &[Toxin], mut ticks: usize) -> usize {
    let mut bytes = 0;
    for step in steps {
        match step {
            Wait(count) if *count > ticks => break,
            Wait(count) => ticks -= count,
            Toxin::Read(count) => bytes += count,
            Toxin::Write(piece) => bytes += piece.len(),
            _ => {}
        }
    }
    bytes
}

/// The steps of a peer with a latency, of one with jitter, and of one with a bandwidth, given its steps for a size of piece.
fn uneven<S: Iterator<Item = Toxin>>(steps: impl Fn(usize) -> S) -> [Vec<Toxin>; 3] {
    [
        late(steps(40_000), repeat(3)).collect(),
        late(steps(20_000), jitter(3, 1)).collect(),
        late(steps(10_000), repeat(1)).collect(),
    ]
}

/// A peer of each family, with the folder that the run is in.
fn peers(steps: &[Toxin]) -> [(Folder, Toxic); 2] {
    let (first, second) = (Folder::new(), Folder::new());
    let unix = Toxic::unix(&second, steps.iter().cloned());
    [(first, Toxic::tcp(steps.iter().cloned())), (second, unix)]
}

/// The stages in between.
const CHAINS: [&str; 2] = ["", "| gzip | gunzip"];

mod sources {
    use super::*;

    #[test]
    fn slow_sources_are_read_completely() {
        let bytes = noise(120_000, 1);
        for steps in uneven(|piece| writes(&bytes, piece)) {
            for chain in CHAINS {
                for (folder, toxic) in peers(&steps) {
                    let pipeline = format!("read {} {chain} | write b", toxic.url);
                    let pair = Pair::start(&folder, "2ms", &[], &pipeline, toxic);
                    let (run, _, _) = pair.end(|sample, ticks| {
                        // A byte is never counted before it was sent.
                        let read = number(&sample["stages"][0], "bytes_in");
                        assert!(read <= due(&steps, ticks) as u64, "{read} bytes after {ticks} ticks");
                    });
                    assert_eq!(run.code, Some(0), "{}", run.stderr);
                    assert!(folder.read("b") == bytes, "{pipeline}");
                }
            }
        }
    }

    #[test]
    fn silent_source_is_the_bottleneck() {
        let bytes = noise(50_000, 2);
        let steps: Vec<Toxin> = [Wait(1)].into_iter().chain(writes(&bytes, 10_000)).collect();
        for (folder, toxic) in peers(&steps) {
            let pipeline = format!("read {} | gzip | gunzip | write b", toxic.url);
            let mut pair = Pair::start(&folder, "2ms", &[], &pipeline, toxic);
            // The initial work of the other stages is a share of their time that only decreases.
            let is_named = |sample: &Value| sample["bottleneck"]["stage"] == 0;
            pair.await_sample(is_named);
            for _ in 0..5 {
                pair.await_sample(|sample| {
                    assert!(is_named(sample), "{sample}");
                    assert_eq!(number(&sample["stages"][0], "bytes_in"), 0);
                    true
                });
            }
            let (run, _, _) = pair.end(|_, _| ());
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            assert!(folder.read("b") == bytes);
        }
    }

    #[test]
    fn slow_closing_source_delays_the_commit() {
        const TICKS: usize = 5;
        let bytes = noise(50_000, 3);
        // The end of its direction is the end, whether or not the connection goes on.
        for end in [Close, HalfClose] {
            let steps = [Toxin::Write(bytes.clone()), Wait(TICKS), end, Toxin::HANG];
            for (folder, toxic) in peers(&steps) {
                folder.write("b", "old");
                let pipeline = format!("read {} | write b", toxic.url);
                let mut pair = Pair::start(&folder, "2ms", &[], &pipeline, toxic);
                let has_everything = |sample: &Value| sample["stages"][1]["bytes_out"] == bytes.len();
                pair.await_sample(has_everything);
                // Of the ticks from now on only the last one ends it.
                let (run, _, samples) = pair.end(|sample, ticks| {
                    if ticks < TICKS {
                        assert!(
                            has_everything(sample) && sample["stages"][0]["ended"] == false,
                            "{sample}"
                        );
                        assert_eq!(folder.read("b"), b"old");
                    }
                });
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                assert!(samples.len() > TICKS);
                assert!(folder.read("b") == bytes);
            }
        }
    }
}

mod sinks {
    use super::*;

    #[test]
    fn slow_sinks_get_every_byte() {
        let bytes = noise(120_000, 4);
        for mut steps in uneven(|piece| reads(bytes.len(), piece)) {
            steps.push(ReadToEnd(1));
            for chain in CHAINS {
                for (folder, toxic) in peers(&steps) {
                    folder.write("a", &bytes);
                    // A Unix socket tells when the peer has read everything; TCP, when its small window has taken it.
                    let unread = if toxic.url.starts_with("unix:") { 0 } else { 64 << 10 };
                    let pipeline = format!("read a {chain} | write {}", toxic.url);
                    let pair = Pair::start(&folder, "2ms", &[], &pipeline, toxic);
                    let (run, toxic, _) = pair.end(|sample, ticks| {
                        if TELLS_QUEUES && due(&steps, ticks) + unread < bytes.len() {
                            let sink = list(sample, "stages").last().expect("a sink");
                            assert_eq!(sink["ended"], false, "after {ticks} ticks");
                        }
                    });
                    assert_eq!(run.code, Some(0), "{}", run.stderr);
                    assert!(toxic.received() == bytes, "{pipeline}");
                }
            }
        }
    }

    #[test]
    fn stalled_sink_is_the_bottleneck() {
        // More than a system takes for a connection on top of what the links hold.
        let bytes = noise(8 << 20, 5);
        let mut steps: Vec<Toxin> = late(reads(bytes.len(), 1 << 20), repeat(1)).collect();
        steps.push(ReadToEnd(1));
        for (folder, toxic) in peers(&steps) {
            folder.write("a", &bytes);
            let pipeline = format!("read a | buffer 512KiB | write {}", toxic.url);
            let mut pair = Pair::start(&folder, "2ms", &[], &pipeline, toxic);
            // A link is full from three quarters on: what does not fit into the rest waits. The earlier bottleneck's
            // share of the time only decreases.
            let is_full = |link: &Value| number(link, "buffered_bytes") * 4 >= number(link, "high_bytes") * 3;
            pair.await_sample(|sample| list(sample, "links").iter().all(is_full) && sample["bottleneck"]["stage"] == 2);
            let (run, toxic, _) = pair.end(|_, _| ());
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            assert!(toxic.received() == bytes);
        }
    }

    #[test]
    fn slow_closing_sink_is_not_awaited() {
        let bytes = noise(50_000, 6);
        // With and without a read of the end: ticks continue as long as the run does.
        for taken in [ReadToEnd(1000), Toxin::Read(bytes.len())] {
            for options in ["", "linger=1h"] {
                for (folder, toxic) in peers(&[taken.clone(), Toxin::HANG, Close]) {
                    folder.write("a", &bytes);
                    let pipeline = format!("read a | write {} {options}", toxic.url);
                    let pair = Pair::start(&folder, "2ms", &[], &pipeline, toxic);
                    let (run, toxic, _) = pair.end(|_, _| ());
                    assert_eq!(run.code, Some(0), "{}", run.stderr);
                    assert!(toxic.received() == bytes);
                }
            }
        }
    }
}

/// `--stall-timeout` with peers of which every pause is shorter, and the sum of them longer.
mod stall_timeouts {
    use super::*;

    const LIMIT: [&str; 2] = ["--stall-timeout", "150ms"];
    /// The same, less what rounding to microseconds may take from the difference of two times.
    const LIMIT_S: f64 = 0.15 - 1e-6;
    /// One every 10 ms at most: the whole run is longer than that.
    const TICKS: usize = 25;

    fn elapsed(object: &Value) -> f64 {
        object["elapsed_s"].as_f64().expect("a time")
    }

    /// The longest time in seconds that no byte may have moved in the chain, as far as its samples tell.
    fn longest_silence(samples: &[Value], end: &Value) -> f64 {
        let moved = |sample: &Value| -> Vec<[u64; 2]> {
            let stages = list(sample, "stages").iter();
            stages
                .map(|stage| ["bytes_in", "bytes_out"].map(|name| number(stage, name)))
                .collect()
        };
        let mut next = 0_usize;
        let silences = samples.chunk_by(|one, other| moved(one) == moved(other)).map(|equal| {
            let before = next.checked_sub(1).map_or(0.0, |last| elapsed(&samples[last]));
            next += equal.len();
            // A sample reads its clock before its counters: what is new in one is older than the time of the next.
            elapsed(samples.get(next + 1).unwrap_or(end)) - before
        });
        silences.fold(0.0, f64::max)
    }

    /// The run succeeded; or the machine paused a process for so long that nothing moved, which the samples show.
    /// Returns whether it succeeded.
    #[track_caller]
    fn goes_well_or_was_silent(run: &Run, samples: &[Value]) -> bool {
        if run.code == Some(0) {
            return true;
        }
        assert_eq!(run.code, Some(8), "{}", run.stderr);
        let silence = longest_silence(samples, &run.end());
        assert!(
            samples.is_empty() || silence >= LIMIT_S,
            "never silent for more than {silence} s"
        );
        false
    }

    #[test]
    fn stall_timeout_spares_slow_sources() {
        let bytes = noise(TICKS, 7);
        let steps: Vec<Toxin> = late(writes(&bytes, 1), repeat(1)).collect();
        for (folder, toxic) in peers(&steps) {
            let pipeline = format!("read {} | write b", toxic.url);
            let pair = Pair::start(&folder, "10ms", &LIMIT, &pipeline, toxic);
            let (run, _, samples) = pair.end(|_, _| ());
            if goes_well_or_was_silent(&run, &samples) {
                assert!(folder.read("b") == bytes);
                assert!(samples.len() >= TICKS, "{} samples", samples.len());
            }
        }
    }

    #[test]
    fn stall_timeout_spares_slow_sinks() {
        // Several times what a system buffers for a connection: data that is in its buffer already does not count as
        // motion.
        const PIECE: usize = 200_000;
        let bytes = noise(TICKS * PIECE, 8);
        let mut steps: Vec<Toxin> = late(reads(bytes.len(), PIECE), repeat(1)).collect();
        steps.push(ReadToEnd(1));
        for (folder, toxic) in peers(&steps) {
            folder.write("a", &bytes);
            let pipeline = format!("read a | write {}", toxic.url);
            let pair = Pair::start(&folder, "10ms", &LIMIT, &pipeline, toxic);
            let (run, toxic, samples) = pair.end(|_, _| ());
            if goes_well_or_was_silent(&run, &samples) {
                assert!(toxic.received() == bytes);
                assert!(samples.len() >= TICKS || !TELLS_QUEUES, "{} samples", samples.len());
            }
        }
    }
}
