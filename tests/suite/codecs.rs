//! Every codec against its real tool: both ways, at every size, over unusual files that the tool can make; and its
//! memory against the plan.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::harness::{Folder, highwater, noise, peer, through};

/// An encoder, its decoder, and the real tool, which all take `-c` and `-dc`.
struct Codec {
    encoder: &'static str,
    decoder: &'static str,
    tool: &'static str,
    /// The levels at which both handle 20 MiB quickly.
    fast: (&'static str, &'static str),
}

const fn codec(
    encoder: &'static str,
    decoder: &'static str,
    tool: &'static str,
    fast: (&'static str, &'static str),
) -> Codec {
    Codec {
        encoder,
        decoder,
        tool,
        fast,
    }
}

const GZIP: Codec = codec("gzip", "gunzip", "gzip", ("level=1", "-1"));
const ZSTD: Codec = codec("zstd", "unzstd", "zstd", ("level=3", "-3"));
const XZ: Codec = codec("xz", "unxz", "xz", ("level=0", "-0"));
const BZIP2: Codec = codec("bzip2", "bunzip2", "bzip2", ("level=9", "-9"));
const LZ4: Codec = codec("lz4", "unlz4", "lz4", ("level=1", "-1"));
const BROTLI: Codec = codec("brotli", "unbrotli", "brotli", ("level=2", "-2"));
const ALL: [&Codec; 6] = [&GZIP, &ZSTD, &XZ, &BZIP2, &LZ4, &BROTLI];

/// The default chunk, in bytes.
const CHUNK: usize = 256 << 10;

/// 20 MiB of programs and libraries, as far as this machine has them.
fn real_files() -> &'static [u8] {
    static FILES: OnceLock<Vec<u8>> = OnceLock::new();
    FILES.get_or_init(|| {
        let wanted = 20 << 20;
        let mut bytes = Vec::new();
        let mut folders = vec![Path::new("/usr/bin").to_owned(), Path::new("/usr/lib").to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            let mut paths: Vec<_> = entries.filter_map(Result::ok).collect();
            paths.sort_by_key(std::fs::DirEntry::path);
            for entry in paths {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => bytes.extend(std::fs::read(entry.path()).unwrap_or_default()),
                    _ => {}
                }
                if bytes.len() >= wanted {
                    bytes.truncate(wanted);
                    return bytes;
                }
            }
        }
        bytes
    })
}

/// The output of the real tool for `bytes`, called with `arguments`.
fn by_tool(codec: &Codec, arguments: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut tool = peer(codec.tool)?;
    tool.args(arguments).arg("-c");
    let (well, output) = through(tool, bytes);
    assert!(well, "{} {arguments:?}", codec.tool);
    Some(output)
}

#[track_caller]
fn same(what: &str, left: &[u8], right: &[u8]) {
    assert!(
        left == right,
        "{what}: {} bytes against {}, different from byte {:?} on",
        left.len(),
        right.len(),
        left.iter().zip(right).position(|(left, right)| left != right)
    );
}

#[track_caller]
fn decodes(decoder: &str, packed: &[u8], expected: &[u8]) {
    let restored = highwater([decoder]).input(packed).run().succeeds();
    same(decoder, &restored, expected);
}

fn round_trips(codec: &Codec) {
    let encoder = format!("{} {}", codec.encoder, codec.fast.0);
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 20 << 20] {
        let bytes = &real_files()[..size.min(real_files().len())];
        let packed = highwater([encoder.as_str()]).input(bytes).run().succeeds();
        let Some(back) = by_tool(codec, &["-d"], &packed) else {
            return;
        };
        same(&format!("{encoder}, {size} bytes"), &back, bytes);
        let Some(packed) = by_tool(codec, &[codec.fast.1], bytes) else {
            return;
        };
        decodes(codec.decoder, &packed, bytes);
    }
}

#[test]
fn gzip_interoperates_with_its_tool() {
    round_trips(&GZIP);
}

#[test]
fn zstd_interoperates_with_its_tool() {
    round_trips(&ZSTD);
}

#[test]
fn xz_interoperates_with_its_tool() {
    round_trips(&XZ);
}

#[test]
fn bzip2_interoperates_with_its_tool() {
    round_trips(&BZIP2);
}

