//! Compares the allocations of codecs with what the plan states. A separate binary with one test: its counting
//! allocator is global, and would count the allocations of other tests.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use async_compression::codecs::gzip::{GzipDecoder, GzipEncoder};
use async_compression::codecs::{DecodeV2, EncodeV2};
use async_compression::core::util::{PartialBuffer, WriteBuffer};
use flate2::Compression;
use highwater::grammar;
use highwater::plan::{Limits, Plan};

/// Bytes that are allocated now, and the most since the mark was set.
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most bytes that `work` had allocated at once.
fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (PEAK.load(Ordering::Relaxed) - before, result)
}

/// Runs a step of a codec until it has read all of `input`; writes to `output`, which is large enough.
fn encode(level: u32, input: &[u8], output: &mut [u8]) -> usize {
    let mut encoder = GzipEncoder::new(Compression::new(level).into());
    let mut output = WriteBuffer::new_initialized(output);
    let mut input = PartialBuffer::new(input);
    while !input.unwritten().is_empty() {
        encoder.encode(&mut input, &mut output).expect("compresses");
    }
    while !encoder.finish(&mut output).expect("finishes") {}
    output.written_len()
}

fn decode(input: &[u8], output: &mut [u8]) -> usize {
    let mut decoder = GzipDecoder::new();
    let mut output = WriteBuffer::new_initialized(output);
    for _ in 0..2 {
        let mut input = PartialBuffer::new(input);
        while !decoder.decode(&mut input, &mut output).expect("decompresses") {}
        decoder.reinit().expect("starts again");
    }
    output.written_len()
}

/// What the plan states for the only transform of a pipeline.
fn stated(stage: &str) -> usize {
    let (script, problems) = grammar::parse(format!("read a | {stage} | write b").as_bytes());
    let plan = Plan::new(&script, problems, Limits::default()).expect("a plan");
    usize::try_from(plan.states().sum::<u64>()).expect("fits")
}

#[track_caller]
fn is_honest(stage: &str, measured: usize) {
    let stated = stated(stage);
    println!("{stage}: measured {measured}, stated {stated}");
    assert!(measured <= stated, "{stage} holds {measured} bytes and states {stated}");
    assert!(
        stated <= measured * 3 / 2,
        "{stage} holds {measured} bytes and states {stated}"
    );
}

#[test]
fn codecs_hold_what_the_plan_says() {
    let text: Vec<u8> = (0..1_u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 27) as u8 + b'a')
        .collect();
    let mut compressed = vec![0; 2 << 20];
    let mut restored = vec![0; 3 << 20];
    let mut all = Vec::new();
    for level in 1..=9 {
        let (peak, size) = peak_of(|| encode(level, &text, &mut compressed));
        all.push((format!("gzip single=true level={level}"), peak));
        let (peak, size) = peak_of(|| decode(&compressed[..size], &mut restored));
        assert!(
            size == 2 * text.len() && restored[..text.len()] == text,
            "level {level}"
        );
        all.push(("gunzip".to_owned(), peak));
    }
    for (stage, peak) in &all {
        println!("{stage}: measured {peak}, stated {}", stated(stage));
    }
    for (stage, peak) in all {
        is_honest(&stage, peak);
    }
}
