use super::*;

const HEADER: &str = r#"{"schema":1,"event":"run","text":"read a | write b","started":"2026-11-21T10:00:00Z","version":"0.1.0","interval_s":0.1}"#;

/// A minimal sample or end of a pipeline of two stages.
fn stats(event: &str, elapsed: f64, more: &str) -> String {
    let stage = |index: u32, name: &str| {
        format!(
            r#"{{"index":{index},"name":"{name}","text":"{name} x","bytes_in":1,"bytes_out":1,"busy":0.5,"idle":0.0,"backpressured":0.5,"waiting_outside":0.0,"throttling":0.0,"ended":false}}"#
        )
    };
    let link = r#"{"from":0,"to":1,"buffered_bytes":1,"peak_bytes":2,"high_bytes":4,"low_bytes":2,"times_full":0,"times_empty":0,"drains":0,"longest_pause_s":0.0}"#;
    format!(
        r#"{{"schema":1,"event":"{event}","elapsed_s":{elapsed},"rss_bytes":1,"rss_peak_bytes":1,"buffered_bytes":1,"buffered_peak_bytes":1,"state_bytes":0,"memory_limit_bytes":8,"expected_bytes":null,"bottleneck":{{"stage":1,"name":"write"}},"stages":[{},{}],"links":[{link}],"lane":"linked"{more}}}"#,
        stage(0, "read"),
        stage(1, "write")
    )
}

fn read(text: &str) -> Result<Recording, Trouble> {
    from(text.as_bytes(), "run.jsonl", "run.jsonl")
}

fn run(text: &str) -> Run {
    match read(text).expect("a recording").body {
        Body::Run(run) => run,
        Body::Check(_) => panic!("not a run"),
    }
}

const END: &str = r#","exit":{"code":0,"error":null}"#;

#[test]
fn a_whole_recording_is_read() {
    let text = [HEADER, &stats("sample", 0.1, ""), &stats("end", 0.15, END), ""].join("\n");
    let run = run(&text);
    assert!(run.has_end());
    assert_eq!(run.points.len(), 2);
    assert_eq!(run.points[0].shares, [Some([0.5, 0.5, 0.0]); 2]);
    assert_eq!(
        run.points[1].shares,
        [None, None],
        "those of the end are of the whole run"
    );
    assert_eq!(run.sampled().len(), 1);
}

#[test]
fn torn_last_line_is_left_out() {
    let sample = stats("sample", 0.2, "");
    let before = [HEADER, &stats("sample", 0.1, ""), ""].join("\n");
    for length in 0..sample.len() {
        let run = run(&format!("{before}{}", &sample[..length]));
        assert_eq!((run.points.len(), run.has_end()), (1, false), "after {length} bytes");
    }
    // A line that lacks only its newline is complete.
    assert_eq!(run(&format!("{before}{sample}")).points.len(), 2);
}

