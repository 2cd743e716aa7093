//! `nats://`: messages of NATS, with a real server and a plain client of it as the witness.

use std::collections::BTreeMap;
use std::io::Read;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use flate2::read::MultiGzDecoder;
use nkeys::KeyPair;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Folder, Run, Running, highwater, xorshift};
use crate::s3_server;
use crate::support::certificates::Authority;
use crate::support::nats::{Server, server, server_with};

const ENDLESS: i64 = -1;

fn run(folder: &Folder, pipeline: &str) -> Run {
    highwater(["--stats", ".stats", "-q", pipeline]).within(folder).run()
}

/// The figures of the source of the last run.
fn source(folder: &Folder) -> serde_json::Value {
    let stats: serde_json::Value = serde_json::from_slice(&folder.read(".stats")).expect("JSON");
    stats["stages"][0].clone()
}

/// A run that writes samples and whose sink has so many bytes.
fn started(folder: &Folder, pipeline: &str, bytes: u64) -> Running {
    let arguments = ["--progress", "json", "--interval", "10ms", pipeline];
    let mut running = highwater(arguments).within(folder).start();
    assert!(running.writes(bytes));
    running
}

/// Waits for a run that writes samples.
fn ends_well(running: Running) {
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr.lines().last().unwrap_or_default());
}

/// How often each line is in the files of a folder that are complete.
fn lines(folder: &Folder) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    let names = folder.names().into_iter();
    for name in names.filter(|name| !name.starts_with('.')) {
        for line in String::from_utf8(folder.read(&name)).expect("text").lines() {
            *count.entry(line.to_owned()).or_default() += 1;
        }
    }
    count
}

fn numbers(range: std::ops::Range<u32>) -> BTreeMap<String, usize> {
    range.map(|number| (number.to_string(), 1)).collect()
}

fn publish(server: &Server, range: std::ops::Range<u32>) {
    server.publish("S.a", range.map(|number| number.to_string()));
}

/// The durable consumer `w`.
fn durable() -> pull::Config {
    pull::Config {
        durable_name: Some("w".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    }
}

#[test]
fn every_message_is_read_once_and_acknowledged() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..5000);
    let url = server.url("S");
    let run = run(
        &folder,
        &format!("read {url} consumer=w idle=200ms | batch size=2KiB (write {{position}})"),
    );
    run.succeeds();
    assert_eq!(lines(&folder), numbers(0..5000));
    assert!(folder.names().len() > 1);
    let consumer = server.consumer("S", "w");
    assert_eq!((consumer.num_ack_pending, consumer.num_pending), (0, 0));
    assert_eq!(consumer.ack_floor.stream_sequence, 5000);
    let read = source(&folder);
    assert_eq!(read["pending"], 0);
    assert_eq!(read["unacknowledged"], 0);
    assert_eq!(read["redelivered"], 0);
    assert_eq!(read["records_out"], 5000);
}

#[test]
fn large_messages_stay_within_memory() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let large = |number: usize| format!("{number}").repeat(1 + 300_000 * (number % 4) / number.to_string().len());
    server.publish("S.a", (0..60).map(large));
    let url = server.url("S");
    let run = run(
        &folder,
        &format!("read {url} consumer=w idle=200ms | batch size=3MiB (write {{position}})"),
    );
    run.succeeds();
    assert_eq!(lines(&folder), (0..60).map(|number| (large(number), 1)).collect());
    let stats: serde_json::Value = serde_json::from_slice(&folder.read(".stats")).expect("JSON");
    let peak = stats["rss_peak_bytes"].as_u64().expect("a number");
    assert!(peak < 32 << 20, "{peak}");
}

