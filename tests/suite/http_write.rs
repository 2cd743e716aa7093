//! Uploads to real servers, and to servers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use crate::certificates::Authority;
use crate::harness::{Folder, Run, accept, highwater, noise};
use crate::http::{header, nginx, nginx_with, python, read_head};

/// A server that does `serve` with its only client, whose head it has read.
fn server<T: Send + 'static>(
    serve: impl FnOnce(TcpStream, String) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        let mut client = accept(&listener);
        let head = read_head(&mut client);
        serve(client, head)
    });
    (address, serving)
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Reads a chunked body; `None` if it does not end.
fn read_chunks(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            client.read_exact(&mut byte).ok()?;
            line.push(byte[0]);
        }
        let size = std::str::from_utf8(&line).expect("text").trim();
        let size = usize::from_str_radix(size, 16).expect("a size");
        let mut chunk = vec![0; size + 2];
        client.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

mod real_servers {
    use super::*;

    #[test]
    fn python_takes_both_framings() {
        let folder = Folder::new();
        let Some(server) = python(&folder) else { return };
        let data = noise((1 << 20) + 7, 1);
        folder.write("a", &data);
        let upload = |pipeline: &str, name: &str| {
            let run = highwater([format!("{pipeline} | write {}", server.url(&format!("/{name}")))]);
            run.within(&folder).run().succeeds();
            String::from_utf8(folder.read(&format!("{name}.headers"))).expect("text")
        };
        let headers = upload("read a | throttle 1GB/s", "known");
        assert!(
            headers.contains("content-length: 1048583\n") && headers.contains("expect: 100-continue\n"),
            "{headers}"
        );
        assert!(folder.read("known") == data);
        let headers = upload("read a | gzip | gunzip", "unknown");
        assert!(headers.contains("transfer-encoding: chunked\n"), "{headers}");
        assert!(folder.read("unknown") == data);
        let headers = upload("read a size=5", "guessed");
        assert!(
            headers.contains("content-length: 1048583\n"),
            "a guess is not stated: {headers}"
        );
        assert!(folder.read("guessed") == data);
        folder.write("a", "x");
        let headers = upload("read a", "small");
        assert!(
            headers.contains("content-length: 1\n") && !headers.contains("expect:"),
            "{headers}"
        );
        assert_eq!(folder.read("small"), b"x");
        folder.write("a", "");
        upload("read a", "empty");
        assert_eq!(folder.read("empty"), b"");
        folder.write("a", &data);
        let headers = upload("read a | take 100000", "part");
        assert!(headers.contains("transfer-encoding: chunked\n"), "{headers}");
        assert!(folder.read("part") == data[..100_000]);
    }

    #[test]
    fn nginx_takes_an_upload() {
        let folder = Folder::new();
        let data = noise(3 << 20, 2);
        folder.write("a", &data);
        let authority = Authority::new(&folder);
        authority.sign("server", "localhost");
        let root = folder.path().display();
        let dav = "dav_methods PUT; create_full_put_path on;";
        let tls = format!("{dav} ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;");
        let Some(plain) = nginx(&folder, dav) else { return };
        let run = highwater([format!("read a | write {}", plain.url("/x/b"))])
            .within(&folder)
            .run();
        run.succeeds();
        assert!(folder.read("x/b") == data);
        let Some(secure) = nginx_with(&folder, "ssl", &tls) else {
            return;
        };
        let url = format!("https://localhost:{}/x/c", secure.address.port());
        let run = highwater([format!("read a | gzip | write {url} ca=ca.pem")])
            .within(&folder)
            .run();
        run.succeeds();
        let run = highwater(["read x/c | gunzip | write d"]).within(&folder).run();
        run.succeeds();
        assert!(folder.read("d") == data);
        let run = highwater([format!("read a | write {} method=POST", plain.url("/x/b"))])
            .within(&folder)
            .run();
        assert!(
            run.fails(4).contains("the server responded 405 Not Allowed"),
            "{}",
            run.stderr
        );
    }
}

