//! TLS connections, against ourselves, OpenSSL, and a server that misbehaves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream};

use crate::certificates::Authority;
use crate::harness::{Folder, accept, highwater, noise, peer, reset};

/// A folder with `ca.pem`, and `server.pem` and `server.key` for localhost.
fn folder() -> Folder {
    let folder = Folder::new();
    Authority::new(&folder).sign("server", "localhost");
    folder
}

/// A server of the test's own with the certificate `NAME.pem`, which does `serve` with its first client.
fn server<T: Send + 'static>(
    folder: &Folder,
    name: &str,
    serve: impl FnOnce(ServerConnection, TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let chain = CertificateDer::pem_file_iter(folder.join(&format!("{name}.pem"))).expect("a file");
    let key = PrivateKeyDer::from_pem_file(folder.join(&format!("{name}.key"))).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(chain.map(|each| each.expect("a certificate")).collect(), key)
        .expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        let connection = ServerConnection::new(Arc::new(config)).expect("a connection");
        serve(connection, accept(&listener))
    });
    (address, serving)
}

#[test]
fn bytes_arrive_whole_between_two_runs() {
    let folder = folder();
    let data = noise(3 << 20, 1);
    folder.write("a", &data);
    let mut listener = highwater(["read tls-listen://127.0.0.1:0 cert=server.pem key=server.key | write b"])
        .within(&folder)
        .start();
    let port = listener.address().port();
    let writer = highwater([format!("read a | write tls://localhost:{port} ca=ca.pem")])
        .within(&folder)
        .run();
    writer.succeeds();
    assert_eq!(listener.wait().code, Some(0));
    assert!(folder.read("b") == data);

    let mut listener = highwater(["read a | write tls-listen://127.0.0.1:0 cert=@server.pem key=@server.key"])
        .within(&folder)
        .start();
    let port = listener.address().port();
    let reader = highwater([format!("read tls://localhost:{port} ca=@ca.pem | write c")])
        .within(&folder)
        .run();
    reader.succeeds();
    assert_eq!(listener.wait().code, Some(0));
    assert!(folder.read("c") == data);
}

#[test]
fn openssl_reads_and_socat_writes_through_us() {
    let Some(mut client) = peer("openssl") else { return };
    let folder = folder();
    let data = noise(1 << 20, 2);
    folder.write("a", &data);
    let mut listener = highwater(["read a | write tls-listen://127.0.0.1:0 cert=server.pem key=server.key"])
        .within(&folder)
        .start();
    let address = listener.address().to_string();
    client.args([
        "s_client",
        "-quiet",
        "-verify_return_error",
        "-CAfile",
        "ca.pem",
        "-connect",
        &address,
    ]);
    let client = client
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let output = client
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
        .wait_with_output()
        .expect("it ends");
    assert!(output.stdout == data, "{} bytes", output.stdout.len());
    assert_eq!(listener.wait().code, Some(0));

    let Some(mut client) = peer("socat") else { return };
    let mut listener = highwater(["read tls-listen://127.0.0.1:0 cert=server.pem key=server.key | write b"])
        .within(&folder)
        .start();
    let address = listener.address().to_string();
    client.args([
        "-u",
        "FILE:a",
        &format!("OPENSSL:{address},cafile=ca.pem,commonname=localhost"),
    ]);
    assert!(client.current_dir(folder.path()).status().expect("it starts").success());
    assert_eq!(listener.wait().code, Some(0));
    assert!(folder.read("b") == data);
}

#[test]
fn a_wrong_certificate_creates_no_sink() {
    let folder = Folder::new();
    let authority = Authority::new(&folder);
    authority.sign("server", "localhost");
    authority.sign("other", "other.example");
    authority.sign_expired("expired", "localhost");
    for (name, options, why) in [
        ("expired", "ca=ca.pem", "invalid peer certificate: certificate expired"),
        ("other", "ca=ca.pem", "not valid for name \"localhost\""),
        ("server", "", "invalid peer certificate: UnknownIssuer"),
    ] {
        let (address, serving) = server(&folder, name, |mut tls, mut stream| {
            tls.complete_io(&mut stream).is_err()
        });
        let url = format!("tls://localhost:{}", address.port());
        let run = highwater([format!("read {url} {options} | write b")])
            .within(&folder)
            .run();
        let line = run.fails(9);
        assert!(
            line.contains("cannot agree on TLS with localhost:") && line.contains(why),
            "{line}"
        );
        assert!(
            serving.join().expect("no panic"),
            "the server took the client for a good one"
        );
        assert!(!folder.join("b").exists());
    }
    let (address, serving) = server(&folder, "expired", |mut tls, mut stream| {
        Stream::new(&mut tls, &mut stream)
            .write_all(b"in spite of it")
            .expect("written");
        tls.send_close_notify();
        tls.complete_io(&mut stream).expect("sent");
    });
    let run = highwater([format!("read tls://127.0.0.1:{} verify=false", address.port())]).run();
    assert_eq!(run.succeeds(), b"in spite of it");
    serving.join().expect("no panic");
}

#[test]
fn a_cut_stream_is_no_end() {
    let folder = folder();
    let (address, serving) = server(&folder, "server", |mut tls, mut stream| {
        Stream::new(&mut tls, &mut stream)
            .write_all(&[7; 1000])
            .expect("written");
    });
    let url = format!("tls://localhost:{}", address.port());
    let run = highwater([format!("read {url} ca=ca.pem | write b")])
        .within(&folder)
        .run();
    assert_eq!(
        run.fails(3),
        format!(
            "highwater: read {url} ca=ca.pem: cannot read all of it: the connection was cut: TLS was not ended (after \
             1000 B)"
        )
    );
    assert!(!folder.join("b").exists());
    serving.join().expect("no panic");
}

