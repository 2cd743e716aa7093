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
    fn any_csv_is_read_as_the_csv_crate_does(text in r#"[ab,"\r\n]{0,24}"#) {
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