mod refusals {
    use super::*;

    #[test]
    fn refused_head_leaves_the_source_unread() {
        for (status, code) in [
            ("401 Unauthorized", 9),
            ("403 Forbidden", 4),
            ("413 Content Too Large", 4),
            ("507 Insufficient Storage", 4),
        ] {
            let folder = Folder::new();
            let (address, serving) = server(move |mut client, head| {
                let response = format!("HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\nno\tway\nx");
                client.write_all(response.as_bytes()).expect("written");
                (head, client.read_to_end(&mut Vec::new()).map_err(|error| error.kind()))
            });
            // Nothing ever comes from it.
            let (reader, _writer) = rustix::pipe::pipe().expect("a pipe");
            let run = highwater([format!("write http://{address}/x type=text/csv")])
                .within(&folder)
                .stdin(reader)
                .run();
            let said = format!("cannot write: the server responded {status}: no\\tway");
            assert!(run.fails(code).ends_with(&said), "{}", run.stderr);
            let (head, end) = serving.join().expect("no panic");
            assert_eq!(
                (header(&head, "expect"), header(&head, "content-type")),
                (Some("100-continue"), Some("text/csv"))
            );
            assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
        }
    }

    #[test]
    fn redirects_name_the_other_place() {
        let (address, serving) = server(|mut client, _| {
            let response = "HTTP/1.1 307 Elsewhere\r\nLocation: /y?token=s3cret\r\nContent-Length: 0\r\n\r\n";
            client.write_all(response.as_bytes()).expect("written");
        });
        let run = highwater([format!("read /dev/zero | write http://{address}/x")]).run();
        let said = format!("the server responded 307 Elsewhere, which leads to http://{address}/y");
        assert!(run.fails(4).ends_with(&said), "{}", run.stderr);
        serving.join().expect("no panic");
    }

    #[test]
    fn refusal_in_the_middle_ends_it() {
        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            client.read_exact(&mut vec![0; 1 << 20]).expect("a part");
            let response = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 6\r\n\r\nenough";
            client.write_all(response).expect("written");
            // What was sent and not read makes the close a reset.
        });
        let run = highwater([format!("read /dev/zero | write http://{address}/x")]).run();
        let said = "cannot write: the server responded 413 Content Too Large before it had everything: enough";
        assert!(run.fails(4).contains(said), "{}", run.stderr);
        serving.join().expect("no panic");
    }

    #[test]
    fn refusal_is_seen_while_nothing_comes() {
        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            client.read_exact(&mut [0; 10]).expect("the first chunk");
            client
                .write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                .expect("written");
            client.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
        });
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        rustix::io::write(&writer, b"hello").expect("written");
        let run = highwater([format!("write http://{address}/x")]).stdin(reader).run();
        let said = "cannot write: the server responded 503 Busy before it had everything";
        assert!(run.fails(4).contains(said), "{}", run.stderr);
        assert_eq!(
            serving.join().expect("no panic"),
            Err(std::io::ErrorKind::ConnectionReset)
        );
    }

    #[test]
    fn expectation_failed_is_sent_again_without() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let serving = std::thread::spawn(move || {
            let mut first = accept(&listener);
            read_head(&mut first);
            let response = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
            first.write_all(response).expect("written");
            let mut second = accept(&listener);
            let head = read_head(&mut second);
            let body = read_chunks(&mut second);
            second.write_all(b"HTTP/1.1 204 Stored\r\n\r\n").expect("written");
            (head, body)
        });
        let run = highwater([format!("write http://{address}/x")]).input("hello").run();
        run.succeeds();
        let (head, body) = serving.join().expect("no panic");
        assert_eq!((header(&head, "expect"), body.as_deref()), (None, Some(&b"hello"[..])));
    }
}

mod endings {
    use super::*;

    fn run(folder: &Folder, pipeline: &str) -> Run {
        highwater([pipeline]).within(folder).run()
    }

