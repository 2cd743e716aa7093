//! Every framer on seeded documents, cut into chunks of every size from 1 to 64, against other readers.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The records of `bytes`, which come in chunks of `size`, or the first fault. The bytes that no record has used are
/// kept, as a stage does.
fn framed(framer: &mut dyn Framer, bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let (mut held, mut out) = (Vec::new(), Vec::new());
    let mut made = Record::new(1 << 20);
    let count = bytes.len().div_ceil(size);
    for (index, chunk) in bytes.chunks(size).enumerate() {
        held.extend_from_slice(chunk);
        let is_last = index + 1 == count;
        let mut at = 0;
        while at < held.len() {
            made.clear();
            match framer.step(&held[at..], is_last, &mut made) {
                Step::Kept { end, records } => {
                    let kept = &held[at..at + end];
                    assert_eq!(memchr::memchr_iter(b'\n', kept).count() as u64, records);
                    out.extend_from_slice(kept);
                    at += end;
                }
                Step::Made { end } => {
                    out.extend_from_slice(made.as_slice());
                    at += end;
                }
                Step::Skipped { end } => at += end,
                Step::Incomplete => break,
                Step::Bad(fault) => return Err(fault.why.into_owned()),
            }
        }
        held.drain(..at);
    }
    assert!(held.is_empty(), "the last step uses every byte: {held:?}");
    framer.finish().map_err(str::to_owned)?;
    Ok(out)
}

fn json(bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
    framed(&mut JsonValues::new(), bytes, size)
}

fn csv(options: &CsvOptions, bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
    framed(&mut CsvRows::new(options, 1 << 20), bytes, size)
}

fn sse(bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
    framed(&mut SseEvents::new(false, 1 << 20), bytes, size)
}

fn values(lines: &[u8]) -> Vec<Value> {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| serde_json::from_slice(line).expect("one value a line"))
        .collect()
}

const PLAIN: CsvOptions = CsvOptions {
    delimiter: b',',
    has_header: true,
    columns: None,
    infers_types: false,
};

/// JSON text of any shape, with white space between the tokens.
fn document() -> impl Strategy<Value = String> {
    let space = || r"[ \t\r\n]{0,2}";
    let string = r#""([ -!#-\[\]-~é€😀]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,12}""#;
    let number = r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?";
    let scalar = prop_oneof![
        string,
        number,
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned())
    ];
    scalar.prop_recursive(4, 24, 5, move |inner| {
        let spaced = move |token: BoxedStrategy<String>| {
            (space(), token, space()).prop_map(|(before, token, after)| before + &token + &after)
        };
        let value = spaced(inner.boxed());
        let member = (spaced(string.boxed()), value.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        let items = proptest::collection::vec(value, 1..4).prop_map(|items| format!("[{}]", items.join(",")));
        let members = proptest::collection::vec(member, 1..4).prop_map(|items| format!("{{{}}}", items.join(",")));
        prop_oneof![
            items,
            members,
            (space()).prop_map(|space| format!("[{space}]")),
            Just("{}".to_owned())
        ]
    })
}

/// The events of a stream that ends in a blank line, read a line at a time in the words of the HTML standard.
fn events(stream: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut kept) = (Vec::new(), serde_json::Map::new());
    let (mut name, mut data) = (String::new(), String::new());
    for line in text.strip_suffix('\n').expect("a blank line").split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                let name = std::mem::take(&mut name);
                if let Some(data) = std::mem::take(&mut data).strip_suffix('\n') {
                    let mut event = std::mem::take(&mut kept);
                    event.insert("data".to_owned(), data.into());
                    if !name.is_empty() {
                        event.insert("event".to_owned(), name.into());
                    }
                    events.push(Value::Object(event));
                }
            }
            "event" => value.clone_into(&mut name),
            "data" => data = data + value + "\n",
            "id" if !value.contains('\0') => {
                kept.insert("id".to_owned(), value.into());
            }
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                kept.insert("retry".to_owned(), value.parse::<u64>().expect("few digits").into());
            }
            _ => {}
        }
    }
    events
}

