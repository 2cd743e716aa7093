//! Uploads that a later run goes on with.

use rustix::process::Signal;

use super::MIB;
use crate::harness::{Folder, Run, highwater, noise, peer, through, xorshift};
use crate::s3_server::{Deed, Relay, Server, server};

const PART: &str = "PUT partNumber uploadId";
const COMPLETE: &str = "POST uploadId";
const SIZE: usize = 24 * MIB;
/// The input of a part, which is a little larger than that once it is compressed.
const LEAST: usize = 5 * MIB - (64 << 10);

/// A folder with a source that compresses little.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", noise(SIZE, 41));
    folder
}

fn pipeline(bucket: &str, stages: &str) -> String {
    format!("read a | {stages} | write s3://{bucket}/o state=o.state")
}

/// Kills a run when the server has confirmed so many parts.
fn killed(relay: &Relay, folder: &Folder, pipeline: &str, parts: usize) {
    let running = relay.run(pipeline).within(folder).start();
    for _ in 0..parts {
        relay.wait_for(PART);
    }
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal, Some(9));
}

/// Runs it to its end; returns how much it has read.
#[track_caller]
fn goes_on(relay: &Relay, folder: &Folder, pipeline: &str) -> u64 {
    let run = relay.run_with(["--stats", "-", pipeline]).within(folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(folder.names(), ["a"]);
    run.end()["stages"][0]["bytes_in"].as_u64().expect("a number")
}

#[test]
fn killed_upload_goes_on() {
    let Some(server) = server() else { return };
    for (stages, program) in [
        ("buffer 1MiB", None),
        ("hash", None),
        #[cfg(feature = "zstd")]
        ("zstd frame=1MiB", Some("zstd")),
        ("gzip", Some("gzip")),
    ] {
        // The third part is never confirmed.
        let relay = Relay::new(&server, |line, earlier| {
            if super::writing::is(line, PART) && earlier == 2 {
                Deed::Hang
            } else {
                Deed::Pass
            }
        });
        let (folder, bucket) = (folder(), server.bucket());
        let pipeline = pipeline(&bucket, stages);
        killed(&relay, &folder, &pipeline, 3);
        assert_eq!(folder.names(), ["a", "o.state"]);
        let read = goes_on(&relay, &folder, &pipeline);
        // The first part was noted before the third was sent, and so was the second.
        assert!(
            read <= (SIZE - 2 * LEAST) as u64,
            "{stages}: {read} bytes were read again"
        );
        let object = server.object(&bucket, "o").expect("there");
        let whole = match program {
            None => object,
            Some(program) => {
                let Some(mut command) = peer(program) else { continue };
                command.arg("-dc");
                through(command, &object).1
            }
        };
        assert!(whole == folder.read("a"), "{stages}");
        server.has_no_parts(&bucket);
    }
}

#[test]
fn signal_keeps_the_parts() {
    let Some(server) = server() else { return };
    let relay = hanging(&server);
    let (folder, bucket) = (folder(), server.bucket());
    let pipeline = pipeline(&bucket, "buffer 1MiB");
    let running = relay.run(&pipeline).within(&folder).start();
    relay.wait_for(PART);
    relay.wait_for(PART);
    running.signal(Signal::TERM);
    running.wait().dies_by(Signal::TERM);
    assert!(goes_on(&relay, &folder, &pipeline) <= (SIZE - LEAST) as u64);
}

/// A relay behind which the server makes the object, and the run does not learn it.
fn withholding(server: &Server) -> Relay {
    Relay::new(server, |line, _| {
        if super::writing::is(line, COMPLETE) {
            Deed::Withhold
        } else {
            Deed::Pass
        }
    })
}

/// Kills a run that has had its object made; returns that.
fn made(server: &Server, relay: &Relay, folder: &Folder, pipeline: &str, bucket: &str) -> Vec<u8> {
    let running = relay.run(pipeline).within(folder).start();
    relay.wait_for(COMPLETE);
    running.signal(Signal::KILL);
    running.wait();
    server.object(bucket, "o").expect("it was made")
}

#[test]
fn killed_complete_is_found_done() {
    let Some(server) = server() else { return };
    let relay = withholding(&server);
    for stages in ["buffer 1MiB", "gzip"] {
        let (folder, bucket) = (folder(), server.bucket());
        let pipeline = pipeline(&bucket, stages);
        let before = made(&server, &relay, &folder, &pipeline, &bucket);
        assert_eq!(goes_on(&relay, &folder, &pipeline), 0);
        assert!(server.object(&bucket, "o").expect("there") == before);
    }
}

#[test]
fn object_that_is_made_needs_no_position_at_its_end() {
    let Some(server) = server() else { return };
    let relay = withholding(&server);
    for (stages, is_known) in [("gzip", true), ("hash | gzip", false)] {
        let (folder, bucket) = (folder(), server.bucket());
        let pipeline = pipeline(&bucket, stages);
        let before = made(&server, &relay, &folder, &pipeline, &bucket);
        let state = String::from_utf8(folder.read("o.state")).expect("text");
        let records: Vec<&str> = state.lines().collect();
        let last = records.len() - 2;
        let forged = records.iter().enumerate().map(|(at, record)| {
            if at == last {
                signed(&without_end(&record[17..]))
            } else {
                format!("{record}\n")
            }
        });
        folder.write("o.state", forged.collect::<String>());
        if is_known {
            assert!(goes_on(&relay, &folder, &pipeline) > 0);
        } else {
            let run = relay.run(&pipeline).within(&folder).run();
            assert!(
                run.fails(10).contains("an earlier run has made the object"),
                "{}",
                run.stderr
            );
        }
        assert!(server.object(&bucket, "o").expect("there") == before);
    }
}

/// The record of a part, without the position behind it.
fn without_end(record: &str) -> String {
    let mut record: serde_json::Value = serde_json::from_str(record).expect("a record");
    assert!(record["end"].is_object(), "{record}");
    record["end"] = serde_json::Value::Null;
    record.to_string()
}

/// A line of a journal, with its sum.
fn signed(record: &str) -> String {
    let run = highwater(["hash blake3"]).input(record).run();
    let sum = run.stderr.split("  ").nth(1).expect("a sum").to_owned();
    format!("{} {record}\n", &sum[..16])
}

#[test]
fn begun_upload_is_completed_although_one_request_would_do() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |line, earlier| {
        if super::writing::is(line, PART) && earlier == 0 {
            Deed::Hang
        } else {
            Deed::Pass
        }
    });
    let (folder, bucket) = (folder(), server.bucket());
    let pipeline = pipeline(&bucket, "buffer 1MiB");
    killed(&relay, &folder, &pipeline, 1);
    assert_eq!(goes_on(&relay, &folder, &(pipeline + " part=64MiB")), SIZE as u64);
    assert!(server.object(&bucket, "o").expect("there") == folder.read("a"));
    server.has_no_parts(&bucket);
}