#[test]
fn pipeline_has_to_make_messages_durable() {
    let folder = Folder::new();
    for (pipeline, why) in [
        ("read nats://h/S consumer=w | write a", "end in `batch`"),
        (
            "read nats://h/S consumer=w | gzip | batch every=1s (write {n})",
            "behind `gzip`",
        ),
        ("read nats://h/S | batch every=1s (write {n})", "`consumer` is missing"),
        (
            "read nats://h consumer=w | batch every=1s (write {n})",
            "the stream is missing",
        ),
        (
            "read nats://u:p@h/S consumer=w | batch every=1s (write {n})",
            "credentials in a URL",
        ),
        (
            "read nats://h/S consumer=a.b | batch every=1s (write {n})",
            "no name of a consumer",
        ),
        (
            "read nats://h/S consumer=w filter='a b' | batch every=1s (write {n})",
            "is no subject",
        ),
        (
            "read nats://h/S consumer=w idle=1ms | batch every=1s (write {n})",
            "too short",
        ),
        (
            "read nats://h/S consumer=w reject=a | batch every=1s (write {n})",
            "for bad=skip",
        ),
        (
            "read nats://h/S consumer=w user=a:b | batch every=1s (write {n})",
            "command line",
        ),
        ("read a | lines | write nats://h/S", "`subject` is missing"),
        (
            "read a | lines | write nats://h/S subject=a.>",
            "no subject to publish to",
        ),
        ("read a | write nats://h/S subject=a", "takes lines"),
        ("read a | lines | write nats://h/S subject=a dedup=id", "takes JSON"),
    ] {
        let run = run(&folder, pipeline);
        let said = &run.stderr;
        assert_eq!(run.code, Some(2), "{pipeline}: {said}");
        assert!(said.contains(why), "{pipeline}: {said}");
    }
}

#[test]
fn missing_server_and_stream_are_told_apart() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let url = server.url("T");
    let read = run(
        &folder,
        &format!("read {url} consumer=w | batch every=1s (write {{n}})"),
    );
    assert!(read.fails(3).contains("stream not found"), "{}", read.stderr);
    folder.write("a", "1\n");
    let write = run(&folder, &format!("read a | lines | write {url} subject=S.a"));
    assert!(write.fails(4).contains("stream not found"), "{}", write.stderr);
    drop(server);
    let gone = run(
        &folder,
        &format!("read {url} consumer=w | batch every=1s (write {{n}})"),
    );
    assert!(gone.fails(9).contains("cannot connect"), "{}", gone.stderr);
}

#[test]
fn other_consumer_is_refused() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.create_consumer(
        "S",
        pull::Config {
            durable_name: Some("all".to_owned()),
            ack_policy: AckPolicy::All,
            ..pull::Config::default()
        },
    );
    let url = server.url("S");
    let read = |rest: &str| {
        let batch = "idle=100ms | batch every=1s (write {n})";
        run(&folder, &format!("read {url} {rest} {batch}"))
    };
    assert!(read("consumer=all").fails(2).contains("ack policy explicit"));
    read("consumer=w filter=S.a ack-wait=10s max-deliver=3").succeeds();
    read("consumer=w filter=S.a ack-wait=10s max-deliver=3").succeeds();
    read("consumer=w").succeeds();
    for (other, why) in [
        ("filter=S.b", "filter=S.a, and filter=S.b was given"),
        ("ack-wait=11s", "ack-wait=10s, and ack-wait=11s"),
        ("max-deliver=4", "max-deliver=3, and max-deliver=4"),
    ] {
        let refused = read(&format!("consumer=w {other}"));
        assert!(refused.fails(2).contains(why), "{}", refused.stderr);
    }
}

#[test]
fn only_wanted_messages_are_acknowledged() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..30);
    let url = server.url("S");
    let read = format!("read {url} consumer=w messages=10 | batch size=1MiB (write {{position}})");
    for at in 1..=3 {
        run(&folder, &read).succeeds();
        let consumer = server.consumer("S", "w");
        assert_eq!(consumer.num_ack_pending, 0);
        assert_eq!(consumer.ack_floor.stream_sequence, 10 * at);
    }
    assert_eq!(lines(&folder), numbers(0..30));
}

#[test]
fn filter_leaves_other_messages() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..10);
    server.publish("S.b", ["other"]);
    let url = server.url("S");
    run(
        &folder,
        &format!("read {url} consumer=w filter=S.a idle=100ms | batch size=1MiB (write {{position}})"),
    )
    .succeeds();
    assert_eq!(lines(&folder), numbers(0..10));
}

