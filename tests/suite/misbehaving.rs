//! Peers that misbehave once the connection stands: the rows of the network in the table of faults.

use std::io::Read;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, Running, highwater, noise};
use crate::toxic::{Toxic, Toxin, writes};

use Toxin::{Close, HalfClose, ReadToEnd, Reset};

/// Reads samples of `--progress json` until one is as `wanted`, and returns it.
#[track_caller]
fn sample(running: &mut Running, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = running.line();
        assert!(!line.is_empty(), "it ended before that");
        if let Ok(sample) = serde_json::from_str::<Value>(&line)
            && wanted(&sample)
        {
            return sample;
        }
    }
}

/// Resident bytes of the process without the program's code, which is paged in and out; 0 if the system does not tell.
fn own_bytes(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

#[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
mod silent_peers {
    use super::*;
    use crate::harness::peer;

    /// The socket options that a run with the stage `stage` sets.
    fn options(stage: &str) -> Option<String> {
        let folder = Folder::new();
        let mut strace = peer("strace")?;
        let traced = strace
            .args([
                "-f",
                "-e",
                "trace=setsockopt",
                "-o",
                "calls",
                env!("CARGO_BIN_EXE_highwater"),
                stage,
            ])
            .current_dir(folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("strace starts");
        assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));
        Some(String::from_utf8(folder.read("calls")).expect("text"))
    }

    #[test]
    fn silent_peers_are_probed() {
        let asked = [
            "SO_KEEPALIVE, [1]",
            "TCP_KEEPIDLE, [60]",
            "TCP_KEEPINTVL, [60]",
            "TCP_KEEPCNT, [15]",
        ];
        for (stage, toxins) in [("read", [Close]), ("write", [ReadToEnd(1)])] {
            let toxic = Toxic::tcp(toxins.clone());
            let Some(calls) = options(&format!("{stage} {}", toxic.url)) else {
                return;
            };
            assert!(asked.iter().all(|option| calls.contains(option)), "{stage}: {calls}");
            assert!(!calls.contains("TCP_USER_TIMEOUT"), "{stage}: {calls}");
            toxic.received();
            let toxic = Toxic::tcp(toxins);
            let Some(calls) = options(&format!("{stage} {} user-timeout=5s", toxic.url)) else {
                return;
            };
            assert!(calls.contains("TCP_USER_TIMEOUT, [5000]"), "{stage}: {calls}");
            assert!(calls.contains("TCP_KEEPIDLE, [5]"), "{stage}: {calls}");
            toxic.received();
        }
    }
}

/// From some moment on nothing arrives any more, neither an end nor a reset.
#[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
mod vanished_peers {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::harness::accept;
    use crate::namespace::{Namespace, isolated, loopback};

    /// In a network namespace of its own.
    fn listener() -> (TcpListener, String) {
        loopback("up");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("tcp://{}", listener.local_addr().expect("bound"));
        (listener, url)
    }

    #[test]
    fn user_timeout_ends_a_silent_sink() {
        let name = "misbehaving::vanished_peers::user_timeout_ends_a_silent_sink";
        isolated(&Namespace::Network, name, || {
            let folder = Folder::new();
            let (listener, url) = listener();
            let pipeline = format!("read /dev/zero | throttle 1MB/s | write {url} user-timeout=100ms");
            let running = highwater(["--stats", "stats", &pipeline]).within(&folder).start();
            let mut peer = accept(&listener);
            let (flows, flowing) = channel();
            // It reads everything as long as the process lives: it has room, and would acknowledge.
            std::thread::spawn(move || {
                let mut received = 0;
                while let Ok(count @ 1..) = peer.read(&mut [0; 4096]) {
                    received += count as u64;
                    if received >= 100_000 {
                        let _ = flows.send(received);
                    }
                }
            });
            let received = flowing.recv().expect("bytes flow");
            loopback("down");
            let run = running.wait();
            let said = run.fails(4);
            assert!(said.contains(": cannot write: Connection timed out (after "), "{said}");
            let stats: Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
            let written = stats["stages"][2]["bytes_out"].as_u64();
            assert!(written >= Some(received), "{written:?} of {received}");
        });
    }

    /// Nothing is unacknowledged: only keepalive notices, at most once a second.
    #[test]
    fn user_timeout_ends_a_silent_source() {
        let name = "misbehaving::vanished_peers::user_timeout_ends_a_silent_source";
        isolated(&Namespace::Network, name, || {
            let (listener, url) = listener();
            let mut running = highwater([format!("read {url} user-timeout=100ms")]).start();
            let mut out = running.take_stdout();
            let mut peer = accept(&listener);
            peer.write_all(&noise(1000, 1)).expect("sent");
            out.read_exact(&mut [0; 1000]).expect("what was sent");
            loopback("down");
            let run = running.wait();
            let said = run.fails(3);
            assert!(
                said.ends_with(": cannot read: Connection timed out (after 1000 B)"),
                "{said}"
            );
        });
    }
}

mod peers {
    use super::*;

