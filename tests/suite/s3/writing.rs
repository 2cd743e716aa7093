//! Objects that are written.

use std::io::Write;

use rustix::process::Signal;

use super::MIB;
use crate::harness::{Folder, highwater, noise};
use crate::s3_server::{Deed, Relay, server};

const PART: &str = "PUT partNumber uploadId";
const CREATE: &str = "POST uploads";
const COMPLETE: &str = "POST uploadId";
const ABORT: &str = "DELETE uploadId";

const SLOW_DOWN: Deed = Deed::Respond(
    "503 Slow Down",
    "",
    "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
);
const DENIED: Deed = Deed::Respond(
    "403 Forbidden",
    "",
    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
);

pub fn is(line: &str, kind: &str) -> bool {
    crate::s3_server::kind_of(line) == kind
}

#[test]
fn objects_of_every_size_arrive_unchanged() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let bucket = server.bucket();
    let mut parts = 0;
    for (size, expected) in [
        (0, 0),
        (1, 0),
        (5 * MIB, 0),
        (5 * MIB + 1, 2),
        (10 * MIB, 2),
        (12 * MIB, 3),
    ] {
        let data = noise(size, size as u64 + 1);
        for input in ["known", "unknown"] {
            let (folder, target) = (Folder::new(), format!("s3://{bucket}/{size}/{input}"));
            folder.write("a", &data);
            let run = match input {
                "known" => relay.run(format!("read a | write {target}")).within(&folder),
                _ => relay.run(format!("write {target}")).input(data.clone()),
            };
            run.run().succeeds();
            assert!(
                server.object(&bucket, &format!("{size}/{input}")).expect("there") == data,
                "{size} {input}"
            );
            parts += expected;
            assert_eq!(relay.count(PART), parts, "{size} {input}");
        }
    }
    server.has_no_parts(&bucket);
    assert_eq!(relay.count("HEAD"), 0, "no answer was lost");
}

#[test]
fn keys_are_any_text() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    for (key, encoded) in [
        ("a b", "a%20b"),
        ("x/y+z=1&2", "x/y%2Bz%3D1%262"),
        ("č?#%41", "%C4%8D%3F%23%2541"),
    ] {
        let run = server.run(format!("write 's3://{bucket}/{key}'")).input(key);
        run.run().succeeds();
        assert_eq!(server.object(&bucket, encoded).expect(key), key.as_bytes());
        let run = server.run(format!("read 's3://{bucket}/{key}'")).run();
        assert_eq!(run.succeeds(), key.as_bytes());
    }
}

#[test]
fn throttled_and_cut_requests_are_sent_again() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |line, earlier| match earlier {
        0 if is(line, "GET") => Deed::Cut,
        0 if is(line, CREATE) => SLOW_DOWN,
        0 if is(line, PART) => Deed::Cut,
        1 if is(line, PART) => SLOW_DOWN,
        3 if is(line, PART) => Deed::Lose,
        0 if is(line, COMPLETE) => SLOW_DOWN,
        1 if is(line, COMPLETE) => Deed::Respond(
            "200 OK",
            "",
            "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>",
        ),
        _ => Deed::Pass,
    });
    let (bucket, data) = (server.bucket(), noise(11 * MIB, 7));
    relay
        .run(format!("write s3://{bucket}/k"))
        .input(data.clone())
        .run()
        .succeeds();
    assert!(server.object(&bucket, "k").expect("there") == data);
    assert_eq!(
        (relay.count(PART), relay.count(COMPLETE), relay.count("HEAD")),
        (6, 3, 0)
    );
    server.has_no_parts(&bucket);
}

#[test]
fn attempts_are_counted_in_the_error() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |line, _| if is(line, PART) { SLOW_DOWN } else { Deed::Pass });
    let bucket = server.bucket();
    let run = relay
        .run(format!("write s3://{bucket}/k retry=1"))
        .input(noise(6 * MIB, 7))
        .run();
    let expected = format!(
        "highwater: write s3://{bucket}/k retry=1: cannot write in 2 attempts: the server responded 503 Slow Down: \
         SlowDown: Please reduce your request rate"
    );
    let line = run.fails(4);
    assert!(line.starts_with(&expected), "{line}");
    server.has_no_parts(&bucket);
}

