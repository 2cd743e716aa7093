//! What the fuzz targets share: a decoder or a framer between two links, as the engine starts it.

use std::sync::Arc;
use std::time::Instant;

use highwater::catalog::{Build, check};
use highwater::error::{Kind, Stop};
use highwater::flow::{Inlet, Link, Marks, Outlet, Pool, StageMeter, block_on};
use highwater::grammar;
use highwater::graph::Port;
use highwater::stage::{Budget, Context, Outcome, Work};

/// No more of an input is looked at, so that all of it fits into a link.
const LONGEST: usize = 64 << 10;
/// A decoder that has given so much is a bomb, and its reader leaves.
const ENOUGH: usize = 4 << 20;
/// The largest record of a framer, in bytes.
const LARGEST_RECORD: u64 = 1 << 10;
/// The ceiling that stands in `--memory`.
const MEMORY: u64 = 16 << 20;

fn link(high: u64) -> (Outlet, Inlet) {
    let link = Link::new(Marks::new(high, high / 2, 16 << 10), Arc::new(Pool::new(high)));
    let meter = || Arc::new(StageMeter::new(Instant::now()));
    (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
}

/// Decodes `data` with the stage of that name. Its first byte says in what pieces the rest comes.
///
/// # Panics
/// If the decoder fails with anything but corrupt input or a limit, or does not say why it stopped.
pub fn decode(stage: &str, data: &[u8]) {
    let Some((first, input)) = data.split_first() else { return };
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
    let (script, _) = grammar::parse(stage.as_bytes());
    let (definition, args) = check(&script.calls[0], highwater::transforms::STAGES).expect("a stage");
    let Build::Transform(build) = definition.build else {
        panic!("{stage} is no transform");
    };
    let Ok(mut plan) = build(&args) else {
        panic!("{stage} is refused");
    };
    plan.settle_records(Port::Bytes, LARGEST_RECORD);
    let context = Context {
        budget: Arc::new(Budget::new(MEMORY, 0, true)),
        ..Context::detached(Arc::new(StageMeter::new(Instant::now())))
    };
    match plan.make().start(input, out, context) {
        Work::Thread(work) => work,
        Work::Task(_) => panic!("{stage} has no thread"),
    }
}
