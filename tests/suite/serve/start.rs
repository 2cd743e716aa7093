//! What is said and refused at the start, and the numbers that are served.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Service;
use crate::harness::{Folder, highwater};

#[test]
fn what_cannot_be_served_is_refused() {
    let folder = Folder::new();
    for (arguments, why) in [
        (&[":0"][..], "<PIPELINE>"),
        (&[":0", "gzp"], "did you mean `gzip`?"),
        (&[":0", "read - | gzip"], "serve: /: read -: is that of the service"),
        (&[":0", "--route", "a", "gzip"], "serve: a: a path begins with /"),
        (
            &[":0", "gzip", "--route", "/", "gunzip"],
            "serve: /: there are two pipelines",
        ),
        (
            &[":0", "gzip", "--memory", "256KiB"],
            "serve: --memory 256KiB is too little for one run of /",
        ),
        (
            &[":0", "read a", "--memory", "4MiB", "--max-clients", "100"],
            "--memory 4MiB is too little for --max-clients 100",
        ),
        (
            &[":0", "read a | gzip", "--run-memory", "16KiB"],
            "--run-memory 16KiB is too little for this pipeline",
        ),
        (&[":0", "gzip", "--route-clients", "/x=1"], "there is no route /x"),
        (&[":0", "gzip", "--cert", "a.pem"], "--key"),
        (
            &[":0", "gzip", "--header", "Content-Length: 1"],
            "is set by highwater itself",
        ),
        (
            &[":0", "read a | throttle 1kB/s", "--min-rate", "1MB/s"],
            "the run could only fail",
        ),
        (
            &[":0", "write b append=true", "--access-log", "b"],
            "--access-log b: is the same file as the sink of /",
        ),
    ] {
        let run = highwater(std::iter::once("serve").chain(arguments.iter().copied()))
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn start_says_how_many_fit() {
    let folder = Folder::new();
    let mut service = Service::start(
        &folder,
        &[
            "--route",
            "/a",
            "read a",
            "--run-memory",
            "1MiB",
            "--memory",
            "16MiB",
            "--metrics",
            ":0",
        ],
    );
    assert!(service.address.ip().is_loopback());
    let line = service.running().line();
    assert_eq!(line, "highwater: /a: at most 13 at once, 1.00 MiB each: read a\n");
    let line = service.running().line();
    let url = line
        .trim_end()
        .strip_prefix("highwater: metrics on http://")
        .expect("a URL");
    let address = url.split('/').next().expect("an address").to_owned();
    assert_eq!(service.fetch("/a").status, 500);
    service.logged();
    let mut metrics = TcpStream::connect(address).expect("it listens");
    metrics
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let mut page = String::new();
    metrics.read_to_string(&mut page).expect("text");
    for line in [
        "highwater_serve_requests_total{route=\"/a\",outcome=\"failed\"} 1",
        "highwater_serve_duration_seconds_count{route=\"/a\"} 1",
        "highwater_serve_duration_seconds_bucket{route=\"/a\",le=\"+Inf\"} 1",
        "highwater_serve_clients_limit 13",
        "highwater_serve_memory_limit_bytes 16777216",
        "highwater_serve_runs{route=\"/a\"} 0",
    ] {
        assert!(page.lines().any(|has| has == line), "{line}: {page}");
    }
}

#[test]
fn quiet_service_only_says_where_it_is() {
    let mut service = Service::start(&Folder::new(), &["-q", "read /dev/null"]);
    service.running().signal(rustix::process::Signal::TERM);
    let run = service.process.take().expect("it runs").wait();
    assert_eq!(
        run.stderr,
        format!("highwater: listening on http://{}\n", service.address)
    );
}
