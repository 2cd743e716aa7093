//! Record stages on links, with chunks of every size.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::catalog::{Build, check};
use crate::error::Stop;
use crate::flow::{Inlet, Link, Marks, Outlet, Pool, Position, StageMeter, block_on};
use crate::grammar;
use crate::graph::Port;
use crate::stage::{Context, Outcome, Work};

use super::STAGES;

/// The largest record, with its newline.
const LARGEST: usize = 256;

/// What a stage has sent.
struct Ran {
    bytes: Vec<u8>,
    records: u64,
    rejected: u64,
    /// The last position.
    position: Option<Position>,
    outcome: Outcome,
}

impl Ran {
    fn text(&self) -> &str {
        str::from_utf8(&self.bytes).expect("UTF-8")
    }

    /// Its output, after a run without a failure.
    fn succeeded(self) -> String {
        if let Err(Stop::Failed(failure)) = self.outcome {
            panic!("{failure}");
        }
        String::from_utf8(self.bytes).expect("UTF-8")
    }

    fn failure(self) -> String {
        match self.outcome {
            Err(Stop::Failed(failure)) => failure.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

fn link(marks: Marks, pool: &Arc<Pool>) -> (Outlet, Inlet, Arc<StageMeter>) {
    let link = Link::new(marks, pool.clone());
    let meters = [(); 2].map(|()| Arc::new(StageMeter::new(Instant::now())));
    let [producer, consumer] = meters;
    (
        Outlet::new(link.clone(), producer),
        Inlet::new(link, consumer.clone()),
        consumer,
    )
}

/// Runs a call of a stage on `input`, which comes in chunks of `size` bytes, or of one record each if it has records.
fn run(call: &str, input: &[u8], port: Port, size: usize) -> Ran {
    let pool = Arc::new(Pool::new(1 << 20));
    // Small enough that a chunk has to be cut, and large enough for the largest record.
    let marks = Marks::new(4 * LARGEST as u64, 100, 100).with_records(20, 10);
    let (mut feed, inlet, meter) = link(Marks::new(4096, 4096, 1024), &pool);
    let (outlet, mut drain, _) = link(marks, &pool);
    let (script, _) = grammar::parse(call.as_bytes());
    let (definition, args) = check(&script.calls[0], STAGES).unwrap_or_else(|problems| panic!("{call}: {problems:?}"));
    let Build::Transform(build) = definition.build else {
        panic!("{call} is no transform");
    };
    let mut plan = build(&args).unwrap_or_else(|problem| panic!("{call}: {problem:?}"));
    plan.settle_records(port, LARGEST as u64);
    let context = Context::detached(meter.clone());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let chunks: Vec<&[u8]> = match port {
                Port::Bytes => input.chunks(size).collect(),
                _ => input.split_inclusive(|byte| *byte == b'\n').collect(),
            };
            for (chunk, position) in chunks.into_iter().zip(1..) {
                let records = u64::from(port.has_records());
                let Ok(mut buffer) = block_on(feed.reserve_records(chunk.len(), records)) else {
                    return;
                };
                buffer.fill_from(chunk);
                buffer.count_records(records);
                buffer.mark(Position(position));
                if feed.send(buffer).is_err() {
                    return;
                }
            }
            feed.finish();
        });
        let work = plan.make().start(inlet, outlet, context);
        let stage = scope.spawn(move || match work {
            Work::Thread(work) => work(),
            Work::Task(work) => block_on(work),
        });
        let (mut bytes, mut records, mut position) = (Vec::new(), 0, None);
        while let Ok(Some(chunk)) = drain.receive_blocking() {
            bytes.extend_from_slice(chunk.as_slice());
            records += chunk.records();
            position = chunk.position().or(position);
        }
        Ran {
            bytes,
            records,
            rejected: meter.rejected(),
            position,
            outcome: stage.join().expect("no panic"),
        }
    })
}

fn on_bytes(call: &str, input: &str, size: usize) -> Ran {
    run(call, input.as_bytes(), Port::Bytes, size)
}

fn on_json(call: &str, input: &str) -> String {
    run(call, input.as_bytes(), Port::Json, 0).succeeded()
}

fn on_lines(call: &str, input: &str) -> String {
    run(call, input.as_bytes(), Port::Lines, 0).succeeded()
}

