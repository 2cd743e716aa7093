//! Downloads from real servers, and from servers that misbehave.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::process::Signal;

use crate::certificates::Authority;
use crate::harness::{Folder, Run, accept, highwater, noise, reset, xorshift};
use crate::http::{End, Server, header, nginx, nginx_with, python, read_head, script};
use crate::support::port::reserve;

/// Reads a URL into the file `b`, with further parameters.
fn download(folder: &Folder, url: &str, parameters: &str) -> Run {
    highwater([format!("read {url} {parameters} | write b")])
        .within(folder)
        .run()
}

/// A head and a body.
fn response(head: &str, body: &[u8]) -> Vec<u8> {
    [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

fn ok(body: &str) -> Vec<u8> {
    response(
        &format!("HTTP/1.1 200 OK\nContent-Length: {}", body.len()),
        body.as_bytes(),
    )
}

mod real_servers {
    use super::*;

    #[test]
    fn nginx_serves_a_file() {
        let folder = Folder::new();
        let data = noise(3 << 20, 1);
        folder.write("a", &data);
        let Some(server) = nginx(&folder, "") else { return };
        let run = highwater(["--stats", "s.json", &format!("read {} | write b", server.url("/a"))])
            .within(&folder)
            .run();
        run.succeeds();
        assert!(folder.read("b") == data);
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("s.json")).expect("an object");
        assert_eq!(stats["expected_bytes"], 3 << 20, "from Content-Length");
        let run = download(&folder, &server.url("/none"), "");
        let said = run.fails(3);
        assert!(
            said.ends_with("/none: cannot read: the server responded 404 Not Found"),
            "{said}"
        );
    }

    const CHUNKED: &str = "const server = require('http').createServer((_, response) =>
        require('fs').createReadStream('a').pipe(response));
        server.listen(0, '127.0.0.1', () => console.log(server.address().port));";

    #[test]
    fn python_and_node_serve_files() {
        let folder = Folder::new();
        let data = noise(1 << 20, 2);
        folder.write("a", &data);
        if let Some(server) = python(&folder) {
            download(&folder, &server.url("/a"), "").succeeds();
            assert!(folder.read("b") == data);
        }
        if let Some(server) = script("node", &["-e", CHUNKED], &folder) {
            std::fs::remove_file(folder.join("b")).expect("removed");
            download(&folder, &server.url("/"), "").succeeds();
            assert!(folder.read("b") == data);
        }
    }

    #[test]
    fn https_needs_the_right_name() {
        let folder = Folder::new();
        let authority = Authority::new(&folder);
        authority.sign("server", "localhost");
        folder.write("a", "over TLS");
        let root = folder.path().display();
        let directives = format!("ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;");
        let Some(server) = nginx_with(&folder, "ssl", &directives) else {
            return;
        };
        let port = server.address.port();
        download(&folder, &format!("https://localhost:{port}/a"), "ca=ca.pem").succeeds();
        assert_eq!(folder.read("b"), b"over TLS");
        for (host, parameters) in [("127.0.0.1", "ca=ca.pem"), ("localhost", "")] {
            let run = download(&folder, &format!("https://{host}:{port}/a"), parameters);
            assert!(run.fails(9).contains("cannot agree on TLS with"), "{}", run.stderr);
        }
        download(&folder, &format!("https://127.0.0.1:{port}/a"), "verify=false").succeeds();
        let location =
            format!("HTTP/1.1 302 Found\r\nLocation: https://localhost:{port}/a\r\nContent-Length: 0\r\n\r\n");
        let redirecting = Server::of([location]);
        download(&folder, &redirecting.url("/"), "ca=ca.pem").succeeds();
        redirecting.requests();
    }
}

mod framing {
    use super::*;

    /// Reads a response; returns how the run ended, and the file.
    fn read(bytes: &[u8]) -> (Run, Option<Vec<u8>>) {
        let folder = Folder::new();
        let server = Server::of([bytes]);
        let run = download(&folder, &server.url("/"), "");
        server.requests();
        let file = folder.names().contains(&"b".to_owned()).then(|| folder.read("b"));
        (run, file)
    }

