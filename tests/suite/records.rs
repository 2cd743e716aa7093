//! Record streams: what is framed, changed and bounded, through the whole program.

use std::io::{BufRead, BufReader, Read, Write};

use serde_json::Value;

use crate::harness::{Folder, Run, highwater, xorshift};

fn run(folder: &Folder, pipeline: &str) -> Run {
    highwater([pipeline]).within(folder).run()
}

/// Records of many sizes: a number, a name and a text of up to `longest` bytes.
fn records(count: usize, longest: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, random) in (0..count).zip(xorshift(5)) {
        let text = "x".repeat(usize::try_from(random % longest).expect("fits"));
        let name = ["jo", "al", "bo"][number % 3];
        writeln!(bytes, r#"{{"id":{number},"user":{{"name":"{name}"}},"text":"{text}"}}"#).expect("written");
    }
    bytes
}

#[test]
fn a_pipeline_of_record_stages_keeps_bytes() {
    let folder = Folder::new();
    folder.write("in.jsonl", records(3000, 400));
    let pipeline =
        "read in.jsonl | from-json | where 'user.name == al' | upper user.name | drop text | write out.jsonl";
    run(&folder, pipeline).succeeds();
    let lines = (1..3000)
        .step_by(3)
        .map(|id| format!("{{\"id\":{id},\"user\":{{\"name\":\"AL\"}}}}\n"));
    let expected = lines.collect::<Vec<_>>().concat();
    assert_eq!(String::from_utf8(folder.read("out.jsonl")).expect("UTF-8"), expected);
}

#[test]
fn csv_survives_the_way_through_json() {
    let folder = Folder::new();
    let csv = "id,text\n1,\"a, \"\"b\"\"\nc\"\n2,\n3,é\n";
    folder.write("in.csv", csv);
    let out = run(
        &folder,
        "read in.csv | from-csv | to-json | gzip | gunzip | from-json | to-csv",
    )
    .succeeds();
    assert_eq!(String::from_utf8(out).expect("UTF-8"), csv);
    let array = run(
        &folder,
        "read in.csv | from-csv types=infer | select id | to-json array=true",
    )
    .succeeds();
    let array: Value = serde_json::from_slice(&array).expect("one value");
    assert_eq!(array, serde_json::json!([{"id": 1}, {"id": 2}, {"id": 3}]));
}

#[test]
fn program_takes_records_and_gives_bytes() {
    let folder = Folder::new();
    folder.write("in.jsonl", "{\"a\":\"x\"}\n\n{\"a\":\"y\"}");
    let out = run(
        &folder,
        "read in.jsonl | from-json | exec tr xy ab | from-json | where 'a == b'",
    )
    .succeeds();
    assert_eq!(String::from_utf8(out).expect("UTF-8"), "{\"a\":\"b\"}\n");
    let sorted = run(&folder, "read in.jsonl | lines | sh 'sort -r' | write out").succeeds();
    assert!(sorted.is_empty());
    assert_eq!(folder.read("out"), b"{\"a\":\"y\"}\n{\"a\":\"x\"}\n\n");
    let refused = run(
        &folder,
        "read in.jsonl | from-json | exec cat | where 'a == b' | write no",
    );
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .stderr
            .contains("put `from-json` or `from-csv` or `from-sse` before it"),
        "{}",
        refused.stderr
    );
    assert_eq!(folder.names(), ["in.jsonl", "out"]);
}

#[test]
fn rejected_records_are_counted_and_kept() {
    let folder = Folder::new();
    let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(5000));
    folder.write("in", format!("{{\"a\":1}}\n{{\"a\":\n{long}[1] tail\n2"));
    let pipeline = "read in | from-json max-record=4KiB bad=skip long=skip reject=bad | write out";
    let end = highwater(["--stats", "-", pipeline]).within(&folder).run().end();
    assert_eq!(folder.read("out"), b"{\"a\":1}\n[1]\n2\n");
    let rejected = format!("{{\"a\":\n{long}tail\n");
    assert_eq!(String::from_utf8(folder.read("bad")).expect("UTF-8"), rejected);
    let framer = &end["stages"][1];
    assert_eq!(framer["rejected"], 3);
    assert_eq!(
        (&framer["records_out"], &end["stages"][2]["records_in"]),
        (&3.into(), &3.into())
    );
    assert_eq!(end["stages"][0].get("records_out"), None, "bytes flow there");
}