#[test]
fn unknown_events_are_skipped() {
    let later = stats("sample", 0.1, r#","colour":"blue""#);
    let text = [HEADER, r#"{"event":"valve","rate":3}"#, "", &later, ""].join("\n");
    assert_eq!(run(&text).points.len(), 1);
}

#[test]
fn trouble_names_line_and_correction() {
    let sample = stats("sample", 0.1, "");
    let end = stats("end", 0.2, END);
    let first = "a recording begins with {\"schema\":1,\"event\":\"run\",…}, as `highwater --record FILE` writes it";
    let cases: Vec<(String, String)> = vec![
        (String::new(), format!("run.jsonl: it is empty; {first}")),
        (
            "hello\n".to_owned(),
            format!("run.jsonl:1: expected value at column 1; {first}"),
        ),
        (
            format!("{end}\n"),
            format!("run.jsonl:1: it has no header, as if written by --stats or --progress json; {first}"),
        ),
        (
            HEADER.replace(":1,", ":2,") + "\n",
            "run.jsonl:1: its schema is 2; this highwater reads schema 1, a newer one may read it".to_owned(),
        ),
        (
            r#"{"schema":1,"event":"walk"}"#.to_owned() + "\n",
            format!("run.jsonl:1: the event is \"walk\"; {first}"),
        ),
        (
            r#"{"schema":1,"event":"run"}"#.to_owned() + "\n",
            format!("run.jsonl:1: missing field `text`; {first}"),
        ),
        (
            format!("{HEADER}\n"),
            "run.jsonl: there is no sample behind the header; the run was killed before its first one".to_owned(),
        ),
        (
            format!("{HEADER}\n{sample}\n{{\"event\":\n{sample}\n"),
            "run.jsonl:3: EOF while parsing a value at column 9; every line is one JSON object that has an \"event\""
                .to_owned(),
        ),
        (
            format!("{HEADER}\n{}\n", sample.replace("\"rss_bytes\":1,", "")),
            "run.jsonl:2: missing field `rss_bytes`; a sample has the fields of the stats object".to_owned(),
        ),
        (
            format!("{HEADER}\n{}\n{sample}\n", stats("sample", 0.3, "")),
            "run.jsonl:3: elapsed_s is 0.1 after 0.3; samples stand in the order of time, one recording in a file"
                .to_owned(),
        ),
        (
            format!("{HEADER}\n{}\n", stats("sample", -1.0, "")),
            "run.jsonl:2: elapsed_s is -1; it is the seconds since the start".to_owned(),
        ),
        (
            format!("{HEADER}\n{end}\n{end}\n"),
            "run.jsonl:3: there is more behind the end object; a file holds one recording".to_owned(),
        ),
        (
            format!("{HEADER}\n{}\n", stats("end", 0.2, "")),
            "run.jsonl:2: missing field `exit`; the end object says how the run ended".to_owned(),
        ),
        (
            format!("{HEADER}\n{}\n", sample.replace("\"to\":1", "\"to\":2")),
            "run.jsonl:2: a link joins the stages 0 and 2, and there are 2, counted from 0".to_owned(),
        ),
        (
            format!("{HEADER}\n{}\n", sample.replace("{\"stage\":1", "{\"stage\":7")),
            "run.jsonl:2: the bottleneck is stage 7, and there are 2, counted from 0".to_owned(),
        ),
        (
            format!(
                "{HEADER}\n{sample}\n{}\n",
                sample.replace("\"links\":[{", "\"links\":[],\"old\":[{")
            ),
            "run.jsonl:3: it has 2 stages and 0 links, the line before 2 and 1; all samples are of one chain"
                .to_owned(),
        ),
        (
            "x".repeat(2 << 20),
            format!("run.jsonl:1: a line is longer than 1 MiB; {first}"),
        ),
    ];
    for (text, expected) in cases {
        let trouble = read(&text).expect_err(&expected);
        assert_eq!(trouble.to_string(), expected);
        assert_eq!(trouble.kind, crate::error::Kind::Corrupt);
    }
}

#[test]
fn server_check_has_no_input() {
    let header = HEADER.replace("\"run\"", "\"check\"");
    let sample = r#"{"event":"check-sample","elapsed_s":0.1,"rss_bytes":5,"memory_bytes":3,"disk_bytes":0,"accepted_bytes":null,"returned_bytes":1,"backlog_bytes":null}"#;
    let Body::Check(check) = read(&[&header, sample, ""].join("\n")).expect("a recording").body else {
        panic!("not a check");
    };
    assert_eq!(
        (check.samples[0].accepted_bytes, check.samples[0].backlog_bytes),
        (None, None)
    );
}

#[test]
fn check_is_read_without_its_end() {
    let header = HEADER.replace("\"run\"", "\"check\"");
    let sample = r#"{"event":"check-sample","elapsed_s":0.1,"rss_bytes":5,"memory_bytes":3,"disk_bytes":0,"accepted_bytes":4,"returned_bytes":1,"backlog_bytes":3}"#;
    let end = r#"{"event":"check-end","elapsed_s":0.2,"verdict":"honours","sentence":"it does","advice":"","memory_peak_bytes":3,"disk_bytes":0,"largest":{"pid":42,"name":"node"},"error_line":null,"exit":{"code":0,"error":null}}"#;
    for (text, has_end) in [
        ([&header, sample, end, ""].join("\n"), true),
        ([&header, sample, ""].join("\n"), false),
    ] {
        let Body::Check(check) = read(&text).expect("a recording").body else {
            panic!("not a check");
        };
        assert_eq!((check.samples.len(), check.end.is_some()), (1, has_end));
    }
    let short = [&header, r#"{"event":"check-sample","elapsed_s":0.1}"#, ""].join("\n");
    assert_eq!(
        read(&short).expect_err("fields are missing").to_string(),
        "run.jsonl:2: missing field `rss_bytes`; a check's sample has elapsed_s, rss_bytes, memory_bytes, disk_bytes, accepted_bytes, \
         returned_bytes and backlog_bytes"
    );
}