#[test]
fn small_object_leaves_no_state() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let (folder, bucket) = (Folder::new(), server.bucket());
    folder.write("a", "small");
    assert_eq!(goes_on(&relay, &folder, &pipeline(&bucket, "buffer 1KiB")), 5);
    assert_eq!(server.object(&bucket, "o").expect("there"), b"small");
}

/// Ends with `code` and `why`, and leaves the state as it was.
#[track_caller]
fn refuses(run: &Run, folder: &Folder, before: &[u8], code: i32, why: &str) {
    let line = run.fails(code);
    assert!(line.contains(why), "{line}");
    assert!(folder.read("o.state") == before, "it was changed");
}

/// A relay that does not let the second part through.
fn hanging(server: &Server) -> Relay {
    Relay::new(server, |line, earlier| {
        if super::writing::is(line, PART) && earlier == 1 {
            Deed::Hang
        } else {
            Deed::Pass
        }
    })
}

/// The upload that a state is of.
fn upload_id(state: &[u8]) -> String {
    let text = String::from_utf8(state.to_vec()).expect("text");
    let (_, id) = text.split_once("\"upload\":\"").expect("an id");
    id.split('"').next().expect("an id").to_owned()
}

#[test]
fn foreign_and_stale_states_are_refused() {
    let Some(server) = server() else { return };
    let relay = hanging(&server);
    let (folder, bucket) = (folder(), server.bucket());
    let first = pipeline(&bucket, "gzip");
    killed(&relay, &folder, &first, 2);
    // It was noted that the relay is the server.
    let before = folder.read("o.state");
    let run = |pipeline: &str| relay.run(pipeline).within(&folder).run();
    refuses(
        &run(&pipeline(&bucket, "gzip level=9")),
        &folder,
        &before,
        2,
        "another pipeline began it",
    );
    let explained = |pipeline: &str| {
        let explained = relay.run_with(["explain", pipeline]).within(&folder).run();
        String::from_utf8(explained.succeeds()).expect("text")
    };
    let other = explained(&pipeline(&bucket, "gzip level=9"));
    assert!(other.contains("another pipeline began it"), "{other}");
    assert!(explained(&first).contains("goes on at 5."), "{}", explained(&first));
    let other = first.replace("/o ", "/other ");
    refuses(&run(&other), &folder, &before, 2, "it is of an upload to");
    folder.write("c", "c");
    refuses(
        &run(&first.replace("read a", "read c")),
        &folder,
        &before,
        2,
        "it belongs to another source, `a`",
    );
    let other = first.replace("read a", "read o.state");
    refuses(&run(&other), &folder, &before, 2, "would overwrite what is read");
    folder.write("text", "a file of somebody");
    let line = run(&first.replace("o.state", "text").replace("/text", "/o"));
    assert!(
        line.fails(10).contains("does not say what upload it is of"),
        "{}",
        line.stderr
    );
    assert_eq!(folder.read("text"), b"a file of somebody");
    // Somebody has removed the upload.
    let id = upload_id(&before);
    server.ask("DELETE", &format!("/{bucket}/o?uploadId={id}"), b"");
    refuses(
        &run(&first),
        &folder,
        &before,
        10,
        "the server has no such upload any more; to start over remove o.state",
    );
}

