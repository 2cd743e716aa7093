use std::io::Write;
use std::net::Shutdown;
use std::process::Command;

use rustix::process::Signal;

use super::{head, listen, rest, send, status};
use crate::certificates::Authority;
use crate::harness::{Folder, highwater, noise, peer, reset};

/// A client's command line, with `URL` in place of the address and `in` as the file; returns what it printed.
fn upload(folder: &Folder, mut client: Command, arguments: &[&str]) -> String {
    let (running, address) = listen(folder, &["read http-listen://127.0.0.1:0 | write out"]);
    let url = format!("http://{address}/");
    client.args(arguments.iter().map(|argument| argument.replace("URL", &url)));
    let output = client.current_dir(folder.path()).output().expect("the client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn curl_uploads_in_every_way() {
    let folder = Folder::new();
    let data = noise(3 << 20, 1);
    folder.write("in", &data);
    for arguments in [
        &["-sST", "in", "URL"][..],
        &["-sS", "--data-binary", "@in", "URL"],
        &[
            "-sS",
            "-XPOST",
            "-HTransfer-Encoding: chunked",
            "--data-binary",
            "@in",
            "URL",
        ],
        &["-sS", "--http1.0", "-T", "in", "URL"],
        &["-sS", "-HExpect:", "-T", "in", "URL"],
    ] {
        let Some(curl) = peer("curl") else { return };
        assert_eq!(
            upload(&folder, curl, arguments),
            "3145728 bytes received\n",
            "{arguments:?}"
        );
        assert!(folder.read("out") == data, "{arguments:?}");
    }
}

#[test]
fn node_and_python_upload_whole() {
    let folder = Folder::new();
    let data = noise(1 << 20, 2);
    folder.write("in", &data);
    let node = "const fs = require('fs');
        fetch('URL', { method: 'PUT', body: fs.createReadStream('in'), duplex: 'half' })
            .then(async answer => console.log(answer.status, await answer.text()))";
    let python = "import http.client, urllib.parse
url = urllib.parse.urlsplit('URL')
client = http.client.HTTPConnection(url.netloc)
client.request('POST', url.path, open('in', 'rb'))
answer = client.getresponse()
print(answer.status, answer.read().decode())";
    for (name, option, script) in [("node", "-e", node), ("python3", "-c", python)] {
        let Some(client) = peer(name) else { return };
        assert_eq!(
            upload(&folder, client, &[option, script]),
            "201 1048576 bytes received\n\n"
        );
        assert!(folder.read("out") == data, "{name}");
    }
}

#[test]
fn upload_over_tls_is_whole() {
    let folder = Folder::new();
    Authority::new(&folder).sign("server", "localhost");
    let data = noise(3 << 20, 3);
    folder.write("in", &data);
    let Some(mut curl) = peer("curl") else { return };
    let (running, address) = listen(
        &folder,
        &["read http-listen://127.0.0.1:0 cert=server.pem key=server.key | write out"],
    );
    let url = format!("https://localhost:{}/", address.port());
    let output = curl
        .args(["-sS", "--cacert", "ca.pem", "-T", "in", &url])
        .current_dir(folder.path())
        .output();
    assert_eq!(output.expect("curl starts").stdout, b"3145728 bytes received\n");
    let run = running.wait();
    let said = format!("highwater: listening on https://{address}/\n");
    assert_eq!((run.code, run.stderr), (Some(0), said));
    assert!(folder.read("out") == data);
}

#[test]
fn answer_follows_the_commit() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole");
    assert_eq!(status(&head(&client)), 201);
    assert_eq!(
        folder.read("out"),
        b"whole",
        "it is in its place before the client is told"
    );
    assert_eq!(rest(&client), "5 bytes received\n");
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn failed_runs_are_never_created() {
    let folder = Folder::new();
    folder.write("in", noise(3 << 20, 4));
    for (pipeline, code, status) in [
        ("read http-listen://127.0.0.1:0 | limit 1MiB | write out", 7, "413"),
        ("read http-listen://127.0.0.1:0 | write /dev/full", 5, "507"),
        ("read http-listen://127.0.0.1:0 | gunzip | write out", 6, "422"),
        (
            "read http-listen://127.0.0.1:0 | hash expect=00112233445566778899aabbccddeeff algo=md5 | write out",
            10,
            "422",
        ),
        ("read http-listen://127.0.0.1:0 | exec false | write out", 11, "500"),
    ] {
        let Some(mut curl) = peer("curl") else { return };
        let (running, address) = listen(&folder, &[pipeline]);
        let url = format!("http://{address}/");
        let output = curl
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-T", "in", &url])
            .current_dir(folder.path())
            .output();
        let output = output.expect("curl starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{pipeline}");
        let run = running.wait();
        assert_eq!(run.code, Some(code), "{pipeline}: {}", run.stderr);
        assert_eq!(folder.names(), ["in"]);
    }
}

#[test]
fn incomplete_uploads_commit_nothing() {
    let folder = Folder::new();
    for (request, said) in [
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort",
            "cannot read the upload: the client left before its end (after 5 B)",
        ),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "cannot read the upload: the client left before its end (after 5 B)",
        ),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho",
            "cannot read the upload: the client left before its end (after 3 B)",
        ),
    ] {
        let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
        let client = send(address, request);
        client.shutdown(Shutdown::Write).expect("ended");
        let run = running.wait();
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(run.stderr.ends_with(&format!("{said}\n")), "{}", run.stderr);
        assert!(folder.names().is_empty());
    }
}