#[test]
fn failed_run_leaves_no_rejects() {
    let folder = Folder::new();
    folder.write("in", "1\nx\n2\n");
    let failed = run(&folder, "read in | from-json long=skip reject=bad | write out");
    assert_eq!(
        failed.fails(6),
        "highwater: from-json long=skip reject=bad: cannot read record 2: a value is expected (at byte 2)"
    );
    assert_eq!(folder.names(), ["in"]);
}

#[test]
fn links_never_exceed_either_mark() {
    let folder = Folder::new();
    folder.write("in.jsonl", records(4000, 300));
    let pipeline = "read in.jsonl | from-json high=64KiB high-records=100 low-records=20 | where 'id >= 0' high=40KiB \
                    high-records=16 low=1KiB | lower user.name high-records=7 | throttle 5MB/s | write out";
    let ran = highwater(["--progress", "json", "--interval", "10ms", pipeline])
        .within(&folder)
        .run();
    assert_eq!(ran.code, Some(0));
    let mut peaks = [0; 3];
    for object in ran.objects() {
        for (link, (peak, (bytes, records))) in peaks
            .iter_mut()
            .zip([(64 << 10, 100), (40 << 10, 16), (1 << 20, 7)])
            .enumerate()
        {
            let link = &object["links"][link + 1];
            let number = |key: &str| link[key].as_u64().unwrap_or_else(|| panic!("{key} in {link}"));
            assert!(
                number("peak_bytes") <= bytes && number("buffered_bytes") <= bytes,
                "{link}"
            );
            assert_eq!(number("high_records"), records);
            assert!(
                number("peak_records") <= records && number("buffered_records") <= records,
                "{link}"
            );
            *peak = number("peak_records");
        }
        let (held, limit) = (&object["buffered_bytes"], &object["memory_limit_bytes"]);
        let held = held.as_u64().expect("bytes") + object["state_bytes"].as_u64().expect("bytes");
        assert!(held <= limit.as_u64().expect("bytes"));
    }
    assert_eq!(peaks[2], 7, "the throttle holds them up");
    assert_eq!(folder.read("out"), folder.read("in.jsonl"));
}

/// The records of a log of 100 bytes to 50 kB each, of which few are large.
fn log(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, random) in (0..count).zip(xorshift(7)) {
        let doubled = 100 << (random % 9);
        let text = "x".repeat(usize::try_from(doubled + random / 9 % doubled).expect("fits") - 60);
        let level = ["info", "error"][number % 2];
        writeln!(bytes, r#"{{"id":{number},"level":"{level}","text":"{text}"}}"#).expect("written");
    }
    bytes
}

