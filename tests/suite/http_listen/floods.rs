//! Crowds of clients that send nothing, too much, or too slowly.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;

use super::{head, listen, send, status};
use crate::harness::{Folder, Running, peer};

/// The largest resident set so far, in KiB; 0 where the system does not tell.
fn peak(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

#[test]
fn idle_connections_keep_no_client_out() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    let before = peak(&running);
    let script = "import resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(2000)]
print('held', flush=True)
sys.stdin.read()";
    let Some(mut python) = peer("python3") else { return };
    python.args(["-c", script, &address.port().to_string()]);
    let mut crowd = python
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut line = String::new();
    BufReader::new(crowd.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    assert_eq!(line, "held\n");
    let mut client = send(
        address,
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    );
    assert_eq!(head(&client), "HTTP/1.1 100 Continue\r\n\r\n");
    let grown = peak(&running) - before;
    assert!(grown < 8 << 10, "{grown} KiB for an idle crowd");
    client.write_all(b"!").expect("sent");
    assert_eq!(status(&head(&client)), 201);
    drop(client);
    assert_eq!(running.wait().code, Some(0));
    drop(crowd.stdin.take());
    crowd.wait().expect("python ends");
}

#[test]
fn endless_heads_are_cut_short() {
    let folder = Folder::new();
    let (running, address) = listen(&folder, &["read http-listen://127.0.0.1:0 | write out"]);
    let before = peak(&running);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = TcpStream::connect(address).expect("it listens");
                let line = format!("X: {}\r\n", "x".repeat(8000));
                let mut sent = client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n");
                for _ in 0..(64 << 20) / line.len() {
                    sent = sent.and_then(|()| client.write_all(line.as_bytes()));
                }
                assert!(sent.is_err(), "64 MiB of a head were taken");
            })
        })
        .collect();
    for client in clients {
        client.join().expect("no panic");
    }
    let grown = peak(&running) - before;
    assert!(grown < 16 << 10, "{grown} KiB for endless heads");
    let client = send(address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&head(&client)), 201);
    drop(client);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn plain_clients_of_tls_are_dropped() {
    let folder = Folder::new();
    crate::certificates::Authority::new(&folder).sign("server", "localhost");
    let (running, address) = listen(
        &folder,
        &["read http-listen://127.0.0.1:0 cert=server.pem key=server.key | write out"],
    );
    for _ in 0..100 {
        let mut client = send(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client, &mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    let Some(mut curl) = peer("curl") else { return };
    let url = format!("https://localhost:{}/", address.port());
    let output = curl
        .args(["-sS", "--cacert", "ca.pem", "-d", "x", &url])
        .current_dir(folder.path())
        .output();
    assert_eq!(output.expect("curl starts").stdout, b"1 bytes received\n");
    assert_eq!(running.wait().code, Some(0));
}
