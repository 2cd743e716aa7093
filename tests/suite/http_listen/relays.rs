//! An HTTP stream through us to an HTTP client, as it comes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::{head, listen, rest, send, status};
use crate::harness::{Folder, accept};

/// Reads until everything that came is `expected`.
#[track_caller]
fn receives(mut stream: &TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).expect("not the end");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn tokens_pass_one_by_one() {
    let folder = Folder::new();
    folder.write("q.json", "{\"stream\":true}");
    let server = TcpListener::bind("127.0.0.1:0").expect("bound");
    let pipeline = format!(
        "read http://{}/v1 method=POST body=@q.json | from-sse | redact email | to-sse \
         | write http-listen://127.0.0.1:0/chat type=text/event-stream",
        server.local_addr().expect("bound")
    );
    for ends in [true, false] {
        let (running, address) = listen(&folder, &[&pipeline]);
        let client = send(address, "GET /chat HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut upstream = accept(&server);
        assert!(head(&upstream).starts_with("POST /v1 HTTP/1.1\r\n"));
        receives(&upstream, "{\"stream\":true}");
        upstream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n")
            .expect("sent");
        let response = head(&client);
        assert_eq!(status(&response), 200);
        assert!(
            response.contains("\r\ncontent-type: text/event-stream\r\n"),
            "{response}"
        );
        receives(&client, "D\r\ndata: hello\n\n\r\n");
        upstream.write_all(b"id: 7\ndata: to me@example.org\n\n").expect("sent");
        receives(&client, "14\r\nid: 7\ndata: to ***\n\n\r\n");
        if ends {
            drop(upstream);
            assert_eq!(rest(&client), "0\r\n\r\n");
            drop(client);
            assert_eq!(running.wait().code, Some(0));
        } else {
            drop(client);
            let end = upstream.read(&mut [0]);
            assert!(end.is_err() || matches!(end, Ok(0)), "it is told at once: {end:?}");
            let run = running.wait();
            assert_eq!(run.code, Some(4), "{}", run.stderr);
        }
    }
}

#[test]
fn both_ends_may_be_ours() {
    let folder = Folder::new();
    let data = crate::harness::noise(3 << 20, 9);
    folder.write("in", &data);
    let (server, address) = listen(&folder, &["read in | write http-listen://127.0.0.1:0/down"]);
    let (upload, target) = listen(&folder, &["read http-listen://127.0.0.1:0/up | write out"]);
    let pipeline = format!("read http://{address}/down | write http://{target}/up");
    crate::harness::highwater([pipeline]).within(&folder).run().succeeds();
    assert_eq!((server.wait().code, upload.wait().code), (Some(0), Some(0)));
    assert!(folder.read("out") == data);
}
