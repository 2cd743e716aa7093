//! Objects that are read.

use std::time::{Duration, SystemTime};

use super::MIB;
use crate::harness::{Folder, noise};
use crate::http::header;
use crate::s3_server::{Deed, Relay, server};

#[test]
fn cut_connection_goes_on_at_its_byte() {
    let Some(server) = server() else { return };
    let (bucket, data) = (server.bucket(), noise(3 * MIB, 5));
    server.ask("PUT", &format!("/{bucket}/k"), &data);
    let relay = Relay::new(&server, |_, earlier| match earlier {
        0 => Deed::CutAfter(MIB + 7),
        1 => Deed::Respond("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>"),
        2 => Deed::CutAfter(MIB),
        _ => Deed::Pass,
    });
    let run = relay.run(format!("read s3://{bucket}/k")).run();
    assert!(run.succeeds() == data);
    let requests = relay.requests();
    let ranges: Vec<_> = requests.iter().map(|head| header(head, "range")).collect();
    let (second, last) = (format!("bytes={}-", MIB + 7), format!("bytes={}-", 2 * MIB + 7));
    assert_eq!(ranges, [None, Some(&*second), Some(&*second), Some(&*last)]);
    let etags = requests.iter().skip(1).map(|head| header(head, "if-match"));
    assert!(etags.into_iter().all(|etag| etag.is_some_and(|etag| etag.len() == 34)));
}

#[test]
fn two_versions_are_never_joined() {
    let Some(server) = server() else { return };
    for change in ["PUT", "DELETE"] {
        let (bucket, behind, folder) = (server.bucket(), server.clone(), Folder::new());
        let target = format!("/{bucket}/k");
        server.ask("PUT", &target, &noise(2 * MIB, 5));
        let relay = Relay::new(&server, move |_, earlier| match earlier {
            0 => Deed::CutAfter(MIB),
            _ => {
                behind.ask(change, &target, &noise(2 * MIB, 6));
                Deed::Pass
            }
        });
        let run = relay
            .run(format!("read s3://{bucket}/k | write copy"))
            .within(&folder)
            .run();
        let line = run.fails(10);
        let how = if change == "PUT" {
            "it has changed meanwhile: its ETag"
        } else {
            "it has been deleted meanwhile"
        };
        assert!(line.contains(&format!("cannot read all of it: {how}")), "{line}");
        assert_eq!(folder.names(), [""; 0]);
    }
}

#[test]
fn wrong_parts_are_refused() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    let etag = "ETag: \"x\"\r\n";
    server.ask("PUT", &format!("/{bucket}/k"), b"0123456789");
    for (status, headers, why) in [
        ("200 OK", "", "the server does not send parts of it"),
        (
            "206 Partial Content",
            "",
            "the server does not say which part of it it sends",
        ),
        (
            "206 Partial Content",
            "Content-Range: bytes 0-9/10\r\n",
            "the server was asked for byte 4 and sent byte 0",
        ),
        (
            "206 Partial Content",
            "Content-Range: bytes 4-10/11\r\n",
            "it has changed meanwhile: it had 10 bytes and has 11",
        ),
        (
            "206 Partial Content",
            "Content-Range: bytes 4-9/10\r\nETag: \"y\"\r\n",
            "it has changed meanwhile: its ETag is another",
        ),
    ] {
        let relay = Relay::new(&server, move |_, earlier| match earlier {
            0 => Deed::CutAfter(4),
            _ => Deed::Respond(status, headers, "456789"),
        });
        let run = relay.run(format!("read s3://{bucket}/k | write /dev/null")).run();
        assert!(run.fails(10).contains(why), "{etag} {}", run.stderr);
    }
}