#[test]
fn changed_part_is_refused() {
    let Some(server) = server() else { return };
    let relay = hanging(&server);
    let (folder, bucket) = (folder(), server.bucket());
    let pipeline = pipeline(&bucket, "gzip");
    killed(&relay, &folder, &pipeline, 2);
    let before = folder.read("o.state");
    let id = upload_id(&before);
    server.ask("PUT", &format!("/{bucket}/o?partNumber=1&uploadId={id}"), b"other");
    let run = relay.run(&pipeline).within(&folder).run();
    refuses(
        &run,
        &folder,
        &before,
        10,
        "the server does not have part 1 as it was sent",
    );
}

/// Kills runs at moments that a seed chooses, `HIGHWATER_KILLS` times or a few, and lets them go on.
#[cfg(feature = "zstd")]
#[test]
fn repeatedly_killed_upload_ends_whole() {
    let Some(server) = server() else { return };
    let given = std::env::var("HIGHWATER_KILLS").ok();
    let wanted = given.map_or(4, |count| count.parse().expect("HIGHWATER_KILLS is a number"));
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let (folder, bucket) = (folder(), server.bucket());
    let pipeline = pipeline(&bucket, "throttle 40MB/s | zstd frame=1MiB");
    let mut moments = xorshift(42);
    let (mut kills, mut ended) = (0, 0);
    while kills < wanted || ended == 0 {
        let arguments = ["--progress", "json", "--interval", "1ms", &pipeline];
        let mut running = relay.run_with(arguments).within(&folder).start();
        let moment = if kills < wanted {
            moments.next().expect("endless") % (SIZE as u64 * 3 / 4)
        } else {
            u64::MAX
        };
        if running.writes(moment) {
            running.signal(Signal::KILL);
        }
        let run = running.wait();
        match (run.code, run.signal) {
            (Some(0), None) => {
                let mut command = peer("zstd").expect("zstd");
                command.arg("-dc");
                let (_, whole) = through(command, &server.object(&bucket, "o").expect("there"));
                assert!(whole == folder.read("a"));
                ended += 1;
            }
            (None, Some(9)) => kills += 1,
            other => panic!("{other:?}: {}", run.stderr),
        }
    }
}

#[test]
fn unsuitable_stages_are_refused() {
    for (pipeline, why) in [
        (
            "read a | xz | write s3://bucket/o state=s",
            "`xz` cannot start in the middle, as state= needs it",
        ),
        (
            "write s3://bucket/o state=s",
            "state= needs a source that can be read from the middle",
        ),
        ("read a | write s3://bucket/o state=-", "it is not a regular file"),
    ] {
        let folder = Folder::new();
        let run = highwater([pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert_eq!(folder.names(), [""; 0]);
    }
}

#[test]
fn existing_object_is_kept_with_if_absent() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let (folder, bucket) = (folder(), server.bucket());
    server.ask("PUT", &format!("/{bucket}/o"), b"old");
    let run = relay
        .run(pipeline(&bucket, "gzip") + " if-absent=true")
        .within(&folder)
        .run();
    assert!(run.fails(4).contains("there is such an object"), "{}", run.stderr);
    assert_eq!(folder.names(), ["a"], "no state is left");
}
