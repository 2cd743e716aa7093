//! gzip and gunzip against the real gzip, at every critical size.

use crate::harness::{Folder, Run, highwater, noise, peer, through};

/// The default chunk, in bytes.
const CHUNK: usize = 256 << 10;

/// Nothing, a byte, the edges of a chunk, and more than all links hold.
const SIZES: [usize; 7] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 20 << 20];

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut gzip = peer("gzip")?;
    gzip.arg("-c");
    let (well, compressed) = through(gzip, bytes);
    assert!(well);
    Some(compressed)
}

fn gunzip(bytes: &[u8]) -> Option<(bool, Vec<u8>)> {
    let mut gzip = peer("gzip")?;
    gzip.arg("-dc");
    Some(through(gzip, bytes))
}

/// Our gzip's output, for tests that need no other.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    highwater(["gzip"]).input(bytes).run().succeeds()
}

#[track_caller]
fn same(left: &[u8], right: &[u8]) {
    assert!(
        left == right,
        "{} bytes against {}, different from byte {:?} on",
        left.len(),
        right.len(),
        left.iter().zip(right).position(|(left, right)| left != right)
    );
}

#[test]
fn gzip_tool_decompresses_our_output() {
    for size in SIZES {
        let bytes = noise(size, 1);
        let folder = Folder::new();
        folder.write("a", &bytes);
        highwater(["read a | gzip | write b"]).within(&folder).run().succeeds();
        let Some((well, back)) = gunzip(&folder.read("b")) else {
            return;
        };
        assert!(well, "{size} bytes");
        same(&back, &bytes);
    }
}

#[test]
fn gunzip_decompresses_the_tools_output() {
    for size in SIZES {
        let bytes = noise(size, 2);
        let folder = Folder::new();
        let Some(compressed) = gzip(&bytes) else { return };
        folder.write("a", compressed);
        highwater(["read a | gunzip | write b"])
            .within(&folder)
            .run()
            .succeeds();
        same(&folder.read("b"), &bytes);
    }
}

#[test]
fn every_level_and_compressible_bytes() {
    let bytes: Vec<u8> = noise(CHUNK, 3)
        .iter()
        .map(|byte| b'a' + byte % 3)
        .cycle()
        .take(3 << 20)
        .collect();
    let mut sizes = Vec::new();
    for level in 1..=9 {
        let ours = highwater([format!("gzip level={level}")])
            .input(bytes.as_slice())
            .run()
            .succeeds();
        sizes.push(ours.len());
        let Some((well, back)) = gunzip(&ours) else { return };
        assert!(well, "level {level}");
        same(&back, &bytes);
    }
    assert!(sizes[8] < sizes[0], "{sizes:?}");
}

#[test]
fn pipes_on_both_sides() {
    for size in SIZES {
        let bytes = noise(size, 4);
        let ours = compressed(&bytes);
        same(&highwater(["gunzip"]).input(ours).run().succeeds(), &bytes);
    }
}

#[test]
fn there_and_back_in_one_chain() {
    let bytes = noise(3 * CHUNK + 7, 5);
    for options in [vec![], vec!["--chunk", "1000"], vec!["--memory", "1MiB"]] {
        let arguments = [options, vec!["gzip | gunzip | gzip level=1 | gunzip"]].concat();
        same(&highwater(arguments).input(bytes.as_slice()).run().succeeds(), &bytes);
    }
}

#[test]
fn members_follow_members() {
    let (first, second) = (noise(CHUNK + 1, 6), noise(1000, 7));
    let empty = compressed(b"");
    let all = [compressed(&first), empty.clone(), compressed(&second), empty].concat();
    let expected = [first, second].concat();
    same(&highwater(["gunzip"]).input(all.as_slice()).run().succeeds(), &expected);
    // One byte at a time: each border falls between two chunks.
    let small = [compressed(b"one"), compressed(b""), compressed(b"two")].concat();
    let run = highwater(["--chunk", "1", "gunzip"]).input(small).run();
    assert_eq!(run.succeeds(), b"onetwo");
}

#[test]
fn zeros_after_last_member_are_padding() {
    for count in [1, 511, CHUNK + 1] {
        let padded = [compressed(b"tape"), vec![0; count]].concat();
        assert_eq!(highwater(["gunzip"]).input(padded).run().succeeds(), b"tape");
    }
}

/// Decompresses into a file that exists, which must be untouched.
#[track_caller]
fn corrupt(folder: &Folder, input: &[u8]) -> Run {
    folder.write("a", input);
    folder.write("b", "old");
    let run = highwater(["read a | gunzip | write b"]).within(folder).run();
    assert_eq!(folder.names(), ["a", "b"], "no temporary file is left");
    assert_eq!(folder.read("b"), b"old");
    run
}