#[test]
fn lz4_interoperates_with_its_tool() {
    round_trips(&LZ4);
}

#[test]
fn brotli_interoperates_with_its_tool() {
    round_trips(&BROTLI);
}

/// Files of every level of the tool, and of every level of ours.
#[test]
fn every_level() {
    let bytes = &real_files()[..100_000];
    for (codec, levels) in [
        (&GZIP, 1..=9),
        (&ZSTD, 1..=19),
        (&XZ, 0..=9),
        (&BZIP2, 1..=9),
        (&LZ4, 1..=12),
        (&BROTLI, 0..=11),
    ] {
        for level in levels {
            // Of brotli's tool, levels of two digits are spelled out.
            let spelled = match (codec.tool, level) {
                ("brotli", 10..) => format!("--quality={level}"),
                _ => format!("-{level}"),
            };
            let Some(packed) = by_tool(codec, &[&spelled], bytes) else {
                break;
            };
            decodes(codec.decoder, &packed, bytes);
            let encoder = format!("{} level={level}", codec.encoder);
            let packed = highwater([&encoder]).input(bytes).run().succeeds();
            let Some(back) = by_tool(codec, &["-d"], &packed) else {
                break;
            };
            same(&encoder, &back, bytes);
        }
    }
    for level in [-7, -1, 0, 22] {
        let packed = highwater([format!("zstd level={level}")]).input(bytes).run().succeeds();
        decodes("unzstd", &packed, bytes);
    }
}

#[test]
fn several_threads() {
    let bytes = &real_files()[..8 << 20];
    for (codec, encoder) in [
        (&ZSTD, "zstd threads=2"),
        (&ZSTD, "zstd level=1 threads=4"),
        (&XZ, "xz level=0 threads=2"),
    ] {
        let packed = highwater([encoder]).input(bytes).run().succeeds();
        let Some(back) = by_tool(codec, &["-d"], &packed) else {
            return;
        };
        same(encoder, &back, bytes);
        decodes(codec.decoder, &packed, bytes);
    }
}

/// Unusual files that the tools can make.
#[test]
fn odd_files_of_the_real_tools() {
    let bytes = &real_files()[..1_000_000];
    let odd: [(&Codec, &[&[&str]]); 6] = [
        (&GZIP, &[&["-1", "--rsyncable"], &["-n"]]),
        (
            &ZSTD,
            &[
                &["--no-check"],
                &["--long=27"],
                &["--long=24", "-19"],
                &["--fast=5"],
                &["--no-content-size"],
                &["--single-thread"],
                &["-T2", "--rsyncable"],
                &["--stream-size=1000000"],
            ],
        ),
        (
            &XZ,
            &[
                &["-0", "--check=none"],
                &["-0", "--check=crc32"],
                &["-0", "--check=crc64"],
                &["-0", "--check=sha256"],
                &["-0", "--block-size=300000"],
                &["-0", "-T2", "--block-size=700000"],
                &["--x86", "--lzma2=preset=1,dict=3MiB"],
                &["--delta=dist=4", "--lzma2=preset=0"],
                &["--lzma2=preset=0,dict=4KiB"],
                &["-1e"],
            ],
        ),
        (&BZIP2, &[&["-1"], &["-5"], &["-s"]]),
        (
            &LZ4,
            &[
                &["-BD"],
                &["-B4"],
                &["-B5"],
                &["-B6", "-BD"],
                &["-B7", "-BX"],
                &["--content-size"],
                &["--no-frame-crc"],
                &["-9", "-BD", "--favor-decSpeed"],
            ],
        ),
        (
            &BROTLI,
            &[
                &["-q", "5", "-w", "10"],
                &["-q", "5", "-w", "24"],
                &["--large_window=26", "-q", "5"],
            ],
        ),
    ];
    for (codec, calls) in odd {
        for arguments in calls {
            let Some(packed) = by_tool(codec, arguments, bytes) else {
                break;
            };
            decodes(codec.decoder, &packed, bytes);
            if codec.tool != "brotli" {
                decodes("decompress", &packed, bytes);
                let twice = [packed.as_slice(), &packed].concat();
                decodes(codec.decoder, &twice, &[bytes, bytes].concat());
            }
        }
    }
}

