//! Every codec as a stage between two small links: with pieces of all sizes, cut anywhere, with any bit flipped.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use crate::catalog::{Build, check};
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Link, Marks, Outlet, Pool, StageMeter, block_on};
use crate::grammar;
use crate::stage::{Budget, Context, Outcome, Work};
use crate::transforms::STAGES;

/// An encoder's call and its decoder's.
const PAIRS: &[(&str, &str)] = &[
    ("gzip", "gunzip"),
    #[cfg(feature = "zstd")]
    ("zstd", "unzstd"),
    #[cfg(feature = "xz")]
    ("xz level=0", "unxz"),
    #[cfg(feature = "bzip2")]
    ("bzip2 level=1", "bunzip2"),
    #[cfg(feature = "lz4")]
    ("lz4", "unlz4"),
    #[cfg(feature = "brotli")]
    ("brotli", "unbrotli"),
];

fn link(high: u64) -> (Outlet, Inlet) {
    let link = Link::new(Marks::new(high, high / 2, 64 << 10), Arc::new(Pool::new(high)));
    let meter = || Arc::new(StageMeter::new(Instant::now()));
    (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
}

/// Starts a call as the engine would, under `memory` bytes.
fn start(call: &str, memory: Option<u64>, input: Inlet, out: Outlet) -> Box<dyn FnOnce() -> Outcome + Send> {
    let (script, problems) = grammar::parse(call.as_bytes());
    assert!(problems.is_empty(), "{call}");
    let (definition, args) = check(&script.calls[0], STAGES).expect("the call is right");
    let Build::Transform(build) = definition.build else {
        panic!("{call} is no transform");
    };
    let plan = build(&args).unwrap_or_else(|_| panic!("{call} is refused"));
    let context = Context {
        budget: Arc::new(Budget::new(memory.unwrap_or(8 << 20), 0, memory.is_some())),
        ..Context::detached(Arc::new(StageMeter::new(Instant::now())))
    };
    match plan.make().start(input, out, context) {
        Work::Thread(work) => work,
        Work::Task(_) => panic!("{call} has no thread"),
    }
}

/// The output for `input`, sent in pieces of `piece` bytes through links of `high` bytes, and how it ended.
fn run_with(call: &str, input: &[u8], piece: usize, high: u64, memory: Option<u64>) -> (Vec<u8>, Result<(), Failure>) {
    let (mut feed, inlet) = link(high);
    let (outlet, mut drain) = link(high);
    let work = start(call, memory, inlet, outlet);
    std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        scope.spawn(move || {
            for piece in input.chunks(piece) {
                if block_on(feed.copy(piece)).is_err() {
                    return;
                }
            }
            feed.finish();
        });
        let mut output = Vec::new();
        while let Ok(Some(chunk)) = drain.receive_blocking() {
            output.extend_from_slice(chunk.as_slice());
        }
        let ending = match worker.join().expect("no panic") {
            Ok(()) => Ok(()),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::PeerClosed) => panic!("{call}: no side stopped"),
        };
        (output, ending)
    })
}

fn run(call: &str, input: &[u8]) -> (Vec<u8>, Result<(), Failure>) {
    run_with(call, input, 64 << 10, 1 << 20, None)
}

fn encode(call: &str, input: &[u8]) -> Vec<u8> {
    let (output, ending) = run(call, input);
    ending.expect("compresses");
    output
}

/// The error for an input that cannot be decompressed.
fn refused(call: &str, input: &[u8]) -> String {
    let failure = run(call, input).1.expect_err("is refused");
    assert_eq!(failure.kind(), Kind::Corrupt, "{failure}");
    failure.to_string()
}

/// Text that compresses well, but not extremely.
fn text(bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut number = 1_u32;
    while text.len() < bytes {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let _ = writeln!(text, "line {} of {}", text.len(), number >> 20);
    }
    text.truncate(bytes);
    text.into_bytes()
}

#[test]
fn piece_and_link_sizes_do_not_matter() {
    let data = text(20_000);
    for (encoder, decoder) in PAIRS {
        let packed = encode(encoder, &data);
        for (piece, high) in [(1, 4096), (4096, 4), (7, 100), (20_000, 1 << 20)] {
            let (output, ending) = run_with(decoder, &packed, piece, high, None);
            assert!(
                ending.is_ok() && output == data,
                "{decoder}: {piece} bytes, links of {high}"
            );
            let (repacked, ending) = run_with(encoder, &data, piece, high, None);
            assert!(ending.is_ok(), "{encoder}: {piece} bytes, links of {high}");
            assert_eq!(
                run(decoder, &repacked).0,
                data,
                "{encoder}: {piece} bytes, links of {high}"
            );
        }
    }
}

