//! The places that bytes come from and go to, and what is left as it was found.

use std::fs::{OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rustix::fs::OFlags;

use crate::harness::{Folder, accept, highwater, noise};

#[test]
fn what_a_stage_waits_for_is_said() {
    let folder = Folder::new();
    folder.write("unix.tar", "x");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("tcp://{}", listener.local_addr().expect("bound"));
    let outsides = |pipeline: &str| {
        let run = highwater(["--stats", "stats", pipeline])
            .within(&folder)
            .input("x")
            .run();
        run.succeeds();
        let end: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("an object");
        let stages = end["stages"].as_array().expect("stages").clone();
        let outsides = stages
            .iter()
            .map(|stage| stage["outside"].as_str().unwrap_or("none").to_owned());
        outsides.collect::<Vec<_>>()
    };
    assert_eq!(outsides("read unix.tar | take 1 | write b"), ["disk", "none", "disk"]);
    assert_eq!(outsides("read - | write /dev/null"), ["pipe", "device"]);
    let peer = std::thread::spawn(move || std::io::copy(&mut accept(&listener), &mut std::io::sink()));
    assert_eq!(outsides(&format!("read unix.tar | write {url}")), ["disk", "peer"]);
    peer.join().expect("no panic").expect("read");
}

mod files {
    use super::*;

    #[track_caller]
    fn copy(folder: &Folder, pipeline: &str) {
        let output = highwater([pipeline]).within(folder).run().succeeds();
        assert_eq!(output, b"");
    }

    #[test]
    fn are_replaced_by_a_new_file() {
        let folder = Folder::new();
        folder.write("a", "new");
        folder.write("b", "old and longer");
        std::fs::hard_link(folder.join("b"), folder.join("c")).expect("linked");
        let run = highwater(["read a | write b"]).within(&folder).run();
        let warning =
            "highwater: warning: ./b had 2 names; it is a file of its own now, and the others keep the old contents\n";
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), warning));
        assert_eq!(
            (folder.read("b"), folder.read("c")),
            (b"new".to_vec(), b"old and longer".to_vec())
        );
        assert_eq!(folder.names(), ["a", "b", "c"]);
    }

    #[test]
    fn keep_their_mode_or_get_the_one_that_is_given() {
        let folder = Folder::new();
        folder.write("a", "new");
        for (mode, pipeline, expected) in [
            (0o640, "read a | write b", 0o640),
            (0o755, "read a | write b", 0o755),
            (0o600, "read a | write b mode=644", 0o644),
        ] {
            let target = folder.write("b", "old");
            std::fs::set_permissions(&target, Permissions::from_mode(mode)).expect("set");
            copy(&folder, pipeline);
            assert_eq!(
                target.metadata().expect("there").mode() & 0o7777,
                expected,
                "{pipeline}"
            );
        }
    }

    #[test]
    fn are_found_through_symbolic_links_which_stay() {
        let folder = Folder::new();
        folder.write("a", "new");
        std::fs::create_dir(folder.join("deep")).expect("made");
        folder.write("deep/real", "old");
        symlink("deep/real", folder.join("one")).expect("linked");
        symlink("one", folder.join("two")).expect("linked");
        copy(&folder, "read a | write two");
        assert_eq!(folder.read("deep/real"), b"new");
        assert!(folder.join("two").symlink_metadata().expect("there").is_symlink());
        assert_eq!(std::fs::read_dir(folder.join("deep")).expect("a folder").count(), 1);
    }

    #[test]
    fn are_appended_to() {
        let folder = Folder::new();
        folder.write("a", "more");
        folder.write("b", "some ");
        copy(&folder, "read a | write b append=true");
        symlink("c", folder.join("link")).expect("linked");
        for name in ["link", "c"] {
            copy(&folder, &format!("read a | write {name} append=true"));
        }
        assert_eq!(
            (folder.read("b"), folder.read("c")),
            (b"some more".to_vec(), b"moremore".to_vec())
        );
    }

    #[test]
    fn that_were_appended_to_are_cut_back_where_the_run_fails() {
        let folder = Folder::new();
        let mut member = highwater(["gzip"]).input(noise(3 << 20, 1)).run().succeeds();
        member.truncate(member.len() - 1);
        folder.write("a", member);
        folder.write("b", "some");
        let run = highwater(["read a | gunzip | write b append=true"])
            .within(&folder)
            .run();
        run.fails(6);
        assert_eq!(folder.read("b"), b"some");
        highwater(["read a | gunzip | write c append=true"])
            .within(&folder)
            .run()
            .fails(6);
        assert_eq!(folder.names(), ["a", "b"]);
    }

    #[test]
    fn that_exist_can_be_spared() {
        let folder = Folder::new();
        folder.write("a", "new");
        copy(&folder, "read a | write b clobber=false");
        highwater(["read a | write b clobber=false"])
            .within(&folder)
            .run()
            .fails(4);
        assert_eq!(folder.read("b"), b"new");
    }

    #[test]
    fn without_sync_are_whole_all_the_same() {
        let folder = Folder::new();
        let bytes = noise(1 << 20, 2);
        folder.write("a", &bytes);
        copy(&folder, "read a | write b sync=false");
        assert!(folder.read("b") == bytes);
    }

    #[test]
    fn are_read_one_after_the_other() {
        let folder = Folder::new();
        for name in ["a", "b", "c"] {
            folder.write(name, name.repeat(3));
        }
        let output = highwater(["read a b c a"]).within(&folder).run().succeeds();
        assert_eq!(output, b"aaabbbcccaaa");
        let output = highwater(["read a - c"])
            .within(&folder)
            .input("input")
            .run()
            .succeeds();
        assert_eq!(output, b"aaainputccc");
    }

    #[test]
    fn with_odd_names_are_found() {
        let folder = Folder::new();
        for (name, spelled) in [
            ("a b", "'a b'"),
            ("a=b", "./a=b"),
            ("a|b", "a\\|b"),
            ("tcp:x", "tcp:x"),
            ("-", "./-"),
            ("ü", "path=ü"),
            ("a\nb", "'a\nb'"),
        ] {
            folder.write(name, name);
            let output = highwater([format!("read {spelled}")]).within(&folder).run().succeeds();
            assert_eq!(output, name.as_bytes());
        }
    }

    #[test]
    fn whose_names_are_no_text_are_found() {
        use std::os::unix::ffi::OsStrExt;
        let folder = Folder::new();
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        std::fs::write(folder.path().join(name), "odd").expect("written");
        let words = [
            std::ffi::OsStr::new("read"),
            name,
            "::".as_ref(),
            "skip".as_ref(),
            "0".as_ref(),
        ];
        assert_eq!(highwater(words).within(&folder).run().succeeds(), b"odd");
    }

    #[test]
    fn that_say_nothing_of_their_size_are_read_to_the_end() {
        let output = highwater(["read /proc/self/status"]).run().succeeds();
        assert!(output.starts_with(b"Name:"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_a_size_are_copied_whole_into_another() {
        let folder = Folder::new();
        highwater(["read /proc/version | write b"])
            .within(&folder)
            .run()
            .succeeds();
        assert_eq!(folder.read("b"), std::fs::read("/proc/version").expect("it is there"));
    }

    #[test]
    fn that_are_devices_may_be_both_ends() {
        let output = highwater(["read /dev/zero | take 10 | write /dev/null"])
            .run()
            .succeeds();
        assert_eq!(output, b"");
        let output = highwater(["read /dev/null | write /dev/null"]).run().succeeds();
        assert_eq!(output, b"");
    }
}

mod pieces {
    use super::*;

    #[test]
    fn are_cut_out_exactly() {
        let folder = Folder::new();
        let bytes = noise(700_001, 3);
        folder.write("a", &bytes);
        for (skip, take) in [
            (0, 0),
            (0, 1),
            (1, 1),
            (262_144, 262_144),
            (262_143, 2),
            (700_000, 5),
            (700_001, 5),
            (800_000, 5),
        ] {
            let expected: Vec<u8> = bytes.iter().skip(skip).take(take).copied().collect();
            let stages = format!("skip {skip} | take {take}");
            let from_file = highwater([format!("read a | {stages}")])
                .within(&folder)
                .run()
                .succeeds();
            assert!(from_file == expected, "{stages} of a file");
            let from_pipe = highwater([stages.as_str()]).input(bytes.as_slice()).run().succeeds();
            assert!(from_pipe == expected, "{stages} of a pipe");
        }
    }

    #[test]
    fn skip_seeks_where_it_can() {
        let folder = Folder::new();
        let file = std::fs::File::create(folder.join("a")).expect("created");
        file.set_len(1 << 40).expect("a sparse file");
        let run = highwater(["--stats", "-", "read a | skip 1048575GiB | skip 0 | take 5"])
            .within(&folder)
            .run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let run = highwater(["--stats", "-", "read a | skip 1023GiB | take 5"])
            .within(&folder)
            .run();
        assert_eq!(run.stdout, [0; 5]);
        assert!(
            run.end()["stages"][0]["bytes_in"].as_u64() < Some(64 << 20),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn skip_reaches_over_the_border_between_files() {
        let folder = Folder::new();
        folder.write("a", "0123");
        folder.write("b", "4567");
        let output = highwater(["read a b | skip 6"]).within(&folder).run().succeeds();
        assert_eq!(output, b"67");
    }

    #[test]
    fn skip_counts_from_where_standard_input_stands() {
        use std::io::{Seek, SeekFrom};
        let folder = Folder::new();
        folder.write("a", "0123456789");
        let mut file = folder.open("a");
        file.seek(SeekFrom::Start(2)).expect("seeks");
        let output = highwater(["skip 3 | take 4"]).stdin(file).run().succeeds();
        assert_eq!(output, b"5678");
    }

    #[test]
    fn take_ends_an_endless_source() {
        let run = highwater(["read /dev/zero | take 3MiB | gzip | gunzip"]).run();
        assert!(run.succeeds() == vec![0; 3 << 20]);
    }
}

mod fifos {
    use super::*;

    #[test]
    fn are_written_in_place() {
        let folder = Folder::new();
        let fifo = folder.fifo("b");
        folder.write("a", "through");
        let running = highwater(["read a | write b"]).within(&folder).start();
        let mut bytes = Vec::new();
        std::fs::File::open(fifo)
            .expect("opened")
            .read_to_end(&mut bytes)
            .expect("read");
        assert_eq!(bytes, b"through");
        running.wait().succeeds();
        assert_eq!(folder.names(), ["a", "b"]);
    }

    #[test]
    fn are_waited_for_as_sources() {
        let folder = Folder::new();
        let fifo = folder.fifo("a");
        let running = highwater(["read a | write b"]).within(&folder).start();
        let mut writer = OpenOptions::new().write(true).open(fifo).expect("opened");
        writer.write_all(b"late").expect("written");
        drop(writer);
        running.wait().succeeds();
        assert_eq!(folder.read("b"), b"late");
    }
}

mod standard_streams {
    use super::*;

    fn flags(of: impl std::os::fd::AsFd) -> OFlags {
        rustix::fs::fcntl_getfl(of).expect("flags")
    }

    #[test]
    fn keep_their_flags() {
        let bytes = noise(2 << 20, 4);
        let (input, mut feed) = std::io::pipe().expect("a pipe");
        let (mut drain, output) = std::io::pipe().expect("a pipe");
        let (our_input, our_output) = (input.try_clone().expect("shared"), output.try_clone().expect("shared"));
        let before = (flags(&our_input), flags(&our_output));
        let running = highwater(["skip 0"]).stdin(input).stdout(output).start();
        let received = std::thread::scope(|scope| {
            let first = &bytes[..1 << 20];
            let reader = scope.spawn(|| {
                let mut received = vec![0; bytes.len()];
                drain.read_exact(&mut received[..1 << 20]).expect("read");
                // It has moved bytes through both, and still runs.
                let during = (flags(&our_input), flags(&our_output));
                drain.read_exact(&mut received[1 << 20..]).expect("read");
                (received, during)
            });
            feed.write_all(first).expect("written");
            feed.write_all(&bytes[1 << 20..]).expect("written");
            drop(feed);
            reader.join().expect("no panic")
        });
        running.wait().succeeds();
        assert!(received.0 == bytes);
        let after = (flags(&our_input), flags(&our_output));
        assert_eq!((received.1, after), (before, before));
        assert!(!after.0.contains(OFlags::NONBLOCK) && !after.1.contains(OFlags::NONBLOCK));
    }

    #[test]
    fn that_do_not_block_are_left_so() {
        let (input, mut feed) = std::io::pipe().expect("a pipe");
        let our_input = input.try_clone().expect("shared");
        let set = flags(&our_input) | OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&our_input, set).expect("set");
        let running = highwater(["skip 0"]).stdin(input).start();
        feed.write_all(b"now").expect("written");
        drop(feed);
        assert_eq!(running.wait().succeeds(), b"now");
        assert_eq!(flags(&our_input), set);
    }

    #[test]
    fn may_be_sockets() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let (our_out, their_out) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let bytes = noise(1 << 20, 5);
        let stdin = std::os::fd::OwnedFd::from(theirs);
        let stdout = std::os::fd::OwnedFd::from(their_out);
        let running = highwater(["skip 0"]).stdin(stdin).stdout(stdout).start();
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                (&ours).write_all(&bytes).expect("written");
                ours.shutdown(Shutdown::Write).expect("ended");
            });
            let mut received = vec![0; bytes.len()];
            (&our_out).read_exact(&mut received).expect("read");
            received
        });
        running.wait().succeeds();
        assert!(received == bytes);
    }

    #[test]
    fn may_be_a_file_that_others_append_to() {
        let folder = Folder::new();
        folder.write("b", "kept ");
        let output = OpenOptions::new().append(true).open(folder.join("b")).expect("opened");
        for word in ["one ", "two"] {
            let stdout = output.try_clone().expect("shared");
            highwater(["skip 0"]).input(word).stdout(stdout).run().succeeds();
        }
        assert_eq!(folder.read("b"), b"kept one two");
    }
}