#[test]
fn lost_confirmation_is_looked_up() {
    let Some(server) = server() else { return };
    for size in [3, 11 * MIB] {
        for is_done in [true, false] {
            let relay = Relay::new(&server, move |line, earlier| match earlier {
                0 if is(line, COMPLETE) || is(line, "PUT") => {
                    if is_done {
                        Deed::Lose
                    } else {
                        Deed::Cut
                    }
                }
                _ => Deed::Pass,
            });
            let (bucket, data) = (server.bucket(), noise(size, 8));
            relay
                .run(format!("write s3://{bucket}/k if-absent=true"))
                .input(data.clone())
                .run()
                .succeeds();
            assert!(server.object(&bucket, "k").expect("there") == data);
            let makings = relay.count(COMPLETE) + relay.count("PUT");
            assert_eq!(
                (makings, relay.count("HEAD")),
                (if is_done { 1 } else { 2 }, 1),
                "{size} {is_done}"
            );
            server.has_no_parts(&bucket);
        }
    }
}

#[test]
fn unknown_outcome_is_said_to_be_unknown() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |line, _| match line {
        line if is(line, COMPLETE) || is(line, "HEAD") => Deed::Cut,
        _ => Deed::Pass,
    });
    let bucket = server.bucket();
    let run = relay
        .run(format!("write s3://{bucket}/k retry=0"))
        .input(noise(6 * MIB, 7))
        .run();
    let line = run.fails(4);
    assert!(
        line.contains(": cannot tell whether the server has made the object: "),
        "{line}"
    );
    // The upload was removed after that, so the object will not come.
    assert_eq!(server.object(&bucket, "k"), None);
    server.has_no_parts(&bucket);
}

#[test]
fn error_in_a_success_is_a_failure() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |line, _| match line {
        line if is(line, COMPLETE) => Deed::Respond(
            "200 OK",
            "",
            "  <?xml version=\"1.0\"?>\n<Error><Code>InvalidPart</Code><Message>One is missing</Message></Error>",
        ),
        _ => Deed::Pass,
    });
    let (bucket, folder) = (server.bucket(), Folder::new());
    let run = relay
        .run(format!("tee (write b) | write s3://{bucket}/k"))
        .within(&folder);
    let run = run.input(noise(6 * MIB, 7)).run();
    let line = run.fails(4);
    let why = ": cannot complete the upload: the server responded 200 with an error: InvalidPart: One is missing";
    assert!(line.contains(why), "{line}");
    assert_eq!(folder.names(), [""; 0], "no output without the other");
    server.has_no_parts(&bucket);
}

#[test]
fn failure_at_any_step_leaves_no_parts() {
    let Some(server) = server() else { return };
    for (kind, which) in [(CREATE, 0), (PART, 0), (PART, 1), (PART, 2), (COMPLETE, 0)] {
        let relay = Relay::new(&server, move |line, earlier| {
            if is(line, kind) && earlier == which {
                DENIED
            } else {
                Deed::Pass
            }
        });
        let bucket = server.bucket();
        let run = relay
            .run(format!("write s3://{bucket}/k"))
            .input(noise(11 * MIB, 7))
            .run();
        let line = run.fails(4);
        assert!(
            line.contains("the server responded 403 Forbidden: AccessDenied: Access Denied"),
            "{line}"
        );
        assert_eq!(server.object(&bucket, "k"), None);
        server.has_no_parts(&bucket);
    }
}

