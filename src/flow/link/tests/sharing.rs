//! Blocks that several links share.

use super::*;

/// Chunks of 8 bytes, and as many links of these marks as there are, all in one pool.
fn branches<const COUNT: usize>(marks: [Marks; COUNT]) -> (Rig, Outlet, Inlet, [(Rig, Outlet, Inlet); COUNT]) {
    let source = Marks::new(32, 32, 8);
    let pool = Arc::new(Pool::new(
        source.high + marks.iter().map(|marks| marks.high).sum::<u64>(),
    ));
    let (rig, outlet, inlet) = Rig::in_pool(source, pool.clone());
    (rig, outlet, inlet, marks.map(|marks| Rig::in_pool(marks, pool.clone())))
}

const MARKS: Marks = Marks {
    high: 32,
    low: 32,
    chunk: 8,
    records: None,
    is_advisory: false,
};

#[test]
fn shared_block_counts_once() {
    let (rig, mut source, mut middle, [(a, mut to_a, mut from_a), (b, mut to_b, mut from_b)]) = branches([MARKS; 2]);
    assert!(send_in(&mut source, 8, b"abcdefgh"));
    let mut chunk = receive(&mut middle);
    chunk.advance(1);
    let place = chunk.as_slice().as_ptr();
    assert_eq!(now(to_a.share(&mut chunk)), Some(Ok(())));
    assert_eq!(now(to_b.share(&mut chunk)), Some(Ok(())));
    assert_eq!((rig.level(), a.level(), b.level()), (8, 8, 8), "each link counts it");
    assert_eq!(rig.pool.levels().in_use, 8);
    drop(chunk);
    assert_eq!((rig.level(), rig.pool.levels().in_use), (0, 8));
    for inlet in [&mut from_a, &mut from_b] {
        let chunk = receive(inlet);
        assert_eq!((chunk.as_slice(), chunk.as_slice().as_ptr()), (&b"bcdefgh"[..], place));
    }
    assert_eq!((rig.pool.levels().in_use, rig.pool.levels().peak), (0, 8));
    assert_eq!((a.producer.bytes_out(), b.producer.bytes_out()), (7, 7));
}

#[test]
fn the_last_holder_gives_the_block_back() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (rig, mut source, mut middle, [(a, mut to_a, mut from_a), (b, mut to_b, mut from_b)]) =
            branches([MARKS; 2]);
        assert!(send_in(&mut source, 8, b"abcdefgh"));
        let mut chunk = receive(&mut middle);
        now(to_a.share(&mut chunk)).unwrap().unwrap();
        now(to_b.share(&mut chunk)).unwrap().unwrap();
        let mut holders = [Some(chunk), Some(receive(&mut from_a)), Some(receive(&mut from_b))];
        for (dropped, which) in order.into_iter().enumerate() {
            assert_eq!((rig.pool.levels().in_use, rig.pool.levels().free), (8, 0));
            let mut chunk = holders[which].take().unwrap();
            assert_eq!(chunk.as_slice(), b"abcdefgh");
            assert_eq!(chunk.as_mut_slice().is_some(), dropped == 2, "only the last may write");
        }
        assert_eq!((rig.pool.levels().in_use, rig.pool.levels().free), (0, 8));
        [rig, a, b].iter().for_each(Rig::assert_nothing_is_held);
    }
}