#[test]
fn streams_of_xz_with_padding() {
    let bytes = &real_files()[..10_000];
    let Some(packed) = by_tool(&XZ, &["-0"], bytes) else {
        return;
    };
    let zeros = |count: usize| vec![0; count];
    decodes(
        "unxz",
        &[packed.clone(), zeros(8), packed.clone(), zeros(4)].concat(),
        &[bytes, bytes].concat(),
    );
    let run = highwater(["unxz"]).input([packed.clone(), zeros(3)].concat()).run();
    assert!(run.fails(6).contains("no multiple of four"), "{}", run.stderr);
    let run = highwater(["unxz"])
        .input([packed.clone(), zeros(5), packed].concat())
        .run();
    run.fails(6);
}

#[test]
fn unxz_takes_the_older_format() {
    let bytes = &real_files()[..100_000];
    let Some(packed) = by_tool(&XZ, &["--format=lzma"], bytes) else {
        return;
    };
    decodes("unxz", &packed, bytes);
    let run = highwater(["unxz"]).input(&packed[..packed.len() - 20]).run();
    run.fails(6);
    let run = highwater(["unxz"]).input([&packed[..], b"more"].concat()).run();
    run.fails(6);
    highwater(["unxz"]).input(b"]no lzma either".to_vec()).run().fails(6);
}

/// A single member with more flags set in its header.
fn with_flags(bytes: &[u8], flags: u8) -> Vec<u8> {
    let mut member = highwater(["gzip single=true"]).input(bytes).run().succeeds();
    member[3] |= flags;
    member
}

#[test]
fn gunzip_rejects_reserved_flags() {
    let good = with_flags(b"hello", 0);
    for flags in [0x20, 0x40, 0x80, 0xe0] {
        let bad = with_flags(b"world", flags);
        if let Some(mut tool) = peer("gzip") {
            tool.arg("-dc");
            assert_eq!(through(tool, &bad), (false, Vec::new()), "{flags:x}");
        }
        for stage in ["gunzip", "decompress"] {
            let run = highwater([stage]).input(&*bad).run();
            assert!(
                run.fails(6).contains("reserved flags set (at byte 0)"),
                "{}",
                run.stderr
            );
            let second = [&*good, &bad].concat();
            let run = highwater([stage]).input(&*second).run();
            assert!(run.fails(6).contains("reserved flags"), "{}", run.stderr);
            let chain = format!("{stage} | take 5");
            assert_eq!(highwater([chain]).input(second).run().succeeds(), b"hello");
        }
    }
    assert_eq!(
        highwater(["gunzip"]).input(with_flags(b"hello", 1)).run().succeeds(),
        b"hello"
    );
}

/// The size in a member's header is only a hint: a wrong one hides no data.
#[test]
fn gunzip_sees_past_a_wrong_member_size() {
    let bytes = noise(2000, 9);
    let member = highwater(["gzip"]).input(&*bytes).run().succeeds();
    let sized = |size: usize| {
        let mut member = member.clone();
        member[16..20].copy_from_slice(&u32::try_from(size).expect("small").to_le_bytes());
        member
    };
    let twins = [sized(member.len() * 2), member.clone()].concat();
    decodes("gunzip", &twins, &[&*bytes, &bytes].concat());
    let mut slack = sized(member.len() + 3);
    let footer = slack.len() - 8;
    slack.splice(footer..footer, [0; 3]);
    for packed in [slack.clone(), [&*member, &slack].concat()] {
        assert_eq!(highwater(["gunzip"]).input(packed).run().code, Some(6));
    }
}

