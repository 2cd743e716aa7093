//! What RFC 9110 and RFC 9112 ask of a server.

use std::net::Shutdown;

use super::{head, listen, rest, send, status};
use crate::harness::Folder;

/// Requests that take no upload, and the status of the last answer.
const REQUESTS: &[(&str, u16)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    // 9112, 2.2: an empty line before a request is ignored; a line may end in a line feed alone.
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("GET / HTTP/1.1\nHost: a\n\n", 200),
    // 3.2.2 and 3.2: a whole URL; exactly one host, but in HTTP/1.0.
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/1.0\r\n\r\n", 200),
    // 2.3 and 3: versions and request lines.
    ("GET /\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    // 5.1 and 5.2: no space before a colon, no folded lines.
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
    // 6.1 and 6.3: lengths that are invalid or contradict each other, and codings that are unknown.
    (
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n!",
        400,
    ),
    ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n!", 400),
    ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n!", 400),
    (
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n!",
        400,
    ),
    ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    (
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        400,
    ),
    (
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    ("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    // 9110, 9.3.6: no tunnels.
    ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
];

#[test]
fn requests_are_answered_as_specified() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    for (request, expected) in REQUESTS {
        assert_eq!(status(&head(&send(address, request))), *expected, "{request:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1 << 17));
    for request in [long, many, target] {
        assert_eq!(status(&head(&send(address, request))), 431);
    }
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&head(&client)), 201, "none of them took the upload");
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn bodies_are_read_as_specified() {
    let folder = Folder::new();
    for (headers, body, expected) in [
        ("Content-Length: 4\r\n", "body", "body"),
        // 8.6: the same length twice may be taken as one.
        ("Content-Length: 4\r\nContent-Length: 4\r\n", "body", "body"),
        (
            "Transfer-Encoding: chunked\r\n",
            "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
            "body",
        ),
        ("Transfer-Encoding: CHUNKED\r\n", "0000004\r\nbody\r\n0\r\n\r\n", "body"),
        // 9112, 7.1.1 and 7.1.2: extensions and trailers are ignored.
        (
            "Transfer-Encoding: chunked\r\n",
            "4;a=b;c=\"d\"\r\nbody\r\n0;e\r\n\r\n",
            "body",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "4\r\nbody\r\n0\r\nX: y\r\nHost: b\r\n\r\n",
            "body",
        ),
        // 6.3: with both, the chunks count, and the connection ends.
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "4\r\nbody\r\n0\r\n\r\n",
            "body",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "4\r\nbody\r\n0\r\n\r\n",
            "body",
        ),
        // Without either there is no body.
        ("", "", ""),
    ] {
        let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let client = send(
            address,
            format!("PUT / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}{smuggled}"),
        );
        let response = rest(&client);
        assert_eq!(
            (status(&response), response.matches("HTTP/1.1").count()),
            (201, 1),
            "{headers}: {response}"
        );
        drop(client);
        assert_eq!(running.wait().code, Some(0));
        assert_eq!(
            String::from_utf8_lossy(&folder.read("out")),
            expected,
            "{headers}{body}"
        );
    }
}

#[test]
fn old_clients_are_not_told_to_continue() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    let client = send(
        address,
        "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n!",
    );
    assert_eq!(status(&head(&client)), 201);
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn client_that_ends_early_gets_no_answer() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    for part in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let client = send(address, part);
        client.shutdown(Shutdown::Write).expect("connected");
        let response = rest(&client);
        assert!(response.is_empty() || status(&response) == 400, "{part:?}: {response}");
    }
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&head(&client)), 201);
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}
