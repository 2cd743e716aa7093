//! Every example of the catalog and every command of the documents, run as they stand by a shell, on files of their names.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use highwater::plan::catalog;

use crate::support::documents;

const PROGRAM: &str = env!("CARGO_BIN_EXE_highwater");

/// Text that can be compressed, and differs from seed to seed.
fn text(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"etaoin shrdlu\n"[usize::try_from(state >> 33).expect("fits") % 14]
    });
    letters.take(length).collect()
}

/// A folder with the files that the examples read; what an example of a new stage reads is one of them, or is added here.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
    write("big.iso", &text(300_000, 1));
    write("disk.img", &text(2 << 20, 2));
    write("page.html", &text(10_000, 3));
    write("people.csv", b"name,age\nAda,36\nKim,9\n");
    write("chat.sse", b"data: {\"choices\": []}\n\ndata: [DONE]\n\n");
    for (seed, name) in (4..).zip(["part1", "part2", "a file"]) {
        write(name, &text(20_000, seed));
    }
    for (name, stage, to) in [
        ("big.iso", "gzip", "big.iso.gz"),
        ("big.iso", "gzip", "upload.gz"),
        ("big.iso", "zstd", "big.iso.zst"),
        ("big.iso", "xz level=1", "big.iso.xz"),
        ("big.iso", "bzip2", "big.iso.bz2"),
        ("big.iso", "lz4", "big.iso.lz4"),
        ("page.html", "brotli", "page.html.br"),
        ("big.iso", "hash label=big.iso to=SHA256SUMS", "/dev/null"),
    ] {
        let pipeline = format!("read {name} | {stage} | write {to}");
        let status = Command::new(PROGRAM)
            .args(["-q", &pipeline])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("it starts").success(), "{pipeline}");
    }
    for name in ["run.jsonl", "before.jsonl", "after.jsonl"] {
        let status = Command::new(PROGRAM)
            .args(["-q", "--record", name, "read big.iso | write /dev/null"])
            .current_dir(folder.path())
            .status();
        assert!(status.expect("it starts").success(), "{name}");
    }
    folder
}

/// The address in the examples, which another process may use.
const ADDRESS: &str = "127.0.0.1:9000";

/// Runs a command line, with its peer if it has one.
fn run(line: &str, folder: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let listens = line.contains("tcp-listen://");
    let connects = line.contains(ADDRESS) && !listens;
    let line = line.replace(ADDRESS, if listens { "127.0.0.1:0" } else { &address });
    let path = Path::new(PROGRAM).parent().expect("a folder").to_owned();
    let search = std::env::join_paths(
        std::iter::once(path).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut child = Command::new("sh")
        .args(["-c", &line])
        .env("PATH", search.expect("a search path"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    if connects {
        let (mut peer, _) = listener.accept().expect("it connects");
        std::io::copy(&mut peer, &mut std::io::sink()).expect("it sends");
    } else if listens {
        errors.read_line(&mut said).expect("it says where it listens");
        let url = said.trim().rsplit("tcp://").next().expect("an address");
        let mut peer = TcpStream::connect(url).expect("it listens");
        peer.write_all(b"bytes").expect("it reads");
    }
    errors.read_to_string(&mut said).expect("text");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{line}: {status}\n{said}");
}

#[test]
fn catalog_examples_work() {
    let mut count = 0;
    for definition in catalog() {
        for example in definition.examples {
            run(&format!("highwater -q '{}'", example.text), folder().path());
            count += 1;
        }
        assert!(!definition.examples.is_empty(), "{} has no example", definition.name);
    }
    assert!(count >= catalog().len(), "{count} examples");
}

#[test]
fn commands_of_documents_work() {
    let text = documents::text();
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let lines = blocks
        .flat_map(str::lines)
        .filter(|line| line.starts_with("highwater "))
        // These look at programs that are not here, or serve clients: check/peers, attach and serve have such peers.
        .filter(|line| {
            !["check ", "attach", "serve "]
                .iter()
                .any(|name| line[10..].starts_with(name))
        });
    let mut count = 0;
    for line in lines {
        run(line, folder().path());
        count += 1;
    }
    assert!(count >= 10, "{count} commands");
}