#[test]
fn a_failed_run_does_not_end_the_stream() {
    let folder = folder();
    let (address, serving) = server(&folder, "server", |mut tls, mut stream| {
        let mut received = Vec::new();
        let end = Stream::new(&mut tls, &mut stream).read_to_end(&mut received);
        end.expect_err("it was cut");
    });
    let url = format!("tls://localhost:{}", address.port());
    let pipeline = format!("read /dev/zero | limit 100000 | write {url} ca=ca.pem");
    highwater([pipeline]).within(&folder).run().fails(7);
    serving.join().expect("no panic");
}

#[test]
fn a_reset_peer_fails_the_writer() {
    let folder = folder();
    let (address, serving) = server(&folder, "server", |mut tls, mut stream| {
        let mut first = [0; 1];
        Stream::new(&mut tls, &mut stream)
            .read_exact(&mut first)
            .expect("a byte");
        reset(stream);
    });
    let url = format!("tls://localhost:{}", address.port());
    let run = highwater([format!("read /dev/zero | write {url} ca=ca.pem")])
        .within(&folder)
        .run();
    let line = run.fails(4);
    assert!(line.contains("cannot write: "), "{line}");
    serving.join().expect("no panic");
}

#[test]
fn a_listener_asks_clients_for_certificates() {
    let folder = Folder::new();
    let authority = Authority::new(&folder);
    authority.sign("server", "localhost");
    authority.sign("client", "client.example");
    let pipeline = "read tls-listen://127.0.0.1:0 cert=server.pem key=server.key ca=ca.pem | write b";
    let mut listener = highwater(["--log", "warn", pipeline]).within(&folder).start();
    let port = listener.address().port();
    let to = format!("write tls://localhost:{port} ca=ca.pem");
    // More than what fits into the system: it may learn of the refusal after it has sent something.
    let refused = highwater([format!("read /dev/zero | take 64MiB | {to}")])
        .within(&folder)
        .run();
    assert!(matches!(refused.code, Some(4 | 9)), "{refused:?}");
    let accepted = highwater([format!("{to} cert=client.pem key=client.key")]).within(&folder);
    accepted.input("hello").run().succeeds();
    let run = listener.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("cannot agree on TLS with the client: peer sent no certificates"),
        "{}",
        run.stderr
    );
    assert_eq!(folder.read("b"), b"hello");
}

#[test]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable-platform"),
    ignore = "only Linux tells what is in a queue"
)]
fn little_waits_in_the_system_for_a_stalled_peer() {
    let folder = folder();
    let (done, stalled) = std::sync::mpsc::channel::<()>();
    let (address, serving) = server(&folder, "server", move |mut tls, mut stream| {
        tls.complete_io(&mut stream).expect("a handshake");
        let _ = stalled.recv();
    });
    let pipeline = format!("read /dev/zero | write tls://localhost:{} ca=ca.pem", address.port());
    let options = [
        "--memory",
        "1MiB",
        "--progress",
        "json",
        "--interval",
        "20ms",
        "--timeout",
        "100s",
    ];
    let mut run = highwater(options.into_iter().chain([pipeline.as_str()]))
        .within(&folder)
        .start();
    let mut still = (0, 0);
    let queued = loop {
        let sample: serde_json::Value = serde_json::from_str(&run.line()).expect("a sample");
        let stage = &sample["stages"][1];
        let sent = stage["bytes_out"].as_u64().expect("a number");
        still = if still.0 == sent {
            (sent, still.1 + 1)
        } else {
            (sent, 0)
        };
        if sent > 0 && still.1 == 10 {
            break stage["kernel_queue_bytes"].as_u64().expect("a queue");
        }
    };
    assert!((1..=1 << 20).contains(&queued), "{queued} bytes wait in the system");
    run.signal(rustix::process::Signal::INT);
    assert_eq!(run.wait().signal, Some(rustix::process::Signal::INT.as_raw()));
    drop(done);
    serving.join().expect("no panic");
}

#[test]
fn unusable_files_are_told_before_anything_is_opened() {
    let folder = folder();
    folder.write("empty.pem", "");
    for (pipeline, why) in [
        (
            "write tls://localhost:1 ca=missing.pem",
            "cannot use missing.pem for TLS: ",
        ),
        (
            "write tls://localhost:1 ca=empty.pem",
            "cannot use empty.pem for TLS: there is no certificate in it",
        ),
        (
            "write tls://localhost:1 cert=server.pem",
            "cannot set up TLS: cert= needs key= as well",
        ),
        (
            "write tls-listen://:0",
            "cannot set up TLS: a server needs cert= and key=",
        ),
        (
            "write tls-listen://:0 cert=server.pem key=ca.pem",
            "cannot use ca.pem for TLS: ",
        ),
    ] {
        let run = highwater([pipeline]).within(&folder).run();
        assert!(run.fails(2).contains(why), "{}", run.stderr);
    }
}

#[test]
fn a_peer_that_speaks_no_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let serving = std::thread::spawn(move || {
        let mut stream = accept(&listener);
        stream.write_all(b"220 mail.example ESMTP\r\n").expect("written");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let run = highwater([format!("read tls://localhost:{port} verify=false")]).run();
    assert!(
        run.fails(9).contains("cannot agree on TLS with localhost:"),
        "{}",
        run.stderr
    );
    serving.join().expect("no panic");
}
