//! Records and positions.

use super::*;
use crate::flow::Position;

/// A link of these marks in bytes and in records.
fn rig(bytes: (u64, u64, usize), records: (u64, u64)) -> (Rig, Outlet, Inlet) {
    let (high, low, chunk) = bytes;
    let marks = Marks::new(high, low, chunk).with_records(records.0, records.1);
    Rig::in_pool(marks, Arc::new(Pool::new(high)))
}

/// Sends `bytes` in a buffer of `size` as `records` records; returns `false` if the producer is paused instead.
fn send_records(outlet: &mut Outlet, size: usize, bytes: &[u8], records: u64) -> bool {
    let Some(buffer) = now(outlet.reserve_records(size, records)) else {
        return false;
    };
    let mut buffer = buffer.expect("the link is open");
    assert_eq!(buffer.fill_from(bytes), bytes.len());
    buffer.count_records(records);
    outlet.send(buffer).expect("the link is open");
    true
}

/// What waits in the link: the bytes, records and position of each chunk.
fn drain(inlet: &mut Inlet) -> Vec<(Vec<u8>, u64, Option<u128>)> {
    std::iter::from_fn(|| inlet.try_receive())
        .map(|chunk| {
            let position = chunk.position().map(|Position(position)| position);
            (chunk.as_slice().to_vec(), chunk.records(), position)
        })
        .collect()
}

/// Records granted to the producer, and records that wait or that the consumer holds.
fn records(rig: &Rig) -> (u64, u64) {
    let state = lock(&rig.link.state);
    (state.granted.records, state.level.records)
}

#[test]
fn records_pause_before_bytes_do() {
    for (low, resumes_at) in [(4, 3), (3, 3), (2, 2), (1, 1), (0, 0)] {
        let (rig, mut outlet, mut inlet) = rig((100, 100, 25), (4, low));
        for _ in 0..4 {
            assert!(send_records(&mut outlet, 1, b"\n", 1));
        }
        let (woken, waker) = counted();
        assert!(poll_with(outlet.reserve_records(1, 1), &waker).is_pending());
        assert_eq!((rig.level(), records(&rig)), (4, (0, 4)));
        for left in (0..4).rev() {
            let chunk = receive(&mut inlet);
            assert_eq!(records(&rig), (0, left + 1), "it counts while it is in hand");
            drop(chunk);
            assert_eq!(woken.get(), usize::from(left <= resumes_at), "low {low}, {left} left");
        }
        let levels = rig.link.levels();
        assert_eq!(
            (
                levels.times_full,
                levels.drains,
                levels.records.map(|records| records.peak)
            ),
            (1, 1, Some(4))
        );
        rig.assert_nothing_is_held();
    }
}

#[test]
fn bytes_pause_before_records_do() {
    let (rig, mut outlet, mut inlet) = rig((100, 50, 25), (1000, 1000));
    for _ in 0..4 {
        assert!(send_records(&mut outlet, 25, &[b'\n'; 25], 25));
    }
    assert!(!send_records(&mut outlet, 1, b"\n", 1));
    assert_eq!((rig.level(), records(&rig)), (100, (0, 100)));
    drop(receive(&mut inlet));
    assert!(!send_records(&mut outlet, 1, b"\n", 1));
    drop(receive(&mut inlet));
    assert!(send_records(&mut outlet, 1, b"\n", 1), "at the low mark");
}

#[test]
fn both_low_marks_end_a_pause() {
    for (bytes, records) in [((100, 50, 25), (4, 4)), ((100, 100, 25), (4, 2))] {
        let (_rig, mut outlet, mut inlet) = rig(bytes, records);
        for _ in 0..4 {
            assert!(send_records(&mut outlet, 25, &[b'\n'; 25], 1));
        }
        assert!(!send_records(&mut outlet, 25, b"\n", 1));
        drop(receive(&mut inlet));
        assert!(!send_records(&mut outlet, 25, b"\n", 1), "one mark is not enough");
        drop(receive(&mut inlet));
        assert!(send_records(&mut outlet, 25, b"\n", 1));
    }
}

