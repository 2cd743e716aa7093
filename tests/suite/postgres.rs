//! Rows out of PostgreSQL and into it, against the real server.

use std::io::Write;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::harness::{Folder, accept, highwater, xorshift};
use crate::postgres_server::{run_with, server};

/// Values that formats get wrong: no value, quotes, newlines, backslashes, other alphabets, large numbers.
const ROWS: &str = r#"INSERT INTO TABLE_NAME VALUES
    (1, NULL, 1.50, '{"a": [1,
  2]}'), (2, '', 0.1, '"null"'), (3, 'a "quoted", \ and
two lines', 12345678901234567890.123, '{"a":1,"a":2}'), (4, E'tab\there \\N', NULL, NULL), (5, 'žluťoučký 🐎', -0, '"\n"')"#;

fn table(server: &crate::postgres_server::Server, name: &str) {
    server.run(&format!(
        "CREATE TABLE {name} (id int PRIMARY KEY, text text, number numeric, j json)"
    ));
}

fn filled(server: &crate::postgres_server::Server, name: &str) {
    table(server, name);
    server.run(&ROWS.replace("TABLE_NAME", name));
}

#[test]
fn each_format_goes_out_and_in_unchanged() {
    let Some(server) = server() else { return };
    filled(&server, "formats");
    let (url, folder) = (server.url(), Folder::new());
    for (format, more) in [("csv", "header=true"), ("text", ""), ("binary", ""), ("json", "")] {
        table(&server, &format!("formats_{format}"));
        let out = format!("read '{url}' table=formats format={format} | write {format}");
        highwater([out]).within(&folder).run().succeeds();
        let back = format!("read {format} | write '{url}' table=formats_{format} format={format} {more}");
        highwater([back]).within(&folder).run().succeeds();
        let (new, old) = (format!("formats_{format}"), "formats");
        let differ = server.run(&format!(
            "SELECT count(*) FROM (SELECT id, text, number, regexp_replace(j::text, E'[\\n]', ' ') FROM {new} \
             EXCEPT SELECT id, text, number, regexp_replace(j::text, E'[\\n]', ' ') FROM {old}) x"
        ));
        assert_eq!(
            (
                differ.as_str(),
                server.run(&format!("SELECT count(*) FROM {new}")).as_str()
            ),
            ("0", "5"),
            "{format}"
        );
    }
    let csv = String::from_utf8(folder.read("csv")).expect("text");
    let psql = server.run("COPY (SELECT * FROM formats) TO STDOUT (FORMAT csv, HEADER)");
    assert_eq!(csv.trim_end(), psql);
    let json = String::from_utf8(folder.read("json")).expect("text");
    let values: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    assert_eq!(values.len(), 5);
    assert_eq!(values[2]["text"], "a \"quoted\", \\ and\ntwo lines");
}

#[test]
fn a_query_becomes_records() {
    let Some(server) = server() else { return };
    let pipeline = format!(
        "read '{}' query='select n, n * n as square from generate_series(1, 1000) n;' format=json | from-json | where \
         'n == 30' | select square",
        server.url()
    );
    assert_eq!(highwater([pipeline]).run().succeeds(), b"{\"square\":900}\n");
}

#[test]
fn columns_can_be_chosen() {
    let Some(server) = server() else { return };
    filled(&server, "chosen");
    server.run("CREATE TABLE chosen_in (id int, text text DEFAULT 'none', extra int DEFAULT 7)");
    let url = server.url();
    let read = format!("read '{url}' table=public.chosen columns=id,number header=false | take 6");
    assert_eq!(highwater([read]).run().succeeds(), b"1,1.50");
    for (format, row) in [("csv", "8\n"), ("json", "{\"id\": 9}\n")] {
        let write = format!("write '{url}' table=chosen_in columns=id format={format}");
        highwater([write]).input(row).run().succeeds();
    }
    assert_eq!(server.run("SELECT * FROM chosen_in ORDER BY id"), "8|none|7\n9|none|7");
}