/// Whether a line is JSON.
fn is_json(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn good_lines_pass_and_bad_ones_do_not(
        lines in proptest::collection::vec(
            prop_oneof![
                4 => r#"\{"a":[0-9]{1,4},"b":"[a-zé ]{0,40}"\}[ \r]?"#,
                1 => r#"\{"a":"[a-z]{300}"\}"#,
                1 => r#"["\{\[a-z][a-z]{0,19}"#,
                1 => Just(String::new()),
            ],
            0..12,
        ),
        ends: bool,
    ) {
        let text = lines.join("\n") + if ends && !lines.is_empty() { "\n" } else { "" };
        let is_short = |line: &&&String| line.len() < LARGEST;
        let good: Vec<&String> = lines.iter().filter(|line| is_json(line)).filter(|line| is_short(&line)).collect();
        let bad = lines.iter().filter(|line| !line.trim().is_empty()).count() - good.len();
        for size in 1..=64 {
            let ran = on_bytes("from-json bad=skip long=skip", &text, size);
            prop_assert!(ran.outcome.is_ok());
            let passed: Vec<&str> = ran.text().lines().map(str::trim_end).collect();
            let expected: Vec<&str> = good.iter().map(|line| line.trim_end()).collect();
            prop_assert_eq!(passed, expected, "chunks of {}", size);
            prop_assert_eq!((ran.records, ran.rejected), (good.len() as u64, bad as u64));
            let last = text.len().div_ceil(size) as u128;
            prop_assert_eq!(ran.position, Some(Position(last)).filter(|_| last > 0));
        }
    }

    #[test]
    fn any_bytes_are_framed_or_dropped(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            r#"([{}\[\]":,\\ab1. \n-]{0,400})"#.prop_map(String::into_bytes),
            r"((data|id|retry|)(:[\[\]a1é]{0,9})?(\n|\r)){0,60}".prop_map(String::into_bytes),
        ],
        size in 1..=64_usize,
    ) {
        for call in [
            "lines long=skip",
            "from-json bad=skip long=skip",
            "from-csv bad=skip long=skip header=false columns=a,b",
            "from-sse long=skip",
            "from-sse data=json long=skip",
        ] {
            let ran = run(call, &bytes, Port::Bytes, size);
            prop_assert!(ran.outcome.is_ok(), "{}: {:?}", call, ran.outcome);
            prop_assert_eq!(ran.bytes.split_inclusive(|byte| *byte == b'\n').count() as u64, ran.records);
        }
    }

    #[test]
    fn lines_have_exactly_the_bound(lengths in proptest::collection::vec(250..260_usize, 1..4), size in 1..=64_usize) {
        let lines: Vec<String> = lengths.iter().map(|length| "x".repeat(*length) + "\n").collect();
        let expected: String = lines.iter().filter(|line| line.len() <= LARGEST).cloned().collect();
        let ran = on_bytes("lines long=skip", &lines.concat(), size);
        prop_assert_eq!(ran.rejected, lines.iter().filter(|line| line.len() > LARGEST).count() as u64);
        prop_assert_eq!(ran.succeeded(), expected);
    }
}

#[test]
fn error_names_record_and_byte() {
    let text = "{\"a\":1}\n\n{\"a\":2}\n{\"a\":tru}\n";
    for size in 1..=64 {
        let failure = on_bytes("from-json", text, size).failure();
        assert_eq!(
            failure, "cannot read record 3: a value is expected (at byte 22)",
            "chunks of {size}"
        );
    }
    let long = format!("a\n{}\n", "b".repeat(300));
    for size in [1, 7, 64, 400] {
        let failure = on_bytes("lines", &long, size).failure();
        assert_eq!(
            failure,
            "cannot read record 2: it is longer than 256 B, which max-record= can raise (at byte 2)"
        );
    }
    let csv = "a,b\n1,2\n3\n";
    for size in 1..=12 {
        let failure = on_bytes("from-csv", csv, size).failure();
        assert_eq!(
            failure,
            "cannot read record 2: it has too few fields: 1 for 2 columns (at byte 8)"
        );
    }
}

#[test]
fn bad_record_is_the_line_it_begins_on() {
    // The first value never ends, so that only its first line is bad.
    let text = "[1,\n{\"a\":2}\n 3 4\n\"open\n5}\n6";
    for size in 1..=64 {
        let ran = on_bytes("from-json bad=skip", text, size);
        assert_eq!(
            (ran.text(), ran.rejected),
            ("{\"a\":2}\n3\n4\n6\n", 3),
            "chunks of {size}"
        );
    }
    let csv = "a,b\n\"never closed,1\n2,3\n";
    for size in 1..=64 {
        let ran = on_bytes("from-csv bad=skip", csv, size);
        assert_eq!(
            (ran.text(), ran.rejected),
            ("{\"a\":\"2\",\"b\":\"3\"}\n", 1),
            "chunks of {size}"
        );
    }
}

