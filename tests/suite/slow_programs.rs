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

/// The second sample of a pipeline of three programs, when its links have filled.
struct Seen {
    sample: Value,
    /// For how long each program and highwater could have run and had to wait for a processor, in seconds.
    delays: [f64; 3],
}

fn look_at([memory, interval]: [&str; 2], scripts: [&str; 3]) -> Seen {
    let stages = scripts.map(|script| format!("sh '{script}'"));
    let pipeline = stages.join(" | ") + " | write /dev/null";
    let arguments = [
        "--memory",
        memory,
        "--progress",
        "json",
        "--interval",
        interval,
        &pipeline,
    ];
    let mut running = highwater(arguments)
        .stdin(File::open("/dev/zero").expect("a device"))
        .start();
    running.line();
    let sample: Value = serde_json::from_str(&running.line()).expect("a sample");
    let own = delay(u64::from(running.id()));
    let program = |place: usize| {
        sample["stages"][place]["children"][0]["pid"]
            .as_u64()
            .expect("a program")
    };
    let delays = [0, 1, 2].map(|place| own + delay(program(place)));
    running.signal(Signal::TERM);
    running.wait();
    Seen { sample, delays }
}

/// The second number in `schedstat` of each of its threads, in nanoseconds.
fn delay(pid: u64) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let delays = tasks.map(|task| {
        let path = task.expect("a task").path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let nanos: Option<f64> = text.split(' ').nth(1).and_then(|delay| delay.parse().ok());
        nanos.unwrap_or(0.0) / 1e9
    });
    delays.sum()
}

/// What is seen of several pipelines that run at the same time.
fn look_at_all(options: [&'static str; 2], pipelines: impl Iterator<Item = [&'static str; 3]>) -> Vec<Seen> {
    let running: Vec<_> = pipelines
        .map(|scripts| thread::spawn(move || look_at(options, scripts)))
        .collect();
    running
        .into_iter()
        .map(|running| running.join().expect("no panic"))
        .collect()
}

#[test]
fn the_slow_program_is_named() {
    let cases = || SLOW.iter().flat_map(|slow| (0..3).map(move |at| (slow, at)));
    let seen = look_at_all(
        ["8MiB", "1500ms"],
        cases().map(|((_, script), at)| {
            let mut scripts = ["exec cat"; 3];
            scripts[at] = script;
            scripts
        }),
    );
    for (((name, _), slow), Seen { sample, delays }) in cases().zip(seen) {
        let case = format!("{name} at place {slow}: {sample}");
        assert_eq!(sample["bottleneck"]["stage"], slow, "{case}");
        for place in 0..3 {
            let state = match place {
                _ if place < slow => "backpressured",
                _ if place == slow => "busy",
                _ => "idle",
            };
            // The others take no time to speak of, but for that in which the machine did not let them run. Until a program
            // has run, its input is looked at after pauses that double.
            let share = sample["stages"][place][state].as_f64().expect("a share");
            let allowed = 0.03 + 2.0 * delays[place] / 1.5;
            assert!(share >= 1.0 - allowed, "stage {place} is {state}, {allowed}: {case}");
        }
    }
}

#[test]
fn the_slower_of_two_programs_is_named() {
    // Less than a pipe holds: one that has taken all that was there would be idle as far as can be told. Both are busy
    // until the pipes and links are full, and the bottleneck is that of the last five seconds.
    const SLOWER: &str = "while dd bs=32K count=1 iflag=fullblock status=none; do sleep 0.25; done";
    const FASTER: &str = "while dd bs=32K count=1 iflag=fullblock status=none; do sleep 0.1; done";
    let places = || (0..3).flat_map(|slower| (0..3).map(move |faster| (slower, faster)));
    let places = || places().filter(|(slower, faster)| slower != faster);
    let seen = look_at_all(
        ["512KiB", "3s"],
        places().map(|(slower, faster)| {
            let mut scripts = ["exec cat"; 3];
            (scripts[slower], scripts[faster]) = (SLOWER, FASTER);
            scripts
        }),
    );
    for ((slower, faster), Seen { sample, .. }) in places().zip(seen) {
        assert_eq!(sample["bottleneck"]["stage"], slower, "not {faster}: {sample}");
    }
}