mod tcp {
    use super::*;

    fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("tcp://{}", listener.local_addr().expect("bound"));
        (listener, url)
    }

    #[test]
    fn peers_that_are_connected_to_get_everything_and_then_the_end() {
        let bytes = noise(3 << 20, 6);
        let (listener, url) = listener();
        let running = highwater([format!("write {url}")]).input(bytes.as_slice()).start();
        let mut received = Vec::new();
        accept(&listener).read_to_end(&mut received).expect("read");
        running.wait().succeeds();
        assert!(received == bytes);
    }

    #[test]
    fn peers_that_are_connected_to_are_read_to_their_end() {
        let bytes = noise(3 << 20, 7);
        let (listener, url) = listener();
        let running = highwater([format!("read {url}")]).start();
        let mut peer = accept(&listener);
        peer.write_all(&bytes).expect("written");
        drop(peer);
        assert!(running.wait().succeeds() == bytes);
    }

    #[test]
    fn peers_that_connect_are_read() {
        let bytes = noise(3 << 20, 8);
        let folder = Folder::new();
        let mut running = highwater(["read tcp-listen://:0 | write b"]).within(&folder).start();
        let mut peer = running.connect();
        peer.write_all(&bytes).expect("written");
        drop(peer);
        assert_eq!(running.wait().code, Some(0));
        assert!(folder.read("b") == bytes);
    }

    #[test]
    fn peers_that_connect_are_written_to() {
        let bytes = noise(3 << 20, 9);
        let mut running = highwater(["write tcp-listen://127.0.0.1:0"])
            .input(bytes.as_slice())
            .start();
        let mut received = Vec::new();
        running.connect().read_to_end(&mut received).expect("read");
        assert_eq!(running.wait().code, Some(0));
        assert!(received == bytes);
    }

    #[test]
    fn the_address_stands_in_the_stats() {
        let mut running = highwater(["--stats", "-", "read tcp-listen://:0"]).start();
        let address = running.address();
        drop(std::net::TcpStream::connect(address).expect("it listens"));
        let run = running.wait();
        assert_eq!(
            run.end()["stages"][0]["listening"],
            serde_json::json!([format!("tcp://{address}")])
        );
    }

    #[test]
    fn ipv6_hosts_stand_in_brackets() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            // Nothing that could be installed is missing, so nothing is required.
            eprintln!("skipped: there is no IPv6 here");
            return;
        };
        let url = format!("tcp://{}", listener.local_addr().expect("bound"));
        let running = highwater([format!("write {url}")]).input("six").start();
        let mut received = String::new();
        accept(&listener).read_to_string(&mut received).expect("read");
        running.wait().succeeds();
        assert_eq!(received, "six");
        // The first interface is the loopback one: as a zone in a URL, and as everywhere else.
        let port = listener.local_addr().expect("bound").port();
        for zone in ["%251", "%1"] {
            let running = highwater([format!("write tcp://[::1{zone}]:{port}")])
                .input("zoned")
                .start();
            let mut received = String::new();
            accept(&listener).read_to_string(&mut received).expect("read");
            running.wait().succeeds();
            assert_eq!(received, "zoned");
        }
        let mut running = highwater(["read tcp-listen://[::1]:0"]).start();
        running.connect().write_all(b"back").expect("written");
        assert_eq!(running.wait().stdout, b"back");
    }

    #[test]
    fn a_peer_that_ends_its_own_direction_still_gets_ours() {
        let bytes = noise(3 << 20, 10);
        let (listener, url) = listener();
        let running = highwater([format!("write {url}")]).input(bytes.as_slice()).start();
        let mut peer = accept(&listener);
        peer.shutdown(Shutdown::Write).expect("ended");
        let mut received = Vec::new();
        peer.read_to_end(&mut received).expect("read");
        running.wait().succeeds();
        assert!(received == bytes);
    }

    #[test]
    fn a_host_that_cannot_be_resolved_is_no_peer() {
        let folder = Folder::new();
        folder.write("a", "x");
        let run = highwater(["read a | write tcp://nowhere.invalid:1"])
            .within(&folder)
            .run();
        assert!(
            run.fails(9).contains("cannot resolve `nowhere.invalid`"),
            "{}",
            run.stderr
        );
    }

    #[test]
    fn both_ends_at_once() {
        let bytes = noise(1 << 20, 11);
        let (listener, url) = listener();
        let mut running = highwater([format!("read tcp-listen://:0 | gzip | gunzip | write {url}")]).start();
        let address = running.address();
        let mut out = accept(&listener);
        let mut into = std::net::TcpStream::connect(address).expect("it listens");
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                into.write_all(&bytes).expect("written");
                into.shutdown(Shutdown::Write).expect("ended");
            });
            let mut received = Vec::new();
            out.read_to_end(&mut received).expect("read");
            received
        });
        assert_eq!(running.wait().code, Some(0));
        assert!(received == bytes);
    }
}