#[test]
fn long_event_is_dropped_whole() {
    for line_end in ["\n", "\r", "\r\n"] {
        // A record of the largest size.
        let largest = format!("data: {}\n\n", "x".repeat(LARGEST - 12));
        let stream = format!(
            "id: 1\n{}data: rest\n\ndata: a\n\n:{}\n{largest}data: b\n\n",
            "data: xx\n".repeat(40),
            "comment ".repeat(100),
        );
        let stream = stream.replace('\n', line_end);
        for size in 1..=64 {
            let ran = on_bytes("from-sse long=skip", &stream, size);
            let passed: Vec<Value> = ran
                .text()
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            assert_eq!((passed.len(), ran.records, ran.rejected), (3, 3, 1), "chunks of {size}");
            assert_eq!([&passed[0], &passed[2]], [&json!({"data": "a"}), &json!({"data": "b"})]);
        }
        let failure = on_bytes("from-sse", &stream, 7).failure();
        assert_eq!(
            failure,
            "cannot read record 1: it is longer than 256 B, which max-record= can raise (at byte 0)"
        );
    }
    // What is made of it can be too long as well, here because of its escapes.
    let ran = on_bytes(
        "from-sse long=skip",
        &format!("data: {}\n\ndata: a\n\n", "\u{1}".repeat(60)),
        64,
    );
    assert_eq!((ran.text(), ran.rejected), ("{\"data\":\"a\"}\n", 1));
}

#[test]
fn end_of_the_stream_cuts_an_event_off() {
    let stream = "data: a\n\ndata: b\ndata: c\n";
    for size in 1..=stream.len() {
        let ran = on_bytes("from-sse", stream, size);
        assert_eq!((ran.rejected, ran.succeeded().as_str()), (1, "{\"data\":\"a\"}\n"));
        let failure = on_bytes("from-sse bad=fail", stream, size).failure();
        assert_eq!(
            failure,
            "cannot read record 2: the stream ends within the event (at byte 25)"
        );
    }
    for whole in ["data: a\n\n: comment", "data: a\r\n\r", ""] {
        assert_eq!(on_bytes("from-sse bad=fail", whole, 3).rejected, 0, "{whole:?}");
    }
}

#[test]
fn array_ends_where_it_says() {
    for (text, expected) in [
        ("[1,[2],\n {\"a\":\n3}]", Ok("1\n[2]\n{\"a\": 3}\n")),
        (" [ ] \n", Ok("")),
        ("", Err("cannot read the input: there is no array (at byte 0)")),
        ("[1,2", Err("cannot read the input: the array has no end (at byte 4)")),
        ("[1,]", Err("cannot read record 2: a value is expected (at byte 3)")),
        ("[1 2]", Err("cannot read record 2: `,` or `]` is expected (at byte 3)")),
        (
            "[] 1",
            Err("cannot read record 1: something follows the end of the array (at byte 3)"),
        ),
        (
            "{}",
            Err("cannot read record 1: `[` is expected, as items=true takes one array (at byte 0)"),
        ),
    ] {
        for size in 1..=16 {
            let ran = on_bytes("from-json items=true", text, size);
            match expected {
                Ok(expected) => assert_eq!(ran.succeeded(), expected, "{text}"),
                Err(expected) => assert_eq!(ran.failure(), expected, "{text}"),
            }
        }
    }
}