#[test]
fn a_wrong_row_is_named_and_nothing_is_committed() {
    let Some(server) = server() else { return };
    table(&server, "strict");
    let (url, folder) = (server.url(), Folder::new());
    let good = (1..=9).map(|id| format!("{id},x,1,\n")).collect::<Vec<_>>().concat();
    for (rows, why) in [
        (
            good.clone() + "3,again,1,\n",
            "duplicate key value violates unique constraint",
        ),
        (good.clone() + "ten,x,1,\n", "COPY strict, line 10, column id: \"ten\""),
        (good.clone() + "10,x\n", "missing data for column \"number\""),
    ] {
        let pipeline = format!("tee (write copy) | write '{url}' table=strict");
        let run = highwater([pipeline]).within(&folder).input(rows).run();
        let line = run.fails(4);
        assert!(line.contains(why) && line.contains("COPY strict, line 10"), "{line}");
        assert_eq!(server.run("SELECT count(*) FROM strict"), "0");
        assert_eq!(folder.names(), Vec::<String>::new());
    }
    let hint = "give header=true";
    for (more, rows, is_hinted) in [
        ("", "id,text,number,j\n1,x,1,\n", true),
        ("", "id,text\n1,x\n", true),
        ("header=false", "id,text,number,j\n1,x,1,\n", false),
        ("", "1,x,1,\nten,x,1,\n", false),
    ] {
        let pipeline = format!("write '{url}' table=strict {more}");
        let run = highwater([pipeline]).input(rows).run();
        assert_eq!(run.fails(4).contains(hint), is_hinted, "{}", run.stderr);
    }
    let run = highwater([format!("limit 20 | write '{url}' table=strict")])
        .input(good)
        .run();
    run.fails(7);
    assert_eq!(server.run("SELECT count(*) FROM strict"), "0");
}

#[test]
fn passwords_come_from_where_libpq_has_them() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    let file = folder.write("pass", format!("localhost:{}:*:scram:se\\:cret\n", server.port));
    let file = file.to_str().expect("a name");
    let read = |role: &str, variables: &[(&str, &str)]| {
        let pipeline = format!("read {} query='select current_user' header=false", server.url_of(role));
        run_with(&pipeline, variables).run()
    };
    assert_eq!(read("scram", &[("PGPASSWORD", "se:cret")]).succeeds(), b"scram\n");
    assert_eq!(read("md5", &[("PGPASSWORD", "se:cret")]).succeeds(), b"md5\n");
    assert_eq!(read("scram", &[("PGPASSFILE", file)]).succeeds(), b"scram\n");
    let wrong = read("scram", &[("PGPASSWORD", "hunter2")]);
    assert!(
        wrong
            .fails(9)
            .contains("password authentication failed for user \"scram\""),
        "{}",
        wrong.stderr
    );
    assert!(!wrong.stderr.contains("hunter2"));
    assert!(
        read("scram", &[])
            .fails(9)
            .contains("PGPASSFILE, ~/.pgpass or PGPASSWORD may have it")
    );
    assert!(
        read("unknown", &[])
            .fails(9)
            .contains("role \"unknown\" does not exist")
    );
}

#[test]
fn encryption_is_as_asked() {
    let Some(server) = server() else { return };
    let (authority, folder) = (server.authority(), Folder::new());
    crate::certificates::Authority::new(&folder);
    let other = folder.join("ca.pem");
    let read = |mode: &str, host: &str, authority: Option<&std::path::Path>| {
        let url = server.url_of("postgres").replace("localhost", host);
        let pipeline = format!(
            "read {url}?sslmode={mode} query='select ssl from pg_stat_ssl where pid = pg_backend_pid()' header=false"
        );
        let authority = authority.map_or("", |path| path.to_str().expect("a name"));
        run_with(&pipeline, &[("PGSSLROOTCERT", authority)]).run()
    };
    assert_eq!(read("disable", "localhost", None).succeeds(), b"f\n");
    assert_eq!(read("prefer", "localhost", None).succeeds(), b"t\n");
    assert_eq!(read("require", "127.0.0.1", None).succeeds(), b"t\n");
    assert_eq!(read("verify-full", "localhost", Some(&authority)).succeeds(), b"t\n");
    assert!(
        read("verify-full", "127.0.0.1", Some(&authority))
            .fails(9)
            .contains("invalid peer certificate")
    );
    assert!(
        read("verify-full", "localhost", Some(&other))
            .fails(9)
            .contains("invalid peer certificate")
    );
}

#[test]
fn a_large_row_is_never_held() {
    let Some(server) = server() else { return };
    let peak = |length: u32| {
        let pipeline = format!(
            "read '{}' query='select repeat($$x$$, {length})' header=false | write /dev/null",
            server.url().replace("postgres:", "postgresql:")
        );
        let run = highwater(["--stats", "-", pipeline.as_str()]).run();
        let end = run.end();
        assert_eq!(end["stages"][0]["bytes_out"], u64::from(length) + 1, "{}", run.stderr);
        end["rss_peak_bytes"].as_u64().expect("a number")
    };
    let (small, large) = (peak(1000), peak(50_000_000));
    assert!(large < small + (6 << 20), "{small} and {large} bytes");
}