#[test]
fn failed_source_leaves_no_parts() {
    let Some(server) = server() else { return };
    let (bucket, folder) = (server.bucket(), Folder::new());
    folder.write("a", noise(11 * MIB, 7));
    highwater(["read a | gzip level=1 | take 10MiB | write a.gz"])
        .within(&folder)
        .run()
        .succeeds();
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let run = relay
        .run(format!("read a.gz | gunzip | write s3://{bucket}/k"))
        .within(&folder)
        .run();
    run.fails(6);
    assert_eq!((relay.count(ABORT), server.object(&bucket, "k")), (1, None));
    server.has_no_parts(&bucket);
}

#[test]
fn signal_removes_the_upload() {
    let Some(server) = server() else { return };
    for (kind, deed) in [(PART, Deed::Pass), (PART, Deed::Hang), (CREATE, Deed::Pass)] {
        let relay = Relay::new(
            &server,
            move |line, _| if is(line, kind) { deed.clone() } else { Deed::Pass },
        );
        let bucket = server.bucket();
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let running = relay
            .run(format!("read - | write s3://{bucket}/k"))
            .stdin(reader)
            .start();
        // A part and some more, which fits the link behind it.
        writer.write_all(&noise(5 * MIB + 9, 7)).expect("it reads");
        relay.wait_for(kind);
        running.signal(Signal::TERM);
        running.wait().dies_by(Signal::TERM);
        assert_eq!(server.object(&bucket, "k"), None);
        server.has_no_parts(&bucket);
    }
}

#[test]
fn killed_run_leaves_an_upload_that_the_next_names() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let bucket = server.bucket();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let running = relay
        .run(format!("read - | write s3://{bucket}/k"))
        .stdin(reader)
        .start();
    writer.write_all(&noise(6 * MIB, 7)).expect("it reads");
    relay.wait_for(PART);
    running.signal(Signal::KILL);
    running.wait().dies_by(Signal::KILL);
    assert_eq!(server.object(&bucket, "k"), None);
    let data = noise(6 * MIB, 8);
    let run = server.run(format!("write s3://{bucket}/k")).input(data.clone()).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("has another upload that was begun and not completed"),
        "{}",
        run.stderr
    );
    assert!(server.object(&bucket, "k").expect("there") == data);
}

#[test]
fn upload_that_cannot_be_removed_is_named() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |line, _| match line {
        line if is(line, ABORT) || is(line, COMPLETE) => DENIED,
        _ => Deed::Pass,
    });
    let bucket = server.bucket();
    let run = relay
        .run(format!("write s3://{bucket}/k"))
        .input(noise(6 * MIB, 7))
        .run();
    assert_eq!(run.code, Some(4));
    let advice = format!("aws s3api abort-multipart-upload --bucket {bucket} --key 'k' --upload-id ");
    assert!(run.stderr.contains(&advice), "{}", run.stderr);
    // The next run to that key says so, too.
    let run = server
        .run(format!("write s3://{bucket}/k"))
        .input(noise(6 * MIB, 7))
        .run();
    assert_eq!(run.code, Some(0));
    assert!(
        run.stderr
            .contains("has another upload that was begun and not completed"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains(&advice), "{}", run.stderr);
}

#[test]
fn existing_object_is_not_replaced() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    server.ask("PUT", &format!("/{bucket}/k"), b"old");
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let run = relay
        .run(format!("write s3://{bucket}/k if-absent=true"))
        .input("new")
        .run();
    assert_eq!(
        run.fails(4),
        format!(
            "highwater: write s3://{bucket}/k if-absent=true: cannot write: there is such an object, and if-absent=true does \
             not replace it"
        )
    );
    assert_eq!(relay.requests().len(), 1, "nothing was sent");
    relay
        .run(format!("write s3://{bucket}/k"))
        .input("new")
        .run()
        .succeeds();
    assert_eq!(server.object(&bucket, "k").as_deref(), Some(&b"new"[..]));
}

