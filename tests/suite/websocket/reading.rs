use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use super::{BINARY, CLOSE, MESSAGE_ENDS, PING, PONG, TEXT, TEXT_BEGINS, agree_on, close, frame, head, server};
use crate::harness::{Folder, accept, highwater};

#[test]
fn messages_become_lines() {
    let (address, serving) = server(|mut peer| {
        peer.send(TEXT_BEGINS, b"he");
        peer.send(PING, b"are you there?");
        peer.send(0, b"l");
        peer.send(MESSAGE_ENDS, b"lo");
        peer.send(TEXT, b"with its newline\n");
        peer.send(TEXT, b"");
        assert_eq!(peer.receive(), (PONG, b"are you there?".to_vec()));
        peer.close(1000, "done");
        assert_eq!(peer.receive_close(), Some(1000));
        assert!(peer.ends_in_order());
    });
    let run = highwater(["--stats", "-", &format!("read ws://{address} | write -")]).run();
    assert_eq!(run.stdout, b"hello\nwith its newline\n\n");
    assert_eq!(run.end()["stages"][0]["records_out"], 3);
    serving.join().expect("no panic");
}

#[test]
fn json_messages_stay_on_one_line() {
    let (address, serving) = server(|mut peer| {
        peer.send(TEXT, b"{\"a\":\n 1}");
        peer.send(TEXT, b" {\"a\": 2}\n");
        peer.send(CLOSE, b"");
        assert_eq!(peer.receive_close(), None);
    });
    let run = highwater([format!("read ws://{address}/ as=json | where 'a >= 1'")]).run();
    assert_eq!(run.succeeds(), b"{\"a\":  1}\n{\"a\": 2}\n");
    serving.join().expect("no panic");
}

#[test]
fn bytes_have_no_boundaries() {
    let folder = Folder::new();
    let (address, serving) = server(|mut peer| {
        peer.send(BINARY, &[0, 10, 255]);
        peer.send(TEXT, b"text\n");
        peer.send(BINARY, b"");
        peer.send(BINARY, &vec![7; 300_000]);
        peer.close(1001, "");
        assert_eq!(peer.receive_close(), Some(1001));
    });
    folder.write("a", b"first ");
    let run = highwater([format!("read a ws://{address} as=bytes")])
        .within(&folder)
        .run();
    let read = run.succeeds();
    let rest = read.strip_prefix(b"first \0\n\xfftext\n").expect("in order");
    assert!(rest == vec![7; 300_000]);
    serving.join().expect("no panic");
}

#[test]
fn bad_messages_fail_the_run() {
    let text = |payload: &[u8]| frame(TEXT, payload, false);
    let cases = [
        (
            text(b"a\nb"),
            "",
            6,
            "cannot accept message 2: there is a newline in it; as=json or as=bytes accepts it",
            Some(1003),
        ),
        (
            frame(BINARY, b"a", false),
            "",
            6,
            "cannot accept message 2: it is binary; as=bytes accepts it",
            Some(1003),
        ),
        (
            text(b"{\"a\": 1,}"),
            "as=json",
            6,
            "cannot accept message 2: it is not JSON: ",
            Some(1003),
        ),
        (
            text(b"1 2"),
            "as=json",
            6,
            "cannot accept message 2: it is more than one JSON value; as=lines or as=bytes accepts it",
            Some(1003),
        ),
        (
            text(b"a\xff"),
            "",
            6,
            "cannot read: a text message is not UTF-8",
            Some(1007),
        ),
        (
            text(b"123456789"),
            "max-record=9",
            7,
            "cannot read: a message has 9 B or more, and max-record=9 allows less",
            Some(1009),
        ),
        (
            [frame(TEXT_BEGINS, b"12345", false), frame(MESSAGE_ENDS, b"6789", false)].concat(),
            "max-record=9",
            7,
            "cannot read: a message has 9 B or more, and max-record=9 allows less",
            Some(1009),
        ),
        (
            frame(TEXT, b"a", true),
            "",
            3,
            "cannot read: the peer violated the protocol: Received a masked frame",
            Some(1002),
        ),
        (
            frame(TEXT | 0x40, b"a", false),
            "",
            3,
            "cannot read: the peer violated the protocol: Reserved bits",
            Some(1002),
        ),
        (
            frame(CLOSE, &close(1011, "out of \x1b[31mink"), false),
            "",
            3,
            "cannot read: the peer closed with code 1011, out of \\x1b[31mink (after 1 B)",
            Some(1011),
        ),
        (
            text(b"a")[..2].to_vec(),
            "",
            3,
            "cannot read: the connection was cut: there was no Close. ",
            None,
        ),
    ];
    for (bytes, options, code, why, told) in cases {
        let folder = Folder::new();
        let (address, serving) = server(move |mut peer| {
            let first = if told.is_some() { b"1" } else { b"2" };
            peer.send(TEXT, first);
            peer.stream.get_mut().write_all(&bytes).expect("sent");
            if let Some(code) = told.filter(|code| *code != 1011) {
                assert_eq!(peer.receive_close(), Some(code));
            }
        });
        let run = highwater([format!("read ws://{address} {options} | write b")])
            .within(&folder)
            .run();
        let line = run.fails(code);
        assert!(line.contains(why) && line.ends_with("(after 1 B)"), "{line}");
        assert_eq!(folder.names(), [""; 0]);
        serving.join().expect("no panic");
    }
}