/// Frames that state their size are cut out and decompressed in parallel; any other is read from where they end.
#[test]
fn unzstd_decompresses_frames_in_parallel() {
    let bytes = &real_files()[..(4 << 20).min(real_files().len())];
    let frames = highwater(["zstd frame=100KiB"]).input(bytes).run().succeeds();
    decodes("unzstd", &frames, bytes);
    if let Some(read) = by_tool(&ZSTD, &["-d"], &frames) {
        same("zstd -d", &read, bytes);
    }
    let tight = highwater(["--memory", "2MiB", "unzstd"]).input(&*frames).run();
    same("without memory for threads", &tight.succeeds(), bytes);

    let stream = highwater(["zstd"]).input(bytes).run().succeeds();
    let skippable = [0x5f, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    let twice = [bytes, bytes].concat();
    for mixed in [
        [&skippable, &*frames, &skippable, &frames, &skippable].concat(),
        [&*frames, &stream].concat(),
        [&*stream, &frames].concat(),
    ] {
        decodes(
            "unzstd",
            &mixed,
            if mixed.len() > frames.len() + 100 {
                &twice
            } else {
                bytes
            },
        );
    }
}

/// An error in a frame is found where it is, and what comes before it is sent.
#[test]
fn unzstd_reports_a_corrupt_frame() {
    let bytes = noise(1 << 20, 11);
    let frames = highwater(["zstd frame=64KiB"]).input(&*bytes).run().succeeds();
    let good = |count: usize| frames.len() / 16 * count;
    let mut corrupt = frames.clone();
    corrupt[good(3) + 20_000] ^= 1;
    let run = highwater(["unzstd"]).input(&*corrupt).run();
    assert!(run.fails(6).contains("cannot decompress zstd input"), "{}", run.stderr);
    let chain = format!("unzstd | take {}", 3 << 16);
    same(
        "taken",
        &highwater([chain]).input(corrupt).run().succeeds(),
        &bytes[..3 << 16],
    );

    for cut in [good(3), frames.len()] {
        let run = highwater(["unzstd"]).input(&frames[..cut - 100]).run();
        assert!(run.fails(6).contains("ends in the middle"), "{}", run.stderr);
    }
    let followed = [&*frames, b"something else"].concat();
    let run = highwater(["unzstd"]).input(&*followed).run();
    assert!(run.fails(6).contains("something else follows"), "{}", run.stderr);
    let chain = format!("unzstd | take {}", 1 << 20);
    same(
        "all frames",
        &highwater([chain]).input(followed).run().succeeds(),
        &bytes,
    );
}

/// A stream of the real xz whose check is called `id`, which is as long.
fn with_check(name: &str, id: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = by_tool(&XZ, &["-0", name], bytes)?;
    let end = packed.len();
    packed[7] = id;
    packed[end - 3] = id;
    let header = libdeflater::crc32(&packed[6..8]).to_le_bytes();
    packed[8..12].copy_from_slice(&header);
    let footer = libdeflater::crc32(&packed[end - 8..end - 2]).to_le_bytes();
    packed[end - 12..end - 8].copy_from_slice(&footer);
    Some(packed)
}

#[test]
fn unxz_warns_of_an_unknown_check() {
    let said = "highwater: warning: the xz stream has a check of a kind that is not supported: its integrity is not \
                verified\n";
    for (name, id) in [("--check=crc32", 2), ("--check=crc64", 5), ("--check=sha256", 12)] {
        let Some(packed) = with_check(name, id, b"hello") else {
            return;
        };
        let mut tool = Command::new("xz");
        tool.arg("-dc");
        assert_eq!(through(tool, &packed), (false, b"hello".to_vec()), "xz warns, too");
        for stage in ["unxz", "decompress"] {
            for packed in [packed.clone(), [&*packed, &packed].concat()] {
                let run = highwater([stage]).input(&*packed).run();
                assert_eq!((run.code, run.stderr.as_str()), (Some(0), said));
                assert!(run.stdout.starts_with(b"hello"));
            }
        }
    }
}

#[test]
fn data_before_a_fault_reaches_take() {
    for codec in ALL {
        let Some(packed) = by_tool(codec, &["-1"], b"hello") else {
            continue;
        };
        for behind in [&b"x"[..], b"something else"] {
            let chain = format!("{} | take 5", codec.decoder);
            let bytes = [&*packed, behind].concat();
            assert_eq!(highwater([chain]).input(bytes).run().succeeds(), b"hello");
        }
    }
}

/// Decompresses into a file that exists, which must be untouched.
fn leaves_the_target(decoder: &str, input: &[u8], code: i32) -> String {
    let folder = Folder::new();
    folder.write("a", input);
    folder.write("b", "old");
    let run = highwater([format!("read a | {decoder} | write b")])
        .within(&folder)
        .run();
    assert_eq!(folder.names(), ["a", "b"], "no temporary file is left");
    assert_eq!(folder.read("b"), b"old");
    run.fails(code).to_owned()
}

/// Every cut of a small stream is tried beside the code; these are of a large one, with a real file behind it.
#[test]
fn a_cut_leaves_no_target() {
    let bytes = &real_files()[..700_000];
    for codec in ALL {
        let Some(packed) = by_tool(codec, &[codec.fast.1], bytes) else {
            continue;
        };
        for end in [0, 1, 5, packed.len() / 2, packed.len() - 1] {
            let said = leaves_the_target(codec.decoder, &packed[..end], 6);
            assert!(
                said.contains(&format!("cannot decompress {} input", codec.encoder)),
                "{said}"
            );
            assert!(said.contains(&format!("(at byte {end})")), "{said}");
        }
        leaves_the_target(codec.decoder, &[&packed, &b"x"[..]].concat(), 6);
    }
}

#[test]
fn foreign_input_is_described() {
    let said = leaves_the_target("unzstd", b"BZh91AY&SY", 6);
    assert!(said.contains("this is not zstd: it looks like bzip2"), "{said}");
    let said = leaves_the_target("decompress", b"hello, world", 6);
    assert!(
        said.contains("not any of gzip, zstd, xz, bzip2, lz4: it looks like text"),
        "{said}"
    );
    if let Some(legacy) = by_tool(&LZ4, &["-l"], b"data") {
        let said = leaves_the_target("unlz4", &legacy, 6);
        assert!(said.contains("of the old kind (lz4 -l)"), "{said}");
    }
}

fn number(object: &Value, name: &str) -> u64 {
    object[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name} in {object}"))
}

/// The statistics at the end of a run that went well.
#[track_caller]
fn statistics(pipeline: &str, folder: &Folder) -> Value {
    let run = highwater(["--stats", "-", pipeline]).within(folder).run();
    assert_eq!(run.code, Some(0), "{pipeline}: {}", run.stderr);
    run.end()
}

/// The resident memory beyond what the same pipeline uses without the stage.
fn resident(stage: &str, folder: &Folder) -> u64 {
    let peak = |pipeline: &str| number(&statistics(pipeline, folder), "rss_peak_bytes");
    let with = peak(&format!("read a | {stage} | write /dev/null"));
    with.saturating_sub(peak("read /dev/zero | take 8MiB | write /dev/null"))
}

/// Bytes of state that `explain` states.
fn stated(stage: &str) -> u64 {
    let explained = highwater(["explain", &format!("read a | {stage} | write b")])
        .run()
        .succeeds();
    let explained = String::from_utf8(explained).expect("text");
    let (_, rest) = explained.split_once("holds ").expect("a state");
    let (size, _) = rest.split_once(" besides its links").expect("its end");
    let (number, unit) = size.split_once(' ').expect("a number and a unit");
    let unit = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        other => panic!("no unit: {other}"),
    };
    let bytes = number.parse::<f64>().expect("a number") * unit;
    format!("{bytes:.0}").parse().expect("a number")
}