    #[test]
    fn complete_responses_are_read() {
        for (head, body, expected) in [
            ("HTTP/1.1 200 OK\nContent-Length: 5", "helloX", "hello"),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5",
                "hello",
                "hello",
            ),
            ("HTTP/1.1 200\nContent-Length: 0", "", ""),
            ("HTTP/1.1 204 No Content", "", ""),
            (
                "HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: 5",
                "hello",
                "hello",
            ),
            (
                "HTTP/1.1 100 Continue\n\nHTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 5",
                "hello",
                "hello",
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked",
                "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
                "hello",
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
                "2;a=b;c\r\nhe\r\n003 ;d=\"e\"\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
                "hello",
            ),
            ("HTTP/1.1 201 Created\nContent-Length:5\nX:", "hello", "hello"),
        ] {
            let (run, file) = read(&response(head, body.as_bytes()));
            assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{head}");
            assert_eq!(file.as_deref(), Some(expected.as_bytes()), "{head}");
        }
        let (run, file) = read(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
        assert_eq!(
            (run.code, file.as_deref()),
            (Some(0), Some(&b"hello"[..])),
            "bare line feeds in a head"
        );
    }

    #[test]
    fn close_delimited_body_is_warned_about() {
        for head in ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK"] {
            let (run, file) = read(&response(head, b"hello"));
            assert_eq!((run.code, file.as_deref()), (Some(0), Some(&b"hello"[..])));
            assert!(
                run.stderr.contains("a cut connection looks like its end"),
                "{}",
                run.stderr
            );
        }
    }

    #[test]
    fn cut_and_ambiguous_responses_fail() {
        let cut = "cannot read all of it: the connection ended before the response was complete";
        let long = format!("HTTP/1.1 200 OK\nX: {}", "x".repeat(70_000));
        for (head, body, why) in [
            ("HTTP/1.1 200 OK\nContent-Length: 6", "hello", cut),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "5\r\nhello\r\n", cut),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "5\r\nhel", cut),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
                "5\r\nhello\r\n0\r\n",
                cut,
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
                "five\r\nhello\r\n",
                "cannot read all of it: ",
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
                "5\nhello\n0\n\n",
                "cannot read all of it: ",
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
                "10000000000000000\r\n",
                "cannot read all of it: ",
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked",
                "0\r\n\r\n",
                "the response states its length twice",
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6",
                "hello!",
                "the response is not valid",
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: -5",
                "hello",
                "the response is not valid",
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: +5",
                "hello",
                "the response is not valid",
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked",
                "0\r\n\r\n",
                "the transfer encoding `gzip, chunked`, which was not asked for",
            ),
            (
                "HTTP/1.1 200 OK\nX : y\nContent-Length: 5",
                "hello",
                "the response is not valid",
            ),
            (
                "HTTP/1.1 200 OK\nX: y\n z\nContent-Length: 5",
                "hello",
                "the response is not valid",
            ),
            (
                "HTTP/1.1 206 Partial Content\nContent-Length: 5",
                "hello",
                "a part of it, which was not asked for",
            ),
            (&long, "", "the head of the response is larger than 64 KiB"),
            ("hello", "", "the response is not valid"),
            ("HTTP/2 200 OK", "", "the response is not valid"),
            ("HTTP/1.1 304 Not Modified", "", "the server responded 304 Not Modified"),
            (
                "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade",
                "",
                "the server responded 101",
            ),
            ("HTTP/1.1 200 O", "", "cannot get a response from"),
        ] {
            let bytes = match head {
                "HTTP/1.1 200 O" => head.as_bytes().to_vec(),
                head => response(head, body.as_bytes()),
            };
            let (run, file) = read(&bytes);
            assert_eq!(run.code, Some(3), "{head:.60}: {}", run.stderr);
            assert!(run.fails(3).contains(why), "{head:.60}: {}", run.stderr);
            assert_eq!(file, None, "{head:.60}");
        }
    }

    #[test]
    fn endless_head_is_refused_within_bounds() {
        let folder = Folder::new();
        let endless = b"HTTP/1.1 200 OK\r\n"
            .iter()
            .copied()
            .chain(b"X: y\r\n".repeat(4 << 20));
        let server = Server::of([endless.collect::<Vec<u8>>()]);
        let run = highwater(["--stats", "s.json", &format!("read {} | write b", server.url("/"))])
            .within(&folder)
            .run();
        run.fails(3);
        server.requests();
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("s.json")).expect("an object");
        let peak = stats["rss_peak_bytes"].as_u64().expect("a number");
        assert!(peak < 40 << 20, "{peak}");
    }
}

mod statuses {
    use super::*;