#[test]
fn unused_record_credit_comes_back() {
    let (rig, mut outlet, _inlet) = rig((100, 100, 25), (16, 16));
    let mut buffers: Vec<Buffer> = (0..4)
        .map(|_| now(outlet.reserve_records(1, 100)).unwrap().unwrap())
        .collect();
    assert_eq!(
        (buffers[0].record_room(), records(&rig)),
        (4, (16, 0)),
        "a quarter each"
    );
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve_records(1, 1), &waker).is_pending());
    let mut buffer = buffers.pop().unwrap();
    buffer.fill_from(b"\n");
    buffer.count_records(1);
    assert_eq!(buffer.record_room(), 3);
    outlet.send(buffer).unwrap();
    assert_eq!((records(&rig), woken.get()), ((12, 1), 1), "sent");
    drop(buffers.pop());
    assert_eq!(records(&rig), (8, 1), "dropped");
}

#[test]
fn appended_records_use_their_own_credit() {
    let (rig, mut outlet, mut inlet) = rig((1 << 20, 0, 64 << 10), (8, 0));
    for sent in 1..=8 {
        assert!(send_records(&mut outlet, 64 << 10, b"\n", 1));
        assert_eq!(records(&rig), (0, sent));
        let chunks = usize::try_from(sent.div_ceil(2)).unwrap();
        assert_eq!(rig.credit().2, chunks, "a chunk has a quarter of the mark");
    }
    assert!(!send_records(&mut outlet, 64 << 10, b"\n", 1));
    assert!(
        drain(&mut inlet)
            .iter()
            .all(|chunk| *chunk == (b"\n\n".to_vec(), 2, None))
    );
    assert!(send_records(&mut outlet, 64 << 10, b"\n", 1));
    assert!(send_records(&mut outlet, 64 << 10, b"", 1), "a record of no bytes");
    assert_eq!(drain(&mut inlet), [(b"\n".to_vec(), 2, None)]);
    rig.assert_nothing_is_held();
}

#[test]
fn copied_records_wait_for_credit() {
    let pool = Arc::new(Pool::new(128 << 10));
    let (_, mut source, mut middle) = Rig::in_pool(Marks::new(64 << 10, 0, 16 << 10), pool.clone());
    let marks = Marks::new(16 << 10, 0, 2 << 10).with_records(16, 0);
    let (rig, mut outlet, mut inlet) = Rig::in_pool(marks, pool);
    // Its chunks are larger than those of the second link.
    let mut chunk_of = |count: usize| {
        assert!(send_records(&mut source, 16 << 10, &vec![b'\n'; count], count as u64));
        receive(&mut middle)
    };
    for round in 1..=7 {
        assert_eq!(now(outlet.forward(chunk_of(2))), Some(Ok(())));
        assert_eq!(records(&rig), (0, 2 * round));
    }
    assert_eq!(
        rig.credit(),
        (0, 8 << 10, 4),
        "behind the last chunk where that has less than four"
    );
    assert_eq!(now(outlet.forward(chunk_of(3))), None, "the link has room for two");
    drop(receive(&mut inlet));
    assert_eq!(now(outlet.forward(chunk_of(2))), None, "it has not drained yet");
    assert_eq!(records(&rig), (0, 10));
    drain(&mut inlet);
    assert_eq!(now(outlet.forward(chunk_of(2))), Some(Ok(())));
    assert_eq!(now(outlet.forward(chunk_of(2))), Some(Ok(())));
    assert_eq!(rig.credit().2, 1);
}

#[test]
fn no_record_is_copied_past_the_mark() {
    let pool = Arc::new(Pool::new(128 << 10));
    let (_, mut source, mut middle) = Rig::in_pool(Marks::new(64 << 10, 0, 16 << 10), pool.clone());
    let marks = Marks::new(16 << 10, 16 << 10, 2 << 10).with_records(8, 8);
    let (rig, mut outlet, _inlet) = Rig::in_pool(marks, pool);
    let held: Vec<_> = (0..7)
        .map(|_| now(outlet.reserve_records(1, 1)).unwrap().unwrap())
        .collect();
    assert!(send_records(&mut outlet, 2 << 10, b"x", 0), "a chunk with room");
    assert!(send_records(&mut source, 16 << 10, b"\n\n", 2));
    assert_eq!(now(outlet.forward(receive(&mut middle))), None);
    assert_eq!(records(&rig), (7, 0));
    drop(held);
}