#[test]
fn message_that_is_no_record_fails_or_is_dropped() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.create("R", ENDLESS);
    server.publish("S.a", ["{\"a\":1}", "{\n\"a\" : 2}", "{\"a\":", "{\"a\":3}", ""]);
    let url = server.url("S");
    let read = |consumer: &str, rest: &str| {
        let batch = "| batch size=1MiB (write {position})";
        run(
            &folder,
            &format!("read {url} consumer={consumer} as=json idle=200ms {rest} {batch}"),
        )
    };
    let failed = read("w", "");
    assert!(
        failed.fails(6).contains("cannot accept message 3 of S"),
        "{}",
        failed.stderr
    );
    assert_eq!(lines(&folder), BTreeMap::new());
    let skipped = read("v", "bad=skip reject=R.bad");
    assert_eq!(source(&folder)["rejected"], 2);
    skipped.succeeds();
    let expected = ["{\"a\":1}", "{ \"a\" : 2}", "{\"a\":3}"];
    assert_eq!(lines(&folder), expected.map(|line| (line.to_owned(), 1)).into());
    assert_eq!(server.messages("R"), [b"{\"a\":".to_vec(), Vec::new()]);
    assert_eq!(server.consumer("S", "v").num_ack_pending, 0);

    let looping = read("x", "bad=skip reject=S.bad");
    assert!(looping.fails(2).contains("without an end"), "{}", looping.stderr);

    let long = run(
        &folder,
        &format!("read {url} consumer=l max-record=8 | batch size=1MiB (write {{position}})"),
    );
    assert!(long.fails(7).contains("max-record=8 allows less"), "{}", long.stderr);
}

#[test]
fn message_that_always_fails_is_delivered_so_often() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.publish("S.a", ["poison"]);
    let url = server.url("S");
    let read = format!("read {url} consumer=w max-deliver=2 idle=200ms | batch size=1MiB (exec false | write {{n}})");
    // This server's count may begin one later where a message is given back.
    let failed = (0..5).filter(|_| run(&folder, &read).code == Some(11)).count();
    assert!((2..=3).contains(&failed), "{failed}");
    assert_eq!(source(&folder)["records_out"], 0);
}

#[test]
fn slow_sink_has_no_message_delivered_again() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..2000);
    let url = server.url("S");
    // What is held is held for three times the time after which the server would deliver it again.
    let held = run(
        &folder,
        &format!("read {url} consumer=w ack-wait=2s idle=6s | batch size=1MiB (write {{position}})"),
    );
    assert_eq!(source(&folder)["redelivered"], 0);
    held.succeeds();
    assert_eq!(lines(&folder), numbers(0..2000));
    assert_eq!(server.consumer("S", "w").delivered.consumer_sequence, 2000);
}

#[test]
fn signal_commits_and_acknowledges_what_was_read() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..100);
    let url = server.url("S");
    let read = format!("read {url} consumer=w | batch size=1MiB (write {{position}})");
    let running = started(&folder, &read, 190 + 100);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
    assert_eq!(lines(&folder), numbers(0..100));
    let consumer = server.consumer("S", "w");
    assert_eq!((consumer.num_ack_pending, consumer.ack_floor.stream_sequence), (0, 100));
}

#[test]
fn failed_run_gives_messages_back() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..100);
    let url = server.url("S");
    let read =
        |rest: &str| format!("read {url} consumer=w idle=1s ack-wait=1h | batch size=1MiB ({rest} {{position}})");
    run(&folder, &read("exec false | write")).fails(11);
    assert_eq!(lines(&folder), BTreeMap::new());
    run(&folder, &read("write")).succeeds();
    // An old server may keep the first one for ack-wait.
    let found = lines(&folder);
    assert!(found.len() >= 99, "{found:?}");
}