/// What a stage may use beyond what it states: its code, its thread, and links that were not full without it.
const SLACK: u64 = 4 << 20;

#[test]
fn resident_memory_matches_the_stated() {
    if cfg!(feature = "portable-platform") {
        return;
    }
    let folder = Folder::new();
    folder.write("a", &real_files()[..6 << 20]);
    for stage in [
        "gzip",
        "zstd",
        "zstd level=9",
        "zstd threads=2",
        "xz level=0",
        "xz level=1",
        "bzip2 level=9",
        "lz4 level=1",
        "lz4 level=9",
        "brotli level=2",
        "brotli",
    ] {
        let (resident, stated) = (resident(stage, &folder), stated(stage));
        println!("{stage}: {} KiB resident, {} KiB stated", resident >> 10, stated >> 10);
        assert!(resident <= stated + SLACK, "{stage}: {resident} bytes, {stated} stated");
    }
    for (codec, arguments) in [
        (&GZIP, &["-1"][..]),
        (&ZSTD, &["-3", "--no-content-size"]),
        (&ZSTD, &["--long=26", "--no-content-size"]),
        (&XZ, &["-0"]),
        (&BZIP2, &["-9"]),
        (&LZ4, &["-B7", "-BD"]),
        (&BROTLI, &["-q", "2", "-w", "24"]),
    ] {
        let Some(packed) = by_tool(codec, arguments, &real_files()[..6 << 20]) else {
            continue;
        };
        folder.write("a", packed);
        let end = statistics(&format!("read a | {} | write /dev/null", codec.decoder), &folder);
        let claimed = number(&end, "memory_limit_bytes");
        let resident = resident(codec.decoder, &folder);
        println!(
            "{}: {} KiB resident, ceiling {} KiB",
            codec.decoder,
            resident >> 10,
            claimed >> 10
        );
        assert!(
            resident <= claimed + SLACK,
            "{}: {resident} bytes, {claimed} claimed",
            codec.decoder
        );
    }
}