#[test]
fn a_slow_client_does_not_keep_a_query_open() {
    let Some(server) = server() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    // The lock is the session's, and released when that ends.
    let query = "select repeat($$x$$, 20000) from generate_series(1, 100000), (select pg_advisory_lock(42)) l";
    let pipeline = format!(
        "read '{}' query='{query}' max-time=300ms | write tcp://{address}",
        server.url()
    );
    let run = highwater(["--progress", "json", "--interval", "10ms", &pipeline]).start();
    let stalled = accept(&listener);
    let run = run.wait();
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    let why = "the query was ended: it was not read to its end within 300ms (max-time)";
    assert!(run.stderr.contains(why), "{}", run.stderr);
    assert!(run.stderr.contains("\"snapshot_age_s\":0."), "{}", run.stderr);
    server.run("SET lock_timeout = '60s'; SELECT pg_advisory_lock(42)");
    drop(stalled);
}

#[test]
fn a_lost_session_is_an_error() {
    let Some(server) = server() else { return };
    let kill = "select pg_terminate_backend(pg_backend_pid()) from generate_series(1, 1)";
    let run = highwater([format!("read '{}' query='{kill}'", server.url())]).run();
    assert!(
        run.fails(3)
            .contains("terminating connection due to administrator command"),
        "{}",
        run.stderr
    );
    let pipeline = format!("read '{}' query='select pg_sleep(100)'", server.url());
    let run = run_with(&pipeline, &[("PGOPTIONS", "-c statement_timeout=50ms")]).run();
    assert!(
        run.fails(8).contains("canceling statement due to statement timeout"),
        "{}",
        run.stderr
    );
    let run = highwater([format!("read '{}' query='select 1 from nowhere'", server.url())]).run();
    assert!(
        run.fails(3).contains("relation \"nowhere\" does not exist"),
        "{}",
        run.stderr
    );
}

#[test]
fn several_outputs_are_committed_together() {
    let Some(server) = server() else { return };
    for name in ["together", "together_too"] {
        table(&server, name);
    }
    server.run("INSERT INTO together VALUES (1)");
    let (url, folder) = (server.url(), Folder::new());
    let pipeline = format!("tee (write copy) (write '{url}' table=together_too) | write '{url}' table=together");
    let run = highwater([pipeline]).within(&folder).input("1,x,1,\n").run();
    assert!(run.fails(4).contains("duplicate key"), "{}", run.stderr);
    assert_eq!(folder.names(), Vec::<String>::new());
    assert_eq!(server.run("SELECT count(*) FROM together_too"), "0");
    let pipeline = format!("tee (write copy) | write '{url}' table=together");
    highwater([pipeline]).within(&folder).input("2,x,1,\n").run().succeeds();
    assert_eq!(folder.read("copy"), b"2,x,1,\n");
    assert!(server.run("SELECT count(*) FROM together WHERE id = 2") == "1");
}

#[test]
fn batches_stay_if_a_later_one_fails() {
    let Some(server) = server() else { return };
    let url = server.url();
    let csv = |ids: &[u32]| {
        let rows = ids.iter().map(|id| format!("{id},\"two\nlines\",1,\n"));
        std::iter::once("id,text,number,j\n".to_owned())
            .chain(rows)
            .collect::<String>()
    };
    table(&server, "batches");
    let write = format!("write '{url}' table=batches header=true commit-every=3");
    let run = highwater([&write]).input(csv(&[1, 2, 3, 4, 5, 6, 7, 6])).run();
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    for said in [
        "duplicate key",
        "the first 6 rows stay: they were committed (commit-every)",
    ] {
        assert!(run.stderr.contains(said), "no {said:?} in {}", run.stderr);
    }
    assert_eq!(server.run("SELECT count(*), max(id) FROM batches"), "6|6");
    highwater([&write]).input(csv(&[7, 8, 9])).run().succeeds();
    assert_eq!(server.run("SELECT count(*), max(id) FROM batches"), "9|9");
    for (format, rows) in [
        ("json", "{\"id\":10}\n{\"id\":11}\n"),
        ("text", "12\ta\\\nb\t1\t\\N\n13\tc\t1\t\\N\n"),
    ] {
        let write = format!("write '{url}' table=batches format={format} commit-every=1");
        highwater([write]).input(rows).run().succeeds();
    }
    assert_eq!(server.run("SELECT count(*), max(id) FROM batches"), "13|13");
}