#[test]
fn nothing_behind_a_bad_message_is_acknowledged() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let messages = (0..200).map(|number| {
        if number == 3 {
            "bad".to_owned()
        } else {
            number.to_string()
        }
    });
    server.publish("S.a", messages);
    let url = server.url("S");
    let read = format!("read {url} consumer=w as=json ack-wait=1s | batch records=1 (write {{position}})");
    run(&folder, &read).fails(6);
    let found = lines(&folder);
    assert!(found.keys().all(|line| numbers(0..3).contains_key(line)), "{found:?}");
    // All others come to the next reader: one of them as late as ack-wait= says, which nats-server 2.9 meant for this one.
    let left = Folder::new();
    let count = 200 - found.len();
    let read = format!("read {url} consumer=w messages={count} | batch records={count} (write {{position}})");
    run(&left, &read).succeeds();
    let expected = numbers(0..200)
        .into_keys()
        .filter(|line| line != "3" && !found.contains_key(line));
    assert!(lines(&left).into_keys().eq(expected.chain(["bad".to_owned()])));
}

#[test]
fn messages_that_are_filtered_out_are_acknowledged() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.publish("S.a", (0..10).map(|number| format!("{{\"n\":{number}}}")));
    let url = server.url("S");
    // The program takes a while, in which the rest comes.
    let read = format!(
        "read {url} consumer=w as=json messages=10 | where 'n < 5' | batch records=5 (exec cat | write {{position}})"
    );
    run(&folder, &read).succeeds();
    assert_eq!(lines(&folder).len(), 5);
    let consumer = server.consumer("S", "w");
    assert_eq!((consumer.num_ack_pending, consumer.ack_floor.stream_sequence), (0, 10));
}

#[test]
fn bound_of_an_existing_consumer_is_told() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.create_consumer(
        "S",
        pull::Config {
            max_ack_pending: 4,
            ..durable()
        },
    );
    publish(&server, 0..8);
    let url = server.url("S");
    let read = format!("read {url} consumer=w messages=8 | batch records=4 (write {{position}})");
    let run = highwater([&read]).within(&folder).run();
    assert!(
        run.stderr
            .contains("4 messages are held and not acknowledged (the consumer's"),
        "{}",
        run.stderr
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(lines(&folder), numbers(0..8));
}

#[test]
fn consumer_that_is_made_again_replaces_no_batch() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    let url = server.url("S");
    let read = format!("read {url} consumer=w messages=10 | batch size=1MiB (write {{position}})");
    for turn in 0..2 {
        server.create("S", ENDLESS);
        publish(&server, 10 * turn..10 * turn + 10);
        run(&folder, &read).succeeds();
        server
            .with(|context| async move { context.delete_stream("S").await.map(drop) })
            .expect("deleted");
    }
    assert_eq!(lines(&folder), numbers(0..20));
}

#[test]
fn server_that_restarts_loses_nothing() {
    let Some(mut server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 0..1000);
    let url = server.url("S");
    let read = format!("read {url} consumer=w idle=2s ack-wait=1s | batch size=1KiB (write {{position}})");
    let running = started(&folder, &read, 2000);
    server.restart();
    publish(&server, 1000..2000);
    ends_well(running);
    let found = lines(&folder);
    let expected = numbers(0..2000);
    assert!(found.keys().eq(expected.keys()), "{} of 2000", found.len());
    assert_eq!(server.consumer("S", "w").num_ack_pending, 0);
}

#[test]
fn messages_of_a_stream_made_anew_are_not_taken_for_those_before() {
    let Some(mut server) = server() else { return };
    let create = |server: &Server| {
        let made = server.with(|context| async move {
            let configuration = stream::Config {
                name: "S".to_owned(),
                subjects: vec!["S.>".to_owned()],
                storage: stream::StorageType::Memory,
                ..stream::Config::default()
            };
            let stream = context.create_stream(configuration).await.expect("created");
            let configuration = pull::Config {
                durable_name: Some("w".to_owned()),
                ack_policy: AckPolicy::Explicit,
                ..pull::Config::default()
            };
            stream.create_consumer(configuration).await.map(drop)
        });
        made.expect("created");
    };
    let folder = Folder::new();
    create(&server);
    publish(&server, 10..60);
    let read = format!(
        "read {} consumer=w | batch records=100 (write {{position}})",
        server.url("S")
    );
    let running = started(&folder, &read, 150);
    // Its streams are gone with it.
    server.restart();
    create(&server);
    publish(&server, 60..110);
    let run = running.wait();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert_eq!(server.consumer("S", "w").ack_floor.stream_sequence, 0);
    assert!(lines(&folder).is_empty());
}