#[test]
fn garbage_behind_a_member() {
    let folder = Folder::new();
    let member = compressed(b"good");
    let run = corrupt(&folder, &[member.as_slice(), b"junk"].concat());
    assert_eq!(
        run.fails(6),
        format!(
            "highwater: gunzip: cannot decompress gzip input: something else follows the end of the data: it looks \
             like text: `junk` (at byte {})",
            member.len()
        )
    );
    let padded = [member.as_slice(), &[0; 3], b"junk"].concat();
    corrupt(&folder, &padded).fails(6);
    // What starts like a member must be one.
    corrupt(&folder, &[member.as_slice(), &[0x1f]].concat()).fails(6);
    corrupt(&folder, &[member.as_slice(), &[0x1f, 0x8b]].concat()).fails(6);
    corrupt(&folder, &[member.as_slice(), &[0x1f, 0x00, 0x08]].concat()).fails(6);
}

#[test]
fn something_that_is_no_gzip() {
    let folder = Folder::new();
    for (head, name) in [
        (&b"\x28\xb5\x2f\xfd\x00\x00\x00"[..], "it looks like zstd"),
        (b"BZh91AY", "it looks like bzip2"),
        (b"plain text", "it looks like text"),
        (b"\x1f", "the input ends in the middle"),
    ] {
        let run = corrupt(&folder, head);
        assert!(run.fails(6).contains(name), "{}", run.stderr);
    }
}

#[test]
fn truncation_at_any_byte_is_refused() {
    let folder = Folder::new();
    let whole = compressed(b"a stream that is cut, a stream that is cut at any byte");
    for end in 0..whole.len() {
        corrupt(&folder, &whole[..end]).fails(6);
    }
    // A cut at the border between two members looks like an end.
    let two = [whole.as_slice(), &whole].concat();
    for end in whole.len() + 1..two.len() {
        corrupt(&folder, &two[..end]).fails(6);
    }
}

