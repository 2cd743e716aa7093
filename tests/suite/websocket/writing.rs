use std::io::{BufReader, ErrorKind, Write};
use std::net::TcpListener;

use super::{BINARY, CLOSE, PING, PONG, TEXT, agree, head, server};
use crate::harness::{Folder, accept, highwater, noise};

#[test]
fn each_record_is_a_message() {
    let (address, serving) = server(|mut peer| {
        peer.send(PING, b"?");
        peer.send(TEXT, b"ignored");
        let mut messages = Vec::new();
        let mut has_answered = false;
        loop {
            match peer.receive() {
                (TEXT, message) => messages.push(message.len()),
                (PONG, payload) => has_answered = payload == b"?",
                (CLOSE, payload) => {
                    assert_eq!(payload, 1000_u16.to_be_bytes());
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        peer.close(1000, "");
        assert!(peer.ends_in_order());
        (messages, has_answered)
    });
    let long = "é".repeat(150_000);
    let pipeline = format!("read - | lines | write ws://{address}");
    let run = highwater([pipeline]).input(format!("a\n\nbcd\n{long}\nlast")).run();
    run.succeeds();
    let (messages, has_answered) = serving.join().expect("no panic");
    assert_eq!(messages, [1, 0, 3, 300_000, 4]);
    assert!(has_answered);
}

#[test]
fn binary_messages_carry_bytes() {
    let folder = Folder::new();
    let data = noise(1 << 20, 3);
    folder.write("a", &data);
    let (address, serving) = server(|mut peer| {
        let mut received = Vec::new();
        while let (BINARY, piece) = peer.receive() {
            received.extend(piece);
        }
        peer.send(CLOSE, b"");
        received
    });
    let run = highwater([format!("read a | write ws://{address} as=binary")])
        .within(&folder)
        .run();
    run.succeeds();
    assert!(serving.join().expect("no panic") == data);
}

#[test]
fn an_early_close_fails_a_silent_run() {
    for (code, told) in [(1000, "code 1000"), (1008, "code 1008, no more")] {
        let (address, serving) = server(move |mut peer| {
            assert_eq!(peer.receive(), (TEXT, b"first".to_vec()));
            peer.close(code, told.split_once(", ").map_or("", |(_, reason)| reason));
            assert!(!peer.ends_in_order());
        });
        // The other end of the pipe stays open until the run has ended.
        let (read, mut write) = std::io::pipe().expect("a pipe");
        write.write_all(b"first\n").expect("written");
        let run = highwater([format!("read - | lines | write ws://{address}")])
            .stdin(read)
            .run();
        let line = run.fails(4);
        let why = format!("cannot write: the peer closed early, with {told} (after 6 B)");
        assert!(line.ends_with(&why), "{line}");
        serving.join().expect("no panic");
        drop(write);
    }
}

#[test]
fn success_needs_the_close_of_the_peer() {
    for (answer, why) in [
        (
            None,
            "cannot finish the connection: the peer did not confirm the end within 200ms (linger)",
        ),
        (
            Some(0),
            "cannot finish the connection: the connection was cut: there was no Close",
        ),
        (
            Some(1011),
            "cannot finish the connection: the peer closed with code 1011, disk full",
        ),
    ] {
        let (address, serving) = server(move |mut peer| {
            assert_eq!(peer.receive(), (TEXT, b"a".to_vec()));
            assert_eq!(peer.receive_close(), Some(1000));
            match answer {
                None => drop(peer.ends_in_order()),
                Some(0) => {}
                Some(code) => peer.close(code, "disk full"),
            }
        });
        let linger = if answer.is_none() { "linger=200ms" } else { "" };
        let run = highwater([format!("read - | lines | write ws://{address} {linger}")])
            .input("a\n")
            .run();
        let line = run.fails(4);
        assert!(line.ends_with(why), "{line}");
        serving.join().expect("no panic");
    }
}

#[test]
fn a_failed_run_resets_the_connection() {
    for (input, options, code) in [
        (&b"good\nbad \xff\n"[..], "", 6),
        (b"good\n", "| limit 3", 7),
        (b"{\"a\": 1}\nbad\n", "| from-json", 6),
    ] {
        let (address, serving) = server(|mut peer| {
            loop {
                match peer.try_receive() {
                    Ok((first, _)) => assert_ne!(first, CLOSE),
                    Err(error) => break error.kind(),
                }
            }
        });
        let framed = if options.contains("json") { "" } else { "| lines" };
        let pipeline = format!("read - {framed} {options} | write ws://{address}");
        let run = highwater([pipeline]).input(input).run();
        let line = run.fails(code);
        if options.is_empty() {
            let why = "cannot write record 2: it is not UTF-8, as text messages have to be; as=binary accepts it";
            assert!(line.contains(why), "{line}");
        }
        assert_eq!(serving.join().expect("no panic"), ErrorKind::ConnectionReset);
    }
}

#[test]
fn refusals_name_the_reason() {
    for (response, why) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nnot you\n",
            "403 Forbidden: not you",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK"),
        (
            "HTTP/1.1 302 Found\r\nLocation: /b?secret\r\n\r\n",
            "302 Found, which leads to http://127.0.0.1:PORT/b",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let serving = std::thread::spawn(move || {
            let mut stream = BufReader::new(accept(&listener));
            head(&mut stream);
            stream.get_mut().write_all(response.as_bytes()).expect("sent");
        });
        let run = highwater([format!("read - | lines | write ws://{address}/a")]).run();
        let why = why.replace("PORT", &address.port().to_string());
        let expected = format!("cannot agree on WebSocket with {address}: the server responded {why}");
        let line = run.fails(9);
        assert!(line.ends_with(&expected), "{line}");
        serving.join().expect("no panic");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let serving = std::thread::spawn(move || drop(accept(&listener)));
    let run = highwater([format!("read ws://{address}")]).run();
    let line = run.fails(9);
    assert!(
        line.contains(&format!("cannot agree on WebSocket with {address}: ")),
        "{line}"
    );
    serving.join().expect("no panic");
}

#[test]
fn headers_and_retries_reach_the_server() {
    let folder = Folder::new();
    folder.write("user", "me:secret\n");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        let mut busy = BufReader::new(accept(&listener));
        head(&mut busy);
        let response = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\n\r\n";
        busy.get_mut().write_all(response).expect("sent");
        drop(busy);
        let (mut peer, request) = agree(&listener);
        assert_eq!(peer.receive(), (TEXT, b"a".to_vec()));
        assert_eq!(peer.receive_close(), Some(1000));
        peer.close(1000, "");
        request
    });
    let pipeline = format!("read - | lines | write ws://{address}/p?q=1 user=@user header='X-Key: v' retry=1");
    highwater([pipeline]).within(&folder).input("a\n").run().succeeds();
    let request = serving.join().expect("no panic");
    assert!(request.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{request}");
    assert_eq!(super::field(&request, "authorization"), Some("Basic bWU6c2VjcmV0"));
    assert_eq!(super::field(&request, "x-key"), Some("v"));
    assert_eq!(super::field(&request, "origin"), None);
}

#[test]
fn a_peer_that_reads_nothing_stalls_the_run() {
    let (address, serving) = server(|mut peer| {
        let first = peer.receive();
        (first.0, peer)
    });
    let pipeline = format!("read /dev/zero | write ws://{address} as=binary");
    let options = ["--memory", "1MiB", "--stall-timeout", "1s", "--stats", "-"];
    let run = highwater(options.into_iter().chain([pipeline.as_str()])).run();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    let end = run.end();
    let sent = end["stages"][1]["bytes_out"].as_u64().expect("a number");
    assert!((1..64 << 20).contains(&sent), "{sent} bytes were sent");
    let held = end["buffered_peak_bytes"].as_u64().expect("a number");
    assert!(held <= 1 << 20, "{held} bytes in links");
    let (first, mut peer) = serving.join().expect("no panic");
    assert_eq!(first, BINARY);
    assert!(!peer.ends_in_order());
}