/// A bomb is bounded like everything else; a limit ends it, and the target stays.
#[test]
fn take_and_limit_end_bombs() {
    let ours = [
        "gzip",
        "gzip single=true",
        "zstd",
        "xz level=0",
        "bzip2 level=1",
        "lz4",
        "brotli",
    ];
    for encoder in ours {
        let folder = Folder::new();
        let bomb = format!("read /dev/zero | take 32MiB | {encoder} | write a");
        highwater([bomb]).within(&folder).run().succeeds();
        folder.write("b", "old");
        let own = format!("un{}", encoder.split(' ').next().expect("a name"));
        let own = own.replace("ungzip", "gunzip").replace("unbzip2", "bunzip2");
        for decoder in [own.as_str(), "decompress"] {
            if decoder == "decompress" && encoder == "brotli" {
                continue;
            }
            let limited = format!("read a | {decoder} | limit 1MiB | write b");
            let run = highwater(["--stats", "-", &limited]).within(&folder).run();
            assert_eq!(run.code, Some(7), "{limited}: {}", run.stderr);
            assert_eq!(
                (folder.read("b"), folder.names().len()),
                (b"old".to_vec(), 2),
                "{limited}"
            );
            let end = run.end();
            let held = number(&end, "buffered_peak_bytes") + number(&end, "state_bytes");
            assert!(held <= number(&end, "memory_limit_bytes"), "{limited}: {end}");
            let taken = highwater([format!("read a | {decoder} | take 1MiB")])
                .within(&folder)
                .run();
            assert!(taken.succeeds() == vec![0; 1 << 20], "{decoder}");
        }
    }
}

/// A bomb uses no more memory than any stream of its format; `take` ends it.
#[test]
fn bombs_stay_flat() {
    if cfg!(feature = "portable-platform") {
        return;
    }
    for codec in ALL {
        let Some(mut tool) = peer(codec.tool) else { continue };
        let fast = if codec.tool == "brotli" { "-0" } else { codec.fast.1 };
        tool.args([fast, "-c"]);
        let (_, packed) = through(tool, &vec![0; 100 << 20]);
        let folder = Folder::new();
        folder.write("a", packed);
        let resident = resident(codec.decoder, &folder);
        assert!(resident < 20 << 20, "{}: {resident} bytes", codec.decoder);
        let pipeline = format!("read a | {} | take 1MiB | write b", codec.decoder);
        highwater([pipeline]).within(&folder).run().succeeds();
        assert_eq!(folder.read("b").len(), 1 << 20);
    }
}

/// The size behind `--memory` in a message.
#[track_caller]
fn named_ceiling(said: &str) -> String {
    let (_, rest) = said.rsplit_once("--memory ").expect("the option is named");
    rest.split_whitespace().next().expect("a size").to_owned()
}

