//! The line of requests that wait, and the limits of routes and addresses.

use super::{Response, Service, first_byte};
use crate::harness::{Folder, noise};

fn big() -> Folder {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    folder.write("small", "small\n");
    folder
}

#[test]
fn requests_wait_in_order() {
    let folder = big();
    let mut service = Service::start(
        &folder,
        &[
            "--route",
            "/big",
            "read big",
            "--route",
            "/small",
            "read small",
            "--max-clients",
            "1",
        ],
    );
    let mut first = service.get("/big");
    first_byte(&mut first);
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let waiting = service.get("/small");
            // Its head has been read once this one, which came later, is answered.
            assert_eq!(service.fetch("/-/health").status, 200);
            let port = waiting.local_addr().expect("bound").port();
            (waiting, port)
        })
        .collect();
    drop(first);
    let mut ports = Vec::new();
    while ports.len() < waiting.len() {
        let logged = service.logged();
        if logged["path"] == "/small" {
            assert_eq!(logged["outcome"], "complete");
            assert!(logged["waited_s"].as_f64() > Some(0.0), "{logged}");
            let client: std::net::SocketAddr = logged["client"].as_str().expect("text").parse().expect("an address");
            ports.push(client.port());
        }
    }
    let expected: Vec<u16> = waiting.iter().map(|(_, port)| *port).collect();
    assert_eq!(ports, expected);
    for (waiting, _) in waiting {
        assert_eq!(Response::of(waiting).text(), "small\n");
    }
}

#[test]
fn long_wait_ends_with_503() {
    let folder = big();
    let mut service = Service::start(
        &folder,
        &[
            "read big",
            "--max-clients",
            "1",
            "--queue-timeout",
            "2s",
            "--stall-timeout",
            "1m",
        ],
    );
    let mut first = service.get("/");
    first_byte(&mut first);
    let refused = service.fetch("/");
    assert_eq!((refused.status, refused.is_whole), (503, true));
    assert_eq!(refused.field("retry-after"), Some("2"));
    let logged = service.logged();
    assert_eq!(
        (&logged["outcome"], &logged["status"]),
        (&"refused".into(), &503.into())
    );
    // One that leaves the line is noted, too.
    let waiting = service.get("/");
    assert_eq!(service.fetch("/-/health").status, 200);
    assert_eq!(service.logged()["path"], "/-/health");
    drop(waiting);
    let logged = service.logged();
    assert_eq!(
        logged["reason"], "the client left while it waited in the line",
        "{logged}"
    );
}

#[test]
fn full_line_refuses_at_once() {
    let folder = big();
    let mut service = Service::start(
        &folder,
        &[
            "read big",
            "--memory",
            "2MiB",
            "--run-memory",
            "512KiB",
            "--max-clients",
            "1",
            "--queue-timeout",
            "1h",
        ],
    );
    let mut first = service.get("/");
    first_byte(&mut first);
    let mut waiting = Vec::new();
    let refused = loop {
        waiting.push(service.get("/"));
        assert_eq!(service.fetch("/-/health").status, 200);
        let logged = service.logged();
        if logged["path"] == "/" {
            break logged;
        }
        assert!(waiting.len() < 100, "the line has no end");
    };
    assert_eq!(refused["reason"], "too many requests wait already", "{refused}");
    let last = waiting.pop().expect("one waits");
    assert_eq!(Response::of(last).status, 503);
}

#[test]
fn route_has_a_pool_of_its_own() {
    let folder = big();
    let service = Service::start(
        &folder,
        &[
            "--route",
            "/big",
            "read big",
            "--route",
            "/small",
            "read small",
            "--route-clients",
            "/big=1",
            "--queue-timeout",
            "100ms",
        ],
    );
    let mut first = service.get("/big");
    first_byte(&mut first);
    assert_eq!(service.fetch("/big").status, 503, "its pool is full");
    assert_eq!(service.fetch("/small").text(), "small\n", "the other has its own");
    drop(first);
}

#[test]
fn third_request_of_an_address_is_refused() {
    let folder = big();
    let service = Service::start(&folder, &["read big", "--per-address", "2"]);
    let mut held: Vec<_> = (0..2).map(|_| service.get("/")).collect();
    held.iter_mut().for_each(first_byte);
    let refused = service.fetch("/");
    assert_eq!(refused.status, 429);
    assert!(refused.field("retry-after").is_some(), "{}", refused.head);
}
