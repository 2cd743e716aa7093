//! `--metrics`: the page is in the text format and right, and clients can neither disturb it nor the run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::process::Signal;

use crate::harness::{Folder, Running, highwater, noise, peer};

/// The address of the page, which is printed on standard error before anything else.
#[track_caller]
fn served(running: &mut Running) -> SocketAddr {
    let line = running.line();
    let url = line.trim_end().strip_prefix("highwater: metrics on http://");
    let address = url.and_then(|url| url.strip_suffix("/metrics"));
    address
        .unwrap_or_else(|| panic!("no address in {line:?}"))
        .parse()
        .expect("an address")
}

/// Sends `request` and reads the response to its end.
fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(request).expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer
}

#[track_caller]
fn page(address: SocketAddr) -> Page {
    let answer = ask(
        address,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
    );
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    Page::read(body)
}

/// Samples by name and labels as written in the text.
struct Page(BTreeMap<String, f64>);

impl Page {
    /// Reads the text format 0.0.4 strictly: each family has one HELP and one TYPE, in this order and before its samples,
    /// which follow without others between; no sample is there twice; names, labels and values are well formed.
    #[track_caller]
    fn read(text: &str) -> Self {
        assert!(text.ends_with('\n') && !text.contains('\r'));
        let mut samples = BTreeMap::new();
        let mut families = BTreeSet::new();
        let mut family = (String::new(), None);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a help");
                assert!(is_name(name) && help.ends_with('.') && !help.contains('\\'), "{line}");
                assert!(families.insert(name.to_owned()), "{name} is there twice");
                family = (name.to_owned(), None);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!((name, family.1), (family.0.as_str(), None), "{line}");
                let kind = ["counter", "gauge"]
                    .into_iter()
                    .find(|known| *known == kind)
                    .expect("a type");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                family.1 = Some(kind);
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let name = series.split('{').next().unwrap_or(series);
                assert!(name == family.0 && family.1.is_some(), "{line} is not below its head");
                check_labels(&series[name.len()..]);
                let value: f64 = value.parse().expect("a number");
                assert!(
                    value.is_finite() && (family.1 == Some("gauge") || value >= 0.0),
                    "{line}"
                );
                assert!(
                    samples.insert(series.to_owned(), value).is_none(),
                    "{series} is there twice"
                );
            }
        }
        for name in &families {
            let has_samples = samples.keys().any(|series| series.split('{').next() == Some(name));
            assert!(has_samples, "{name} has a head and no sample");
        }
        Self(samples)
    }

    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        *self
            .0
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in {:#?}", self.0))
    }
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|rest| rest.is_ascii_alphanumeric() || rest == '_')
}

/// Nothing, or `{name="value",…}` with `\\`, `\"` and `\n` as the only escapes.
#[track_caller]
fn check_labels(text: &str) {
    let Some(mut rest) = text.strip_prefix('{') else {
        return assert_eq!(text, "");
    };
    let mut names = BTreeSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && names.insert(name), "{text}");
        let mut end = None;
        let mut characters = value.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => assert!(matches!(characters.next(), Some((_, '\\' | '"' | 'n'))), "{text}"),
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        rest = &value[end.expect("a closing quote") + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return assert_eq!(rest, "}", "{text}"),
        }
    }
}

/// The bytes that a blocked run moves: more than the kernel holds for a Unix connection, and less than its links do.
const COUNT: usize = 500_000;

/// A finished source and a sink whose peer does not read: everything stands still.
fn blocked(folder: &Folder, name: &str) -> (Running, SocketAddr, UnixStream) {
    folder.write(name, noise(COUNT, 6));
    let listener = UnixListener::bind(folder.join("peer")).expect("bound");
    let pipeline = format!("read '{name}' | limit 1GiB | write unix:peer");
    let arguments = ["--metrics", ":0", "--timeout", "100s", &pipeline];
    let mut running = highwater(arguments).within(folder).start();
    let address = served(&mut running);
    let (peer, _) = listener.accept().expect("a peer connects");
    (running, address, peer)
}