#[test]
fn refusals_are_told_with_their_code() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    let run = server.run(format!("read s3://{bucket}/none | write /dev/null")).run();
    assert_eq!(
        run.fails(3),
        format!(
            "highwater: read s3://{bucket}/none: cannot read: the server responded 404 NOT FOUND: NoSuchKey: The specified \
             key does not exist"
        )
    );
    let run = server.run("write s3://no-such-bucket/k").run();
    assert!(run.fails(4).contains("NoSuchBucket"), "{}", run.stderr);
    let hour = Duration::from_secs(3600);
    let long_ago = httpdate::fmt_http_date(SystemTime::now() - 73 * hour);
    let long_ago: &str = format!("Date: {long_ago}\r\n").leak();
    for (status, headers, body, code, why) in [
        (
            "301 Moved Permanently",
            "x-amz-bucket-region: eu-west-1\r\n",
            "<Error><Code>PermanentRedirect</Code></Error>",
            3,
            "PermanentRedirect; the bucket is in another region: give region=eu-west-1",
        ),
        (
            "403 Forbidden",
            long_ago,
            "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>",
            9,
            "RequestTimeTooSkewed: The difference is too large; this machine's clock is 3days",
        ),
        (
            "403 Forbidden",
            "",
            "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>secret</StringToSign></Error>",
            9,
            "403 Forbidden: SignatureDoesNotMatch",
        ),
        (
            "403 Forbidden",
            "",
            "<Error><Code>InvalidAccessKeyId</Code></Error>",
            9,
            "403 Forbidden: InvalidAccessKeyId",
        ),
        ("403 Forbidden", "", "", 3, "the server responded 403 Forbidden"),
        (
            "404 Not Found",
            "",
            "not XML <",
            3,
            "the server responded 404 Not Found",
        ),
    ] {
        let relay = Relay::new(&server, move |_, _| Deed::Respond(status, headers, body));
        let run = relay.run(format!("read s3://{bucket}/k | write /dev/null")).run();
        assert!(run.fails(code).contains(why), "{}", run.stderr);
        assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    }
}

#[test]
fn skipped_bytes_are_not_asked_for() {
    let Some(server) = server() else { return };
    let (bucket, data) = (server.bucket(), noise(MIB, 5));
    server.ask("PUT", &format!("/{bucket}/k"), &data);
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let run = relay.run(format!("read s3://{bucket}/k | skip 1000000")).run();
    assert!(run.succeeds() == data[1_000_000..]);
    let requests = relay.requests();
    assert_eq!(header(requests.last().expect("two"), "range"), Some("bytes=1000000-"));
}

#[test]
fn later_run_goes_on_with_the_same_version() {
    let Some(server) = server() else { return };
    let (bucket, folder, data) = (server.bucket(), Folder::new(), noise(4 * MIB, 5));
    server.ask("PUT", &format!("/{bucket}/k"), &data);
    let relay = Relay::new(&server, |_, earlier| match earlier {
        0 => Deed::CutAfter(3 * MIB),
        1 => Deed::Respond("403 Forbidden", "", ""),
        _ => Deed::Pass,
    });
    let pipeline = format!("read s3://{bucket}/k | write copy resume=true checkpoint=1MiB");
    relay.run(&pipeline).within(&folder).run().fails(3);
    relay.run(&pipeline).within(&folder).run();
    assert!(folder.read("copy") == data);
    let requests = relay.requests();
    assert!(
        header(requests.last().expect("more"), "range").is_some(),
        "{requests:?}"
    );
}

#[test]
fn ranges_come_in_order_in_their_memory() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    for size in [0, 1, MIB, 3 * MIB + 5] {
        let data = noise(size, 5);
        server.ask("PUT", &format!("/{bucket}/{size}"), &data);
        let relay = Relay::new(&server, |_, earlier| match earlier {
            2 => Deed::CutAfter(1000),
            3 => Deed::Respond("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>"),
            _ => Deed::Pass,
        });
        let read = format!("read s3://{bucket}/{size} threads=4 range=256KiB");
        assert!(relay.run(&read).run().succeeds() == data, "{size}");
        assert!(size < MIB || relay.requests().len() > size / (256 << 10), "{size}");
        let run = relay.run(format!("{read} | skip 1000000")).run();
        assert!(run.succeeds() == data.get(1_000_000..).unwrap_or_default(), "{size}");
    }
    let relay = Relay::new(&server, |_, earlier| match earlier {
        0..3 => Deed::Pass,
        _ => Deed::Respond(
            "412 Precondition Failed",
            "",
            "<Error><Code>PreconditionFailed</Code></Error>",
        ),
    });
    let run = relay
        .run(format!(
            "read s3://{bucket}/{MIB} threads=2 range=256KiB | write /dev/null"
        ))
        .run();
    assert!(run.fails(10).contains("it has changed meanwhile"), "{}", run.stderr);
}