#[test]
// getrusage(2): the peak of the process that started it counts too.
#[cfg_attr(
    feature = "portable-platform",
    ignore = "the portable peak is not that of this program alone"
)]
fn long_chain_stays_below_marks_and_memory() {
    let folder = Folder::new();
    let count = 2000;
    let pipeline = "read - | from-json high-records=100 low-records=20 | where 'level == error' high=256KiB high-records=50 | \
                    select id text high-records=16 | to-csv | gzip | throttle 10MB/s | write out.csv.gz";
    let ran = highwater(["--progress", "json", "--interval", "50ms", pipeline])
        .within(&folder)
        .input(log(count))
        .run();
    assert_eq!(ran.code, Some(0));
    // The ceiling, of which these links take a part.
    let most = peak_of_the_program() + (8 << 20);
    for object in ran.objects() {
        for (link, records) in
            object["links"]
                .as_array()
                .expect("links")
                .iter()
                .zip([None, Some(100), Some(50), Some(16)])
        {
            let number = |key: &str| link[key].as_u64().unwrap_or_else(|| panic!("{key} in {link}"));
            assert!(number("peak_bytes") <= number("high_bytes"), "{link}");
            if let Some(records) = records {
                assert_eq!(number("high_records"), records);
                assert!(
                    number("buffered_records") <= number("peak_records") && number("peak_records") <= records,
                    "{link}"
                );
            }
        }
        let rss = object["rss_peak_bytes"].as_u64().unwrap_or(0);
        assert!(rss < most, "{rss} of {most}");
    }
    let table = run(&folder, "read out.csv.gz | gunzip").succeeds();
    assert_eq!(memchr::memchr_iter(b'\n', &table).count(), count / 2 + 1);
    assert!(table.starts_with(b"id,text\n1,xx"));
}

/// The peak of a run over two records: what is resident of the program itself, which is large in a debug build.
fn peak_of_the_program() -> u64 {
    let pipeline = "read - | from-json | where 'a > 0' | select a | to-csv | gzip | write /dev/null";
    let run = highwater(["--stats", "-", pipeline])
        .input("{\"a\":1}\n{\"a\":2}\n")
        .run();
    run.end()["rss_peak_bytes"].as_u64().expect("bytes")
}

#[test]
// getrusage(2): the peak of the process that started it counts too.
#[cfg_attr(
    feature = "portable-platform",
    ignore = "the portable peak is not that of this program alone"
)]
fn line_of_a_gibibyte_is_dropped_in_little_memory() {
    let pipeline = "read /dev/zero | take 1GiB | lines max-record=64KiB long=skip | write -";
    let mut ran = highwater(["--stats", "-", pipeline]).run();
    assert_eq!((ran.code, ran.stdout.len()), (Some(0), 0));
    ran.stderr = ran.stderr.lines().filter(|line| line.starts_with('{')).collect();
    let end = ran.end();
    assert_eq!(end["stages"][2]["rejected"], 1);
    let most = peak_of_the_program() + (2 << 20);
    assert!(end["rss_peak_bytes"].as_u64().expect("bytes") < most, "{most}: {end}");
    let failed = highwater(["read /dev/zero | take 1GiB | lines | write -"]).run();
    assert_eq!(failed.code, Some(7));
    assert!(failed.stderr.contains("record 1"), "{}", failed.stderr);
}