#[test]
fn nothing_is_appended_to_a_shared_block() {
    let marks = Marks::new(64 << 10, 0, 16 << 10);
    let pool = Arc::new(Pool::new(3 * marks.high));
    let (_rig, mut source, mut middle) = Rig::in_pool(marks, pool.clone());
    let (a, mut to_a, mut from_a) = Rig::in_pool(marks, pool.clone());
    let (b, mut to_b, mut from_b) = Rig::in_pool(marks, pool.clone());
    let part = vec![b'x'; 9 << 10];
    assert!(send_in(&mut source, 16 << 10, &part));
    let mut chunk = receive(&mut middle);
    now(to_a.share(&mut chunk)).unwrap().unwrap();
    now(to_b.share(&mut chunk)).unwrap().unwrap();
    drop(chunk);
    assert_eq!(now(to_a.copy(b"a")), Some(Ok(())));
    assert!(send_in(&mut to_b, 16 << 10, b"b"));
    assert_eq!((a.credit().2, b.credit().2), (2, 2), "in chunks of their own");
    assert_eq!(receive(&mut from_a).as_slice(), part);
    assert_eq!(receive(&mut from_a).as_slice(), b"a");
    assert_eq!(now(to_b.copy(b"c")), Some(Ok(())));
    assert_eq!(receive(&mut from_b).as_slice(), part);
    assert_eq!(receive(&mut from_b).as_slice(), b"bc");
    // No longer shared, it can be appended to again.
    assert!(send_in(&mut source, 16 << 10, &part));
    let mut chunk = receive(&mut middle);
    now(to_a.share(&mut chunk)).unwrap().unwrap();
    drop(chunk);
    assert_eq!(now(to_a.copy(b"a")), Some(Ok(())));
    assert_eq!(receive(&mut from_a).len(), part.len() + 1);
    assert_eq!(pool.levels().in_use, 0);
}

#[test]
fn a_small_branch_gets_copies_in_pieces() {
    let small = Marks::new(1, 0, 1);
    let (rig, mut source, mut middle, [(a, mut to_a, mut from_a), (b, mut to_b, mut from_b)]) =
        branches([small, MARKS]);
    assert!(send_in(&mut source, 8, b"abcdefgh"));
    let mut chunk = receive(&mut middle);
    {
        let mut share = pin!(to_a.share(&mut chunk));
        for byte in *b"abcdefg" {
            assert_eq!(now(share.as_mut()), None);
            assert_eq!((a.level(), a.pool.levels().in_use), (1, 9));
            assert_eq!(receive(&mut from_a).as_slice(), [byte]);
        }
        assert_eq!(now(share.as_mut()), Some(Ok(())));
    }
    assert!(chunk.as_mut_slice().is_some(), "copies share nothing");
    now(to_b.share(&mut chunk)).unwrap().unwrap();
    drop(chunk);
    assert_eq!((rig.level(), a.level(), b.level()), (0, 1, 8));
    assert_eq!(receive(&mut from_a).as_slice(), b"h");
    assert_eq!(receive(&mut from_b).as_slice(), b"abcdefgh");
    [rig, a, b].iter().for_each(Rig::assert_nothing_is_held);
}

#[test]
fn one_branch_ends_while_others_go_on() {
    for end in ["leave", "abort", "cancel"] {
        let (rig, mut source, mut middle, [(a, mut to_a, from_a), (b, mut to_b, mut from_b)]) = branches([MARKS; 2]);
        assert!(send_in(&mut source, 8, b"abcdefgh"));
        let mut chunk = receive(&mut middle);
        now(to_a.share(&mut chunk)).unwrap().unwrap();
        now(to_b.share(&mut chunk)).unwrap().unwrap();
        match end {
            "leave" => drop(from_a),
            "abort" => drop((to_a, from_a)),
            _ => {
                a.link.cancel();
                assert_eq!(now(to_a.share(&mut chunk)), Some(Err(Closed)));
            }
        }
        a.assert_nothing_of_its_own();
        assert_eq!((b.level(), rig.pool.levels().in_use), (8, 8), "{end}");
        assert!(chunk.as_mut_slice().is_none());
        drop(chunk);
        let mut chunk = receive(&mut from_b);
        assert_eq!(chunk.as_slice(), b"abcdefgh");
        assert!(chunk.as_mut_slice().is_some());
        drop(chunk);
        [rig, b].iter().for_each(Rig::assert_nothing_is_held);
    }
}
