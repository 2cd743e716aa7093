//! What the fuzz targets share: stages between links, as the engine starts them.

use std::sync::Arc;
use std::time::Instant;

use highwater::catalog::{Build, check};
use highwater::error::{Kind, Stop};
use highwater::flow::{Inlet, Link, Marks, Outlet, Pool, StageMeter, block_on};
use highwater::grammar;
use highwater::graph::Port;
use highwater::stage::{Budget, Context, Outcome, TransformPlan, Work};

/// No more of an input is looked at, so that all of it fits into a link.
const LONGEST: usize = 64 << 10;
/// A decoder that has given so much is a bomb, and its reader leaves.
const ENOUGH: usize = 4 << 20;
/// The ceiling that stands in `--memory`.
const MEMORY: u64 = 16 << 20;

fn link(high: u64) -> (Outlet, Inlet) {
    link_in(Marks::new(high, high / 2, 16 << 10), Arc::new(Pool::new(high)))
}

fn link_in(marks: Marks, pool: Arc<Pool>) -> (Outlet, Inlet) {
    let link = Link::new(marks, pool);
    let meter = || Arc::new(StageMeter::new(Instant::now()));
    (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
}

/// Decodes `data` with the stage of that name. Its first byte says in what pieces the rest comes.
///
/// # Panics
/// If the decoder fails with anything but corrupt input or a limit, or does not say why it stopped.
pub fn decode(stage: &str, data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    let input = &input[..input.len().min(LONGEST)];
    let piece = match first {
        0 => input.len().max(1),
        small => usize::from(*small),
    };
    // Small pieces are appended to the last chunk, so twice the bytes are room enough.
    let (mut feed, inlet) = link(4 * LONGEST as u64);
    for piece in input.chunks(piece) {
        block_on(feed.copy(piece)).expect("there is room, and a reader");
    }
    feed.finish();
    let (outlet, mut drain) = link(64 << 10);
    let work = start(stage, inlet, outlet);
    std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        let mut given = 0;
        while given < ENOUGH {
            match drain.receive_blocking() {
                Ok(Some(chunk)) => given += chunk.len(),
                Ok(None) | Err(_) => break,
            }
        }
        let is_bomb = given >= ENOUGH;
        drop(drain);
        match worker.join().expect("no panic") {
            Ok(()) => {}
            Err(Stop::PeerClosed) => assert!(is_bomb, "it stopped and did not say why"),
            Err(Stop::Failed(failure)) => {
                let expected = matches!(failure.kind(), Kind::Corrupt | Kind::Limit);
                assert!(expected, "{:?}: {failure}", failure.kind());
            }
        }
    });
}

fn start(stage: &str, input: Inlet, out: Outlet) -> Box<dyn FnOnce() -> Outcome + Send> {
    let context = Context {
        budget: Arc::new(Budget::new(MEMORY, 0, true)),
        ..Context::detached(Arc::new(StageMeter::new(Instant::now())))
    };
    match plan(stage).make().start(input, out, context) {
        Work::Thread(work) => work,
        Work::Task(_) => panic!("{stage} has no thread"),
    }
}

fn plan(stage: &str) -> Box<dyn TransformPlan> {
    let (script, _) = grammar::parse(stage.as_bytes());
    let (definition, args) = check(&script.calls[0], highwater::transforms::STAGES).expect("a stage");
    let Build::Transform(build) = definition.build else {
        panic!("{stage} is no transform");
    };
    build(&args).unwrap_or_else(|_| panic!("{stage} is refused"))
}

/// Bytes of the largest record, with its newline.
const LARGEST: u64 = 512;

/// Sends `data` through record stages, in one piece and in pieces as its first byte says, and compares what comes out.
///
/// # Panics
/// If the outputs or the errors differ, a stage fails with anything but corrupt input or a limit, or what it calls JSON
/// is none.
pub fn records(stages: &[&str], data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    let input = &input[..input.len().min(LONGEST)];
    let whole = sent(stages, input, input.len().max(1));
    let pieces = sent(stages, input, usize::from(*first).max(1));
    assert_eq!(whole.1, pieces.1, "in one piece, and in pieces of {first} bytes");
    if whole.1.is_empty() {
        assert_eq!(whole.0, pieces.0, "in one piece, and in pieces of {first} bytes");
    }
}

/// What the last of these stages sends, and the failures.
fn sent(stages: &[&str], input: &[u8], piece: usize) -> (Vec<u8>, Vec<String>) {
    // One for all links, because a stage may pass on a buffer that it has received.
    let pool = Arc::new(Pool::new(1 << 20));
    let high = 4 * LONGEST as u64;
    let (mut feed, mut inlet) = link_in(Marks::new(high, high / 2, 16 << 10), pool.clone());
    for piece in input.chunks(piece) {
        block_on(feed.copy(piece)).expect("there is room, and a reader");
    }
    feed.finish();
    let mut port = Port::Bytes;
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for stage in stages {
            let mut plan = plan(stage);
            plan.settle_records(port, LARGEST);
            port = plan.conversion().map_or(port, |conversion| {
                conversion
                    .output_port(port)
                    .unwrap_or_else(|_| panic!("{stage} takes no {port:?}"))
            });
            // Chunks are smaller than the largest record, and records are few.
            let marks = Marks::new(4 * LARGEST, 2 * LARGEST, 200);
            let marks = if port.has_records() {
                marks.with_records(16, 8)
            } else {
                marks
            };
            let (out, next) = link_in(marks, pool.clone());
            let context = Context::detached(Arc::new(StageMeter::new(Instant::now())));
            let work = plan.make().start(inlet, out, context);
            inlet = next;
            workers.push(scope.spawn(move || match work {
                Work::Thread(work) => work(),
                Work::Task(work) => block_on(work),
            }));
        }
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = inlet.receive_blocking() {
            let ends = chunk.as_slice().iter().filter(|byte| **byte == b'\n').count();
            assert!(
                !port.has_records() || ends as u64 == chunk.records(),
                "records are miscounted"
            );
            bytes.extend_from_slice(chunk.as_slice());
        }
        let outcomes = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        let failures = outcomes.filter_map(|outcome| match outcome {
            Err(Stop::Failed(failure)) => Some(failure),
            _ => None,
        });
        let failures = failures.map(|failure| {
            assert!(matches!(failure.kind(), Kind::Corrupt | Kind::Limit), "{failure}");
            failure.to_string()
        });
        let failures: Vec<String> = failures.collect();
        if port == Port::Json {
            for record in bytes.split_inclusive(|byte| *byte == b'\n') {
                let mut scanner = highwater::records::json::Scanner::new();
                let end = scanner.scan(record, true).expect("JSON").expect("a whole value");
                assert!(record[end..].trim_ascii().is_empty(), "more than a value in a record");
            }
        }
        (bytes, failures)
    })
}