#[test]
fn events_are_those_of_the_standard() {
    for (stream, expected) in [
        // Most of these are in the tests of the Web platform, eventsource/format-*.
        (
            "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n",
            r#"{"data":"1"} {"data":"3"}"#,
        ),
        ("\u{feff}\u{feff}data:1\n\n", ""),
        (
            "data:1\r:\0\n:\r\ndata:2\n:x\rdata:3\r:data:fail\r\n\n",
            r#"{"data":"1\n2\n3"}"#,
        ),
        (":a\n:b\r:c\r\n\n:\n\n", ""),
        (
            "data:\n\ndata\ndata\n\ndata:test\n\n",
            r#"{"data":""} {"data":"\n"} {"data":"test"}"#,
        ),
        (
            "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
            r#"{"data":"\u0000\n 2\n1\n3\n\n4"}"#,
        ),
        ("data:test\r\ndata\ndata:test\r\n\r", r#"{"data":"test\n\ntest"}"#),
        (
            "data:a\r\rdata:b\r\n\r\ndata:c\n\r\r\n",
            r#"{"data":"a"} {"data":"b"} {"data":"c"}"#,
        ),
        ("data:\ttest\rdata: \ndata:test\n\n", r#"{"data":"\ttest\n\ntest"}"#),
        (
            "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:comment\ndata:test\n\n",
            r#"{"data":"test\n\ntest"}"#,
        ),
        (
            "event:test\nevent:x\ndata:1\n\ndata:2\n\nevent:\ndata:3\n\nevent:y\n\ndata:4\n\n",
            r#"{"event":"x","data":"1"} {"data":"2"} {"data":"3"} {"data":"4"}"#,
        ),
        (
            "id:1\ndata:a\n\ndata:b\n\nid:2\nid:3\n\nid:\0\ndata:c\n\nid\ndata:d\n\n",
            r#"{"id":"1","data":"a"} {"data":"b"} {"id":"3","data":"c"} {"id":"","data":"d"}"#,
        ),
        (
            "retry:0500\n\nretry: 5x\ndata:a\n\nretry\nretry:+1\nretry:99999999999999999999\ndata:b\n\n",
            r#"{"retry":500,"data":"a"} {"data":"b"}"#,
        ),
        ("data: \\\"é\u{1}\n\n", r#"{"data":"\\\"é\u0001"}"#),
        ("\n\r\n\r", ""),
    ] {
        for size in 1..=64 {
            let records = String::from_utf8(sse(stream.as_bytes(), size).expect("events")).expect("UTF-8");
            let records: Vec<&str> = records.lines().collect();
            assert_eq!(records.join(" "), expected, "{stream:?} in chunks of {size}");
        }
    }
    assert_eq!(
        sse(b"data:\xe2\x82\n\n", 3).expect("events"),
        "{\"data\":\"\u{fffd}\"}\n".as_bytes()
    );
}

#[test]
fn only_json_containers_are_embedded() {
    for (stream, expected) in [
        ("data: {\"a\": [1]} \n\n", r#"{"data":{"a": [1]}}"#),
        ("data: [1,\ndata: 2]\ndata\n\n", r#"{"data":[1, 2]}"#),
        ("data: [DONE]\n\n", r#"{"data":"[DONE]"}"#),
        ("data: {\"a\":\"\ndata: \"}\n\n", r#"{"data":"{\"a\":\"\n\"}"}"#),
        ("data: {} {}\n\n", r#"{"data":"{} {}"}"#),
        ("data: \"a\"\n\n", r#"{"data":"\"a\""}"#),
        ("data: 1\n\ndata: null\n\n", r#"{"data":"1"} {"data":"null"}"#),
    ] {
        for size in 1..=stream.len() {
            let mut framer = SseEvents::new(true, 1 << 20);
            let records = framed(&mut framer, stream.as_bytes(), size).expect("events");
            let records = String::from_utf8(records).expect("UTF-8");
            let records: Vec<&str> = records.lines().collect();
            assert_eq!(records.join(" "), expected, "{stream:?} in chunks of {size}");
        }
    }
}

/// Whether `serde_json` takes the bytes as one JSON value. It reads values of more kinds than it can hold: those of
/// numbers beyond a float, and halves of surrogate pairs.
fn is_json(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

proptest! {
    #[test]
    fn json_values_are_those_of_serde(documents in proptest::collection::vec(document(), 0..5)) {
        // Two numbers need white space between them.
        let text = documents.join(" ");
        let expected: Vec<u8> = documents.iter().flat_map(|value| {
            let value = value.trim_matches([' ', '\t', '\r', '\n']).replace('\n', " ");
            (value + "\n").into_bytes()
        }).collect();
        for size in 1..=64 {
            let records = json(text.as_bytes(), size).expect("JSON");
            prop_assert_eq!(String::from_utf8_lossy(&records), String::from_utf8_lossy(&expected), "chunks of {}", size);
        }
    }

    #[test]
    fn lines_of_json_pass_unchanged(documents in proptest::collection::vec(document(), 0..5)) {
        let lines: String = documents.iter().map(|value| value.replace('\n', " ").trim_start().to_owned() + "\n").collect();
        for size in 1..=64 {
            let records = json(lines.as_bytes(), size).expect("JSON");
            let unspaced = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(unspaced(&String::from_utf8_lossy(&records)), unspaced(&lines), "chunks of {}", size);
        }
        prop_assert_eq!(json(lines.as_bytes(), lines.len().max(1)).expect("JSON"), lines.as_bytes());
    }

    #[test]
    fn damaged_json_is_judged_as_serde_does(
        document in document(),
        at: prop::sample::Index,
        damage in prop_oneof![Just(None), r#"[\x00-\x7f]"#.prop_map(Some), r#"["\\{}\[\],:0-9.eE+-]"#.prop_map(Some)],
    ) {
        let mut bytes = document.trim().as_bytes().to_vec();
        let at = at.index(bytes.len());
        match damage {
            Some(damage) => bytes[at] = damage.as_bytes()[0],
            None => { bytes.remove(at); }
        }
        for size in 1..=64 {
            let mut scanner = json::Scanner::new();
            let ends: Vec<usize> = (size..bytes.len()).step_by(size).chain([bytes.len()]).collect();
            let judged = ends.iter().try_fold(None, |found, end| match found {
                None => scanner.scan(&bytes[..*end], *end == bytes.len()),
                Some(_) => Ok(found),
            });
            let rest = |end: usize| bytes[end..].iter().all(|byte| b" \t\r\n".contains(byte));
            prop_assert_eq!(matches!(judged, Ok(Some(end)) if rest(end)), is_json(&bytes), "{:?} in {}", judged, size);
        }
    }

    #[test]
    fn items_are_those_of_the_array(items in proptest::collection::vec(document(), 0..5)) {
        let text = format!(" [ {} ]\n", items.join(","));
        for size in 1..=64 {
            let records = framed(&mut JsonValues::items(), text.as_bytes(), size).expect("an array");
            let expected: Vec<String> = items.iter().map(|item| item.trim_matches([' ', '\t', '\r', '\n']).replace('\n', " ")).collect();
            let records = String::from_utf8(records).expect("UTF-8");
            prop_assert_eq!(records.lines().collect::<Vec<_>>(), expected, "chunks of {}", size);
        }
    }

    #[test]
    fn csv_fields_are_those_of_the_csv_crate(
        rows in proptest::collection::vec(proptest::collection::vec(r#"[a-c ,;"\r\n\té]{0,6}"#, 3), 1..5),
        end in prop_oneof![Just("\n"), Just("\r\n")],
        mark: bool,
    ) {
        let mut writer = ::csv::WriterBuilder::new()
            .terminator(if end == "\n" { ::csv::Terminator::Any(b'\n') } else { ::csv::Terminator::CRLF })
            .from_writer(if mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() });
        writer.write_record(["x", "y", "z"]).expect("written");
        for row in &rows {
            writer.write_record(row).expect("written");
        }
        let text = writer.into_inner().expect("written");
        let expected: Vec<Value> = rows
            .iter()
            .map(|row| serde_json::json!({"x": row[0], "y": row[1], "z": row[2]}))
            .collect();
        for size in 1..=64 {
            prop_assert_eq!(&values(&csv(&PLAIN, &text, size).expect("rows")), &expected, "chunks of {}", size);
        }
        let unended = text.strip_suffix(end.as_bytes()).expect("an end");
        prop_assert_eq!(values(&csv(&PLAIN, unended, 7).expect("rows")), expected);
    }

    #[test]
    fn any_csv_is_read_as_the_csv_crate_does(text in "[ab,\"\r\n\u{feff}]{0,24}") {
        let reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let expected: Vec<::csv::StringRecord> = reader.into_records().map(|row| row.expect("a row")).collect();
        let width = expected.first().map_or(0, ::csv::StringRecord::len);
        let is_even = expected.iter().all(|row| row.len() == width);
        let options = CsvOptions { has_header: false, ..PLAIN };
        for size in [1, 2, 3, 5, 64] {
            match csv(&options, text.as_bytes(), size) {
                Ok(records) => {
                    let rows = values(&records);
                    prop_assert!(is_even);
                    prop_assert_eq!(rows.len(), expected.len());
                    for (row, expected) in rows.iter().zip(&expected) {
                        let fields = expected.iter().enumerate().map(|(at, field)| ((at + 1).to_string(), field.into()));
                        prop_assert_eq!(row, &Value::Object(fields.collect()));
                    }
                }
                Err(why) if why.contains("fields") => prop_assert!(!is_even, "{}", why),
                // The crate takes the end of the stream for the missing quote.
                Err(why) => prop_assert_eq!(why, "a quote is never closed"),
            }
        }
    }

    #[test]
    fn any_event_stream_is_read_line_by_line(
        lines in r"((data|event|id|retry|x|)(: ?)?[a :0-9é~\x00]{0,4}(\n|\r|\r\n)){0,8}",
        mark: bool,
    ) {
        let mark = if mark { "\u{feff}" } else { "" };
        let stream: Vec<u8> = format!("{mark}{lines}\n\n").bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect();
        for size in 1..=64 {
            prop_assert_eq!(values(&sse(&stream, size).expect("events")), events(&stream), "chunks of {}", size);
        }
    }

    #[test]
    fn written_events_are_read_back(
        parts in proptest::collection::vec(
            (
                proptest::option::of(r#"[a-c :"\\é\t]{1,6}"#),
                proptest::option::of(r#"[a-c :"\\é\t]{0,6}"#),
                proptest::option::of(any::<u64>()),
                prop_oneof![
                    r#"[a-c :"\\é\t\n\x00\[\]{}]{0,12}"#.prop_map(Value::String),
                    any::<(u8, bool)>().prop_map(|(number, truth)| serde_json::json!({"a": [number, truth, "x\n"]})),
                ],
            ),
            0..6,
        ),
        size in 1..=64_usize,
    ) {
        let records: Vec<Value> = parts
            .into_iter()
            .map(|(event, id, retry, data)| {
                let members = [("event", event.map(Value::from)), ("id", id.map(Value::from)), ("retry", retry.map(Value::from))];
                let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
                Value::Object(members.chain([("data".to_owned(), data)]).collect())
            })
            .collect();
        // Which data is JSON has to be known beforehand.
        for embeds_json in [false, true] {
            let is_json = |record: &&Value| !record["data"].is_string();
            let records: Vec<&Value> = records.iter().filter(|record| is_json(record) == embeds_json).collect();
            let (mut stream, mut text) = (Vec::new(), Vec::new());
            for record in &records {
                let record = record.to_string();
                let event = SseEvent::of_json(record.as_bytes(), &mut text).expect("an event");
                let put = |bytes: &[u8]| {
                    stream.extend_from_slice(bytes);
                    Ok::<(), std::convert::Infallible>(())
                };
                let Ok(()) = event.write(&mut text, put);
            }
            let mut framer = SseEvents::new(embeds_json, 1 << 20);
            let read = values(&framed(&mut framer, &stream, size).expect("events"));
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), records);
        }
    }

    #[test]
    fn unchecked_records_never_panic(
        record in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..48),
            r#"[{}\[\]":,\\ab1. u0-]{0,48}"#.prop_map(String::into_bytes),
        ],
    ) {
        let paths = ["a", "b.a"].map(|path| json::Path::parse(path.as_bytes()).expect("a path"));
        for condition in ["a == 1", "b.a > x", "a ~ b"] {
            let _ = Condition::parse(condition).expect("a condition").is_met(&record);
        }
        let mut made = Record::new(64);
        Fields::new(&paths).select(&record, &mut made);
        made.clear();
        let _ = Fields::new(&paths).remove(&record, &mut made);
        made.clear();
        let _ = CsvWriter::new(b',', None).write(&record, &mut Vec::new());
        if let Ok(event) = SseEvent::of_json(&record, &mut Vec::new()) {
            let _ = event.write(&mut Vec::new(), |_| Ok::<(), ()>(()));
        }
        let mut buffers = TextBuffers::new(64);
        let mut texts = TextChange::new(&record, &mut made, &mut buffers);
        texts.all_texts(|text, made| {
            made.extend(text);
            true
        });
        let _ = texts.finish();
    }

    #[test]
    fn lines_are_counted_in_any_chunks(text in r"[a\r\n\x00]{0,24}", limit in 1..8_usize) {
        let longest = text.split_inclusive('\n').map(|line| line.trim_end_matches('\n').len() + 1).max();
        for size in 1..=64 {
            if longest.is_some_and(|longest| longest > limit) {
                continue;
            }
            let records = framed(&mut Lines::new(limit), text.as_bytes(), size).expect("lines");
            let ended = if text.is_empty() || text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
            prop_assert_eq!(String::from_utf8(records).expect("UTF-8"), ended);
        }
    }
}