#[test]
fn committed_rows_are_acknowledged() {
    let Some(server) = server() else { return };
    server.run("CREATE TABLE acknowledged (line text)");
    let folder = Folder::new();
    let lines = |range: std::ops::Range<u32>| range.map(|line| format!("{line:03}\n")).collect::<Vec<_>>().concat();
    let append = |range| {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(folder.join("log"))
            .expect("opened");
        log.write_all(lines(range).as_bytes()).expect("written");
    };
    let pipeline = format!(
        "read log follow=true state=state | lines | write '{}' table=acknowledged format=text commit-every=100",
        server.url()
    );
    let arguments = ["--progress", "json", "--interval", "5ms", &pipeline];
    append(0..250);
    let mut running = highwater(arguments).within(&folder).start();
    assert!(running.writes(4 * 250));
    append(250..350);
    // The third transaction ends with the 300th row, and the last position before that is behind the 250th.
    loop {
        assert!(!running.line().is_empty(), "it goes on");
        let state = folder.read("state");
        if String::from_utf8_lossy(&state).contains("\"position\":1000,") {
            break;
        }
    }
    running.signal(Signal::KILL);
    running.wait();
    append(350..400);
    let mut running = highwater(arguments).within(&folder).start();
    assert!(running.writes(4 * 150));
    running.signal(Signal::TERM);
    let run = running.wait();
    assert_eq!(run.signal, Some(Signal::TERM.as_raw()), "{}", run.stderr);
    let counted = server.run("SELECT count(*), count(DISTINCT line), min(line), max(line) FROM acknowledged");
    assert_eq!(counted, "450|400|000|399");
}

/// Each side, killed at a hundred random moments.
#[test]
fn killed_copies_commit_nothing() {
    let Some(server) = server() else { return };
    let url = server.url();
    table(&server, "killed");
    server.run(
        "CREATE TABLE dies (at int); INSERT INTO dies VALUES (0); \
         CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF NEW.id = (SELECT at FROM dies) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; \
         RETURN NEW; END'; \
         CREATE TRIGGER dies BEFORE INSERT ON killed FOR EACH ROW EXECUTE FUNCTION die()",
    );
    // More than pipes hold, so that some of it has been read when all of it is written.
    let text = "x".repeat(200);
    let rows = (1..=2000).map(|id| format!("{id},{text},1,\n")).collect::<Vec<_>>();
    let mut random = xorshift(18);
    let mut moment = || usize::try_from(random.next().expect("endless") % 2000).expect("small");
    for _ in 0..100 {
        let (input, mut rows_in) = std::io::pipe().expect("a pipe");
        let running = highwater([format!("write '{url}' table=killed")]).stdin(input).start();
        rows_in.write_all(rows[..moment()].concat().as_bytes()).expect("taken");
        running.signal(Signal::KILL);
        running.wait().dies_by(Signal::KILL);
    }
    for _ in 0..100 {
        server.run(&format!("UPDATE dies SET at = {}", moment() + 1));
        let run = highwater([format!("write '{url}' table=killed")])
            .input(rows.concat())
            .run();
        assert_eq!(run.code, Some(4), "{}", run.stderr);
    }
    assert_eq!(server.run("SELECT count(*) FROM killed"), "0");
    server.run("UPDATE dies SET at = 0");
    highwater([format!("write '{url}' table=killed")])
        .input(rows.concat())
        .run()
        .succeeds();
    assert_eq!(server.run("SELECT count(*) FROM killed"), "2000");
}

#[test]
fn mistakes_are_told_before_anything_is_opened() {
    for (pipeline, why) in [
        (
            "read postgres://me:hunter2@h/d table=t",
            "a password in a URL is not accepted",
        ),
        ("read postgres://me@h/d", "there is neither a table nor a query"),
        (
            "read postgres://me@h/d table=t query='select 1'",
            "`query` and `table` exclude each other",
        ),
        ("write postgres://me@h/d", "the table is missing"),
        (
            "read postgres://me@h/d query='select 1' columns=a",
            "`columns` is for a table",
        ),
        (
            "write postgres://me@h/d table=t format=json header=true",
            "`header` is for CSV, and the format is json",
        ),
        (
            "write postgres://me@h/d table=t format=binary commit-every=9",
            "rows of the binary format are not counted",
        ),
    ] {
        let run = highwater([pipeline]).run();
        assert_eq!(run.code, Some(2), "{pipeline}: {}", run.stderr);
        assert!(
            run.stderr.contains(why) && !run.stderr.contains("hunter2"),
            "{}",
            run.stderr
        );
    }
}