    #[test]
    fn resetting_source_is_reported_with_offset() {
        let toxic = Toxic::tcp([Toxin::Write(noise(1000, 1)), Toxin::HANG, Reset]);
        let mut running = highwater([format!("read {}", toxic.url)]).start();
        let mut out = running.take_stdout();
        out.read_exact(&mut [0; 1000]).expect("what was sent");
        toxic.received();
        let run = running.wait();
        let said = run.fails(3);
        assert!(
            said.ends_with(": cannot read: Connection reset by peer (after 1000 B)"),
            "{said}"
        );
    }

    #[test]
    fn resetting_sink_is_reported_with_offset() {
        let folder = Folder::new();
        for end in [Reset, Close] {
            let toxins = [Toxin::Read(100_000), end];
            for toxic in [Toxic::tcp(toxins.clone()), Toxic::unix(&folder, toxins.clone())] {
                let pipeline = format!("read /dev/zero | write {}", toxic.url);
                let run = highwater(["--stats", "stats", &pipeline]).within(&folder).run();
                let said = run.fails(4);
                assert!(said.contains(": cannot write: ") && said.contains(" (after "), "{said}");
                let stats: Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
                let written = stats["stages"][1]["bytes_out"].as_u64();
                assert!(written >= Some(100_000), "{written:?}");
                assert_eq!(toxic.received().len(), 100_000);
            }
            std::fs::remove_file(folder.join("toxic")).expect("removed");
        }
    }

    #[test]
    fn half_closed_unix_peer_gets_everything() {
        let folder = Folder::new();
        let bytes = noise(1 << 20, 2);
        let toxic = Toxic::unix(&folder, [HalfClose, ReadToEnd(64 << 10)]);
        let running = highwater([format!("write {}", toxic.url)])
            .within(&folder)
            .input(bytes.as_slice())
            .start();
        running.wait().succeeds();
        assert!(toxic.received() == bytes);
    }

    #[test]
    fn half_closing_source_has_sent_everything() {
        let folder = Folder::new();
        let toxic = Toxic::tcp([Toxin::Write(b"all".to_vec()), HalfClose, Toxin::HANG]);
        highwater([format!("read {} | write b", toxic.url)])
            .within(&folder)
            .run()
            .succeeds();
        assert_eq!(folder.read("b"), b"all");
        toxic.received();
    }

    #[test]
    fn byte_at_a_time_peers_change_nothing() {
        let folder = Folder::new();
        let bytes = noise(2000, 3);
        let toxic = Toxic::tcp(writes(&bytes, 1).chain([Close]));
        let output = highwater([format!("read {} | gzip | gunzip", toxic.url)]).run();
        assert!(output.succeeds() == bytes);
        for toxic in [Toxic::tcp([ReadToEnd(1)]), Toxic::unix(&folder, [ReadToEnd(1)])] {
            let run = highwater([format!("write {}", toxic.url)])
                .within(&folder)
                .input(bytes.as_slice())
                .run();
            run.succeeds();
            assert!(toxic.received() == bytes);
        }
    }

    #[test]
    fn silent_source_leaves_target_untouched() {
        let folder = Folder::new();
        folder.write("b", "old");
        let toxic = Toxic::tcp([Toxin::Write(noise(100_000, 4)), Toxin::HANG]);
        let pipeline = format!("read {} | write b", toxic.url);
        let run = highwater(["--stall-timeout", "100ms", &pipeline]).within(&folder).run();
        run.fails(8);
        assert_eq!(
            (folder.read("b"), folder.names()),
            (b"old".to_vec(), vec!["b".to_owned()])
        );
        toxic.received();
    }

    #[test]
    fn unread_data_stops_at_the_marks() {
        let toxic = Toxic::tcp([Toxin::Read(1), Toxin::HANG]);
        let pipeline = format!("read /dev/zero | buffer 1MiB | write {}", toxic.url);
        let mut running = highwater(["--progress", "json", "--interval", "20ms", &pipeline]).start();
        // A link is full from three quarters on: what does not fit into the rest waits.
        let have_been_full = |sample: &Value| {
            let links = sample["links"].as_array().expect("links");
            links.iter().all(|link| {
                let (peak, high) = (link["peak_bytes"].as_u64(), link["high_bytes"].as_u64());
                peak.zip(high).is_some_and(|(peak, high)| peak * 4 >= high * 3)
            })
        };
        sample(&mut running, have_been_full);
        let full = own_bytes(&running);
        let number = |sample: &Value, name: &str| sample[name].as_u64().expect("a number");
        for _ in 0..5 {
            let next = sample(&mut running, |_| true);
            for link in next["links"].as_array().expect("links") {
                assert!(link["peak_bytes"].as_u64() <= link["high_bytes"].as_u64(), "{link}");
            }
            let held = number(&next, "buffered_peak_bytes") + number(&next, "state_bytes");
            assert!(held <= number(&next, "memory_limit_bytes"), "{next}");
            let grown = own_bytes(&running).saturating_sub(full);
            assert!(grown < 1 << 20, "{grown} bytes more, and nothing moves");
        }
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
        assert_eq!(toxic.received().len(), 1);
    }