#[test]
fn one_flipped_bit_at_any_byte() {
    let folder = Folder::new();
    let text = b"flip, flop, flip, flop: one bit at any byte";
    let whole = compressed(text);
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            folder.write("a", &flipped);
            let run = highwater(["read a | gunzip | write b"]).within(&folder).run();
            match run.code {
                Some(0) => {
                    assert_eq!(folder.read("b"), text, "byte {at}, bit {bit}");
                    std::fs::remove_file(folder.join("b")).expect("removed");
                }
                _ => {
                    run.fails(6);
                }
            }
            assert_eq!(folder.names(), ["a"], "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn the_smallest_links_deliver_exact_bytes() {
    let bytes = noise(100_003, 8);
    for arguments in [
        vec!["--memory", "64KiB", "skip 0 | take 1T | throttle 10GB/s"],
        vec!["--memory", "4KiB", "write -"],
        vec!["--chunk", "1", "skip 0"],
        vec!["read - high=1 | write -"],
        vec![
            "--chunk",
            "1",
            "read - high=1 | skip 0 high=1 | take 1T high=1 | write -",
        ],
        vec!["read - high=2 low=0 | throttle 1GB/s high=3 low=1"],
        vec!["read - high=1 | gzip high=1 | gunzip high=1 | write -"],
    ] {
        let run = highwater(&arguments).input(bytes.as_slice()).run();
        same(&run.succeeds(), &bytes);
    }
}

#[test]
fn a_trickle_is_not_held_back() {
    use std::io::{Read, Write};
    let folder = Folder::new();
    let fifo = folder.fifo("in");
    let mut running = highwater(["read in | gunzip"]).within(&folder).start();
    let mut stdout = running.take_stdout();
    let mut into = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
    // A stored block gives its bytes before the stream ends: RFC 1951, 3.2.4.
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    into.write_all(&head).expect("written");
    for byte in b"drip" {
        into.write_all(&[0, 1, 0, 0xfe, 0xff, *byte]).expect("written");
        let mut seen = [0];
        stdout.read_exact(&mut seen).expect("a byte, though more is to come");
        assert_eq!(seen[0], *byte);
    }
    drop(into);
    running.wait().fails(6);
}

/// Cuts a stream of members that tell their sizes, as RFC 1952 lets their extra field.
fn members(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut members = Vec::new();
    while !stream.is_empty() {
        assert_eq!(
            (&stream[..4], &stream[12..16]),
            (&b"\x1f\x8b\x08\x04"[..], &b"IG\x04\x00"[..])
        );
        let size = u32::from_le_bytes(stream[16..20].try_into().expect("four bytes"));
        let (member, rest) = stream.split_at(usize::try_from(size).expect("fits"));
        members.push(member);
        stream = rest;
    }
    members
}

#[test]
fn member_size_ignores_the_thread_count() {
    let bytes = noise(300_001, 21);
    for member in [4 << 10, 100_000, 300_001, 2 << 20] {
        let mut on_one_thread = None;
        for threads in [1, 2, 5] {
            // No member is cut short, however slowly the input comes.
            let stage = format!("gzip threads={threads} member={member} flush=1h");
            let packed = highwater([stage.as_str()]).input(bytes.as_slice()).run().succeeds();
            same(on_one_thread.get_or_insert_with(|| packed.clone()), &packed);
            assert_eq!(members(&packed).len(), bytes.len().div_ceil(member), "{stage}");
            same(&highwater(["gunzip"]).input(packed.as_slice()).run().succeeds(), &bytes);
            if let Some((whole, restored)) = gunzip(&packed) {
                assert!(whole, "{stage}");
                same(&restored, &bytes);
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn gzip_on_one_thread_starts_no_worker() {
    use std::io::{Read, Write};
    for (threads, has_workers) in [(1, false), (2, true)] {
        let folder = Folder::new();
        let fifo = folder.fifo("in");
        let pipeline = format!("read in | gzip threads={threads} member=4KiB");
        let mut running = highwater([pipeline]).within(&folder).start();
        let mut stdout = running.take_stdout();
        let mut into = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
        into.write_all(&noise(4 << 10, 28)).expect("written");
        // Once a byte of the member has come, the thread that compressed it has its name.
        stdout.read_exact(&mut [0]).expect("a byte");
        let tasks = std::fs::read_dir(format!("/proc/{}/task", running.id())).expect("it is running");
        let mut names = tasks.map(|task| std::fs::read_to_string(task.expect("a task").path().join("comm")));
        let found = names.any(|name| name.is_ok_and(|name| name.trim_end() == "gzip worker"));
        assert_eq!(found, has_workers, "threads={threads}");
        drop(into);
        stdout.read_to_end(&mut Vec::new()).expect("the rest");
        running.wait().succeeds();
    }
}

#[test]
fn a_single_member_has_no_extra_field() {
    let bytes = noise(300_001, 22);
    let packed = highwater(["gzip single=true level=9"])
        .input(bytes.as_slice())
        .run()
        .succeeds();
    assert_eq!(packed[..4], *b"\x1f\x8b\x08\x00");
    same(&highwater(["gunzip"]).input(packed.as_slice()).run().succeeds(), &bytes);
    for refused in [
        "gzip single=true threads=2",
        "gzip single=true level=10",
        "gzip member=1",
    ] {
        assert_eq!(highwater([refused]).run().code, Some(2), "{refused}");
    }
}

#[test]
fn threads_adapt_to_a_small_ceiling() {
    let bytes = noise(300_001, 23);
    for memory in ["512KiB", "1MiB", "2MiB", "8MiB"] {
        let packed = highwater(["--memory", memory, "gzip"])
            .input(bytes.as_slice())
            .run()
            .succeeds();
        same(
            &highwater(["--memory", memory, "gunzip"])
                .input(packed.as_slice())
                .run()
                .succeeds(),
            &bytes,
        );
    }
    let refused = highwater(["--memory", "1MiB", "gzip threads=4"]).run();
    assert!(
        refused.stderr.contains("the least that would do is --memory "),
        "{}",
        refused.stderr
    );
}

#[test]
fn small_ceiling_shrinks_members_first() {
    let bytes = noise(3 * CHUNK, 27);
    // Half of the ceiling is for state, of which a thread needs 1433 or 1177 KiB.
    for (memory, size) in [("4MiB", 384 << 10), ("2560KiB", CHUNK)] {
        let packed = highwater(["--memory", memory, "gzip threads=1"])
            .input(bytes.as_slice())
            .run()
            .succeeds();
        assert_eq!(members(&packed).len(), bytes.len().div_ceil(size), "{memory}");
        same(&highwater(["gunzip"]).input(packed.as_slice()).run().succeeds(), &bytes);
    }
    // What is given stays as it is.
    let given = highwater(["--memory", "2560KiB", "gzip threads=1 member=512KiB"])
        .input(bytes.as_slice())
        .run()
        .succeeds();
    assert_eq!(members(&given).len(), 2);
}

#[test]
fn output_before_a_corrupt_member_arrives() {
    let bytes = noise(100_000, 24);
    let mut packed = highwater(["gzip member=10KB"]).input(bytes.as_slice()).run().succeeds();
    let fault = members(&packed)[..5].iter().map(|member| member.len()).sum::<usize>() + 5000;
    packed[fault] ^= 1;
    let folder = Folder::new();
    folder.write("a", &packed);
    for _ in 0..20 {
        let enough = highwater(["read a | gunzip | take 50KB"]).within(&folder).run();
        same(&enough.succeeds(), &bytes[..50_000]);
        let run = highwater(["read a | gunzip | write b"]).within(&folder).run();
        run.fails(6);
        assert_eq!(folder.names(), ["a"]);
    }
}

#[test]
fn members_may_be_followed_by_others() {
    let bytes = noise(50_000, 25);
    let sized = highwater(["gzip member=10KB"]).input(bytes.as_slice()).run().succeeds();
    let single = highwater(["gzip single=true"]).input(bytes.as_slice()).run().succeeds();
    let large = highwater(["gzip member=2MiB"]).input(bytes.as_slice()).run().succeeds();
    let mixed = [&sized[..], &single, &sized, &large, &[0; 512]].concat();
    same(
        &highwater(["gunzip"]).input(mixed.as_slice()).run().succeeds(),
        &bytes.repeat(4),
    );
    let cut = &mixed[..mixed.len() - 512 - 9];
    highwater(["gunzip"]).input(cut).run().fails(6);
}
