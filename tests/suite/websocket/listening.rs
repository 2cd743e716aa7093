use std::io::{Read, Write};
use std::net::TcpStream;

use super::{TEXT, ask, frame};
use crate::certificates::Authority;
use crate::harness::{Folder, highwater, peer, through};

/// Lines of many lengths, each a JSON text.
fn lines() -> String {
    let line = |number: usize| ["\"", &"ä".repeat(number % 700), "\"\n"].concat();
    (0..3000).map(line).collect()
}

#[test]
fn lines_arrive_whole_between_two_runs() {
    let folder = Folder::new();
    Authority::new(&folder).sign("server", "localhost");
    folder.write("a", lines());
    for (scheme, ours, theirs) in [("ws", "", ""), ("wss", "cert=server.pem key=server.key", "ca=ca.pem")] {
        let pipeline = format!("read ws-listen://127.0.0.1:0/in as=json {ours} | write b");
        let mut listener = highwater([pipeline]).within(&folder).start();
        let port = listener.address().port();
        let pipeline = format!("read a | lines | write {scheme}://localhost:{port}/in {theirs}");
        highwater([pipeline]).within(&folder).run().succeeds();
        let run = listener.wait();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let said = format!("highwater: listening on {scheme}://127.0.0.1:{port}/in\n");
        assert_eq!(run.stderr, said);
        assert!(folder.read("b") == lines().as_bytes());

        let pipeline = format!("read a | from-json | write ws-listen://127.0.0.1:0 {ours}");
        let mut listener = highwater([pipeline]).within(&folder).start();
        let port = listener.address().port();
        let pipeline = format!("read {scheme}://localhost:{port} {theirs} | write c");
        highwater([pipeline]).within(&folder).run().succeeds();
        assert_eq!(listener.wait().code, Some(0));
        assert!(folder.read("c") == lines().as_bytes());
    }
}

#[test]
fn node_reads_and_writes_through_us() {
    const CODE: &str = "
        const socket = new WebSocket(process.argv[1]);
        let text = '';
        socket.onmessage = (event) => { text += event.data + '\\n'; };
        socket.onclose = (event) => { process.stdout.write(`${text}${event.code}`); };
        if (process.argv[2]) {
            socket.onopen = () => { socket.send(process.argv[2]); socket.send('ü'.repeat(70000)); socket.close(1000); };
        }";
    const KNOWS: &str = "process.exit(typeof WebSocket === 'undefined' ? 1 : 0)";
    let Some(mut node) = peer("node") else { return };
    let known = node.args(["--experimental-websocket", "-e", KNOWS]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this node has no WebSocket; version 20 has");
        return;
    }
    let node = |url: &str, more: &[&str]| {
        let mut node = peer("node")?;
        node.args(["--experimental-websocket", "--no-warnings", "-e", CODE, url])
            .args(more);
        Some(through(node, b""))
    };
    let folder = Folder::new();
    folder.write("a", "one\ntwo\n");
    let mut listener = highwater(["read a | lines | write ws-listen://127.0.0.1:0/x"])
        .within(&folder)
        .start();
    let Some(received) = node(&format!("ws://{}/x", listener.address()), &[]) else {
        return;
    };
    assert_eq!(received, (true, b"one\ntwo\n1000".to_vec()));
    assert_eq!(listener.wait().code, Some(0));

    let mut listener = highwater(["read ws-listen://127.0.0.1:0 | write b"])
        .within(&folder)
        .start();
    let Some(sent) = node(&format!("ws://{}/", listener.address()), &["first"]) else {
        return;
    };
    assert_eq!(sent, (true, b"1000".to_vec()));
    assert_eq!(listener.wait().code, Some(0));
    assert!(folder.read("b") == format!("first\n{}\n", "ü".repeat(70000)).as_bytes());
}

#[test]
fn others_are_refused_and_the_next_is_served() {
    let pipeline = "read ws-listen://127.0.0.1:0/right origin=https://good.example";
    let mut listener = highwater([pipeline]).start();
    let address = listener.address();
    for (path, more, status) in [
        ("/wrong", "", "404 Not Found"),
        ("/right", "Origin: https://evil.example\r\n", "403 Forbidden"),
        (
            "/right",
            "Origin: https://good.example.evil.example\r\n",
            "403 Forbidden",
        ),
        ("/right", "Origin: null\r\n", "403 Forbidden"),
        (
            "/right",
            "Origin: http://localhost\r\nOrigin: https://evil.example\r\n",
            "403 Forbidden",
        ),
        (
            "/right",
            &format!("X: {}\r\n", "x".repeat(20_000)),
            "431 Request Header Fields Too Large",
        ),
    ] {
        let (mut peer, response) = ask(address, path, more);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response}");
        assert!(peer.ends_in_order());
    }
    for (request, status) in [
        ("GET /right HTTP/1.1\r\nHost: h\r\n\r\n", "426 Upgrade Required"),
        ("POST /right HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed"),
        ("GET /right HTTP/1.0\r\n\r\n", "400 Bad Request"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response}");
    }
    drop(TcpStream::connect(address).expect("it listens"));

    let (mut peer, response) = ask(address, "/right?with=query", "Origin: https://GOOD.example\r\n");
    assert!(
        response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{response}"
    );
    assert!(
        response.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{response}"
    );
    peer.send(TEXT, b"at last");
    peer.close(1000, "");
    assert_eq!(peer.receive_close(), Some(1000));
    assert_eq!(listener.wait().stdout, b"at last\n");
}

#[test]
fn pages_of_this_machine_may_connect() {
    for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:80"] {
        let mut listener = highwater(["read ws-listen://127.0.0.1:0"]).start();
        let (mut peer, response) = ask(listener.address(), "/", &format!("Origin: {origin}\r\n"));
        assert!(response.starts_with("HTTP/1.1 101 "), "{origin}: {response}");
        peer.close(1000, "");
        assert_eq!(listener.wait().code, Some(0));
    }
}

#[test]
fn unmasked_frames_of_a_client_are_refused() {
    let mut listener = highwater(["read ws-listen://127.0.0.1:0"]).start();
    let (mut peer, _) = ask(listener.address(), "/", "");
    peer.stream
        .get_mut()
        .write_all(&frame(TEXT, b"a", false))
        .expect("sent");
    assert_eq!(peer.receive_close(), Some(1002));
    let run = listener.wait();
    assert_eq!(run.code, Some(3));
    let why = "cannot read: the peer violated the protocol: Received an unmasked frame from client (after 0 B)\n";
    assert!(run.stderr.ends_with(why), "{}", run.stderr);
}
