//! Paths, methods, heads and bodies.

use std::process::Stdio;

use super::{Response, Service};
use crate::certificates::Authority;
use crate::harness::{Folder, noise, peer};

#[test]
fn paths_are_matched_literally() {
    let folder = Folder::new();
    folder.write("a.csv", "k,v\n1,2\n");
    let mut service = Service::start(&folder, &["--route", "/a.csv", "read a.csv"]);
    for (path, status) in [
        ("/a.csv", 200),
        ("/a.csv?$(id);`id`", 200),
        ("/a.csv/", 404),
        ("/A.csv", 404),
        ("/%61.csv", 404),
        ("/b/../a.csv", 404),
        ("//a.csv", 404),
        ("/", 404),
        ("/-/health", 200),
        ("/-/metrics", 404),
    ] {
        let response = service.fetch(path);
        assert_eq!((response.status, response.is_whole), (status, true), "{path}");
        let logged = service.logged();
        assert_eq!(logged["status"], status, "{path}");
        assert_eq!(logged["path"], path.split('?').next().expect("a path"), "{logged}");
    }
    assert_eq!(folder.names(), ["a.csv"]);
}

#[test]
fn methods_follow_from_the_pipeline() {
    let folder = Folder::new();
    folder.write("a", "whole\n");
    let service = Service::start(
        &folder,
        &[
            "--route", "/get", "read a", "--route", "/put", "gzip", "--route", "/both", "exec cat",
        ],
    );
    let asked = |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        Response::of(service.send(&request))
    };
    for (method, path, status) in [
        ("GET", "/get", 200),
        ("POST", "/get", 405),
        ("DELETE", "/get", 405),
        ("GET", "/put", 405),
        ("HEAD", "/put", 405),
        ("POST", "/put", 200),
        ("PUT", "/put", 200),
        ("GET", "/both", 200),
        ("PUT", "/both", 200),
        ("POST", "/-/health", 405),
    ] {
        assert_eq!(asked(method, path).status, status, "{method} {path}");
    }
    assert_eq!(asked("GET", "/put").field("allow"), Some("POST, PUT"));
    assert_eq!(asked("GET", "/get").text(), "whole\n");
    assert_eq!(asked("GET", "/both").text(), "");
    assert_eq!(service.put("/both", b"there and back").text(), "there and back");
    let body = "GET /get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(Response::of(service.send(body)).status, 400, "no run would read it");
}

#[test]
fn head_runs_nothing() {
    let folder = Folder::new();
    let mut service = Service::start(&folder, &["--route", "/x.csv", "exec touch ran | gzip"]);
    let request = "HEAD /x.csv HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head = Response::of(service.send(request));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), None, "the length is unknown");
    assert_eq!(head.field("content-type"), Some("application/gzip"));
    assert_eq!(service.logged()["method"], "HEAD");
    assert_eq!(folder.names(), [""; 0]);
    let got = service.fetch("/x.csv");
    for name in ["content-type", "content-disposition", "cache-control"] {
        assert_eq!(got.field(name), head.field(name), "{name}");
    }
    assert_eq!(folder.names(), ["ran"]);
}

#[test]
fn heads_say_what_the_body_is() {
    let folder = Folder::new();
    folder.write("a.csv", "k,v\n1,2\n");
    let options = [
        "--route",
        "/a.csv",
        "read a.csv | from-csv | to-csv",
        "--route",
        "/a",
        "read a.csv | from-csv | to-json array=true",
        "--header",
        "X-Robots-Tag: none",
    ];
    let service = Service::start(&folder, &options);
    let csv = service.fetch("/a.csv");
    assert_eq!(csv.text(), "k,v\n1,2\n");
    assert_eq!(csv.field("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.field("content-disposition"), Some("attachment; filename=\"a.csv\""));
    assert_eq!(csv.field("transfer-encoding"), Some("chunked"));
    let json = service.fetch("/a");
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert_eq!(json.field("content-disposition"), None);
    assert_eq!(json.field("x-robots-tag"), Some("none"));

    let root = Service::start(
        &folder,
        &["read a.csv", "--name", "b.csv", "--header", "Content-Type: text/csv"],
    );
    let whole = root.fetch("/");
    assert_eq!(whole.field("content-length"), Some("8"), "a file's size is known");
    assert_eq!(whole.field("content-type"), Some("text/csv"));
    assert_eq!(
        whole.field("content-disposition"),
        Some("attachment; filename=\"b.csv\"")
    );
}

