//! Runs that fail, clients that leave, and the end of the service.

use std::fs::OpenOptions;
use std::io::{Read, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use super::{Response, Service, first_byte};
use crate::harness::{Folder, noise, reset};

/// Records of which the last one is bad, with more before it than any buffer holds.
fn bad_at_the_end() -> Vec<u8> {
    let mut records = b"{\"a\":\"0123456789abcdef\"}\n".repeat(400_000);
    records.extend_from_slice(b"bad\n");
    records
}

#[test]
fn failure_before_first_byte_has_a_status() {
    let folder = Folder::new();
    folder.write("bad", "bad\n");
    let mut service = Service::start(
        &folder,
        &[
            "--route",
            "/none",
            "read none",
            "--route",
            "/bad",
            "read bad | from-json",
            "--route",
            "/own",
            "from-json",
            "--route",
            "/much",
            "lines max-record=3",
            "--route",
            "/full",
            "write /dev/full",
            "--route",
            "/refused",
            "read tcp://127.0.0.1:1 connect-timeout=10s",
            "--route",
            "/exits",
            "exec false",
        ],
    );
    for (path, status, why) in [
        ("/none", 500, "read none: cannot open: No such file or directory"),
        ("/bad", 500, "from-json: cannot read record 1"),
        ("/refused", 502, "Connection refused"),
        ("/exits", 500, "exec false: "),
    ] {
        let response = service.fetch(path);
        assert_eq!((response.status, response.is_whole), (status, true), "{path}");
        assert_eq!(response.text().lines().count(), 1, "{path}");
        assert!(
            !response.text().contains("none"),
            "files are none of the client's business"
        );
        let logged = service.logged();
        let reason = logged["reason"].as_str().expect("a reason");
        assert!(reason.contains(why), "{reason}");
        assert_eq!(logged["outcome"], "failed");
    }
    for (path, body, status) in [
        ("/own", &b"bad\n"[..], 422),
        ("/much", b"123456", 413),
        ("/full", b"1", 507),
        ("/own", b"{\"a\":1}\n", 200),
    ] {
        assert_eq!(service.put(path, body).status, status, "{path}");
    }
    let malformed = "PUT /own HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
    assert_eq!(Response::of(service.send(malformed)).status, 400);
}

#[test]
fn later_failure_cuts_the_connection() {
    let folder = Folder::new();
    folder.write("bad", bad_at_the_end());
    let mut service = Service::start(&folder, &["read bad | from-json | to-csv"]);
    let response = service.fetch("/");
    assert_eq!((response.status, response.is_whole), (200, false));
    assert!(!response.body.is_empty());
    let logged = service.logged();
    assert_eq!(logged["outcome"], "cut", "{logged}");
    let reason = logged["reason"].as_str().expect("a reason");
    assert!(reason.contains("record 400001"), "{reason}");
    // HTTP/1.0 knows no chunks: the end itself is a reset.
    let mut stream = service.send("GET / HTTP/1.0\r\n\r\n");
    let error = stream.read_to_end(&mut Vec::new()).expect_err("no end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn runs_do_not_fail_each_other() {
    let folder = Folder::new();
    let bytes = noise(8 << 20, 3);
    folder.write("good", &bytes);
    folder.write("bad", bad_at_the_end());
    let mut service = Service::start(
        &folder,
        &[
            "--route",
            "/good",
            "read good | gzip | gunzip",
            "--route",
            "/bad",
            "read bad | from-json",
            "--route",
            "/full",
            "write /dev/full",
        ],
    );
    let mut slow = service.get("/good");
    first_byte(&mut slow);
    assert!(!service.fetch("/bad").is_whole);
    assert_eq!(service.put("/full", b"1").status, 507);
    let mut other = service.get("/good");
    first_byte(&mut other);
    reset(other);
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("an end");
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"));
    assert!(rest.len() > bytes.len());
    let outcomes: Vec<String> = (0..4).map(|_| service.logged()["outcome"].to_string()).collect();
    assert!(outcomes.contains(&"\"complete\"".to_owned()), "{outcomes:?}");
}

#[test]
fn source_ends_when_client_leaves() {
    let folder = Folder::new();
    let fifo = folder.fifo("source");
    let mut service = Service::start(&folder, &["read source | lines"]);
    for is_begun in [true, false] {
        let mut client = service.get("/");
        let mut source = OpenOptions::new().write(true).open(&fifo).expect("it is read");
        if is_begun {
            source.write_all(b"a line\n").expect("written");
            first_byte(&mut client);
        }
        drop(client);
        let mut polled = [PollFd::new(&source, PollFlags::empty())];
        poll(&mut polled, None).expect("polled");
        assert!(polled[0].revents().contains(PollFlags::ERR), "its reader is gone");
        let logged = service.logged();
        assert_eq!(
            (&logged["outcome"], &logged["reason"]),
            (&"left".into(), &"the client left".into())
        );
    }
}

#[test]
fn client_that_reads_nothing_is_cut() {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    let mut service = Service::start(&folder, &["read big", "--stall-timeout", "500ms"]);
    let stuck = service.get("/");
    let logged = service.logged();
    assert_eq!(logged["outcome"], "cut", "{logged}");
    let reason = logged["reason"].as_str().expect("a reason");
    assert!(reason.contains("--stall-timeout"), "{reason}");
    let response = Response::of(stuck);
    assert!(!response.is_whole);
}

#[test]
fn slow_client_is_cut_but_not_for_a_slow_source() {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    folder.write("small", "few\n");
    let mut service = Service::start(
        &folder,
        &[
            "--route",
            "/big",
            "read big",
            "--route",
            "/late",
            "sh 'echo one; sleep 1; echo two'",
            "--route",
            "/up",
            "hash crc32c",
            "--min-rate",
            "1MB/s",
            "--min-rate-grace",
            "400ms",
        ],
    );
    let late = service.fetch("/late");
    assert_eq!((late.text(), late.is_whole), ("one\ntwo\n", true));
    assert_eq!(service.logged()["outcome"], "complete");
    let _reads_nothing = service.get("/big");
    let logged = service.logged();
    let reason = logged["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("the client took"), "{reason}");
    let sends_nothing = service.send("PUT /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n");
    let response = Response::of(sends_nothing);
    assert_eq!(response.status, 408);
    assert!(response.text().contains("(--min-rate)"), "{}", response.text());
}

#[test]
fn both_directions_waiting_is_told() {
    let folder = Folder::new();
    let mut service = Service::start(&folder, &["lines", "--stall-timeout", "500ms"]);
    let mut client = service.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n");
    let lines = b"all before anything is read\n".repeat(1000);
    while client.write_all(&lines).is_ok() {}
    let logged = service.logged();
    let reason = logged["reason"].as_str().expect("a reason");
    assert!(reason.contains("both directions waited"), "{reason}");
    // Nothing was answered yet: it is told.
    let silent = service.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n");
    let response = Response::of(silent);
    assert_eq!(response.status, 408);
    assert!(
        response.text().contains("reads the response while it sends"),
        "{}",
        response.text()
    );
}

#[test]
fn run_takes_no_longer_than_its_timeout() {
    let folder = Folder::new();
    let mut service = Service::start(&folder, &["sh 'sleep 100'", "--timeout", "300ms"]);
    let response = service.fetch("/");
    assert_eq!(response.status, 504);
    let logged = service.logged();
    assert!(
        logged["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("--timeout")),
        "{logged}"
    );
}

#[test]
fn drained_service_completes_its_runs() {
    let folder = Folder::new();
    let bytes = noise(24 << 20, 5);
    folder.write("big", &bytes);
    let mut service = Service::start(&folder, &["read big", "--max-clients", "1"]);
    let mut slow = service.get("/");
    first_byte(&mut slow);
    let waiting = service.get("/");
    // Its head has been read once this one, which came later, is answered.
    assert_eq!(service.fetch("/-/health").text(), "ok\n");
    assert_eq!(service.logged()["path"], "/-/health");
    service.running().signal(Signal::TERM);
    let refused = Response::of(waiting);
    assert_eq!((refused.status, refused.text()), (503, "the service ends\n"));
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("an end");
    assert!(rest == bytes[1..], "{} bytes", rest.len());
    assert_eq!(service.ended_by(), Some(Signal::TERM.as_raw()));
}

#[test]
fn summary_counts_how_requests_ended() {
    let folder = Folder::new();
    folder.write("text", "twelve bytes");
    for (progress, said) in [
        ("auto", "highwater: 1 complete, 1 refused; 0 B received, 12 B sent\n"),
        ("none", ""),
    ] {
        let mut service = Service::start(&folder, &["read text", "--progress", progress]);
        assert_eq!(service.fetch("/").text(), "twelve bytes");
        assert_eq!(service.put("/", b"not taken").status, 405);
        service.logged();
        service.logged();
        service.running().signal(Signal::INT);
        let run = service.process.take().expect("it runs").wait();
        let last = run
            .stderr
            .lines()
            .last()
            .map_or_else(String::new, |line| format!("{line}\n"));
        assert_eq!(last.contains("complete"), !said.is_empty(), "{}", run.stderr);
        assert!(last.ends_with(said), "{}", run.stderr);
    }
}

#[test]
fn second_signal_or_limit_cuts_the_rest() {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    for limit in ["0s", "1h"] {
        let mut service = Service::start(&folder, &["read big", "--drain", limit]);
        let mut stuck = service.get("/");
        first_byte(&mut stuck);
        service.running().signal(Signal::INT);
        if limit != "0s" {
            // The first one was noticed once no more connections are accepted.
            let mut closed = Vec::new();
            let idle = std::net::TcpStream::connect(service.address);
            let _ = idle.and_then(|mut idle| idle.read_to_end(&mut closed));
            service.running().signal(Signal::TERM);
        }
        let logged = service.logged();
        assert_eq!(logged["outcome"], "cut", "{logged}");
        assert_eq!(logged["reason"], "the service ended (--drain)");
        assert_eq!(service.ended_by(), Some(Signal::INT.as_raw()));
        stuck.read_to_end(&mut Vec::new()).expect_err("a reset");
    }
}

#[cfg(feature = "fault-injection")]
mod faults {
    use highwater::platform::fault::RULES;

    use super::*;

    #[test]
    fn panic_ends_one_run_only() {
        let folder = Folder::new();
        let rule = |command: crate::harness::Invocation| command.environment(RULES, "sync:1:panic");
        let mut service = Service::of(&folder, &["gzip | write b clobber=true"], rule);
        assert_eq!(service.put("/", b"first").status, 500);
        let reason = service.logged()["reason"].to_string();
        assert!(reason.contains("a bug in highwater"), "{reason}");
        assert_eq!(folder.names(), [""; 0]);
        assert_eq!(service.put("/", b"second").status, 201);
        assert_eq!(folder.names(), ["b"]);
    }
}