/// An acknowledgement has only a message's number, which the server gives to another if it has lost that one.
#[test]
fn messages_that_the_server_has_lost_are_not_acknowledged_as_others() {
    let Some(mut server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.create_consumer("S", durable());
    publish(&server, 10..40);
    server.keep();
    publish(&server, 40..60);
    let read = format!(
        "read {} consumer=w | batch records=100 (write {{position}})",
        server.url("S")
    );
    let running = started(&folder, &read, 150);
    server.restart_from_kept();
    publish(&server, 60..110);
    let run = running.wait();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(
        run.stderr.contains("the server has lost its last messages"),
        "{}",
        run.stderr
    );
    assert_eq!(server.consumer("S", "w").ack_floor.stream_sequence, 0);
    assert!(lines(&folder).is_empty());
}

/// The same server with all that it had goes on.
#[test]
fn messages_that_are_still_there_are_acknowledged_after_a_restart() {
    let Some(mut server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    publish(&server, 10..60);
    let read = format!(
        "read {} consumer=w messages=100 | batch records=100 (write {{position}})",
        server.url("S")
    );
    let running = started(&folder, &read, 150);
    // The highest ones that are held are not there any more.
    server.with(|context| async move {
        let stream = context.get_stream("S").await.expect("a stream");
        for number in [49, 50] {
            stream.delete_message(number).await.expect("deleted");
        }
    });
    server.restart();
    publish(&server, 60..110);
    ends_well(running);
    assert_eq!(lines(&folder), numbers(10..110));
    assert_eq!(server.consumer("S", "w").num_ack_pending, 0);
}

#[test]
fn refused_credentials_end_a_run_that_lasts() {
    let users = |password: &str| {
        format!(
            "authorization {{ users: [ {{ user: me, password: {password} }}, {{ user: other, password: other }} ] }}\n\
             no_auth_user: other\n"
        )
    };
    let Some(mut server) = server_with("", |_| users("first")) else {
        return;
    };
    let folder = Folder::new();
    folder.write("user", "me:first\n");
    folder.write("text", "a line\n");
    server.create("S", ENDLESS);
    let url = server.url("S");
    let runs = [
        format!("read {url} consumer=w user=@user | batch every=1h (write {{n}})"),
        format!("read text follow=true | lines | write {url} subject=S.a user=@user"),
    ];
    let runs = runs.map(|pipeline| {
        let arguments = ["--progress", "json", "--interval", "10ms", &pipeline];
        let mut running = highwater(arguments).within(&folder).start();
        // It is connected.
        running.line();
        running
    });
    server.reconfigure(&users("second"));
    for running in runs {
        let run = running.wait();
        assert_eq!(run.code, Some(9), "{}", run.stderr);
    }
}

/// A token as an operator's servers take it: who it is for, what it says, and who signed it.
fn token(signer: &KeyPair, subject: &KeyPair, says: &serde_json::Value) -> String {
    let claims = json!({
        "jti": "1", "iat": 1, "iss": signer.public_key(), "name": "n", "sub": subject.public_key(), "nats": says,
    });
    let parts = [json!({"typ": "JWT", "alg": "ed25519-nkey"}), claims];
    let text = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = signer.sign(text.as_bytes()).expect("signed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn users_of_an_operator_prove_themselves_with_their_keys() {
    let (operator, user) = (KeyPair::new_operator(), KeyPair::new_user());
    let (account, system) = (KeyPair::new_account(), KeyPair::new_account());
    let no_limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let mut of_account = json!({"type": "account", "version": 2, "limits": no_limits});
    let of_system = token(&operator, &system, &of_account);
    for storage in ["mem_storage", "disk_storage", "streams", "consumer"] {
        of_account["limits"][storage] = json!(-1);
    }
    let of_account = token(&operator, &account, &of_account);
    let of_operator = token(&operator, &operator, &json!({"type": "operator", "version": 2}));
    let accounts = |_: &Folder| {
        let [account, system] = [&account, &system].map(KeyPair::public_key);
        format!(
            "operator: {of_operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {account}: {of_account}\n{system}: {of_system} }}\n"
        )
    };
    let Some(mut server) = server_with("", accounts) else {
        return;
    };
    let of_user = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    let of_user = token(&account, &user, &of_user);
    let credentials = |pair: &KeyPair| {
        let seed = pair.seed().expect("a seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    };
    let folder = Folder::new();
    folder.write(".creds", credentials(&user));
    folder.write(".others", credentials(&KeyPair::new_user()));
    folder.write(".text", "a\nb\n");
    server.credentials = Some(credentials(&user));
    server.create("S", ENDLESS);
    let url = server.url("S");
    let write = |creds: &str| {
        run(
            &folder,
            &format!("read .text | lines | write {url} subject=S.a creds={creds}"),
        )
    };
    write(".creds").succeeds();
    let read = format!("read {url} consumer=w creds=.creds messages=2 | batch records=2 (write {{position}})");
    run(&folder, &read).succeeds();
    assert_eq!(lines(&folder).into_keys().collect::<String>(), "ab");
    let refused = write(".others");
    assert!(
        refused.fails(9).contains("authorization violation"),
        "{}",
        refused.stderr
    );
    assert_eq!(server.count("S"), 2);
}

/// After an outage a reader asks whether what it holds is still there. A user who may not ask that is not kept waiting.
#[test]
fn restricted_users_go_on_after_an_outage() {
    let users = |denied: &str| {
        format!(
            "authorization {{ users: [ {{ user: me, password: me, permissions: {{ publish: {{ deny: [{denied}] }} }} }}, \
             {{ user: other, password: other }} ] }}\nno_auth_user: other\n"
        )
    };
    let Some(mut server) = server_with("", |_| users("")) else {
        return;
    };
    let folder = Folder::new();
    folder.write(".user", "me:me\n");
    server.create("S", ENDLESS);
    publish(&server, 10..60);
    let read = format!(
        "read {} consumer=w user=@.user messages=100 | batch records=100 (write {{position}})",
        server.url("S")
    );
    let running = started(&folder, &read, 150);
    server.reconfigure(&users(
        "\"$JS.API.CONSUMER.INFO.>\", \"$JS.API.STREAM.INFO.>\", \"$JS.API.STREAM.MSG.GET.>\"",
    ));
    publish(&server, 60..110);
    let run = running.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr.lines().last().unwrap_or_default());
    assert_eq!(run.stderr.matches("Permissions Violation").count(), 3, "{}", run.stderr);
    assert_eq!(lines(&folder), numbers(10..110));
    assert_eq!(server.consumer("S", "w").num_ack_pending, 0);
}

#[test]
fn limits_of_a_consumer_are_kept_to() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.create_consumer(
        "S",
        pull::Config {
            max_batch: 3,
            max_expires: std::time::Duration::from_millis(200),
            max_bytes: 4096,
            ..durable()
        },
    );
    publish(&server, 0..50);
    let url = server.url("S");
    let read = format!("read {url} consumer=w messages=50 | batch records=50 (write {{position}})");
    run(&folder, &read).succeeds();
    assert_eq!(lines(&folder), numbers(0..50));
}

#[test]
fn consumer_that_is_gone_ends_the_run() {
    let Some(mut server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    server.create_consumer(
        "S",
        pull::Config {
            memory_storage: true,
            ..durable()
        },
    );
    publish(&server, 10..60);
    let read = format!(
        "read {} consumer=w idle=1h | batch records=100 (write {{position}})",
        server.url("S")
    );
    let running = started(&folder, &read, 150);
    server.restart();
    let run = running.wait();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(
        run.stderr.contains("the consumer w: it is not there any more"),
        "{}",
        run.stderr
    );
}

/// How many runs are killed.
fn kills() -> usize {
    let given = std::env::var("HIGHWATER_KILLS").ok();
    given.map_or(5, |count| count.parse().expect("HIGHWATER_KILLS is a number"))
}

#[test]
fn killed_readers_lose_nothing() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let total = 2000 + 400 * u32::try_from(kills()).expect("few");
    publish(&server, 0..total);
    let url = server.url("S");
    let read = format!("read {url} consumer=w ack-wait=500ms idle=1500ms | batch size=1KiB (write {{position}})");
    let killed = read.replace("| batch", "| throttle 20kB/s | batch");
    let arguments = ["--progress", "json", "--interval", "1ms", &killed];
    let slow = read.replace("| batch", "max-pending=500 | throttle 2kB/s | batch");
    let other = highwater(["--progress", "none", &slow]).within(&folder).start();
    let mut moments = xorshift(7).map(|random| random % 1000);
    for _ in 0..kills() {
        let mut running = highwater(arguments).within(&folder).start();
        assert!(running.writes(moments.next().expect("endless")), "all was read before");
        running.signal(Signal::KILL);
        running.wait();
    }
    other.signal(Signal::KILL);
    other.wait();
    highwater([&read]).within(&folder).run().succeeds();
    let found = lines(&folder);
    let expected = numbers(0..total);
    assert!(found.keys().eq(expected.keys()), "{} of {total}", found.len());
    let consumer = server.consumer("S", "w");
    assert_eq!((consumer.num_ack_pending, consumer.num_pending), (0, 0));
    // Only what was delivered again can be there twice.
    let twice = found.values().sum::<usize>() as u64 - u64::from(total);
    assert!(
        twice <= consumer.delivered.consumer_sequence - u64::from(total),
        "{twice}"
    );
}

#[test]
fn two_processes_share_a_pipeline_and_one_is_killed() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let total = 5000;
    server.publish(
        "S.a",
        (0..total).map(|number| format!("{{\"n\": {number}, \"keep\": true}}")),
    );
    let url = server.url("S");
    let read = format!(
        "read {url} consumer=w as=json ack-wait=500ms idle=1500ms | where 'keep == true' | select n \
         | batch size=4KiB (gzip | write {{position}}.gz)"
    );
    let arguments = ["--progress", "json", "--interval", "1ms", &read];
    let mut goes = highwater(arguments).within(&folder).start();
    assert!(goes.writes(5_000));
    let mut stays = highwater(arguments).within(&folder).start();
    // It is open.
    stays.line();
    goes.signal(Signal::KILL);
    goes.wait();
    ends_well(stays);
    let mut found = BTreeMap::<u64, usize>::new();
    for name in folder.names().into_iter().filter(|name| !name.starts_with('.')) {
        let unpacked = highwater([format!("read {name} | gunzip | write -")])
            .within(&folder)
            .run();
        for line in String::from_utf8(unpacked.succeeds()).expect("text").lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
            *found.entry(record["n"].as_u64().expect("a number")).or_default() += 1;
        }
    }
    assert!(found.keys().copied().eq(0..total), "{} of {total}", found.len());
    assert_eq!(server.consumer("S", "w").num_ack_pending, 0);
}

#[test]
fn bucket_has_the_stream_although_a_process_is_killed() {
    let (Some(server), Some(store)) = (server(), s3_server::server()) else {
        return;
    };
    server.create("S", ENDLESS);
    let total = 3000;
    server.publish("S.a", (0..total).map(|number| format!("{{\"n\": {number}}}")));
    let (url, bucket) = (server.url("S"), store.bucket());
    let read = format!(
        "read {url} consumer=w as=json ack-wait=500ms idle=1500ms \
         | batch size=2KiB (gzip | write s3://{bucket}/{{position}}.gz)"
    );
    let start = || s3_server::run_at(store.address(), ["--progress", "json", "--interval", "1ms", &read]).start();
    let mut goes = start();
    assert!(goes.writes(4000));
    let mut stays = start();
    // It is open.
    stays.line();
    goes.signal(Signal::KILL);
    goes.wait();
    ends_well(stays);
    let mut found = BTreeMap::<u64, usize>::new();
    for key in store.keys(&bucket) {
        let object = store.object(&bucket, &key).expect("it is there");
        let mut text = String::new();
        MultiGzDecoder::new(&object[..])
            .read_to_string(&mut text)
            .expect("whole");
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
            *found.entry(record["n"].as_u64().expect("a number")).or_default() += 1;
        }
    }
    assert!(found.keys().copied().eq(0..total), "{} of {total}", found.len());
    let consumer = server.consumer("S", "w");
    assert_eq!((consumer.num_ack_pending, consumer.num_pending), (0, 0));
    let twice = found.values().sum::<usize>() as u64 - total;
    assert!(twice <= consumer.delivered.consumer_sequence - total, "{twice}");
}