#[test]
fn uploads_are_answered_once_committed() {
    let folder = Folder::new();
    let mut service = Service::start(&folder, &["--route", "/up", "gunzip | write out"]);
    let whole = service.put("/up", &gzip(b"whole"));
    assert_eq!(whole.status, 201);
    assert_eq!(folder.read("out"), b"whole");
    assert_eq!(service.logged()["outcome"], "complete");
    let corrupt = service.put("/up", b"not gzip");
    assert_eq!(corrupt.status, 422);
    assert!(corrupt.text().contains("this is not gzip"), "{}", corrupt.text());
    assert_eq!(corrupt.text().lines().count(), 1);
    assert_eq!(service.logged()["outcome"], "failed");
    assert_eq!(folder.read("out"), b"whole", "what was there stays");
    assert_eq!(folder.names(), ["out"]);
    let site = "POST /up HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(Response::of(service.send(site)).status, 403);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn nothing_but_the_body_reaches_a_program() {
    let folder = Folder::new();
    let script = r#"sh 'echo "$0 $# $*"; env | sort; cat'"#;
    let service = Service::start(&folder, &["--route", "/run", script]);
    let plain = service.put("/run", b"body");
    let rude = "PUT /run?$(id);`id` HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nX-Evil: $(touch x)\r\n\
                Proxy: http://evil\r\nCookie: a=';id'\r\nUser-Agent: () { :; }; touch x\r\n\r\nbody";
    let rude = Response::of(service.send(rude));
    assert_eq!((rude.status, rude.text()), (200, plain.text()));
    assert!(plain.text().ends_with("body"), "{}", plain.text());
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn strange_hosts_are_not_answered() {
    let folder = Folder::new();
    folder.write("a", "secret");
    let service = Service::start(&folder, &["read a", "--host", "exports.example"]);
    for (host, status) in [
        ("evil.example", 421),
        ("exports.example", 200),
        ("localhost:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:1", 200),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(Response::of(service.send(&request)).status, status, "{host}");
    }
}

#[test]
fn curl_gets_and_puts_over_tls() {
    let folder = Folder::new();
    let authority = Authority::new(&folder);
    let (cert, key) = authority.sign("server", "localhost");
    let bytes = noise(3 << 20, 7);
    folder.write("big", &bytes);
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    let options = [
        "--route",
        "/big",
        "read big",
        "--route",
        "/echo",
        "gzip | gunzip",
        "--cert",
        &cert,
        "--key",
        &key,
    ];
    let service = Service::start(&folder, &options);
    let port = service.address.port();
    let curl = |arguments: &[&str], path: &str| {
        let mut curl = peer("curl")?;
        curl.args(["-sS", "--fail", "--cacert"]).arg(folder.join("ca.pem"));
        curl.args(["--connect-to", &format!("localhost:{port}:127.0.0.1:{port}")]);
        let output = curl
            .args(arguments)
            .arg(format!("https://localhost:{port}{path}"))
            .stderr(Stdio::inherit())
            .output()
            .expect("curl starts");
        assert!(output.status.success(), "{path}: {:?}", output.status);
        Some(output.stdout)
    };
    let Some(got) = curl(&[], "/big") else { return };
    assert!(got == bytes, "{} bytes", got.len());
    let big = folder.join("big");
    let back = curl(&["-T", &big.to_string_lossy()], "/echo").expect("curl is there");
    assert!(back == bytes, "{} bytes", back.len());
}
