//! Servers of both kinds: the same export, made at once or as fast as its client takes it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::{check, program};
use crate::harness::{highwater, peer};

/// A server that ends with this.
struct Server {
    child: Child,
    port: String,
}

impl Server {
    fn start() -> Option<Self> {
        let mut command = peer("node")?;
        command.arg(program("server.js")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node starts");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut port).expect("it says its port");
        Some(Self {
            child,
            port: port.trim().to_owned(),
        })
    }

    /// The arguments of a check of this path.
    fn arguments(&self, path: &str) -> [String; 3] {
        [
            format!("http://127.0.0.1:{}{path}", self.port),
            format!("--pid={}", self.child.id()),
            "--clients=4".to_owned(),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn verdict(path: &str) -> Option<super::Verdict> {
    let server = Server::start()?;
    let arguments = server.arguments(path);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Some(check(&arguments))
}

#[test]
fn an_export_that_waits_for_its_clients_honours() {
    if let Some(verdict) = verdict("/waits") {
        let verdict = verdict.is("honours");
        assert!(verdict.number("returned_bytes") > 0 && verdict.last["backlog_bytes"].is_null());
    }
}

#[test]
fn an_export_that_is_made_at_once_buffers() {
    if let Some(verdict) = verdict("/ignores") {
        let verdict = verdict.is("buffers");
        assert!(verdict.number("rss_bytes") > 150 << 20, "{}", verdict.last);
    }
}

#[test]
fn a_response_that_tells_nothing_is_no_acquittal() {
    for (path, why) in [("/short", "was over after"), ("/nowhere", "404 Not Found")] {
        if let Some(verdict) = verdict(path) {
            verdict.is("unclear").says(why);
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_no_verdict() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let url = format!("http://{address}/");
    let own = std::process::id().to_string();
    let refused = highwater(["check", &url, "--pid", &own]).run();
    assert!(refused.fails(9).contains("cannot connect"), "{}", refused.stderr);
    let nobody = highwater(["check", &url, "--pid", "1073741824"]).run();
    assert!(nobody.fails(2).contains("there is none"), "{}", nobody.stderr);
}