#[test]
fn records_are_published_in_their_order() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let lines: Vec<String> = (0..10_000).map(|number| format!("line {number}")).collect();
    folder.write("a", lines.join("\n") + "\n");
    let url = server.url("S");
    run(&folder, &format!("read a | lines | write {url} subject=S.a")).succeeds();
    let messages = server.messages("S");
    assert!(
        messages.iter().eq(lines.iter().map(String::as_bytes)),
        "{}",
        messages.len()
    );
}

#[test]
fn field_identifies_records_that_come_again() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    let records: Vec<String> = (0..100).map(|number| format!("{{\"id\":{}}}\n", number % 50)).collect();
    folder.write("a", records.concat());
    let url = server.url("S");
    let write = format!("read a | from-json | write {url} subject=S.a dedup=id");
    run(&folder, &write).succeeds();
    run(&folder, &write).succeeds();
    assert_eq!(server.count("S"), 50);
    for record in [
        "{\"other\":1}\n",
        "{\"id\":null}\n",
        "{\"id\":\"\"}\n",
        "{\"id\":{\r\n\"a\":1}}\n",
    ] {
        folder.write("a", record);
        assert!(run(&folder, &write).fails(6).contains("dedup="), "{record}");
    }
}

#[test]
fn subject_of_another_stream_is_refused() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", ENDLESS);
    folder.write("a", "1\n");
    let url = server.url("S");
    let refused = run(&folder, &format!("read a | lines | write {url} subject=T.a"));
    assert!(
        refused.fails(2).contains("does not take T.a, only S.>"),
        "{}",
        refused.stderr
    );
}