    #[test]
    fn refusals_say_the_first_line() {
        for (head, body, code, said) in [
            (
                "HTTP/1.1 404 Not Found",
                "no such\tthing\nmore",
                3,
                "404 Not Found: no such\\tthing",
            ),
            ("HTTP/1.1 404 Gone\u{1b}[1m Fishing", "", 3, "404 Gone"),
            (
                "HTTP/1.1 403 Forbidden\nContent-Type: text/html",
                "<html>",
                3,
                "403 Forbidden",
            ),
            (
                "HTTP/1.1 401 Unauthorized",
                "who are you?",
                9,
                "401 Unauthorized: who are you?",
            ),
            (
                "HTTP/1.1 407 Proxy Authentication Required",
                "",
                9,
                "407 Proxy Authentication Required",
            ),
            (
                "HTTP/1.1 500 Internal Server Error",
                "\u{1b}[31mred",
                3,
                "500 Internal Server Error: \\x1b[31mred",
            ),
            ("HTTP/1.1 599", "", 3, "599"),
        ] {
            let head = format!("{head}\nContent-Length: {}", body.len());
            let folder = Folder::new();
            let server = Server::of([response(&head, body.as_bytes())]);
            let run = download(&folder, &server.url("/x"), "");
            assert!(folder.names().is_empty());
            if head.contains('\u{1b}') && body.is_empty() {
                assert_eq!(run.code, Some(code), "{}", run.stderr);
                continue;
            }
            let expected = format!("cannot read: the server responded {said}");
            assert!(run.fails(code).ends_with(&expected), "{}", run.stderr);
        }
    }

    #[test]
    fn unreachable_servers_create_no_file() {
        let folder = Folder::new();
        let (_refusing, address) = reserve();
        let run = download(&folder, &format!("http://{address}/"), "");
        let expected = format!("cannot connect to {address}: Connection refused");
        assert!(run.fails(9).ends_with(&expected), "{}", run.stderr);
        let run = download(&folder, "http://nowhere.invalid/", "");
        assert!(
            run.fails(9).contains("cannot resolve `nowhere.invalid`"),
            "{}",
            run.stderr
        );
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_reset_before_the_head_fails() {
        let folder = Folder::new();
        let server = Server::with([("", End::Reset)]);
        let run = download(&folder, &server.url("/"), "");
        let expected = format!(
            "cannot get a response from {}: Connection reset by peer",
            server.address
        );
        assert!(run.fails(3).ends_with(&expected), "{}", run.stderr);
    }
}

mod redirects {
    use super::*;

    fn to(status: &str, location: &str) -> Vec<u8> {
        response(
            &format!("HTTP/1.1 {status}\nLocation: {location}\nContent-Length: 0"),
            b"",
        )
    }

    #[test]
    fn relative_locations_are_followed() {
        let folder = Folder::new();
        let server = Server::of([to("301 Moved", "../b/c?d"), to("307 Elsewhere", "e"), ok("there")]);
        download(&folder, &server.url("/a/x"), "").succeeds();
        assert_eq!(folder.read("b"), b"there");
        let targets = server
            .requests()
            .iter()
            .map(|request| request[..20].to_owned())
            .collect::<Vec<_>>();
        assert_eq!(
            targets,
            [
                "GET /a/x HTTP/1.1\r\nh",
                "GET /b/c?d HTTP/1.1\r",
                "GET /b/e HTTP/1.1\r\nh"
            ]
        );
    }