#[test]
fn object_that_comes_meanwhile_is_kept() {
    let Some(server) = server() else { return };
    for (size, kind) in [(3, "PUT"), (6 * MIB, COMPLETE)] {
        let (bucket, behind) = (server.bucket(), server.clone());
        let target = format!("/{bucket}/k");
        let relay = Relay::new(&server, move |line, earlier| {
            if is(line, kind) && earlier == 0 {
                behind.ask("PUT", &target, b"other");
            }
            Deed::Pass
        });
        let run = relay
            .run(format!("write s3://{bucket}/k if-absent=true"))
            .input(noise(size, 7))
            .run();
        let requests = relay.requests();
        let last = requests.iter().rev().find(|head| is(head, kind)).expect("a request");
        assert!(last.contains("if-none-match: *"), "{last}");
        let line = run.fails(4);
        assert!(
            line.contains("there is such an object, and if-absent=true does not replace it"),
            "{line}"
        );
        assert_eq!(server.object(&bucket, "k").as_deref(), Some(&b"other"[..]));
        server.has_no_parts(&bucket);
    }
}

#[test]
fn sums_go_with_every_part() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let bucket = server.bucket();
    relay
        .run(format!("write s3://{bucket}/k"))
        .input("hello")
        .run()
        .succeeds();
    let requests = relay.requests();
    let put = requests.iter().find(|head| head.starts_with("PUT ")).expect("a PUT");
    assert!(put.contains("content-md5: XUFAKrxLKna5cZ2REBfFkg==\r\n"), "{put}");
    let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert!(put.contains(&format!("x-amz-content-sha256: {sum}\r\n")), "{put}");
}

#[test]
fn parts_without_room_wait_in_a_file() {
    let Some(server) = server() else { return };
    let (bucket, folder, spool) = (server.bucket(), Folder::new(), Folder::new());
    let data = noise(12 * MIB, 7);
    folder.write("a", &data);
    let spooled = spool.path().display().to_string();
    let pipeline = format!("read a | write s3://{bucket}/k");
    let explained = |memory: &str| {
        let run = crate::s3_server::without_keys(server.address(), ["explain", "--memory", memory, &pipeline]);
        let run = run
            .environment("AWS_ACCESS_KEY_ID", "a")
            .environment("AWS_SECRET_ACCESS_KEY", "b");
        let said = run.environment("TMPDIR", &spooled).within(&folder).run().succeeds();
        String::from_utf8(said).expect("text")
    };
    let file = format!("the part that is sent is kept in a file without a name in {spooled}");
    assert!(explained("2MiB").contains(&file), "{}", explained("2MiB"));
    assert!(explained("8MiB").contains("the part that is sent is kept in memory"));
    assert!(explained("16MiB").contains("2 parts are kept in memory"));
    let run = crate::s3_server::without_keys(server.address(), ["--memory", "2MiB", "--stats", "-", &pipeline]);
    let run = run
        .environment("AWS_ACCESS_KEY_ID", "a")
        .environment("AWS_SECRET_ACCESS_KEY", "b");
    let run = run.environment("TMPDIR", &spooled).within(&folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.end()["memory_limit_bytes"], 2 << 20);
    assert!(server.object(&bucket, "k").expect("there") == data);
    assert!(
        spool.names().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        spool.names()
    );
    let run = server
        .run(format!("read a | write s3://{bucket}/k part=6MiB"))
        .within(&folder);
    let run = run.environment("TMPDIR", "/nonexistent").run();
    let line = run.fails(4);
    assert!(
        line.contains("cannot make a file for a part in /nonexistent (TMPDIR): No such file"),
        "{line}"
    );
    server.has_no_parts(&bucket);
}

#[test]
fn signed_url_is_printed_at_the_end() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    let run = server
        .run(format!("write s3://{bucket}/k presign=24h"))
        .input("hello")
        .run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let url = run.stderr.trim_end();
    let start = format!(
        "http://{}/{bucket}/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&",
        server.address()
    );
    assert!(
        url.starts_with(&start) && url.contains("&X-Amz-Expires=86400&"),
        "{url}"
    );
    let run = highwater([format!("read '{url}'")]).run();
    assert_eq!(run.succeeds(), b"hello");
    let run = server.run(format!("write s3://{bucket}/k presign=8d")).run();
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}