#[test]
fn reset_upload_commits_nothing() {
    let folder = Folder::new();
    let pipeline = "read http-listen://127.0.0.1:0 | write out";
    let (mut running, address) = listen(&folder, &["--progress", "json", "--interval", "5ms", pipeline]);
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort");
    assert!(running.writes(5), "the reset does not overtake the bytes");
    reset(client);
    let run = running.wait();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("cannot read the upload: Connection reset by peer (after 5 B)"),
        "{}",
        run.stderr
    );
    assert!(folder.names().is_empty());
}

#[test]
fn malformed_upload_is_told_so() {
    let folder = Folder::new();
    for body in [
        "x\r\n",
        "5\r\nshortest",
        "5\nshort\r\n",
        "-1\r\n",
        "10000000000000000\r\n",
    ] {
        let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
        let client = send(
            address,
            format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        );
        assert_eq!(status(&head(&client)), 400, "{body:?}");
        drop(client);
        let run = running.wait();
        assert_eq!(run.code, Some(3), "{body:?}: {}", run.stderr);
        assert!(
            run.stderr.contains("cannot read the upload: it is not valid HTTP: "),
            "{}",
            run.stderr
        );
        assert!(folder.names().is_empty());
    }
}

#[test]
fn second_uploader_may_come_later() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    let mut first = send(
        address,
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(head(&first), "HTTP/1.1 100 Continue\r\n\r\n");
    let second = send(
        address,
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let response = rest(&second);
    assert_eq!(status(&response), 503, "without a 100: {response}");
    assert!(response.contains("\r\nretry-after: 5\r\n"), "{response}");
    first.write_all(b"first").expect("sent");
    assert_eq!(status(&head(&first)), 201);
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(folder.read("out"), b"first");
}

#[test]
fn other_requests_are_told_what_to_do() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0/up | write out"]);
    let requests = "GET /up HTTP/1.1\r\nHost: a\r\n\r\n\
                    HEAD /up?a=b HTTP/1.1\r\nHost: a\r\n\r\n\
                    DELETE /up HTTP/1.1\r\nHost: a\r\n\r\n\
                    GET /else HTTP/1.1\r\nHost: a\r\n\r\n\
                    PUT /up/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!";
    let client = send(address, requests);
    let text = rest(&client);
    let statuses: Vec<u16> = text
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| status(&format!("HTTP/1.1 {answer}")))
        .collect();
    assert_eq!(statuses, [200, 200, 405, 404, 404], "{text}");
    assert!(text.contains("\r\nallow: GET, HEAD, POST, PUT\r\n"), "{text}");
    assert_eq!(
        text.matches("send one file here by PUT or POST").count(),
        1,
        "not for HEAD: {text}"
    );
    let client = send(
        address,
        "PUT http://a/up?b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!",
    );
    assert_eq!(status(&head(&client)), 201);
    drop(client);
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(folder.read("out"), b"!");
}

#[test]
fn pages_of_other_sites_cannot_upload() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    for (site, expected) in [("cross-site", 403), ("same-site", 403), ("same-origin", 201)] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: {site}\r\nContent-Length: 1\r\n\r\n!");
        assert_eq!(status(&head(&send(address, request))), expected, "{site}");
    }
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn silent_uploader_stalls_the_run() {
    let folder = Folder::new();
    let (running, address) = listen(
        &folder,
        &["--stall-timeout", "1s", "read http-listen://127.0.0.1:0 | write out"],
    );
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort");
    assert_eq!(status(&head(&client)), 500);
    drop(client);
    let run = running.wait();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    assert!(folder.names().is_empty());
}

#[test]
fn signal_is_an_answer_to_an_upload() {
    let folder = Folder::new();
    let pipeline = "read http-listen://127.0.0.1:0 | write out";
    let (mut running, address) = listen(&folder, &["--progress", "json", "--interval", "5ms", pipeline]);
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort");
    assert!(running.writes(5));
    running.signal(Signal::TERM);
    assert_eq!(status(&head(&client)), 503);
    drop(client);
    assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
    assert!(folder.names().is_empty());
}

#[test]
fn upload_is_never_one_of_several() {
    let folder = Folder::new();
    folder.write("a", "x");
    for pipeline in ["read a http-listen://:0 | write b", "read http-listen://:0 a | write b"] {
        let run = highwater([pipeline]).within(&folder).run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(
            run.stderr
                .contains("http-listen://127.0.0.1:0 cannot be one of several"),
            "{}",
            run.stderr
        );
    }
    assert_eq!(folder.names(), ["a"]);
}