    #[test]
    fn failed_runs_send_no_end() {
        let folder = Folder::new();
        folder.write("a", "this is not compressed");
        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            read_chunks(&mut client)
        });
        let run = highwater([format!("read a | gunzip | write http://{address}/x")])
            .within(&folder)
            .run();
        run.fails(6);
        assert_eq!(serving.join().expect("no panic"), None);
    }

    #[test]
    fn end_is_withheld_from_failing_runs() {
        let folder = Folder::new();
        let data = noise(300_000, 3);
        folder.write("a", &data);
        let (address, serving) = server(|mut client, head| {
            client.write_all(CONTINUE).expect("written");
            let mut body = Vec::new();
            let end = client.read_to_end(&mut body).map_err(|error| error.kind());
            (head, body, end)
        });
        // It is noticed only at the end.
        let pipeline = format!("read a | hash expect=00000000 algo=crc32c | write http://{address}/x");
        assert_eq!(run(&folder, &pipeline).code, Some(10));
        let (head, body, end) = serving.join().expect("no panic");
        assert_eq!(header(&head, "content-length"), Some("300000"));
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
        assert!(body.len() < data.len());

        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            read_chunks(&mut client)
        });
        let pipeline = format!("read a | tee (write http://{address}/x) (exec sh -c 'cat > /dev/null; exit 3')");
        assert_eq!(run(&folder, &pipeline).code, Some(11));
        assert_eq!(serving.join().expect("no panic"), None);
    }

    #[test]
    fn refusal_of_the_whole_upload_fails() {
        let folder = Folder::new();
        folder.write("a", "hello");
        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            let body = read_chunks(&mut client);
            let response = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 8\r\n\r\ndisk ate";
            client.write_all(response).expect("written");
            body
        });
        let pipeline = format!("read a | tee (write b) (write http://{address}/x)");
        let run = highwater([pipeline]).within(&folder).run();
        let said = "cannot write: the server responded 500 Internal Server Error: disk ate";
        assert!(run.fails(4).contains(said), "{}", run.stderr);
        assert_eq!(serving.join().expect("no panic").as_deref(), Some(&b"hello"[..]));
        assert_eq!(folder.names(), ["a"], "no other output without it");
    }

    #[test]
    fn missing_response_leaves_the_outcome_unknown() {
        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            read_chunks(&mut client)
        });
        let run = highwater([format!("write http://{address}/x")]).input("hello").run();
        let said =
            "cannot tell whether the server has everything: the connection ended before the response was complete";
        assert!(run.fails(4).contains(said), "{}", run.stderr);
        assert_eq!(serving.join().expect("no panic").as_deref(), Some(&b"hello"[..]));

        let (address, serving) = server(|mut client, _| {
            client.write_all(CONTINUE).expect("written");
            read_chunks(&mut client);
            client.read(&mut [0]).map_err(|error| error.kind())
        });
        let run = highwater([format!("write http://{address}/x linger=50ms")])
            .input("hello")
            .run();
        let said = "the server did not respond within 50ms (linger)";
        assert!(run.fails(4).contains(said), "{}", run.stderr);
        assert_eq!(
            serving.join().expect("no panic"),
            Err(std::io::ErrorKind::ConnectionReset)
        );
    }

    #[test]
    fn stalled_server_pauses_the_source() {
        let (over, is_over) = channel::<()>();
        let (address, serving) = server(move |mut client, _| {
            client.write_all(CONTINUE).expect("written");
            // Reads nothing until the client has given up.
            let _ = is_over.recv();
        });
        let folder = Folder::new();
        let pipeline = format!("read /dev/zero | write http://{address}/x");
        let run = highwater(["--stall-timeout", "1s", "--stats", "s.json", &pipeline])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(8), "{}", run.stderr);
        drop(over);
        serving.join().expect("no panic");
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("s.json")).expect("an object");
        let (peak, limit) = (&stats["buffered_peak_bytes"], &stats["memory_limit_bytes"]);
        assert!(peak.as_u64() <= limit.as_u64(), "{peak} of {limit}");
    }
}