#[test]
fn record_of_link_size_passes_alone() {
    let (rig, mut outlet, mut inlet) = rig((100, 100, 25), (4, 4));
    assert!(send_records(&mut outlet, 1, b"\n", 1));
    assert!(send_records(&mut outlet, 1, b"\n", 1));
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve_whole(100), &waker).is_pending());
    let chunk = receive(&mut inlet);
    drop(receive(&mut inlet));
    assert_eq!(woken.get(), 0, "one byte is too many beside it");
    drop(chunk);
    assert_eq!(woken.get(), 1);
    let mut buffer = now(outlet.reserve_whole(100)).unwrap().unwrap();
    assert_eq!((buffer.capacity(), buffer.record_room()), (100, 1));
    buffer.fill_from(&[b'\n'; 100]);
    buffer.count_records(1);
    outlet.send(buffer).unwrap();
    assert!(!send_records(&mut outlet, 1, b"\n", 1), "nothing fits beside it");
    assert_eq!((rig.credit(), rig.pool.levels().in_use), ((0, 100, 1), 100));
    drop(receive(&mut inlet));
    assert!(send_records(&mut outlet, 1, b"\n", 1));
}

#[test]
fn a_large_record_is_forwarded_whole() {
    let pool = Arc::new(Pool::new(200));
    let marks = Marks::new(100, 100, 25);
    let (first, mut source, mut middle) = Rig::in_pool(marks, pool.clone());
    let (second, mut outlet, mut inlet) = Rig::in_pool(marks, pool);
    let mut buffer = now(source.reserve_whole(100)).unwrap().unwrap();
    buffer.fill_from(&[b'\n'; 100]);
    buffer.count_records(1);
    source.send(buffer).unwrap();
    let chunk = receive(&mut middle);
    let place = chunk.as_slice().as_ptr();
    assert_eq!(now(outlet.forward(chunk)), Some(Ok(())));
    assert_eq!((first.level(), second.level()), (0, 100));
    assert_eq!(receive(&mut inlet).as_slice().as_ptr(), place);
}

#[test]
#[should_panic(expected = "never comes")]
fn record_above_the_mark_panics() {
    let (_rig, mut outlet, _inlet) = rig((100, 50, 25), (4, 4));
    let _ = now(outlet.reserve_whole(101));
}

#[test]
fn smaller_wait_replaces_a_dropped_one() {
    let (rig, mut outlet, _inlet) = rig((100, 100, 25), (4, 4));
    let held = now(outlet.reserve(1)).unwrap().unwrap();
    assert!(now(outlet.reserve_whole(100)).is_none(), "not beside what is held");
    assert!(now(outlet.reserve(25)).is_some(), "but this is");
    let levels = rig.link.levels();
    assert_eq!((levels.times_full, levels.drains), (1, 1));
    drop(held);
}

#[test]
fn a_cut_chunk_gives_its_records_back() {
    let (rig, mut outlet, mut inlet) = rig((100, 100, 25), (4, 0));
    for _ in 0..4 {
        assert!(send_records(&mut outlet, 2, b"x\n", 1));
    }
    outlet.mark(Position(7)).unwrap();
    let (woken, waker) = counted();
    assert!(poll_with(outlet.reserve_records(1, 1), &waker).is_pending());
    let mut chunks = [(); 4].map(|()| receive(&mut inlet));
    for chunk in &mut chunks {
        chunk.advance(0);
        chunk.truncate(2);
        chunk.advance(1);
        assert_eq!((chunk.records(), woken.get()), (1, 0), "its end is still there");
        chunk.advance(1);
        assert_eq!(chunk.records(), 0);
    }
    assert_eq!((woken.get(), records(&rig), rig.credit()), (1, (0, 0), (0, 8, 4)));
    assert_eq!(chunks[3].position(), Some(Position(7)), "it was not cut off");
    drop(chunks);
    rig.assert_nothing_is_held();
}

#[test]
fn cut_chunk_keeps_its_other_records() {
    let (rig, mut outlet, mut inlet) = rig((100, 100, 25), (40, 0));
    let sent = |outlet: &mut Outlet, inlet: &mut Inlet| {
        assert!(send_records(outlet, 12, b"a\nbb\nccc\ndd\n", 4));
        receive(inlet)
    };
    let mut chunk = sent(&mut outlet, &mut inlet);
    for (most, whole) in [
        (1, 2),
        (2, 2),
        (4, 2),
        (5, 5),
        (8, 5),
        (9, 9),
        (11, 9),
        (12, 12),
        (99, 12),
    ] {
        assert_eq!(chunk.whole_records_within(most), whole, "{most}");
    }
    chunk.advance(3);
    assert_eq!((chunk.as_slice(), chunk.records()), (&b"b\nccc\ndd\n"[..], 3));
    chunk.truncate(7);
    assert_eq!((chunk.as_slice(), chunk.records()), (&b"b\nccc\nd"[..], 2));
    assert_eq!(records(&rig), (0, 2));
    chunk.truncate(0);
    assert_eq!((chunk.records(), chunk.position()), (0, None));
    drop(chunk);
    let mut chunk = sent(&mut outlet, &mut inlet);
    now(outlet.forward_front(&mut chunk, 5)).unwrap().unwrap();
    now(outlet.forward_front(&mut chunk, 7)).unwrap().unwrap();
    assert_eq!((chunk.len(), chunk.records()), (0, 0));
    drop(chunk);
    assert_eq!(
        drain(&mut inlet),
        [(b"a\nbb\nccc\ndd\n".to_vec(), 4, None)],
        "behind each other"
    );
    rig.assert_nothing_is_held();
}