#[test]
fn full_stream_makes_the_writer_wait() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    server.create("S", 150_000);
    let lines: Vec<String> = (0..2000).map(|number| format!("{number:050}")).collect();
    folder.write("a", lines.join("\n") + "\n");
    let url = server.url("S");
    let mut running = highwater([format!("read a | lines | write {url} subject=S.a")])
        .within(&folder)
        .start();
    let said = running.line();
    assert!(said.contains("maximum bytes exceeded"), "{said}");
    // Nothing comes to a full stream.
    let first = server.messages("S");
    server.purge("S");
    ends_well(running);
    let second = server.messages("S");
    assert!(!second.is_empty());
    let found: Vec<Vec<u8>> = first.into_iter().chain(second).collect();
    assert!(found.iter().eq(lines.iter().map(String::as_bytes)), "{}", found.len());
}

#[test]
fn server_may_ask_for_certificates_and_passwords() {
    let authority = |folder: &Folder| {
        let (certificate, key) = Authority::new(folder).sign("server", "localhost");
        format!(
            "tls {{ cert_file: {:?}, key_file: {:?} }}\nauthorization {{ user: me, password: secret }}\n",
            certificate.display().to_string(),
            key.display().to_string()
        )
    };
    let Some(server) = server_with("", authority) else {
        return;
    };
    let folder = Folder::new();
    folder.write("user", "me:secret\n");
    folder.write("wrong", "me:other\n");
    let authorities = server.folder.join("ca.pem");
    let (port, authorities) = (server.port, authorities.display());
    let read = |host: &str, rest: &str| {
        let place = format!("nats://{host}:{port}/S consumer=w {rest} connect-timeout=5s");
        run(&folder, &format!("read {place} | batch every=1s (write {{n}})"))
    };
    // It is let in, and there is no such stream.
    read("localhost", &format!("user=@user ca={authorities}")).fails(3);
    read("localhost", "user=@user verify=false").fails(3);
    read("localhost", "user=@user").fails(9);
    read("localhost", &format!("user=@wrong ca={authorities}")).fails(9);
    read("localhost", &format!("user=@missing ca={authorities}")).fails(2);
    let place = format!("nats://localhost:{port}/S consumer=w user=@user verify=false");
    let pipeline = format!("read {place} | batch every=1s (write {{n}})");
    let traced = highwater(["--log", "trace", &pipeline]).within(&folder).run();
    assert!(!traced.stderr.contains("secret"), "{}", traced.stderr);
}
