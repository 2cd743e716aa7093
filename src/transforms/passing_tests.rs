//! Stages that pass their input on, on links that carry records.

use std::sync::Arc;
use std::time::Instant;

use crate::catalog::{Build, check};
use crate::flow::{Inlet, Link, Marks, Outlet, Pool, StageMeter, block_on};
use crate::grammar;
use crate::stage::{Context, Work};

use super::STAGES;

fn link(pool: &Arc<Pool>) -> (Outlet, Inlet) {
    let marks = Marks::new(4096, 4096, 1024).with_records(400, 400);
    let link = Link::new(marks, pool.clone());
    let meter = || Arc::new(StageMeter::new(Instant::now()));
    (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
}

/// What a stage gives for one chunk of so many records: the bytes and the records of each chunk.
fn passed(call: &str, bytes: &[u8], records: u64) -> Vec<(String, u64)> {
    let pool = Arc::new(Pool::new(1 << 20));
    let ((mut feed, inlet), (outlet, mut drain)) = (link(&pool), link(&pool));
    let mut buffer = block_on(feed.reserve_records(bytes.len(), records)).expect("open");
    buffer.fill_from(bytes);
    buffer.count_records(records);
    feed.send(buffer).expect("open");
    feed.finish();
    let (script, _) = grammar::parse(call.as_bytes());
    let (definition, args) = check(&script.calls[0], STAGES).expect("the call is right");
    let Build::Transform(build) = definition.build else {
        panic!("{call} is no transform");
    };
    let Ok(plan) = build(&args) else {
        panic!("{call} is refused");
    };
    let context = Context::detached(Arc::new(StageMeter::new(Instant::now())));
    let ending = match plan.make().start(inlet, outlet, context) {
        Work::Thread(work) => work(),
        Work::Task(work) => block_on(work),
    };
    assert!(ending.is_ok(), "{call}");
    let chunks = std::iter::from_fn(|| drain.receive_blocking().expect("finished"));
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    chunks.map(|chunk| (shown(chunk.as_slice()), chunk.records())).collect()
}

const LINES: &[u8] = b"a\nbb\nccc\nlonger than that\ne\n";

#[test]
fn a_throttle_passes_whole_records() {
    // At this rate six bytes may pass at once. What is copied waits behind each other in one chunk.
    assert_eq!(
        passed("throttle 1200", LINES, 5),
        [("a\nbb\nccc\nlonger than that\n".to_owned(), 4), ("e\n".to_owned(), 1)]
    );
    let message = b"more\nthan\nsix";
    assert_eq!(passed("throttle 1200", message, 1), [("more\nthan\nsix".to_owned(), 1)]);
}

#[test]
fn parts_of_a_stream_keep_their_records() {
    let one = |call: &str| passed(call, LINES, 5);
    assert_eq!(one("take 5"), [("a\nbb\n".to_owned(), 2)]);
    assert_eq!(one("take 6"), [("a\nbb\nc".to_owned(), 2)], "the third has no end");
    assert_eq!(one("skip 3"), [("b\nccc\nlonger than that\ne\n".to_owned(), 4)]);
    assert_eq!(one("skip 9"), [("longer than that\ne\n".to_owned(), 2)]);
    assert_eq!(one("limit 28"), [(String::from_utf8_lossy(LINES).into_owned(), 5)]);
}