#[test]
fn positions_are_bounded_as_chunks_are() {
    let (rig, mut outlet, mut inlet) = Rig::new(4096, 0, 1);
    let most = Marks::MOST_CHUNKS as u128;
    let mark = |outlet: &mut Outlet, position| outlet.mark(Position(position)).unwrap();
    let mut held: Vec<Chunk> = (0..most)
        .map(|position| {
            mark(&mut outlet, position);
            receive(&mut inlet)
        })
        .collect();
    let (woken, waker) = counted();
    mark(&mut outlet, 5000);
    mark(&mut outlet, 5001);
    assert!(poll_with(inlet.receive(), &waker).is_pending());
    assert_eq!(rig.credit(), (0, 0, Marks::MOST_CHUNKS));
    held.pop();
    assert_eq!(woken.get(), 1);
    held.push(receive(&mut inlet));
    assert_eq!(held.last().and_then(Chunk::position), Some(Position(5001)));
    mark(&mut outlet, 5002);
    outlet.finish();
    assert!(now(inlet.receive()).is_none(), "the end is behind it");
    held.pop();
    assert_eq!(receive(&mut inlet).position(), Some(Position(5002)));
    assert!(matches!(now(inlet.receive()), Some(Ok(None))));
    drop(held);
    rig.assert_nothing_is_held();
}

#[test]
fn position_joins_the_last_chunk() {
    let (rig, mut outlet, mut inlet) = Rig::new(100, 50, 25);
    outlet.mark(Position(1)).unwrap();
    outlet.mark(Position(2)).unwrap();
    assert_eq!(rig.credit(), (0, 0, 1), "no credit");
    assert!(send_in(&mut outlet, 1, b"a"));
    outlet.mark(Position(3)).unwrap();
    assert!(send_in(&mut outlet, 1, b"b"));
    let sent = [
        (vec![], 0, Some(2)),
        (b"a".to_vec(), 0, Some(3)),
        (b"b".to_vec(), 0, None),
    ];
    assert_eq!(drain(&mut inlet), sent);
    outlet.mark(Position(4)).unwrap();
    assert_eq!(drain(&mut inlet), [(vec![], 0, Some(4))], "none waits");
    rig.assert_nothing_is_held();
}

#[test]
fn position_passes_a_full_link() {
    let (rig, mut outlet, mut inlet) = Rig::new(4, 0, 1);
    let (woken, waker) = counted();
    assert!(poll_with(inlet.receive(), &waker).is_pending());
    outlet.mark(Position(1)).unwrap();
    assert_eq!(woken.get(), 1);
    let first = receive(&mut inlet);
    assert!(first.is_empty() && first.capacity() == 0);
    assert_eq!(fill_up(&mut outlet, 1), 4, "it pins nothing");
    outlet.mark(Position(2)).unwrap();
    assert_eq!(rig.credit(), (0, 4, 5));
    drop((first, inlet));
    assert_eq!(outlet.mark(Position(3)), Err(Closed));
    rig.assert_nothing_is_held();
}

#[test]
fn sent_and_appended_positions_arrive() {
    let (rig, mut outlet, mut inlet) = Rig::new(1 << 20, 0, 64 << 10);
    let mut send = |bytes: &[u8], position: Option<u128>| {
        let mut buffer = now(outlet.reserve(64 << 10)).unwrap().unwrap();
        buffer.fill_from(bytes);
        if let Some(position) = position {
            buffer.mark(Position(position));
        }
        outlet.send(buffer).unwrap();
    };
    send(b"a", Some(1));
    send(b"b", None);
    assert_eq!(
        drain(&mut inlet),
        [(b"a".to_vec(), 0, Some(1)), (b"b".to_vec(), 0, None)]
    );
    send(b"a", Some(1));
    send(b"b", Some(2));
    send(b"", Some(3));
    send(b"", None);
    assert_eq!(drain(&mut inlet), [(b"ab".to_vec(), 0, Some(3))]);
    send(b"", Some(4));
    assert_eq!(drain(&mut inlet), [(vec![], 0, Some(4))]);
    rig.assert_nothing_is_held();
}