#[test]
fn paused_run_has_exact_metrics() {
    let folder = Folder::new();
    let name = r#"a "b" \c"#;
    let (running, address, mut peer) = blocked(&folder, name);
    let in_limit = r#"highwater_stage_bytes_total{stage="1",name="limit",direction="in"}"#;
    let seen = loop {
        let seen = page(address);
        let ended = seen.0.get(r#"highwater_stage_ended{stage="1",name="limit"}"#) == Some(&1.0);
        if ended {
            break seen;
        }
    };
    assert!((seen.get(in_limit) - 500_000.0).abs() < 0.5);
    for (series, value) in [
        (
            r#"highwater_stage_bytes_total{stage="0",name="read",direction="in"}"#,
            500_000.0,
        ),
        (
            r#"highwater_stage_bytes_total{stage="0",name="read",direction="out"}"#,
            500_000.0,
        ),
        (
            r#"highwater_stage_bytes_total{stage="1",name="limit",direction="out"}"#,
            500_000.0,
        ),
        (r#"highwater_stage_ended{stage="0",name="read"}"#, 1.0),
        (
            r#"highwater_stage_info{stage="0",name="read",text="read 'a \"b\" \\c'"}"#,
            1.0,
        ),
        (r#"highwater_lane_info{lane="linked"}"#, 1.0),
        (r#"highwater_link_low_bytes{from="1",to="2"}"#, 262_144.0),
        ("highwater_expected_bytes", 500_000.0),
        ("highwater_memory_limit_bytes", 8_388_608.0),
    ] {
        assert!(
            (seen.get(series) - value).abs() < 0.5,
            "{series} is {}",
            seen.get(series)
        );
    }
    let state = |page: &Page, state: &str| {
        page.get(&format!(
            r#"highwater_stage_seconds_total{{stage="0",name="read",state="{state}"}}"#
        ))
    };
    let sum: f64 = ["busy", "idle", "backpressured"]
        .iter()
        .map(|name| state(&seen, name))
        .sum();
    // For a finished stage only the time changes.
    let later = page(address);
    assert!((state(&later, "busy") - state(&seen, "busy")).abs() < 1e-9);
    assert!(state(&later, "idle") >= state(&seen, "idle"));
    assert!(
        sum <= later.get("highwater_elapsed_seconds"),
        "the times add up to the time"
    );
    let mut received = Vec::new();
    peer.read_to_end(&mut received).expect("read");
    assert_eq!(received.len(), COUNT);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn metrics_exist_before_the_run() {
    let pipeline = "read tcp-listen://127.0.0.1:0 | skip 0 | write /dev/null";
    let mut running = highwater(["--metrics", "127.0.0.1:0", pipeline]).start();
    let address = served(&mut running);
    let before = page(address);
    assert_eq!(before.0.len(), 1, "{:?}", before.0);
    drop(running.connect());
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn bad_metrics_requests_are_refused() {
    let folder = Folder::new();
    let (running, address, mut peer) = blocked(&folder, "a");
    // They send nothing, or half of a request, and stay connected.
    let mut hostile: Vec<TcpStream> = (0..6)
        .map(|_| TcpStream::connect(address).expect("it listens"))
        .collect();
    hostile[0].write_all(b"GET /metrics HTTP/1.1\r\nX: ").expect("sent");
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "405 Method Not Allowed",
        ),
        (b"\0\xff\r\n\r\n", "400 Bad Request"),
        (&[b'a'; 9000], "431 Request Header Fields Too Large"),
    ] {
        let answer = ask(address, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.ends_with('\n') && answer.contains("GET /metrics"), "{answer}");
    }
    page(address);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).expect("read");
    assert_eq!((received.len(), running.wait().code), (COUNT, Some(0)));
    drop(hostile);
}

#[test]
fn an_address_in_use_is_no_run() {
    let folder = Folder::new();
    folder.write("a", "new");
    folder.write("b", "old");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound").to_string();
    let run = highwater(["--metrics", &address, "read a | write b"])
        .within(&folder)
        .run();
    let line = run.fails(9);
    assert!(
        line.starts_with(&format!("highwater: --metrics: cannot listen on {address}: ")),
        "{line}"
    );
    assert_eq!((folder.read("b"), folder.names().len()), (b"old".to_vec(), 2));
    let run = highwater(["--metrics", "localhost", "read a | write b"])
        .within(&folder)
        .run();
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("`localhost` is not a port; write HOST:PORT"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_real_client_gets_the_page() {
    let Some(mut curl) = peer("curl") else { return };
    let folder = Folder::new();
    let (running, address, peer) = blocked(&folder, "a");
    let got = curl
        .args(["-sSf", &format!("http://{address}/metrics")])
        .output()
        .expect("curl starts");
    assert!(got.status.success(), "{got:?}");
    Page::read(&String::from_utf8(got.stdout).expect("text"));
    running.signal(Signal::TERM);
    drop(peer);
    running.wait();
}