#[test]
fn encoder_memory_is_checked_before_opening() {
    for codec in ALL {
        let folder = Folder::new();
        let pipeline = format!("read missing | {} | write b", codec.encoder);
        let run = highwater(["--memory", "100KiB", &pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        let enough = named_ceiling(&run.stderr);
        assert!(run.stderr.contains("the least that would do"), "{}", run.stderr);
        let run = highwater(["--memory", &enough, &pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(3), "{enough} would do: {}", run.stderr);
    }
}

#[test]
fn decoder_memory_error_names_the_option() {
    let bytes = &real_files()[..3 << 20];
    for (codec, arguments) in [
        (&ZSTD, &["--no-content-size"][..]),
        (&XZ, &["-1"]),
        (&BZIP2, &["-9"]),
        (&LZ4, &["-B7"]),
        (&BROTLI, &["-q", "2", "-w", "22"]),
    ] {
        let Some(packed) = by_tool(codec, arguments, bytes) else {
            continue;
        };
        let folder = Folder::new();
        folder.write("a", packed);
        folder.write("b", "old");
        for decoder in [codec.decoder, "decompress"] {
            if (codec.tool, decoder) == ("brotli", "decompress") {
                continue;
            }
            let pipeline = format!("read a | {decoder} | write b");
            let little = if codec.tool == "brotli" { "4MiB" } else { "1MiB" };
            let run = highwater(["--memory", little, &pipeline]).within(&folder).run();
            let mut ceiling = named_ceiling(run.fails(7));
            assert_eq!(folder.read("b"), b"old");
            // `decompress` claims twice, so the error may name a ceiling twice.
            for _ in 0..2 {
                let run = highwater(["--memory", &ceiling, &pipeline]).within(&folder).run();
                if run.code == Some(0) {
                    break;
                }
                assert_eq!(decoder, "decompress", "{ceiling} would do: {}", run.stderr);
                ceiling = named_ceiling(run.fails(7));
            }
            same(decoder, &folder.read("b"), bytes);
            folder.write("b", "old");
        }
    }
}

/// zstd's windows: up to 128 MiB by default, as the tool has it; more if `--memory` says so.
#[test]
fn windows_of_zstd() {
    let bytes = &real_files()[..1 << 20];
    let folder = Folder::new();
    for (log, by_default) in [(27, true), (28, false), (31, false)] {
        let Some(packed) = by_tool(&ZSTD, &["--ultra", &format!("--long={log}"), "-1"], bytes) else {
            return;
        };
        folder.write("a", packed);
        let run = highwater(["read a | unzstd | write b"]).within(&folder).run();
        if by_default {
            run.succeeds();
            continue;
        }
        let said = run.fails(7);
        assert!(said.contains("cannot decompress zstd input: it takes"), "{said}");
        let enough = named_ceiling(said);
        let run = highwater(["--memory", &enough, "read a | unzstd | write b"])
            .within(&folder)
            .run();
        run.succeeds();
        same("unzstd", &folder.read("b"), bytes);
    }
}

#[test]
fn large_zstd_window_finds_distant_repeats() {
    const PART: usize = 3 << 20;
    let bytes = noise(PART, 60).repeat(2);
    let pack = |stage: &str| highwater([stage]).input(bytes.as_slice()).run().succeeds();
    assert!(pack("zstd level=1").len() > 2 * PART, "half a mebibyte is too near");
    for stage in ["zstd level=1 window=4MiB", "zstd level=9 window=64MiB"] {
        let packed = pack(stage);
        assert!(packed.len() < PART + PART / 10, "{stage}: {} bytes", packed.len());
        decodes("unzstd", &packed, &bytes);
        if let Some(back) = by_tool(&ZSTD, &["-d"], &packed) {
            same(stage, &back, &bytes);
        }
    }
}

/// Output arrives while the source is still open.
#[test]
fn slow_input_is_flushed() {
    for codec in [&GZIP, &ZSTD, &LZ4] {
        let mut running = Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(["-q", codec.encoder])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("highwater starts");
        let mut stdin = running.stdin.take().expect("a pipe");
        let mut stdout = running.stdout.take().expect("a pipe");
        let mut all = Vec::new();
        for byte in b"drip" {
            stdin.write_all(&[*byte]).expect("written");
            let mut some = [0; 100];
            // Nothing else is sent before it, so delayed output would never arrive.
            let count = stdout.read(&mut some).expect("something comes");
            all.extend_from_slice(&some[..count]);
        }
        drop(stdin);
        stdout.read_to_end(&mut all).expect("the rest");
        assert!(running.wait().expect("ends").success());
        let Some(back) = by_tool(codec, &["-d"], &all) else {
            continue;
        };
        assert_eq!(back, b"drip", "{}", codec.encoder);
    }
}