    #[test]
    fn endless_redirects_end() {
        let folder = Folder::new();
        let server = Server::of((0..11).map(|_| to("301 Moved", "/again")));
        let run = download(&folder, &server.url("/"), "");
        assert!(
            run.fails(3).ends_with("it was redirected more than 10 times"),
            "{}",
            run.stderr
        );
        assert_eq!(server.requests().len(), 11);
        for (location, why) in [
            (
                "ftp://127.0.0.1/",
                "it was redirected to something else than HTTP: neither http:// nor https://",
            ),
            ("http://me:pw@127.0.0.1/", "credentials in a URL are not accepted"),
        ] {
            let server = Server::of([to("302 Found", location)]);
            let run = download(&folder, &server.url("/"), "");
            assert!(
                run.fails(3).contains(why) && !run.stderr.contains("pw"),
                "{}",
                run.stderr
            );
        }
        let server = Server::of([to("302 Found", "x").split_off(0)]);
        drop(server);
        let server = Server::of([response("HTTP/1.1 302 Found\nContent-Length: 0", b"")]);
        let run = download(&folder, &server.url("/"), "");
        assert!(
            run.fails(3).ends_with("the server responded 302 Found"),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn other_servers_get_no_secrets() {
        let folder = Folder::new();
        folder.write("user", "me:pw");
        folder.write("key", "X-Key: s3cret\nCookie: a=b");
        let parameters = "user=@user header=@key header='X-Open: yes'";
        let other = Server::of([ok("there")]);
        let server = Server::of([to("302 Found", "/same"), to("302 Found", &other.url("/"))]);
        download(&folder, &server.url("/"), parameters).succeeds();
        for request in server.requests() {
            assert_eq!(header(&request, "authorization"), Some("Basic bWU6cHc="));
            assert_eq!(
                (header(&request, "x-key"), header(&request, "cookie")),
                (Some("s3cret"), Some("a=b"))
            );
        }
        let request = &other.requests()[0];
        assert_eq!(header(request, "x-open"), Some("yes"));
        for name in ["authorization", "x-key", "cookie"] {
            assert_eq!(header(request, name), None, "{name}");
        }
    }

    #[test]
    fn only_307_and_308_send_the_body_again() {
        for (status, method, body) in [
            ("301 Moved", "GET", ""),
            ("303 See Other", "GET", ""),
            ("307 Elsewhere", "POST", "question"),
            ("308 Elsewhere", "POST", "question"),
        ] {
            let folder = Folder::new();
            let server = Server::of([to(status, "/y"), ok("answer")]);
            download(&folder, &server.url("/x"), "body=question").succeeds();
            let requests = server.requests();
            assert!(requests[0].starts_with("POST /x ") && requests[0].ends_with("\r\n\r\nquestion"));
            assert!(requests[1].starts_with(&format!("{method} /y ")), "{}", requests[1]);
            assert!(requests[1].ends_with(&format!("\r\n\r\n{body}")), "{}", requests[1]);
        }
    }
}

mod requests {
    use super::*;

    #[test]
    fn default_headers_are_few() {
        let folder = Folder::new();
        let server = Server::of([ok("")]);
        download(&folder, &server.url("/a?b#c"), "").succeeds();
        let address = server.address;
        let expected = format!(
            "GET /a?b HTTP/1.1\r\nhost: {address}\r\nuser-agent: highwater/{}\r\naccept: */*\r\n\
             accept-encoding: identity\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(server.requests(), [expected]);
    }

    #[test]
    fn users_headers_and_body_are_sent() {
        let folder = Folder::new();
        folder.write("q.json", r#"{"stream":true}"#);
        let server = Server::of([ok("x")]);
        let parameters = "method=PATCH body=@q.json header='Content-Type: application/json' header=accept:text/x \
                          header='Host: other'";
        download(&folder, &server.url("/"), parameters).succeeds();
        let request = server.requests().remove(0);
        assert!(
            request.starts_with("PATCH / ") && request.ends_with("\r\n\r\n{\"stream\":true}"),
            "{request}"
        );
        for (name, value) in [
            ("content-type", "application/json"),
            ("accept", "text/x"),
            ("host", "other"),
            ("content-length", "15"),
        ] {
            assert_eq!(header(&request, name), Some(value));
        }
    }

    #[test]
    fn netrc_is_used_for_its_hosts() {
        let folder = Folder::new();
        let netrc = folder.write("netrc", "machine 127.0.0.1 login me password pw\n");
        let server = Server::of([ok(""), ok("")]);
        let pipeline = |parameters: &str| format!("read {} {parameters} | write b", server.url("/"));
        folder.write("bearer", "Authorization: Bearer x");
        for parameters in ["", "header=@bearer"] {
            let run = highwater([pipeline(parameters)]).within(&folder);
            run.environment("NETRC", netrc.to_str().expect("text")).run().succeeds();
        }
        let requests = server.requests();
        assert_eq!(header(&requests[0], "authorization"), Some("Basic bWU6cHc="));
        assert_eq!(header(&requests[1], "authorization"), Some("Bearer x"));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let folder = Folder::new();
        folder.write("token", "s3cret");
        for (parameters, said) in [
            ("user=me:s3cret", "credentials are not taken from the command line"),
            ("user=@token", "its first line is not NAME:PASSWORD"),
            ("user=@none", "cannot use none: No such file or directory"),
            ("header=@none", "cannot use none: No such file or directory"),
            ("header=@token", "cannot use token: line 1: a header without a colon"),
            (
                "header=authorization:x",
                "the header `authorization` is not taken from the command line",
            ),
            (
                "header=Range:bytes=0-1",
                "the header `range` is set by highwater itself",
            ),
            ("method=get", "`get` is not a method that something can be read with"),
            ("method=HEAD", "`HEAD` is not a method that something can be read with"),
            ("body=@none", "cannot use none: No such file or directory"),
            ("ca=ca.pem", "cannot use ca.pem for TLS"),
        ] {
            let run = download(&folder, "http://127.0.0.1:1/", parameters);
            assert_eq!(run.code, Some(2), "{}", run.stderr);
            assert!(run.stderr.contains(said), "{}", run.stderr);
            let error = run.stderr.lines().find(|line| line.contains(said)).expect("a line");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}

mod proxies {
    use super::*;

    #[test]
    fn http_proxy_gets_the_whole_url() {
        let folder = Folder::new();
        let proxy = Server::of([ok("by proxy")]);
        let run = highwater(["read http://nowhere.invalid/a?b | write b"]).within(&folder);
        let run = run.environment("http_proxy", &format!("http://me:p%77@{}", proxy.address));
        run.run().succeeds();
        assert_eq!(folder.read("b"), b"by proxy");
        let request = proxy.requests().remove(0);
        assert!(
            request.starts_with("GET http://nowhere.invalid/a?b HTTP/1.1\r\n"),
            "{request}"
        );
        assert_eq!(header(&request, "host"), Some("nowhere.invalid"));
        assert_eq!(header(&request, "proxy-authorization"), Some("Basic bWU6cHc="));
    }

    #[test]
    fn no_proxy_and_cgi_connect_directly() {
        for (name, value) in [("no_proxy", "127.0.0.0/8"), ("REQUEST_METHOD", "GET")] {
            let folder = Folder::new();
            let server = Server::of([ok("direct")]);
            let run = highwater([format!("read {} | write b", server.url("/"))]).within(&folder);
            let run = run
                .environment("HTTP_PROXY", "http://127.0.0.1:1")
                .environment(name, value);
            run.run().succeeds();
            assert!(server.requests()[0].starts_with("GET / "));
        }
    }

    #[test]
    fn https_goes_through_a_tunnel() {
        let folder = Folder::new();
        Authority::new(&folder).sign("server", "secret.example");
        folder.write("a", "tunnelled");
        let root = folder.path().display();
        let directives = format!("ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;");
        let Some(server) = nginx_with(&folder, "ssl", &directives) else {
            return;
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let proxy = listener.local_addr().expect("bound");
        let tunnel = std::thread::spawn(move || {
            let mut client = accept(&listener);
            let head = read_head(&mut client);
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .expect("written");
            relay(client, TcpStream::connect(server.address).expect("nginx"));
            head
        });
        let run = highwater(["read https://secret.example/a ca=ca.pem | write b"]).within(&folder);
        run.environment("HTTPS_PROXY", &format!("http://me:pw@{proxy}"))
            .run()
            .succeeds();
        assert_eq!(folder.read("b"), b"tunnelled");
        let head = tunnel.join().expect("no panic");
        assert!(head.starts_with("CONNECT secret.example:443 HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "proxy-authorization"), Some("Basic bWU6cHc="));
    }

    #[test]
    fn refusing_proxies_are_named() {
        let folder = Folder::new();
        let proxy = Server::of([response("HTTP/1.1 407 Who are you\nContent-Length: 0", b"")]);
        let run = highwater(["read https://secret.example/ | write b"]).within(&folder);
        let run = run
            .environment("https_proxy", &format!("http://me:pw@{}", proxy.address))
            .run();
        let said = format!(
            "cannot reach secret.example:443 through the proxy {}: it responded 407",
            proxy.address
        );
        assert!(run.fails(9).contains(&said), "{}", run.stderr);
        let run = highwater(["read http://a.example/ | write b"]).within(&folder);
        let run = run.environment("all_proxy", "socks5://me:pw@127.0.0.1:1").run();
        assert!(
            run.fails(9).contains("only proxies of the form http://HOST:PORT"),
            "{}",
            run.stderr
        );
        assert!(!run.stderr.contains("pw"), "{}", run.stderr);
    }

    /// Copies both ways until both have ended.
    fn relay(client: TcpStream, server: TcpStream) {
        let copy = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        };
        let (from, to) = (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
        let up = std::thread::spawn(move || copy(from, to));
        copy(server, client);
        up.join().expect("no panic");
    }
}

mod retries {
    use super::*;

    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn passing_troubles_are_retried() {
        let folder = Folder::new();
        let late = "HTTP/1.1 429 Slow Down\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
        let server = Server::with([
            (BUSY.into(), End::Close),
            (late.into(), End::Close),
            (Vec::new(), End::Reset),
            (ok("hello"), End::Close),
        ]);
        download(&folder, &server.url("/"), "retry=3").succeeds();
        assert_eq!(folder.read("b"), b"hello");
        assert_eq!(server.requests().len(), 4);
    }

    #[test]
    fn retries_are_counted_and_bounded() {
        let folder = Folder::new();
        let server = Server::of([BUSY, BUSY, BUSY]);
        let run = download(&folder, &server.url("/"), "retry=1");
        let said = "cannot read in 2 attempts: the server responded 503 Service Unavailable";
        assert!(run.fails(3).ends_with(said), "{}", run.stderr);
        assert_eq!(server.requests().len(), 2);
        let server = Server::of([BUSY.replace("After: 0", "After: 3600")]);
        let run = download(&folder, &server.url("/"), "retry=1");
        assert!(
            run.fails(3)
                .contains("it asks for a pause of 1h, which is more than 5m"),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn lasting_refusals_are_not_retried() {
        for (status, parameters) in [
            ("404 Not Found", "retry=9"),
            ("401 Unauthorized", "retry=9"),
            ("500 Internal Server Error", "retry=9 method=POST"),
        ] {
            let folder = Folder::new();
            let refusal = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let server = Server::of([refusal.clone(), refusal]);
            let run = download(&folder, &server.url("/"), parameters);
            assert!(run.stderr.contains(status), "{}", run.stderr);
            assert_eq!(server.requests().len(), 1);
        }
    }
}

mod resuming {
    use super::*;

    const TAG: &str = "ETag: \"v1\"";

    /// A response to the first request that is cut after `hello`; all of it has 11 bytes.
    fn cut(headers: &str) -> (Vec<u8>, End) {
        let head = format!("HTTP/1.1 200 OK\n{headers}\nContent-Length: 11");
        (response(&head, b"hello"), End::Close)
    }

    fn part(headers: &str, range: &str, body: &str) -> (Vec<u8>, End) {
        let length = body.len();
        let head = format!("HTTP/1.1 206 Partial Content\n{headers}\nContent-Range: {range}\nContent-Length: {length}");
        (response(&head, body.as_bytes()), End::Close)
    }

    /// Downloads with one retry from a server that responds so; returns the requests as well.
    fn read(responses: impl IntoIterator<Item = (Vec<u8>, End)>) -> (Run, Vec<String>, Folder) {
        let folder = Folder::new();
        let server = Server::with(responses);
        let run = download(&folder, &server.url("/"), "retry=1");
        (run, server.requests(), folder)
    }

    #[test]
    fn cut_downloads_go_on() {
        for rest in [
            part(TAG, "bytes 5-10/11", " world"),
            part(TAG, "bytes 5-10/*", " world"),
            part("X: y", "bytes 5-10/11", " world"),
            part(TAG, "bytes 2-10/11", "llo world"),
            part(TAG, "bytes 0-10/11", "hello world"),
        ] {
            let (run, requests, folder) = read([cut(TAG), rest]);
            assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
            assert_eq!(folder.read("b"), b"hello world");
            let found = (header(&requests[1], "range"), header(&requests[1], "if-range"));
            assert_eq!(found, (Some("bytes=5-"), Some("\"v1\"")));
        }
    }

    #[test]
    fn each_gap_has_its_own_retries() {
        let parts = [
            cut(TAG),
            part(TAG, "bytes 5-5/11", " "),
            (
                part(TAG, "bytes 6-10/11", "world")
                    .0
                    .split_last_chunk::<3>()
                    .expect("longer")
                    .0
                    .to_vec(),
                End::Close,
            ),
            part(TAG, "bytes 8-10/11", "rld"),
        ];
        let (run, requests, folder) = read(parts);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        assert_eq!(folder.read("b"), b"hello world");
        let ranges: Vec<_> = requests.iter().map(|request| header(request, "range")).collect();
        assert_eq!(ranges, [None, Some("bytes=5-"), Some("bytes=6-"), Some("bytes=8-")]);
    }

    #[test]
    fn cut_chunks_end_at_416() {
        let head = format!("HTTP/1.1 200 OK\n{TAG}\nTransfer-Encoding: chunked");
        let none = |size: u32| {
            let head = format!("HTTP/1.1 416 Range Not Satisfiable\nContent-Range: bytes */{size}\nContent-Length: 0");
            (response(&head, b""), End::Close)
        };
        let cut = (response(&head, b"5\r\nhello\r\n"), End::Close);
        let (run, _, folder) = read([cut.clone(), none(5)]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(folder.read("b"), b"hello");
        let (run, _, folder) = read([cut, none(4)]);
        assert!(
            run.fails(10).contains("5 bytes of it came, and it has 4"),
            "{}",
            run.stderr
        );
        assert!(folder.names().is_empty());
    }

    #[test]
    fn versions_are_never_mixed() {
        let other = "ETag: \"v2\"";
        for (second, code, why) in [
            (
                (
                    response(&format!("HTTP/1.1 200 OK\n{other}\nContent-Length: 11"), b"HELLO WORLD"),
                    End::Close,
                ),
                10,
                "it has changed meanwhile: the server sends another version",
            ),
            (
                part(other, "bytes 5-10/11", " WORLD"),
                10,
                "it has changed meanwhile: its validator is another",
            ),
            (part(TAG, "bytes 5-11/12", " world!"), 10, "it had 11 bytes and has 12"),
            (
                part(TAG, "bytes 6-10/11", "world"),
                10,
                "the server was asked for byte 5 and sent byte 6",
            ),
            (
                part(TAG, "bytes 5-10/11", " world and more"),
                10,
                "the server sent more of it than there is",
            ),
            (
                part(TAG, "items 5-10/11", " world"),
                10,
                "the server does not say which part of it it sends",
            ),
            (
                cut(TAG),
                3,
                "the connection was cut, and the server does not send parts of it",
            ),
            (
                (response("HTTP/1.1 404 Not Found\nContent-Length: 0", b""), End::Close),
                3,
                "404 Not Found",
            ),
        ] {
            let (run, requests, folder) = read([cut(TAG), second]);
            assert!(run.fails(code).contains(why), "{}", run.stderr);
            assert!(run.stderr.contains("(after "), "{}", run.stderr);
            assert_eq!(requests.len(), 2);
            assert!(folder.names().is_empty());
        }
    }

    #[test]
    fn resuming_needs_a_strong_validator() {
        let old = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\nDate: Wed, 21 Oct 2015 07:29:00 GMT";
        let (run, requests, _) = read([cut(old), part("X: y", "bytes 5-10/11", " world")]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(header(&requests[1], "if-range"), Some("Wed, 21 Oct 2015 07:28:00 GMT"));
        for headers in [
            "X: y",
            "ETag: W/\"v1\"",
            "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT",
            "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\nDate: Wed, 21 Oct 2015 07:28:59 GMT",
        ] {
            let (run, requests, folder) = read([cut(headers), part("X: y", "bytes 5-10/11", " world")]);
            let said = "it cannot go on, because the response has no strong validator";
            assert!(run.fails(3).contains(said), "{}", run.stderr);
            assert_eq!(requests.len(), 1);
            assert!(folder.names().is_empty());
        }
        let folder = Folder::new();
        let server = Server::with([cut(TAG), part(TAG, "bytes 5-10/11", " world")]);
        let run = download(&folder, &server.url("/"), "");
        let said = "cannot read all of it: the connection ended before the response was complete (after 5 B)";
        assert!(run.fails(3).ends_with(said), "{}", run.stderr);
        assert_eq!(
            server.requests().len(),
            1,
            "nothing is tried again unless retry= says so"
        );
    }

    #[test]
    fn download_survives_two_hundred_cuts() {
        const SIZE: usize = 64 << 20;
        let folder = Folder::new();
        let data = noise(SIZE, 5);
        folder.write("a", &data);
        let Some(server) = nginx(&folder, "") else { return };
        let proxy = Cutter::start(server.address, SIZE, 200);
        let url = format!("http://{}/a", proxy.address);
        download(&folder, &url, "retry=1").succeeds();
        assert!(folder.read("b") == data);
        assert_eq!(proxy.cuts.load(Ordering::SeqCst), 200);
    }

    /// Relays connections to a server, and resets each after a random number of bytes until it has cut enough.
    struct Cutter {
        address: SocketAddr,
        cuts: Arc<AtomicUsize>,
    }

    impl Cutter {
        /// Cuts `count` times in the `size` bytes of a body.
        fn start(server: SocketAddr, size: usize, count: usize) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            let address = listener.local_addr().expect("bound");
            let cuts = Arc::new(AtomicUsize::new(0));
            let counter = cuts.clone();
            std::thread::spawn(move || {
                // On average a little less than what makes the last cut fall on the end.
                let most = size as u64 * 2 / (count as u64 + 20);
                let mut lengths = xorshift(7).map(|word| 512 + word % most).take(count);
                for client in listener.incoming() {
                    let mut client = client.expect("a client");
                    let mut server = TcpStream::connect(server).expect("the server");
                    let head = read_head(&mut client);
                    server.write_all(head.as_bytes()).expect("written");
                    match lengths.next() {
                        Some(length) => {
                            counter.fetch_add(1, Ordering::SeqCst);
                            std::io::copy(&mut server.take(length), &mut client).expect("relayed");
                            // Half of them end in a reset, which may overtake what was sent.
                            if length % 2 == 0 {
                                reset(client);
                            }
                        }
                        None => {
                            // The client closes as soon as it has everything.
                            let _ = std::io::copy(&mut server, &mut client);
                        }
                    }
                }
            });
            Self { address, cuts }
        }
    }
}

mod later_runs {
    use super::*;

    const SIZE: usize = 4 << 20;

    /// Relays three connections to a server: half of a body on the first, and then nothing until the client is gone.
    /// Returns where it listens, and the requests.
    fn stalling(server: SocketAddr) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let relaying = std::thread::spawn(move || {
            let relay = |stalls: bool| {
                let mut client = accept(&listener);
                let mut server = TcpStream::connect(server).expect("the server");
                let head = read_head(&mut client);
                server.write_all(head.as_bytes()).expect("written");
                if stalls {
                    // The client may be gone.
                    let _ = std::io::copy(&mut server.take(SIZE as u64 / 2), &mut client);
                    let _ = client.read(&mut [0]);
                } else {
                    let _ = std::io::copy(&mut server, &mut client);
                }
                head
            };
            [true, false, false].map(relay).to_vec()
        });
        (address, relaying)
    }

    /// Downloads half of a file, and is killed.
    fn killed(folder: &Folder, url: &str) -> String {
        let pipeline = format!("read {url} | write b resume=true checkpoint=64KiB");
        let arguments = ["--progress", "json", "--interval", "10ms", &pipeline];
        let mut run = highwater(arguments).within(folder).start();
        assert!(run.writes(SIZE as u64 / 4));
        run.signal(Signal::KILL);
        run.wait();
        pipeline
    }

    #[test]
    fn killed_download_is_continued() {
        let folder = Folder::new();
        let data = noise(SIZE, 6);
        folder.write("a", &data);
        let Some(server) = nginx(&folder, "keepalive_timeout 0;") else {
            return;
        };
        let (proxy, relaying) = stalling(server.address);
        let pipeline = killed(&folder, &format!("http://{proxy}/a"));
        highwater(["-q", &pipeline]).within(&folder).run().succeeds();
        assert!(folder.read("b") == data);
        let requests = relaying.join().expect("no panic");
        let range = header(&requests[2], "range").expect("a range");
        let at: u64 = range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'))
            .expect("a start")
            .parse()
            .expect("a number");
        assert!(at > 0 && at <= SIZE as u64 / 2, "{range}");
    }

    #[test]
    fn changed_resource_is_not_continued() {
        let folder = Folder::new();
        folder.write("a", noise(SIZE, 6));
        let Some(server) = nginx(&folder, "keepalive_timeout 0;") else {
            return;
        };
        let (proxy, _relaying) = stalling(server.address);
        let pipeline = killed(&folder, &format!("http://{proxy}/a"));
        folder.write("a", noise(SIZE + 1, 6));
        let run = highwater([pipeline]).within(&folder).run();
        let said = format!("the source has changed: it had {SIZE} bytes and has {}", SIZE + 1);
        assert!(run.fails(10).contains(&said), "{}", run.stderr);
        assert!(!folder.names().contains(&"b".to_owned()));
    }

    #[test]
    fn unfit_responses_are_refused_first() {
        for (headers, missing) in [
            ("Content-Length: 1\nETag: \"v\"", "Accept-Ranges: bytes"),
            ("Accept-Ranges: bytes\nTransfer-Encoding: chunked", "a Content-Length"),
            (
                "Accept-Ranges: bytes\nContent-Length: 1\nETag: W/\"v\"",
                "a strong ETag",
            ),
        ] {
            let folder = Folder::new();
            let server = Server::of([response(&format!("HTTP/1.1 200 OK\n{headers}"), b"x")]);
            let run = highwater([format!("read {} | write b resume=true", server.url("/"))])
                .within(&folder)
                .run();
            let said = format!("cannot go on in a later run: resume=true needs {missing}");
            assert!(run.fails(2).contains(&said), "{}", run.stderr);
            assert!(folder.names().is_empty());
        }
        let run = highwater(["read http://127.0.0.1:1/ body=x | write b resume=true"]).run();
        assert!(
            run.stderr.contains("this is a request that is not a GET"),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn skipped_bytes_are_not_fetched() {
        let folder = Folder::new();
        let data = noise(100_000, 7);
        folder.write("a", &data);
        let whole = "HTTP/1.1 200 OK\nETag: \"v\"\nAccept-Ranges: bytes\nContent-Length: 100000";
        let rest = "HTTP/1.1 206 Partial Content\nContent-Range: bytes 99999-99999/100000\nContent-Length: 1";
        let server = Server::of([response(whole, &data), response(rest, &data[99_999..])]);
        let run = highwater([format!("read {} | skip 99999 | write b", server.url("/"))])
            .within(&folder)
            .run();
        run.succeeds();
        assert_eq!(folder.read("b"), data[99_999..]);
        assert_eq!(header(&server.requests()[1], "range"), Some("bytes=99999-"));
        let server = Server::of([response(&whole.replace("Accept", "X"), &data)]);
        let run = highwater([format!("read {} | skip 99999 | write b", server.url("/"))])
            .within(&folder)
            .run();
        run.succeeds();
        assert_eq!(folder.read("b"), data[99_999..]);
    }
}