#[test]
fn members_follow_one_another_but_for_brotli() {
    for (encoder, decoder) in PAIRS {
        let twice = [encode(encoder, b"one, "), encode(encoder, b""), encode(encoder, b"two")].concat();
        if *decoder == "unbrotli" {
            let said = refused(decoder, &twice);
            assert!(said.contains("something else follows the end of the data"), "{said}");
            continue;
        }
        for piece in [1, 1000] {
            let (output, ending) = run_with(decoder, &twice, piece, 1 << 20, None);
            assert!(ending.is_ok(), "{decoder}: {ending:?}");
            assert_eq!(output, b"one, two", "{decoder}");
        }
        assert_eq!(run("decompress", &twice).0, b"one, two", "{decoder}");
    }
}

#[test]
fn any_cut_is_said_to_be_one() {
    for (encoder, decoder) in PAIRS {
        let packed = encode(encoder, &text(700));
        for at in 1..packed.len() {
            let said = refused(decoder, &packed[..at]);
            assert!(
                said.contains("the input ends in the middle of the data"),
                "{decoder} at {at}: {said}"
            );
        }
        assert!(refused(decoder, b"").contains("the input is empty"));
    }
}

/// Other ways to the same data: gzip without sizes, which one thread decodes, and the decoder that detects the format.
fn other_ways() -> impl Iterator<Item = (&'static str, &'static str)> {
    let named = PAIRS.iter().filter(|(_, decoder)| *decoder != "unbrotli");
    let found_out = named.map(|(encoder, _)| (*encoder, "decompress"));
    found_out.chain([("gzip single=true", "gunzip"), ("gzip single=true", "decompress")])
}

#[test]
fn other_ways_refuse_any_cut() {
    for (encoder, decoder) in other_ways() {
        let packed = encode(encoder, &text(300));
        for at in 0..packed.len() {
            refused(decoder, &packed[..at]);
        }
    }
}

#[test]
fn cut_is_accepted_only_between_members() {
    let data = vec![b'x'; 4 * (8 << 10)];
    let packed = encode("gzip member=8KiB", &data);
    let ends = (1..packed.len()).filter(|at| {
        let (output, ending) = run("gunzip", &packed[..*at]);
        assert!(data.starts_with(&output));
        match ending {
            Ok(()) => output.len() % (8 << 10) == 0,
            Err(failure) => {
                assert_eq!(failure.kind(), Kind::Corrupt, "at {at}: {failure}");
                false
            }
        }
    });
    assert_eq!(ends.count(), 3);
}

#[test]
fn many_and_empty_members_are_one_stream() {
    for (encoder, decoder) in PAIRS.iter().copied().chain(other_ways()) {
        if decoder == "unbrotli" {
            continue;
        }
        let (one, none) = (encode(encoder, b"one of many. "), encode(encoder, b""));
        let packed = [one.repeat(300), none.repeat(3), one.repeat(2), none].concat();
        let (output, ending) = run(decoder, &packed);
        ending.unwrap_or_else(|failure| panic!("{decoder}: {failure}"));
        assert!(output == b"one of many. ".repeat(302), "{decoder}");
    }
}

#[test]
fn something_else_behind_the_data_is_refused() {
    for (encoder, decoder) in PAIRS.iter().copied().chain(other_ways()) {
        let packed = encode(encoder, b"data");
        for garbage in [
            &b"x"[..],
            b"\x1f",
            b"more than any header is long, and none of them",
            b"\0\0\0x",
        ] {
            let said = refused(decoder, &[&packed, garbage].concat());
            assert!(!said.is_empty());
        }
    }
}

#[test]
fn output_before_a_cut_is_sent() {
    for (encoder, decoder) in PAIRS {
        let data = text(300_000);
        let packed = encode(encoder, &data);
        let (output, ending) = run(decoder, &packed[..packed.len() - 1]);
        assert!(ending.is_err() && data.starts_with(&output), "{decoder}");
        assert!(output.len() > 250_000, "{decoder}: {}", output.len());
    }
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    for (encoder, decoder) in PAIRS.iter().copied().chain(other_ways()) {
        let data = text(300);
        let packed = encode(encoder, &data);
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (output, ending) = run(decoder, &flipped);
            match ending {
                // A larger window may exceed the allowance.
                Err(failure) => assert!(
                    matches!(failure.kind(), Kind::Corrupt | Kind::Limit),
                    "{decoder}, bit {bit}: {failure}"
                ),
                Ok(()) => assert!(decoder == "unbrotli" || output == data, "{decoder}, bit {bit}"),
            }
        }
    }
}

#[test]
fn something_else_is_named() {
    for (encoder, decoder) in PAIRS {
        if *decoder == "unbrotli" {
            continue;
        }
        let packed = encode(encoder, b"data");
        let said = refused(decoder, &[&packed, &b"garbage"[..]].concat());
        assert!(
            said.contains("something else follows the end of the data"),
            "{decoder}: {said}"
        );
        let said = refused(decoder, b"plain text");
        assert!(said.contains("it looks like text"), "{decoder}: {said}");
        let other = if *decoder == "gunzip" {
            &b"PK\x03\x04"[..]
        } else {
            &[0x1f, 0x8b, 8, 0]
        };
        let said = refused(decoder, other);
        assert!(said.contains("it looks like"), "{decoder}: {said}");
    }
    let said = refused("decompress", b"hello, world");
    assert!(said.contains("not any of gzip"), "{said}");
    assert!(
        said.contains("it looks like text: `hello,`") && said.contains("unbrotli"),
        "{said}"
    );
    assert!(refused("decompress", b"").contains("the input is empty"));
}