#[test]
fn csv_columns_are_named_as_asked() {
    let csv = "x,y\n1,true\n\n007,\"a \"\"b\"\"\"\n";
    for (options, expected) in [
        ("", r#"{"x":"1","y":"true"} {"x":"007","y":"a \"b\""}"#),
        ("types=infer", r#"{"x":1,"y":true} {"x":"007","y":"a \"b\""}"#),
        (
            "columns='a,b c'",
            r#"{"a":"1","b c":"true"} {"a":"007","b c":"a \"b\""}"#,
        ),
        (
            "header=false",
            r#"{"1":"x","2":"y"} {"1":"1","2":"true"} {"1":"007","2":"a \"b\""}"#,
        ),
        (
            "header=false columns=a,b",
            r#"{"a":"x","b":"y"} {"a":"1","b":"true"} {"a":"007","b":"a \"b\""}"#,
        ),
    ] {
        let ran = on_bytes(&format!("from-csv {options}"), csv, 5).succeeded();
        assert_eq!(ran.lines().collect::<Vec<_>>().join(" "), expected, "{options}");
    }
    assert_eq!(
        on_bytes("from-csv delimiter=tab", "a\tb\n1,5\t2\n", 3).succeeded(),
        "{\"a\":\"1,5\",\"b\":\"2\"}\n"
    );
    let twice = on_bytes("from-csv", "a,a\n1,2\n", 64).failure();
    assert_eq!(
        twice,
        "cannot read record 1: two columns are named `a`; columns= can name them otherwise (at byte 0)"
    );
}

const PEOPLE: &str = concat!(
    r#"{"id":1,"user":{"name":"Jo","mail":"jo@example.org"},"age":"20"}"#,
    "\n",
    r#"{"id": 2,"user":{"name":"\u00c4l"},"age":17.50,"age":18}"#,
    "\n",
    r#"{"id":3, "user":null,"note":"4111 1111 1111 1111 \u0040 10.0.0.1"}"#,
    "\n",
);

#[test]
fn conditions_keep_what_meets_them() {
    let ids = |condition: &str| -> Vec<Value> {
        let kept = on_json(&format!("where '{condition}'"), PEOPLE);
        kept.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone())
            .collect()
    };
    assert_eq!(ids("age >= 18"), [json!(1), json!(2)]);
    assert_eq!(ids("user.name == Jo"), [1]);
    assert_eq!(ids("user.name == Äl"), [2]);
    assert_eq!(ids("user.name ~ ^.l$"), [2]);
    assert_eq!(ids("note ~ 10[.]0"), [3]);
    assert_eq!(ids("user == null"), [3]);
    assert!(ids("missing != 1").is_empty());
}

#[test]
fn fields_are_selected_and_dropped() {
    assert_eq!(
        on_json("select age id", PEOPLE),
        "{\"id\":1,\"age\":\"20\"}\n{\"id\": 2,\"age\":17.50,\"age\":18}\n{\"id\":3}\n"
    );
    let dropped = on_json("drop user.name age note", PEOPLE);
    let expected =
        "{\"id\":1,\"user\":{\"mail\":\"jo@example.org\"}}\n{\"id\": 2,\"user\":{}}\n{\"id\":3, \"user\":null}\n";
    assert_eq!(dropped, expected);
}

#[test]
fn only_named_texts_change_their_case() {
    let upper = on_json("upper user.name id", PEOPLE);
    let expected = PEOPLE.replace("\"Jo\"", "\"JO\"").replace(r"\u00c4l", "ÄL");
    assert_eq!(upper, expected);
    assert_eq!(
        on_json("lower user.name", PEOPLE),
        PEOPLE.replace("\"Jo\"", "\"jo\"").replace(r"\u00c4l", "äl")
    );
    // Nothing to change: not even an escape.
    assert_eq!(
        on_json("upper note", "{\"note\":\"\\u0041\\/\"}\n"),
        "{\"note\":\"\\u0041\\/\"}\n"
    );
}

#[test]
fn patterns_see_decoded_texts() {
    let redacted = on_json("redact email ipv4 card '@' with=X", PEOPLE);
    let expected = PEOPLE
        .replace("jo@example.org", "X")
        .replace(r"4111 1111 1111 1111 \u0040 10.0.0.1", "X X X");
    assert_eq!(redacted, expected);
    assert_eq!(
        on_json("redact '^Jo$' field=user.name", PEOPLE),
        PEOPLE.replace("\"Jo\"", "\"***\"")
    );
    assert_eq!(on_lines("redact '^a+' b$ with=''", "aab\nba\nab b\n"), "\nba\nb \n");
    assert_eq!(
        on_json("grep field=note '@ 1'", PEOPLE),
        PEOPLE.lines().nth(2).expect("three").to_owned() + "\n"
    );
}

#[test]
fn grep_keeps_whole_lines() {
    let lines = "one\ntwo\n\nthree\n";
    assert_eq!(on_lines("grep '^t'", lines), "two\nthree\n");
    assert_eq!(on_lines("grep '^t' invert=true", lines), "one\n\n");
    assert_eq!(on_lines("grep o fixed=true", lines), "one\ntwo\n");
    assert_eq!(on_lines(r"grep '\At'", lines), "two\nthree\n");
    assert_eq!(on_lines("grep '^$'", lines), "\n");
}

#[test]
fn grown_record_is_refused() {
    let record = format!("{{\"a\":\"{}\"}}\n", "x".repeat(200));
    let ran = run("redact x with=abcdef", record.as_bytes(), Port::Json, 0);
    assert_eq!(
        ran.failure(),
        "cannot change record 1: it grows above 256 B, which max-record= can raise"
    );
}

#[test]
fn records_become_one_array_or_a_table() {
    assert_eq!(on_json("to-json array=true", "1\n{\"a\":2}\n"), "[\n1,\n{\"a\":2}\n]\n");
    assert_eq!(on_json("to-json array=true", ""), "[]\n");
    assert_eq!(on_json("to-json", PEOPLE), PEOPLE);
    let bad = run("to-csv columns=id,user", PEOPLE.as_bytes(), Port::Json, 0).failure();
    assert_eq!(bad, "cannot read record 1: `age` is not among the columns (at byte 54)");
    let skipped = run(
        "to-csv bad=skip columns=id,user,note delimiter=;",
        PEOPLE.as_bytes(),
        Port::Json,
        0,
    );
    assert_eq!(skipped.rejected, 2);
    assert_eq!(skipped.succeeded(), "id;user;note\n3;;4111 1111 1111 1111 @ 10.0.0.1\n");
    assert_eq!(on_json("to-csv columns=a,b", ""), "a,b\n");
}

#[test]
fn records_become_events() {
    for (record, expected) in [
        (r#"{"data":"a"}"#, "data: a\n\n"),
        (
            r#" { "retry":10, "data":" a\nb\r\n\rc\n","id":7,"event":"\u0065" } "#,
            "event: e\nid: 7\nretry: 10\ndata:  a\ndata: b\ndata: \ndata: c\ndata: \n\n",
        ),
        (
            r#"{"data":"","id":"","event":null,"retry":"5"}"#,
            "id: \nretry: 5\ndata: \n\n",
        ),
        (r#"{"data":1,"d\u0061ta":{"a":"x\ny"}}"#, "data: {\"a\":\"x\\ny\"}\n\n"),
        (
            r#"{"event":"e","more":[1]}"#,
            "data: {\"event\":\"e\",\"more\":[1]}\n\n",
        ),
        ("[1,\r2]\r", "data: [1,\ndata: 2]\n\n"),
        ("\"a\"", "data: \"a\"\n\n"),
    ] {
        assert_eq!(on_json("to-sse", &format!("{record}\n")), expected, "{record}");
    }
    assert_eq!(
        on_lines("to-sse", "a\n\nb\r\n{\"data\":1}\n"),
        "data: a\n\ndata: \n\ndata: b\n\ndata: {\"data\":1}\n\n"
    );
}

#[test]
fn record_that_is_no_event_is_bad() {
    for (record, why) in [
        (
            r#"{"data":1,"time":2}"#,
            "`time` is not among the members of an event: event, id, retry and data (at byte 14)",
        ),
        (
            r#"{"event":"a\nb","data":1}"#,
            "`event` has a line end, which an event stream has no way to write (at byte 12)",
        ),
        (
            r#"{"id":"a\r","data":1}"#,
            "`id` has a line end, which an event stream has no way to write (at byte 9)",
        ),
        (
            r#"{"id":"\u0000","data":1}"#,
            "`id` has a NUL, for which receivers ignore it (at byte 9)",
        ),
        (r#"{"id":[1],"data":1}"#, "`id` is an object or an array (at byte 9)"),
        (
            r#"{"retry":1.5,"data":1}"#,
            "`retry` is not a whole number of milliseconds (at byte 12)",
        ),
    ] {
        let records = format!("[]\n{record}\n{{\"data\":2}}\n");
        let ran = |call| run(call, records.as_bytes(), Port::Json, 0);
        assert_eq!(ran("to-sse").failure(), format!("cannot read record 2: {why}"));
        let skipped = ran("to-sse bad=skip");
        assert_eq!((skipped.rejected, skipped.text()), (1, "data: []\n\ndata: 2\n\n"));
    }
}

#[test]
fn records_are_counted_off() {
    let lines = "1\n2\n3\n4\n5\n";
    assert_eq!(on_lines("take records=2", lines), "1\n2\n");
    assert_eq!(on_lines("take records=9", lines), lines);
    assert_eq!(on_lines("skip records=3", lines), "4\n5\n");
    assert_eq!(on_lines("throttle 1000000records/s", lines), lines);
}