#[test]
fn each_message_passes_at_once() {
    let (told, next) = std::sync::mpsc::channel::<()>();
    let (address, serving) = server(move |mut peer| {
        for number in 0..100 {
            peer.send(TEXT, format!("{number}").as_bytes());
            next.recv().expect("it has come");
        }
        peer.close(1000, "");
        peer.receive_close()
    });
    let mut run = highwater([format!("read ws://{address} | grep '' | write -")]).start();
    let mut lines = BufReader::new(run.take_stdout()).lines();
    for number in 0..100 {
        assert_eq!(lines.next().expect("a line").expect("text"), number.to_string());
        told.send(()).expect("it waits");
    }
    run.wait().succeeds();
    assert_eq!(serving.join().expect("no panic"), Some(1000));
}

#[test]
fn a_full_pipeline_pauses_the_peer() {
    let message = vec![b'x'; 100_000];
    let (address, serving) = server(move |mut peer| {
        let bytes = frame(TEXT, &message, false);
        let mut sent = 0_u64;
        while peer.stream.get_mut().write_all(&bytes).is_ok() {
            sent += bytes.len() as u64;
        }
        sent
    });
    let stalled = TcpListener::bind("127.0.0.1:0").expect("bound");
    let to = stalled.local_addr().expect("bound");
    let pipeline = format!("read ws://{address} | write tcp://{to}");
    let options = ["--memory", "2MiB", "--stall-timeout", "1s", "--stats", "-"];
    let run = highwater(options.into_iter().chain([pipeline.as_str()])).run();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    let end = run.end();
    let held = end["buffered_peak_bytes"].as_u64().expect("a number");
    assert!(held <= 2 << 20, "{held} bytes in links");
    // What the systems of both sides hold for two connections, and no more.
    let sent = serving.join().expect("no panic");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[test]
fn a_proxy_is_asked_for_a_tunnel() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = proxy.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        let mut stream = BufReader::new(accept(&proxy));
        let asked = head(&mut stream);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("sent");
        let (mut peer, request) = agree_on(stream);
        peer.send(TEXT, b"through");
        peer.close(1000, "");
        assert_eq!(peer.receive_close(), Some(1000));
        [asked, request]
    });
    let run = highwater(["read ws://example.invalid/x"])
        .environment("http_proxy", &format!("http://{address}"))
        .run();
    assert_eq!(run.succeeds(), b"through\n");
    let [asked, request] = serving.join().expect("no panic");
    assert!(asked.starts_with("CONNECT example.invalid:80 HTTP/1.1\r\n"), "{asked}");
    assert!(
        request.starts_with("GET /x HTTP/1.1\r\nHost: example.invalid\r\n"),
        "{request}"
    );
}

#[test]
fn small_memory_shrinks_messages() {
    let (address, serving) = server(|mut peer| {
        peer.send(TEXT, &vec![b'x'; 100_000]);
        assert_eq!(peer.receive_close(), Some(1009));
    });
    let run = highwater(["--memory", "512KiB", &format!("read ws://{address}")]).run();
    let line = run.fails(7);
    assert!(
        line.contains("cannot read: a message has 97.7 KiB or more, and max-record="),
        "{line}"
    );
    serving.join().expect("no panic");
}