    #[test]
    #[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
    fn user_timeout_ends_a_full_window() {
        let toxic = Toxic::tcp([Toxin::Read(1), Toxin::HANG]);
        let run = highwater([format!("read /dev/zero | write {} user-timeout=100ms", toxic.url)]).run();
        let said = run.fails(4);
        assert!(said.contains(": cannot write: Connection timed out (after "), "{said}");
        toxic.received();
    }

    #[test]
    fn min_rate_ends_a_slow_sink() {
        let toxic = Toxic::tcp([Toxin::Read(1), Toxin::HANG]);
        let pipeline = format!("read /dev/zero | write {}", toxic.url);
        let arguments = ["--min-rate", "1TB/s", "--min-rate-grace", "200ms", &pipeline];
        let run = highwater(arguments).run();
        let said = run.fails(8);
        assert!(
            said.starts_with("highwater: too slow: the sink took ")
                && said.ends_with(" for 200ms, less than 1TB/s (--min-rate)"),
            "{said}"
        );
        toxic.received();
    }

    #[test]
    fn min_rate_spares_a_fast_sink() {
        let arguments = ["--min-rate", "1/s", "--min-rate-grace", "1h", "read /dev/zero | take 2"];
        assert_eq!(highwater(arguments).run().succeeds(), [0, 0]);
        let run = highwater(["--min-rate", "1MB/s", "throttle 1kB/s"]).run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
    }
}

/// All of it fits between us and the peer, so only the end is left to wait for.
mod drains {
    use super::*;

    const SIZE: usize = 30_000;

    /// Starts a run that has given everything to its own system, while the peer has read a single byte.
    fn draining(folder: &Folder, toxic: &Toxic) -> Running {
        let pipeline = format!("write {}", toxic.url);
        let mut running = highwater(["--progress", "json", "--interval", "20ms", &pipeline])
            .within(folder)
            .input(noise(SIZE, 5))
            .start();
        sample(&mut running, |sample| sample["stages"][1]["bytes_out"] == SIZE);
        running
    }

    #[test]
    fn wait_until_the_peer_has_everything() {
        let folder = Folder::new();
        let toxins = [Toxin::Read(1), Toxin::HANG, ReadToEnd(100)];
        for toxic in [Toxic::tcp(toxins.clone()), Toxic::unix(&folder, toxins.clone())] {
            let mut running = draining(&folder, &toxic);
            if cfg!(all(target_os = "linux", not(feature = "portable-platform"))) {
                // There is no end before the peer has it.
                for _ in 0..5 {
                    assert_eq!(sample(&mut running, |_| true)["event"], "sample");
                }
            }
            assert!(toxic.received() == noise(SIZE, 5));
            assert_eq!(running.wait().code, Some(0));
        }
    }

    // If the system does not tell what the peer has, a run does not wait that long.
    #[test]
    #[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
    fn reset_during_drain_is_an_error() {
        let folder = Folder::new();
        let toxins = [Toxin::Read(1), Toxin::HANG, Reset];
        for toxic in [Toxic::tcp(toxins.clone()), Toxic::unix(&folder, toxins.clone())] {
            let running = draining(&folder, &toxic);
            toxic.received();
            let run = running.wait();
            assert_eq!(run.code, Some(4), "{}", run.stderr);
            let error = run.objects().pop().expect("the end")["exit"]["error"].to_string();
            assert!(error.contains("cannot finish the connection: "), "{error}");
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", not(feature = "portable-platform")))]
    fn linger_timeout_reports_missing_bytes() {
        let folder = Folder::new();
        let toxins = [Toxin::Read(1), Toxin::HANG];
        let linger = |toxic: &Toxic| {
            let run = highwater([format!("write {} linger=50ms", toxic.url)])
                .within(&folder)
                .input(noise(SIZE, 6))
                .run();
            let said = run.fails(4).to_owned();
            let (_, why) = said
                .split_once(": cannot finish the connection: the peer did not ")
                .expect("why");
            why.strip_suffix(" within 50ms (linger)").expect("how long").to_owned()
        };
        let toxic = Toxic::tcp(toxins.clone());
        let why = linger(&toxic);
        let missing = why
            .strip_prefix("acknowledge the last ")
            .and_then(|rest| rest.strip_suffix(" bytes")?.parse::<usize>().ok())
            .unwrap_or_else(|| panic!("{why}"));
        // The peer's system has taken what its window allows: more than the byte that was read, and not everything.
        assert!((1..SIZE - 1).contains(&missing), "{missing}");
        toxic.received();
        let toxic = Toxic::unix(&folder, toxins);
        assert_eq!(linger(&toxic), "read everything");
        toxic.received();
    }

    #[test]
    fn linger_does_not_delay_a_peer() {
        let toxic = Toxic::tcp([ReadToEnd(64 << 10)]);
        let bytes = noise(SIZE, 7);
        let run = highwater([format!("write {} linger=1h", toxic.url)])
            .input(bytes.as_slice())
            .run();
        run.succeeds();
        assert!(toxic.received() == bytes);
    }
}