#[test]
// getrusage(2): the peak of the process that started it counts too.
#[cfg_attr(
    feature = "portable-platform",
    ignore = "the portable peak is not that of this program alone"
)]
fn huge_records_change_nothing_but_the_exit() {
    let folder = Folder::new();
    let line = "x".repeat(64 << 20);
    folder.write("line", &line);
    folder.write("string", format!("\"{line}\""));
    folder.write("array", format!("[{}1]", "1,".repeat(8 << 20)));
    folder.write("deep", "[".repeat(100_000));
    folder.write("wide", format!("{{{}\"z\":1}}", r#""a":1,"#.repeat(1_000_000)));
    folder.write("columns", ",".repeat(1_000_000));
    folder.write("event", "data: x\n".repeat(4 << 20) + "\n");
    folder.write("data", format!("{{\"data\":\"{}\"}}", r"\n".repeat(400_000)));
    for (pipeline, code) in [
        ("read line | lines", 7),
        ("read line | lines long=skip", 0),
        ("read string | from-json", 7),
        ("read array | from-json", 7),
        ("read array | from-json items=true | take records=1", 0),
        ("read deep | from-json", 6),
        ("read wide | from-json", 7),
        ("read wide | from-json max-record=8MiB | select z | write /dev/null", 0),
        ("read columns | from-csv header=false", 6),
        ("read columns | from-csv", 6),
        ("read line | from-csv", 7),
        ("read line | from-csv long=skip", 0),
        ("read line | from-sse", 7),
        ("read event | from-sse", 7),
        ("read event | from-sse long=skip", 0),
        ("read data | from-json | to-sse | write /dev/null", 0),
    ] {
        let mut ran = highwater(["--stats", "-", pipeline]).within(&folder).run();
        assert_eq!(ran.code, Some(code), "{pipeline}: {}", ran.stderr);
        assert!(ran.stdout.len() <= 2);
        ran.stderr = ran.stderr.lines().filter(|line| line.starts_with('{')).collect();
        let peak = ran.end()["rss_peak_bytes"].as_u64().expect("bytes");
        assert!(peak < 40 << 20, "{pipeline}: {peak}");
    }
}

#[test]
fn largest_record_fits_every_link() {
    let folder = Folder::new();
    let refused = |options: &[&str], pipeline: &str| {
        let arguments = options.iter().copied().chain([pipeline]);
        let run = highwater(arguments).within(&folder).run();
        assert_eq!(run.code, Some(2), "{pipeline}");
        run.stderr
    };
    let small = refused(&["--memory", "1MiB"], "from-json max-record=300KiB | where 'a == 1'");
    assert!(small.contains("the least that would do is --memory 1504KiB"), "{small}");
    let link = refused(&[], "from-json max-record=300KiB | where 'a == 1' high=100KiB");
    assert!(
        link.contains("a record of 300KiB does not fit a link of 100KiB"),
        "{link}"
    );
    let bytes = refused(&[], "read a high-records=5 | from-json");
    assert!(bytes.contains("`read` gives bytes"), "{bytes}");
    let order = refused(&[], "lines high-records=5 low-records=5");
    assert!(order.contains("`low-records` is not below `high-records`"), "{order}");
    let record = "x".repeat(20_000) + "\n";
    // Each of the two expressions has 512 KiB.
    let memory = ["--memory", "1224KiB"];
    let passes = |length: usize| {
        let pipeline = "lines | grep x | redact y | take records=9";
        highwater(memory.iter().chain([&pipeline]))
            .input(&record.as_bytes()[record.len() - length..])
            .run()
    };
    assert_eq!(passes(20_001).succeeds().len(), 20_001);
}

#[test]
fn mismatched_stages_name_what_is_missing() {
    let folder = Folder::new();
    for (pipeline, help) in [
        (
            "read a | where 'x == 1'",
            "put `from-json` or `from-csv` or `from-sse` before it",
        ),
        (
            "lines | select x",
            "put `from-json` or `from-csv` or `from-sse` before it",
        ),
        (
            "grep x",
            "put `lines` or `from-json` or `from-csv` or `from-sse` before it",
        ),
        (
            "take records=1",
            "put `lines` or `from-json` or `from-csv` or `from-sse` before it",
        ),
        (
            "lines | gzip | throttle 5records/s",
            "put `lines` or `from-json` or `from-csv` or `from-sse` before it",
        ),
        ("from-json | where 'x = 1'", "equality is `==`"),
        ("from-json | where x", "write FIELD OP VALUE"),
        ("from-json | where level=error", "as in `where \"level == error\"`"),
        ("from-json | where level == error", "as in `where \"level == error\"`"),
        ("from-json | where", "as in `where \"level == error\"`"),
        ("from-json | select a..b", "dots are between names"),
        ("lines | grep '('", "regular expressions are those"),
        ("lines | redact '['", "email, ipv4, ipv6, card, phone"),
        ("from-csv delimiter=ab", "one ASCII character"),
        ("from-csv columns=a,b,a", "give each a name of its own"),
        ("take", "give a number of bytes"),
        ("lines | take 5 records=3", "leave out one of them"),
    ] {
        let ran = run(&folder, pipeline);
        assert_eq!(ran.code, Some(2), "{pipeline}");
        assert!(ran.stderr.contains(help), "{pipeline}: {}", ran.stderr);
    }
}

#[test]
fn branches_share_records() {
    let folder = Folder::new();
    folder.write("in", records(500, 100));
    let pipeline = "read in | from-json | tee (where 'user.name == jo' | write jo) (to-csv columns=id bad=skip | write none) \
                    | select id | skip records=498 | write last";
    run(&folder, pipeline).succeeds();
    assert_eq!(folder.read("jo").split(|byte| *byte == b'\n').count(), 168);
    assert_eq!(folder.read("none"), b"id\n");
    assert_eq!(folder.read("last"), b"{\"id\":498}\n{\"id\":499}\n");
}

#[test]
fn slow_source_is_not_held_back() {
    let (reader, mut input) = std::io::pipe().expect("a pipe");
    let mut running = highwater(["from-json | where 'a > 1' | redact email"])
        .stdin(reader)
        .start();
    let mut output = BufReader::new(running.take_stdout());
    for number in 2..5 {
        writeln!(input, "{{\"a\":{number}}}").expect("it reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("it writes");
        assert_eq!(line, format!("{{\"a\":{number}}}\n"));
    }
    drop(input);
    running.wait().succeeds();
}

#[test]
fn events_pass_one_at_a_time() {
    let (reader, mut input) = std::io::pipe().expect("a pipe");
    let mut running = highwater(["read - | from-sse | redact email phone | to-sse | write -"])
        .stdin(reader)
        .start();
    let mut output = running.take_stdout();
    for (event, expected) in [
        (": hello\r\n\r\ndata: Hi\r\n\r\n", "data: Hi\n\n"),
        (
            "id: 1\n\nevent: token\ndata: jo@example.org\n\n",
            "event: token\nid: 1\ndata: ***\n\n",
        ),
        ("data: a\rdata: +49 30 1234567\r\r", "data: a\ndata: ***\n\n"),
        (
            "\ndata: {\"n\": 1}\n\ndata: [DONE]\n\n",
            "data: {\"n\": 1}\n\ndata: [DONE]\n\n",
        ),
    ] {
        input.write_all(event.as_bytes()).expect("it reads");
        let mut sent = vec![0; expected.len()];
        output.read_exact(&mut sent).expect("it writes");
        assert_eq!(String::from_utf8_lossy(&sent), expected);
    }
    input.write_all(b"data: cut off\n").expect("it reads");
    drop(input);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).expect("it ends");
    assert_eq!(rest, b"");
    running.wait().succeeds();
}

#[test]
fn comments_keep_an_idle_stream_alive() {
    let (reader, mut input) = std::io::pipe().expect("a pipe");
    let mut running = highwater(["from-sse | to-sse keep-alive=1ms"]).stdin(reader).start();
    let mut output = BufReader::new(running.take_stdout());
    let mut comments = [0; 28];
    output.read_exact(&mut comments).expect("it writes");
    assert_eq!(&comments, b": keep-alive\n\n: keep-alive\n\n");
    input.write_all(b"data: a\n\n").expect("it reads");
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("it ends");
    assert_eq!(rest.replace(": keep-alive\n\n", ""), "data: a\n\n");
    running.wait().succeeds();
}

#[test]
fn data_of_events_can_be_selected() {
    let folder = Folder::new();
    folder.write(
        "in",
        "data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}], \"id\": 1}\n\nevent: ping\ndata: {}\n\ndata: [DONE]\n\n",
    );
    let selected = run(&folder, "read in | from-sse data=json | select data.choices").succeeds();
    let selected = String::from_utf8(selected).expect("UTF-8");
    assert_eq!(
        selected,
        "{\"data\":{\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}}\n{}\n{}\n"
    );
    let pings = run(&folder, "read in | from-sse | where 'event == ping' | to-sse").succeeds();
    assert_eq!(pings, b"event: ping\ndata: {}\n\n");
    let same = run(&folder, "read in | from-sse data=json | to-sse").succeeds();
    assert_eq!(same, folder.read("in"));
}