#[test]
fn padding_zeros_follow_each_format() {
    let padded = |packed: Vec<u8>, zeros: usize| [packed, vec![0; zeros]].concat();
    let gzip = || encode("gzip", b"data");
    assert_eq!(run("gunzip", &padded(gzip(), 5)).0, b"data");
    assert_eq!(run("gunzip", &[padded(gzip(), 5), gzip()].concat()).0, b"datadata");
    #[cfg(feature = "xz")]
    {
        let xz = || encode("xz level=0", b"data");
        assert_eq!(
            run("unxz", &[padded(xz(), 4), xz(), vec![0; 8]].concat()).0,
            b"datadata"
        );
        assert!(refused("unxz", &padded(xz(), 6)).contains("no multiple of four"));
        assert!(refused("unxz", &[padded(xz(), 6), xz()].concat()).contains("something else follows"));
    }
}

#[cfg(all(feature = "zstd", feature = "lz4"))]
#[test]
fn frames_to_be_passed_over_are() {
    let skip = [&[0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0], &b"hello"[..]].concat();
    let empty = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    for (encoder, decoder) in [("zstd", "unzstd"), ("lz4", "unlz4")] {
        let stream = [&skip, &encode(encoder, b"data"), &empty[..], &skip].concat();
        for decoder in [decoder, "decompress"] {
            for piece in [1, 1000] {
                let (output, ending) = run_with(decoder, &stream, piece, 1 << 20, None);
                assert!(ending.is_ok(), "{decoder}: {ending:?}");
                assert_eq!(output, b"data", "{decoder}");
            }
        }
        assert!(refused(decoder, &stream[..stream.len() - 1]).contains("ends in the middle"));
    }
}

#[cfg(feature = "lz4")]
#[test]
fn lz4_of_the_old_kind_is_named() {
    let said = refused("unlz4", &[0x02, 0x21, 0x4c, 0x18, 5, 0, 0, 0]);
    assert!(said.contains("of the old kind (lz4 -l)"), "{said}");
}

#[cfg(feature = "zstd")]
#[test]
fn oversized_window_fails_at_the_header() {
    // A frame whose header requires 256 MiB.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00];
    let failure = run("unzstd", &frame).1.expect_err("too large");
    assert_eq!(failure.kind(), Kind::Limit);
    let said = failure.to_string();
    assert!(said.contains("256 MiB") && said.contains("--memory"), "{said}");
    let (output, ending) = run_with("unzstd", &frame, 9, 1 << 20, Some(300 << 20));
    assert!(ending.is_ok() && output.is_empty(), "{ending:?}");
}

#[cfg(feature = "xz")]
#[test]
fn oversized_block_fails_before_decoding() {
    let packed = encode("xz level=1", &text(1000));
    let failure = run_with("unxz", &packed, 9, 1 << 20, Some(1 << 20))
        .1
        .expect_err("too much");
    assert_eq!(failure.kind(), Kind::Limit);
    assert!(failure.to_string().contains("--memory"), "{failure}");
    assert_eq!(run_with("unxz", &packed, 9, 1 << 20, Some(2 << 20)).0, text(1000));
}

/// What an encoder sends while a source has sent something and not ended.
#[test]
fn encoder_output_comes_soon() {
    for (encoder, decoder) in PAIRS {
        if matches!(*decoder, "unxz" | "bunzip2") {
            continue;
        }
        let (mut feed, inlet) = link(1 << 20);
        let (outlet, middle) = link(1 << 20);
        let (restored, mut drain) = link(1 << 20);
        let encoding = start(encoder, None, inlet, outlet);
        let decoding = start(decoder, None, middle, restored);
        std::thread::scope(|scope| {
            scope.spawn(encoding);
            scope.spawn(decoding);
            for byte in b"abc" {
                block_on(feed.copy(&[*byte])).expect("is taken");
                let chunk = drain.receive_blocking().expect("runs").expect("comes");
                assert_eq!(chunk.as_slice(), [*byte], "{encoder}");
            }
            feed.finish();
            assert!(drain.receive_blocking().expect("runs").is_none());
        });
    }
}

/// A stream that never makes its encoder wait for long is not flushed: it is compressed as if it had come at once.
#[test]
fn a_steady_stream_is_not_flushed() {
    let data = text(3_000_000);
    for (encoder, _) in PAIRS {
        let at_once = encode(encoder, &data).len();
        let (output, ending) = run_with(encoder, &data, 1000, 1 << 20, None);
        assert!(ending.is_ok());
        // On a busy machine even a steady stream may pause for a moment.
        let most = at_once + at_once / 1000;
        assert!(
            output.len() <= most,
            "{encoder}: {} bytes, {at_once} at once",
            output.len()
        );
    }
}
