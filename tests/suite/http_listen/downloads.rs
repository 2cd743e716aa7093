use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;

use super::{before_reset, head, listen, rest, send, status};
use crate::certificates::Authority;
use crate::harness::{Folder, Running, accept, highwater, noise, peer, reset};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Serves the file `in` to a client, with `URL` in place of the address; returns what it printed.
fn download(folder: &Folder, mut client: Command, arguments: &[&str]) -> Vec<u8> {
    let (running, address) = listen(folder, &["read in | write http-listen://127.0.0.1:0"]);
    let url = format!("http://{address}/");
    client.args(arguments.iter().map(|argument| argument.replace("URL", &url)));
    let output = client.current_dir(folder.path()).output().expect("the client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    output.stdout
}

#[test]
fn real_clients_download_whole() {
    let folder = Folder::new();
    let data = noise(3 << 20, 1);
    folder.write("in", &data);
    let node = "fetch('URL').then(async answer => process.stdout.write(Buffer.from(await answer.arrayBuffer())))";
    let python = "import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen('URL').read())";
    for (name, arguments) in [
        ("curl", &["-sSf", "URL"][..]),
        ("curl", &["-sSf", "--http1.0", "URL"]),
        (
            "curl",
            &["-sSf", "--raw", "-o", "/dev/null", "-w", "%{http_code}", "URL"],
        ),
        ("node", &["-e", node]),
        ("python3", &["-c", python]),
    ] {
        let Some(client) = peer(name) else { return };
        let got = download(&folder, client, arguments);
        assert!(
            got == data || got == b"200",
            "{name} {arguments:?}: {} bytes",
            got.len()
        );
    }
}

#[test]
fn download_over_tls_is_whole() {
    let folder = Folder::new();
    let authority = Authority::new(&folder);
    authority.sign("server", "localhost");
    authority.sign("client", "me");
    let data = noise(3 << 20, 2);
    folder.write("in", &data);
    let (running, address) = listen(
        &folder,
        &["read in | write http-listen://127.0.0.1:0 cert=server.pem key=server.key ca=ca.pem"],
    );
    let url = format!("https://localhost:{}/", address.port());
    let Some(mut stranger) = peer("curl") else { return };
    let output = stranger
        .args(["-sS", "--cacert", "ca.pem", &url])
        .current_dir(folder.path())
        .output();
    assert!(!output.expect("curl starts").status.success(), "it has no certificate");
    let Some(mut known) = peer("curl") else { return };
    let output = known
        .args([
            "-sSf",
            "--cacert",
            "ca.pem",
            "--cert",
            "client.pem",
            "--key",
            "client.key",
            &url,
        ])
        .current_dir(folder.path())
        .output();
    assert!(output.expect("curl starts").stdout == data);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn head_leaves_the_download_to_others() {
    let folder = Folder::new();
    folder.write("in", "body");
    let pipeline = "read in | write http-listen://127.0.0.1:0/a type=text/plain name='€ 1.txt'";
    let (running, address) = listen(&folder, &[pipeline]);
    let headers = "cache-control: no-store\r\ncontent-type: text/plain\r\n\
                   content-disposition: attachment; filename=\"_ 1.txt\"; filename*=UTF-8''%E2%82%AC%201.txt\r\n";
    let client = send(address, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = head(&client);
    assert!(
        response.starts_with(&format!("HTTP/1.1 200 OK\r\n{headers}")),
        "{response}"
    );
    assert!(response.contains("\r\ncontent-length: 4\r\n"), "{response}");
    (&client)
        .write_all(b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let response = rest(&client);
    assert!(
        response.starts_with(&format!("HTTP/1.1 200 OK\r\n{headers}")),
        "{response}"
    );
    assert!(response.contains("\r\ncontent-length: 4\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nbody"), "{response}");
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn old_clients_get_a_plain_body() {
    let folder = Folder::new();
    folder.write("in", "body");
    let (running, address) = listen(&folder, &["read in | write http-listen://127.0.0.1:0"]);
    let response = rest(&send(address, "GET / HTTP/1.0\r\n\r\n"));
    assert!(
        response.starts_with("HTTP/1.0 200 OK\r\n") && response.ends_with("\r\n\r\nbody"),
        "{response}"
    );
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn empty_stream_is_a_download() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read /dev/null | write http-listen://127.0.0.1:0"]);
    let response = rest(&send(address, GET));
    assert!(response.contains("\r\ncontent-length: 0\r\n"), "{response}");
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn last_byte_waits_for_success() {
    let folder = Folder::new();
    let size = 3 << 20;
    folder.write("in", noise(size, 5));
    let sum = "00112233445566778899aabbccddeeff";
    let pipeline = format!("read in | hash md5 expect={sum} | write http-listen://127.0.0.1:0");
    let (running, address) = listen(&folder, &[&pipeline]);
    let client = send(address, GET);
    assert!(head(&client).contains(&format!("\r\ncontent-length: {size}\r\n")));
    assert!(before_reset(&client).len() < size);
    let run = running.wait();
    assert_eq!(run.code, Some(10), "{}", run.stderr);
}

#[test]
fn other_requests_are_refused() {
    let folder = Folder::new();
    folder.write("in", "body");
    let (running, address) = listen(&folder, &["read in | write http-listen://127.0.0.1:0/down"]);
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /down/ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /down/../down HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /do%77n HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /down HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ] {
        let response = head(&send(address, request));
        assert_eq!(status(&response), expected, "{request:?}");
        assert_eq!(
            response.contains("\r\nallow: GET, HEAD\r\n"),
            expected == 405,
            "{response}"
        );
    }
    assert_eq!(
        status(&rest(&send(address, "GET /down HTTP/1.1\r\nHost: a\r\n\r\n"))),
        200
    );
    assert_eq!(running.wait().code, Some(0));
}

/// A run that serves what a server of the test's own sends, the connection of that server, and the client's.
fn relay(folder: &Folder, options: &[&str]) -> (Running, std::net::TcpStream, std::net::TcpStream) {
    let source = TcpListener::bind("127.0.0.1:0").expect("bound");
    let pipeline = format!(
        "read tcp://{} | write http-listen://127.0.0.1:0",
        source.local_addr().expect("bound")
    );
    let arguments: Vec<&str> = options.iter().copied().chain([pipeline.as_str()]).collect();
    let (running, address) = listen(folder, &arguments);
    let client = send(address, GET);
    // It connects only now that there is a client.
    (running, accept(&source), client)
}

#[test]
fn failure_before_the_first_byte_is_told() {
    let folder = Folder::new();
    folder.write("in", "not compressed");
    let (running, address) = listen(&folder, &["read in | gunzip | write http-listen://127.0.0.1:0"]);
    let client = send(address, GET);
    let response = rest(&client);
    assert_eq!(status(&response), 500);
    assert!(
        response.ends_with("\r\n\r\nthe run failed before its first byte\n"),
        "{response}"
    );
    drop(client);
    let run = running.wait();
    assert_eq!(run.code, Some(6), "{}", run.stderr);
}

#[test]
fn later_failure_resets_the_client() {
    let folder = Folder::new();
    for version in ["1.1", "1.0"] {
        let source = TcpListener::bind("127.0.0.1:0").expect("bound");
        let pipeline = format!(
            "read tcp://{} | write http-listen://127.0.0.1:0",
            source.local_addr().expect("bound")
        );
        let (running, address) = listen(&folder, &[&pipeline]);
        let mut client = send(address, format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        let mut source = accept(&source);
        source.write_all(b"part").expect("sent");
        assert_eq!(status(&head(&client)), 200);
        let mut part = vec![0; if version == "1.0" { 4 } else { "4\r\npart\r\n".len() }];
        client.read_exact(&mut part).expect("the first bytes");
        reset(source);
        assert_eq!(before_reset(&client), b"", "no last chunk");
        let run = running.wait();
        assert_eq!(run.code, Some(3), "{}", run.stderr);
    }
}

#[test]
fn events_arrive_one_by_one() {
    let folder = Folder::new();
    let (running, mut source, mut client) = relay(&folder, &[]);
    for event in ["data: one\n\n", "data: two\n\n"] {
        source.write_all(event.as_bytes()).expect("sent");
        if event.contains("one") {
            assert_eq!(status(&head(&client)), 200);
        }
        let expected = format!("B\r\n{event}\r\n");
        let mut chunk = vec![0; expected.len()];
        client.read_exact(&mut chunk).expect("an event");
        assert_eq!(String::from_utf8_lossy(&chunk), expected);
    }
    drop(source);
    assert_eq!(rest(&client), "0\r\n\r\n");
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn leaving_client_cancels_the_source() {
    let folder = Folder::new();
    for has_head in [false, true] {
        let (running, mut source, client) = relay(&folder, &[]);
        if has_head {
            source.write_all(b"part").expect("sent");
            head(&client);
        }
        client.shutdown(Shutdown::Both).expect("connected");
        drop(client);
        let mut ignored = [0];
        // The source is silent, and is closed at once all the same.
        let end = source.read(&mut ignored);
        assert!(end.is_err() || matches!(end, Ok(0)), "{end:?}");
        let run = running.wait();
        assert_eq!(run.code, Some(4), "{}", run.stderr);
    }
}

#[test]
fn second_client_is_told_to_come_later() {
    let folder = Folder::new();
    let (running, mut source, client) = relay(&folder, &[]);
    let address = client.peer_addr().expect("connected");
    let response = rest(&send(address, "GET / HTTP/1.0\r\n\r\n"));
    assert_eq!(status(&response), 503);
    assert!(response.contains("\r\nretry-after: 5\r\n"), "{response}");
    source.write_all(b"x").expect("sent");
    drop(source);
    assert!(rest(&client).ends_with("\r\n\r\n1\r\nx\r\n0\r\n\r\n"));
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn client_that_reads_nothing_stalls_the_run() {
    let folder = Folder::new();
    let (running, address) = listen(
        &folder,
        &[
            "--stats",
            "stats",
            "--stall-timeout",
            "1s",
            "read /dev/zero | write http-listen://127.0.0.1:0",
        ],
    );
    let client = send(address, GET);
    let run = running.wait();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    drop(client);
    let end: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
    // What the kernel's queues of both ends hold on this machine, and the links.
    let taken = end["stages"][0]["bytes_in"].as_u64().expect("a number");
    assert!(taken < 64 << 20, "the source went on: {taken}");
    let held = |name: &str| end[name].as_u64().expect("a number");
    let most = held("buffered_peak_bytes") + held("state_bytes");
    assert!(most <= held("memory_limit_bytes"), "{end}");
}

#[test]
fn source_is_unread_until_a_client_comes() {
    let folder = Folder::new();
    folder.write("in", "not to be read");
    let file = folder.open("in");
    let run = highwater(["--timeout", "50ms", "write http-listen://:0"])
        .stdin(file.try_clone().expect("shared"))
        .run();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    let position = std::io::Seek::stream_position(&mut &file).expect("a file");
    assert_eq!(position, 0);
}

#[test]
fn download_headers_are_checked_first() {
    for (pipeline, said) in [
        ("write http-listen://:0 type=text", "this is not a media type"),
        ("write http-listen://:0 type='a/b\nc: d'", "this is not a media type"),
        ("write http-listen://:0 name=a/b", "this is not a file name"),
        ("write http-listen://:0 name=''", "this is not a file name"),
        ("write 'http-listen://:0/a b'", "the path is not one of a URL"),
        ("write http-listen://:0/a?b", "the path is not one of a URL"),
        ("write http-listen://", "the port is missing"),
        ("write http-listen://:0 cert=missing.pem", "cert= needs key= as well"),
    ] {
        let run = highwater([pipeline]).run();
        assert_eq!(run.code, Some(2), "{pipeline}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{pipeline}: {}", run.stderr);
    }
}
