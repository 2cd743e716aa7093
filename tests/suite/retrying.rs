//! Batches that fail and are run again.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::harness::{Folder, Run, accept, highwater, reset};
use crate::http::read_head;

fn lines(count: u32) -> Vec<u8> {
    (1..=count)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect()
}

/// How many runs of batches failed.
fn failed(run: &Run) -> serde_json::Value {
    run.end()["stages"][2]["batches_failed"].clone()
}

/// Reads a chunked body to its end.
fn read_chunks(client: &mut impl Read) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            client.read_exact(&mut byte).expect("a line");
            line.push(byte[0]);
        }
        let size = std::str::from_utf8(&line).expect("text").trim();
        let size = usize::from_str_radix(size, 16).expect("a size");
        let mut chunk = vec![0; size + 2];
        client.read_exact(&mut chunk).expect("a chunk");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

#[test]
fn cut_upload_is_sent_again() {
    let folder = Folder::new();
    let data = lines(200_000);
    folder.write("a", &data);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        for connection in 0..5 {
            let mut client = accept(&listener);
            let head = read_head(&mut client);
            if head.contains("100-continue") {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").expect("it reads");
            }
            // The second batch fails in its middle, and once more.
            if connection == 1 || connection == 2 {
                client.read_exact(&mut vec![0; 100_000 * connection]).expect("a part");
                reset(client);
                continue;
            }
            bodies.push(read_chunks(&mut client));
            let response = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            client.write_all(response).expect("it reads");
        }
        bodies
    });
    let pipeline = format!("read a | lines | batch size=500KiB retry=9 spool=. (write http://{address}/{{position}})");
    let run = highwater(["--progress", "json", &pipeline]).within(&folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let bodies = server.join().expect("no panic");
    assert_eq!(bodies.len(), 3);
    assert!(bodies.concat() == data);
    assert_eq!((failed(&run), folder.names()), (2.into(), vec!["a".to_owned()]));
}

#[test]
fn missing_listener_is_waited_for() {
    let folder = Folder::new();
    folder.write("a", lines(30));
    let pipeline = "read a | lines | batch records=20 retry=99 spool=. (write unix:socket)";
    let mut running = highwater(["--progress", "json", "--interval", "10ms", pipeline])
        .within(&folder)
        .start();
    loop {
        let line = running.line();
        assert!(!line.is_empty(), "it goes on");
        if line.contains("\"batches_failed\":2") {
            break;
        }
    }
    let listener = UnixListener::bind(folder.join("socket")).expect("bound");
    let mut text = Vec::new();
    for _ in 0..2 {
        let (mut client, _) = listener.accept().expect("a client");
        client.read_to_end(&mut text).expect("an end");
    }
    assert_eq!(running.wait().code, Some(0));
    assert!(text == lines(30));
}

#[test]
fn last_attempt_acknowledges_nothing() {
    let folder = Folder::new();
    folder.write("log", lines(30));
    let pipeline =
        "read log follow=true state=state | lines | batch records=20 every=1s retry=2 spool=. (write unix:socket)";
    let run = highwater(["--progress", "json", pipeline]).within(&folder).run();
    assert_eq!(run.code, Some(9), "{}", run.stderr);
    assert!(run.stderr.contains("in 3 attempts: No such file"), "{}", run.stderr);
    assert_eq!(failed(&run), 3);
    let state: serde_json::Value = serde_json::from_slice(&folder.read("state")).expect("a state");
    assert_eq!(state["position"], 0);
    assert_eq!(folder.names(), ["log", "state"]);
}

#[test]
fn what_cannot_pass_is_final() {
    let folder = Folder::new();
    folder.write("a", "{\n");
    let run = |sink: &str| {
        let pipeline = format!("read a | lines | batch size=1M retry=99 spool=. ({sink})");
        highwater(["--progress", "json", &pipeline]).within(&folder).run()
    };
    let corrupt = run("from-json | write {n}");
    assert_eq!((corrupt.code, failed(&corrupt)), (Some(6), 1.into()));
    // What a peer has seen cannot be taken back.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    folder.write("a", lines(1_000_000));
    let server = std::thread::spawn(move || {
        let mut client = accept(&listener);
        client.read_exact(&mut [0; 100]).expect("a part");
        reset(client);
    });
    let cut = run(&format!("write tcp://{address}"));
    server.join().expect("no panic");
    assert_eq!((cut.code, failed(&cut)), (Some(4), 1.into()));
}

#[test]
fn retry_needs_a_spool() {
    let folder = Folder::new();
    folder.write("a", "");
    for (parameters, why) in [
        ("retry=3", "`retry` needs `spool`"),
        ("spool=.", "`spool` is for `retry`"),
        ("retry=3 spool=missing", "cannot keep batches in missing: No such file"),
        ("retry=3 spool=a", "cannot keep batches in a: Not a directory"),
    ] {
        let pipeline = format!("read a | batch size=1M {parameters} (write {{n}})");
        let run = highwater([pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(2), "{parameters}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{parameters}: {}", run.stderr);
    }
    assert_eq!(folder.names(), ["a"]);
}
