//! Servers of both kinds: the same export, made at once or as fast as its client takes it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::{check, program};
use crate::harness::{highwater, peer};
use crate::support::port::reserve;

/// A server that ends when this is dropped.
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

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
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
    Some(check(&["--clients=4", &server.url(path)]))
}

#[test]
fn awaiting_export_honours() {
    if let Some(verdict) = verdict("/waits") {
        let verdict = verdict.is("honours");
        assert!(verdict.number("returned_bytes") > 0 && verdict.last["backlog_bytes"].is_null());
    }
}

#[test]
fn eager_export_buffers() {
    if let Some(verdict) = verdict("/ignores") {
        let verdict = verdict.is("buffers");
        assert!(verdict.number("memory_bytes") > 100 << 20, "{}", verdict.last);
    }
}

#[test]
fn short_response_is_unclear() {
    for (path, why) in [("/short", "was over after"), ("/nowhere", "status 404 Not Found")] {
        if let Some(verdict) = verdict(path) {
            verdict.is("unclear").says(why);
        }
    }
}

#[test]
fn missing_server_has_no_verdict() {
    let (_refusing, address) = reserve();
    let url = format!("http://{address}/");
    let refused = highwater(["check", &url]).run();
    assert!(refused.fails(9).contains("cannot connect"), "{}", refused.stderr);
}

#[test]
fn trickling_server_ends_the_check() {
    if let Some(verdict) = verdict("/trickle") {
        verdict.is("unclear").says("more slowly than its clients read it");
    }
}

#[test]
fn partly_answering_server_is_reported() {
    if let Some(verdict) = verdict("/one") {
        verdict.is("honours").says("1 of 4 slow clients were served");
    }
}

#[test]
fn request_is_sent_as_specified() {
    let Some(server) = Server::start() else { return };
    let arguments = ["--clients=2", "--header=X-Key: 1", "--body={}", &server.url("/asked")];
    check(&arguments).is("honours");
    check(&["--clients=2", &server.url("/asked")])
        .is("unclear")
        .says("status 400");
}

#[test]
fn only_server_processes_are_measured() {
    let Some(server) = Server::start() else { return };
    let url = server.url("/waits");
    let own = server.child.id().to_string();
    let run = highwater(["check", "--seconds=2", &url, "--pid", &own]).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let mut other = crate::harness::peer("sleep")
        .expect("sleep")
        .arg("1000")
        .spawn()
        .expect("sleep");
    let pid = other.id().to_string();
    let wrong = highwater(["check", &url, "--pid", &pid]).run();
    let both = highwater(["check", "--seconds=2", &url, "--pid", &pid, "--pid", &own]).run();
    other.kill().and_then(|()| other.wait()).expect("it ends");
    assert!(
        wrong.fails(2).contains(&format!("the server is process {own} (node)")),
        "{}",
        wrong.stderr
    );
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    // The parent of the check and the server is neither of them.
    let above = std::process::id().to_string();
    let above = highwater(["check", &url, "--pid", &above]).run();
    assert!(above.fails(2).contains("was started from it"), "{}", above.stderr);
    let missing = highwater(["check", &url, "--pid", "1073741824"]).run();
    assert!(
        missing.fails(2).contains("there is no such process"),
        "{}",
        missing.stderr
    );
}