/// What arrives if `bytes` with `count` records, up to position 9, are forwarded into a link of these marks, whose
/// consumer takes one chunk at a time.
fn forwarded(bytes: &[u8], count: u64, marks: Marks) -> Vec<(Vec<u8>, u64, Option<u128>)> {
    let pool = Arc::new(Pool::new(1000 + marks.high));
    let (first, mut source, mut middle) = Rig::in_pool(Marks::new(1000, 0, 250), pool.clone());
    let (second, mut outlet, mut inlet) = Rig::in_pool(marks, pool);
    assert!(send_records(&mut source, bytes.len(), bytes, count));
    source.mark(Position(9)).unwrap();
    let mut chunks = Vec::new();
    {
        let mut forward = pin!(outlet.forward(receive(&mut middle)));
        while now(forward.as_mut()).is_none() {
            let waiting = drain(&mut inlet);
            assert!(!waiting.is_empty(), "a deadlock");
            chunks.extend(waiting);
        }
    }
    chunks.extend(drain(&mut inlet));
    first.assert_nothing_is_held();
    second.assert_nothing_is_held();
    chunks
}

fn assert_forwarded(bytes: &str, count: u64, marks: Marks, pieces: &[(&str, u64)]) {
    let last = pieces.len() - 1;
    let expected: Vec<_> = pieces
        .iter()
        .enumerate()
        .map(|(at, (piece, records))| (piece.as_bytes().to_vec(), *records, (at == last).then_some(9)))
        .collect();
    assert_eq!(forwarded(bytes.as_bytes(), count, marks), expected);
}

#[test]
fn a_chunk_is_cut_between_records() {
    let marks = Marks::new(20, 0, 5);
    assert_forwarded("a\nbb\nccc\n", 3, marks, &[("a\nbb\n", 2), ("ccc\n", 1)]);
    assert_forwarded("a\nbbb\ncc\n", 3, marks, &[("a\n", 1), ("bbb\n", 1), ("cc\n", 1)]);
    assert_forwarded(
        "a\nbbbbbbbbb\nc\n",
        3,
        marks,
        &[("a\n", 1), ("bbbbbbbbb\n", 1), ("c\n", 1)],
    );
}

#[test]
fn records_are_cut_to_the_record_mark() {
    let marks = Marks::new(1000, 0, 250);
    assert_forwarded(
        "a\nb\nc\n",
        3,
        marks.with_records(2, 0),
        &[("a\n", 1), ("b\n", 1), ("c\n", 1)],
    );
    assert_forwarded("a\nb\nc\n", 3, marks.with_records(8, 0), &[("a\nb\n", 2), ("c\n", 1)]);
    assert_forwarded("a\nb\nc\n", 3, marks.with_records(12, 0), &[("a\nb\nc\n", 3)]);
}

#[test]
fn one_record_of_several_lines_stays_whole() {
    let marks = Marks::new(20, 0, 5);
    assert_forwarded("a\nb\nc\nd\n", 1, marks, &[("a\nb\nc\nd\n", 1)]);
    assert_forwarded(&"x\n".repeat(10), 1, marks, &[(&"x\n".repeat(10), 1)]);
}

#[test]
fn forward_cuts_a_record_above_the_mark() {
    let parts = [("a", 0), ("b", 0), ("\n", 1), ("\n", 1)];
    assert_forwarded("ab\n\n", 2, Marks::new(1, 0, 1).with_records(1, 0), &parts);
    let parts = [("aaa", 0), ("aaaaaaaaaaaa\n", 1)];
    assert_forwarded("aaaaaaaaaaaaaaa\n", 1, Marks::new(15, 0, 5), &parts);
}

#[test]
fn records_without_ends_are_not_lost() {
    let marks = Marks::new(20, 0, 5).with_records(1, 0);
    assert_forwarded("abc", 3, marks, &[("abc", 1), ("", 1), ("", 1)]);
    assert_forwarded("a\nb\n", 1, Marks::new(2, 0, 1), &[("a", 0), ("\n", 0), ("b\n", 1)]);
}
