//! A query as CSV, compressed, to a slow HTTP client and into an object store: with the real servers.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::read::MultiGzDecoder;

use crate::harness::{Running, highwater};
use crate::postgres_server::{self, Server};
use crate::s3_server;

const QUERY: &str = "select * from exported order by id";

/// A server with a table of 30 MB, half of which a compressor can save.
pub fn filled() -> Option<std::sync::Arc<Server>> {
    let server = postgres_server::server()?;
    server.run(
        "SELECT pg_advisory_lock(7); CREATE TABLE IF NOT EXISTS exported AS SELECT i id, \
         (SELECT string_agg(md5((i * 9 + j)::text), '') FROM generate_series(1, 9) j) noise FROM generate_series(1, 100000) i",
    );
    Some(server)
}

pub fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(packed).read_to_string(&mut text).expect("gzip");
    text
}

/// Asks for the download, by HTTP/1.0: its body has no chunks.
fn client(running: &mut Running) -> TcpStream {
    let mut client = TcpStream::connect(running.address()).expect("it listens");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    client
}

/// The memory of a process that no file is behind, in KiB.
fn anonymous(pid: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn slow_client_leaves_both_memories_flat() {
    let Some(server) = filled() else { return };
    let pipeline = format!(
        "read '{}' query='{QUERY}' | gzip | write http-listen://127.0.0.1:0",
        server.url()
    );
    let mut running = highwater([pipeline]).start();
    let mut client = client(&mut running);
    let mut body = vec![0; 1 << 20];
    client.read_exact(&mut body).expect("the first mebibyte");
    let session = server.run(&format!(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%{QUERY}%'"
    ));
    let processes = [running.id().to_string(), session];
    let before = processes.each_ref().map(|pid| anonymous(pid));
    for _ in 0..12 {
        let from = body.len();
        body.resize(from + (512 << 10), 0);
        client.read_exact(&mut body[from..]).expect("more");
        for (pid, before) in processes.iter().zip(before) {
            if let (Some(before), Some(now)) = (before, anonymous(pid)) {
                assert!(now <= before + 2048, "{pid}: {before} and {now} KiB");
            }
        }
    }
    client.read_to_end(&mut body).expect("an end, not a reset");
    assert_eq!(running.wait().code, Some(0));
    let start = body.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let expected = server.run(&format!("COPY ({QUERY}) TO STDOUT (FORMAT csv, HEADER)"));
    assert!(unpacked(&body[start..]).trim_end() == expected);
}

#[test]
fn stalled_client_is_cut_with_its_query() {
    let Some(server) = filled() else { return };
    // The lock is the session's, and released when that ends.
    let pipeline = format!(
        "read '{}' query='select e.* from exported e, (select pg_advisory_lock(43)) l' max-time=300ms | gzip | \
         write http-listen://127.0.0.1:0",
        server.url()
    );
    let mut running = highwater([pipeline]).start();
    let mut client = client(&mut running);
    let run = running.wait();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    assert!(run.stderr.contains("(max-time)"), "{}", run.stderr);
    server.run("SET lock_timeout = '60s'; SELECT pg_advisory_lock(43)");
    client.read_to_end(&mut Vec::new()).expect_err("a reset, not an end");
}

#[test]
fn export_becomes_an_object() {
    let (Some(server), Some(store)) = (filled(), s3_server::server()) else {
        return;
    };
    let bucket = store.bucket();
    let pipeline = format!(
        "read '{}' query='{QUERY}' | gzip | write s3://{bucket}/export.csv.gz",
        server.url()
    );
    store.run(pipeline).run().succeeds();
    let expected = server.run(&format!("COPY ({QUERY}) TO STDOUT (FORMAT csv, HEADER)"));
    let object = store.object(&bucket, "export.csv.gz").expect("there");
    assert!(unpacked(&object).trim_end() == expected);
    store.has_no_parts(&bucket);
}
