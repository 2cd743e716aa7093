//! Which of several programs is named as the bottleneck, and how their time is shared out, where both follow from what the
//! programs do.

use std::fs::File;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::highwater;

/// Scripts that pass on a piece of their input and then do something slow. A quarter of a second is long compared to what
/// a busy machine takes to continue a process that may run.
const SLOW: [(&str, &str); 3] = [
    ("slow reader", "while dd bs=4K count=1 status=none; do sleep 0.25; done"),
    (
        "sleeping filter",
        "while dd bs=64K count=1 iflag=fullblock status=none; do sleep 0.25; done",
    ),
    (
        "spinning filter",
        "while dd bs=64K count=1 iflag=fullblock status=none; do \
         i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; done",
    ),
];

/// The second sample of a pipeline of three scripts, when its links have filled.
fn sample(memory: &str, scripts: [&str; 3]) -> Value {
    let stages = scripts.map(|script| format!("sh '{script}'"));
    let pipeline = stages.join(" | ") + " | write /dev/null";
    let mut running = highwater([
        "--memory",
        memory,
        "--progress",
        "json",
        "--interval",
        "1500ms",
        &pipeline,
    ])
    .stdin(File::open("/dev/zero").expect("a device"))
    .start();
    running.line();
    let sample = serde_json::from_str(&running.line()).expect("a sample");
    running.signal(Signal::TERM);
    running.wait();
    sample
}

/// The samples of several pipelines that run at the same time.
fn samples(memory: &'static str, pipelines: impl Iterator<Item = [&'static str; 3]>) -> Vec<Value> {
    let running: Vec<_> = pipelines
        .map(|scripts| thread::spawn(move || sample(memory, scripts)))
        .collect();
    running
        .into_iter()
        .map(|running| running.join().expect("no panic"))
        .collect()
}

#[test]
fn the_slow_program_is_named() {
    let cases = || SLOW.iter().flat_map(|slow| (0..3).map(move |at| (slow, at)));
    let samples = samples(
        "8MiB",
        cases().map(|((_, script), at)| {
            let mut scripts = ["exec cat"; 3];
            scripts[at] = script;
            scripts
        }),
    );
    for (((name, _), slow), sample) in cases().zip(samples) {
        let case = format!("{name} at place {slow}: {sample}");
        assert_eq!(sample["bottleneck"]["stage"], slow, "{case}");
        for place in 0..3 {
            let state = match place {
                _ if place < slow => "backpressured",
                _ if place == slow => "busy",
                _ => "idle",
            };
            // The others take no time to speak of.
            let share = sample["stages"][place][state].as_f64();
            assert!(share >= Some(0.97), "stage {place} is {state}: {case}");
        }
    }
}

#[test]
fn the_slower_of_two_programs_is_named() {
    // More than the pipes and links between them hold.
    const SLOWER: &str = "while dd bs=512K count=1 iflag=fullblock status=none; do sleep 0.25; done";
    const FASTER: &str = "while dd bs=512K count=1 iflag=fullblock status=none; do sleep 0.1; done";
    let places = || (0..3).flat_map(|slower| (0..3).map(move |faster| (slower, faster)));
    let places = || places().filter(|(slower, faster)| slower != faster);
    let samples = samples(
        "512KiB",
        places().map(|(slower, faster)| {
            let mut scripts = ["exec cat"; 3];
            (scripts[slower], scripts[faster]) = (SLOWER, FASTER);
            scripts
        }),
    );
    for ((slower, faster), sample) in places().zip(samples) {
        assert_eq!(sample["bottleneck"]["stage"], slower, "not {faster}: {sample}");
    }
}
