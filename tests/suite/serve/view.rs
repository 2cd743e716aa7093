//! The live view on a terminal, which `script` provides.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use super::{first_byte, get};
use crate::harness::{Folder, noise, peer};

/// Reads until `text` has come; escape sequences are part of what is read.
fn until(from: &mut impl Read, text: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        assert_eq!(from.read(&mut byte).expect("a terminal"), 1, "no {text:?} in {seen:?}");
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn slow_clients_are_seen() {
    use std::io::Write;
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    let Some(mut script) = peer("script") else { return };
    let command = format!(
        "{} serve :0 --route /big.bin 'read big'",
        env!("CARGO_BIN_EXE_highwater")
    );
    let mut terminal = script
        .args(["-qec", &format!("stty columns 110 rows 30; {command}"), "/dev/null"])
        .current_dir(folder.path())
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut screen = BufReader::new(terminal.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(screen.read_line(&mut line).expect("text") > 0, "it did not start");
    }
    let address = line.trim_end().rsplit("://").next().expect("an address");
    let address: SocketAddr = address.parse().expect("an address");
    until(&mut screen, "no run");
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(get("/big.bin").as_bytes()).expect("sent");
    first_byte(&mut client);
    let seen = until(&mut screen, "the run waits for a slow client");
    let row = client.local_addr().expect("bound").to_string();
    for part in [
        row.as_str(),
        "/big.bin",
        "backpressured",
        "memory",
        "of 64.0 MiB",
        "1 of ",
    ] {
        assert!(seen.contains(part), "{part:?} in {seen}");
    }
    drop(client);
    let seen = until(&mut screen, "no run");
    assert!(seen.contains("1 left"), "{seen}");
    // Its terminal is gone then.
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
}
