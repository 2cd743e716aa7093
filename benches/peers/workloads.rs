//! The rows where ours and peers do the same.

use std::io;
use std::path::{Path, PathBuf};

use crate::compare::{Goal, Work};
use crate::contender::Contender;
use crate::data::Data;
use crate::run::Route;

const NODE_COPY: &str = "node -e fs.createReadStream(process.argv[1]).pipe(process.stdout) {in}";
const NODE_STDIN: &str = "node -e process.stdin.pipe(process.stdout)";
const NODE_GZIP: &str = "node -e \
                         fs.createReadStream(process.argv[1]).pipe(zlib.createGzip()).pipe(process.stdout) {in}";
const NODE_GUNZIP: &str = "node -e \
                           fs.createReadStream(process.argv[1]).pipe(zlib.createGunzip()).pipe(process.stdout) {in}";
const NODE_FILE: &str = "node -e \
                         fs.createReadStream(process.argv[1]).pipe(fs.createWriteStream(process.argv[2])) {in} {out}";
const NODE_TCP: &str = "node -e \
                        fs.createReadStream(process.argv[1]).pipe(net.connect(+process.argv[2])) {in} {port}";

const BEST: Goal = Goal::of_best(1.05, "≤ 1.05 × the best peer");
const HALF_OF_CAT: Goal = Goal::of("cat", 0.5, "≤ 0.5 × cat");

/// Every row, in the order of the report.
pub fn all(data: &Data) -> io::Result<Vec<Work>> {
    let tar = data.tar(data.lane_size)?;
    let mut works = copies(&tar);
    works.extend(programs(&tar));
    works.extend(tee(&data.tar(data.codec_size)?));
    works.extend(gzip(data)?);
    works.extend(zstd(data)?);
    works.extend(resumable(&data.tar(data.codec_size)?));
    works.push(view(&tar));
    works.extend(starts(data)?);
    Ok(works)
}

/// A row that copies `input`.
fn copy(name: &'static str, route: Route, input: &Path, ours: &str, peers: &[&str]) -> Work {
    Work {
        name,
        route,
        input: input.to_owned(),
        expected: input.to_owned(),
        unpack: None,
        repeat: 1,
        ours: Contender::new(ours),
        peers: peers.iter().map(|line| Contender::new(line)).collect(),
        must: BEST,
        aim: Goal::NONE,
    }
}

/// Adds ours as its own peer.
fn with_itself(mut work: Work) -> Work {
    work.peers
        .insert(0, Contender::named("highwater, A/A", work.ours.line()));
    work
}

/// The option that makes ours do what pv does; peers that copy stand beside it.
fn lent_pages(tar: &Path) -> Work {
    let work = copy(
        "file → pipe → cat, zero-copy=true",
        Route::Pipe,
        tar,
        "highwater -q read {in} zero-copy=true :: write -",
        &["cat {in}", "pv -q {in}"],
    );
    Work {
        aim: HALF_OF_CAT,
        ..work
    }
}

/// Copies to a connection.
fn sent(tar: &Path) -> Work {
    let mut to_tcp = copy(
        "file → TCP loopback",
        Route::Tcp,
        tar,
        "highwater -q read {in} :: write tcp://127.0.0.1:{port}",
        &[
            "socat -u -b262144 FILE:{in} TCP4:127.0.0.1:{port}",
            "nc -N 127.0.0.1 {port} < {in}",
            "mbuffer -q -i {in} -O 127.0.0.1:{port}",
            NODE_TCP,
        ],
    );
    to_tcp.must = Goal::of("socat", 1.0, "≤ 1.0 × socat, 256 KiB");
    to_tcp.aim = Goal::of("socat", 0.8, "≤ 0.8 ×");
    to_tcp
}

/// What lent pages are worth on a connection to the same machine, beside our own copies.
fn sent_pages(tar: &Path) -> Work {
    let mut work = copy(
        "file → TCP loopback, zero-copy=true",
        Route::Tcp,
        tar,
        "highwater -q read {in} zero-copy=true :: write tcp://127.0.0.1:{port}",
        &["socat -u -b262144 FILE:{in} TCP4:127.0.0.1:{port}"],
    );
    let copying = "highwater -q read {in} :: write tcp://127.0.0.1:{port}";
    work.peers.push(Contender::named("highwater, copying", copying));
    work.must = Goal::NONE;
    work
}

fn copies(tar: &Path) -> Vec<Work> {
    let from_file = [
        "cat {in}",
        "pv -q {in}",
        "dd if={in} bs=256K status=none",
        "mbuffer -q -i {in}",
        "socat -u -b262144 FILE:{in} STDOUT",
        NODE_COPY,
    ];
    let to_null = copy(
        "file → /dev/null",
        Route::Null,
        tar,
        "highwater -q read {in} :: write {sink}",
        &from_file,
    );
    let mut to_output = copy(
        "file → standard output, which is /dev/null",
        Route::Null,
        tar,
        "highwater -q read {in} :: write -",
        &["cat {in}"],
    );
    to_output.must = Goal::NONE;
    let to_file = copy(
        "file → file, without waiting for the disk",
        Route::File,
        tar,
        "highwater -q read {in} :: write {out} sync=false",
        &[
            "cat {in} > {out}",
            "cp {in} {out}",
            "pv -q {in} > {out}",
            "dd if={in} of={out} bs=256K status=none",
            "mbuffer -q -i {in} > {out}",
            NODE_FILE,
        ],
    );
    let to_disk = copy(
        "file → file, on the disk",
        Route::File,
        tar,
        "highwater -q read {in} :: write {out}",
        &["dd if={in} of={out} bs=1M conv=fsync status=none"],
    );
    let mut to_pipe = copy(
        "file → pipe → cat",
        Route::Pipe,
        tar,
        "highwater -q read {in} :: write -",
        &from_file,
    );
    to_pipe.aim = HALF_OF_CAT;
    let mut between = copy(
        "pipe → pipe",
        Route::Pipes,
        tar,
        "highwater -q read - :: write -",
        &[
            "cat",
            "pv -q",
            "dd bs=256K status=none",
            "mbuffer -q",
            "socat -u -b262144 STDIN STDOUT",
            NODE_STDIN,
        ],
    );
    between.aim = HALF_OF_CAT;
    let mut linked = copy(
        "file → /dev/null through a link",
        Route::Null,
        tar,
        "highwater -q read {in} high=1MiB :: write {sink}",
        &["cat {in}"],
    );
    linked.must = Goal::NONE;
    vec![
        to_file,
        to_disk,
        with_itself(to_null),
        to_output,
        to_pipe,
        lent_pages(tar),
        between,
        sent(tar),
        sent_pages(tar),
        linked,
    ]
}

/// Programs next to each other, beside the same pipeline of the shell.
fn programs(tar: &Path) -> [Work; 2] {
    let row = |name, ours, shell| {
        let mut work = copy(name, Route::Null, tar, ours, &[]);
        work.peers.push(Contender::named("the shell", shell));
        work.must = Goal::of("the shell", 1.05, "≤ 1.05 × the shell");
        work.aim = Goal::of("the shell", 1.0, "≤ 1.0 ×");
        work
    };
    let copied = row(
        "exec: three programs that copy",
        "highwater -q exec cat {in} :: exec cat :: exec cat",
        "sh -c 'cat {in} | cat | cat'",
    );
    let packed = row(
        "exec: three programs, one of which compresses",
        "highwater -q exec cat {in} :: exec zstd -q -1 :: exec cat",
        "sh -c 'cat {in} | zstd -q -1 | cat'",
    );
    [
        with_itself(copied),
        Work {
            unpack: Some("zstd"),
            ..packed
        },
    ]
}

fn tee(tar: &Path) -> [Work; 2] {
    let row = |name, ours| copy(name, Route::Tee, tar, ours, &["tee {out}.1 {out}.2 < {in}"]);
    let cached = row(
        "tee to two files and a pipe, without waiting for the disk",
        "highwater -q read {in} :: tee 'write {out}.1 sync=false' 'write {out}.2 sync=false' :: write -",
    );
    let mut durable = row(
        "tee to two files and a pipe, ours on the disk",
        "highwater -q read {in} :: tee 'write {out}.1' 'write {out}.2' :: write -",
    );
    durable.must = Goal::NONE;
    let cached = Work {
        must: Goal::of("tee", 1.05, "≤ 1.05 × tee"),
        aim: Goal::of("tee", 0.9, "≤ 0.9 ×"),
        ..with_itself(cached)
    };
    [cached, durable]
}

fn gzip(data: &Data) -> io::Result<Vec<Work>> {
    let tar = data.tar(data.codec_size)?;
    let noise = data.noise(data.codec_size)?;
    let plain = data.packed("gzip", &["-6", "-c"], &tar, "gz")?;
    let own = data.packed(
        "highwater",
        &["-q", "read - | gzip threads=2 | write -"],
        &tar,
        "own.gz",
    )?;
    let blocks = data.packed("crabz", &["-Q", "-f", "bgzf", "-p", "2"], &tar, "bgzf.gz")?;

    let compress = |name, input: &Path| Work {
        unpack: Some("gzip"),
        must: Goal {
            size: Some("pigz"),
            ..Goal::of("pigz", 0.45, "≤ 0.45 × pigz, size ≤ pigz's")
        },
        aim: Goal::of("crabz", 1.0, "≤ 1.0 × crabz mgzip"),
        ..copy(
            name,
            Route::Null,
            input,
            "highwater -q read {in} :: gzip threads=2 :: write {sink}",
            &["pigz -p 2 -c {in}", "crabz -Q -f mgzip -p 2 {in}"],
        )
    };
    let mut real = with_itself(compress("gzip, 2 threads", &tar));
    real.peers.extend(["gzip -c {in}", NODE_GZIP].map(Contender::new));
    let mut random = compress("gzip, 2 threads, random data", &noise);
    (random.must, random.aim) = (Goal::NONE, Goal::NONE);
    let mut works = vec![real, random];
    let decompress = |name, input: PathBuf| Work {
        input,
        expected: tar.clone(),
        ..copy(
            name,
            Route::Null,
            &tar,
            "highwater -q read {in} :: gunzip :: write {sink}",
            &["gzip -dc {in}", "pigz -p 2 -dc {in}"],
        )
    };
    if let Some(plain) = plain {
        let mut work = decompress("gunzip of a plain .gz", plain);
        work.peers
            .extend(["igzip -d -c {in}", "rapidgzip -q -d -c -P 2 {in}", NODE_GUNZIP].map(Contender::new));
        work.must = Goal::of("gzip", 0.35, "≤ 0.35 × gzip -dc");
        work.aim = Goal::of("igzip", 1.0, "≤ 1.0 × igzip");
        works.push(work);
    }
    if let Some(own) = own {
        let mut work = decompress("gunzip of our own gzip", own);
        let crabz = Contender::new("crabz -Q -d -f bgzf -p 2 {in}");
        work.peers.push(Contender::new("rapidgzip -q -d -c -P 2 {in}"));
        work.peers.push(crabz.reading(blocks));
        work.must = Goal::of("gzip", 0.25, "≤ 0.25 × gzip -dc");
        work.aim = Goal::of("crabz", 1.0, "≤ 1.0 × crabz on its bgzf");
        works.push(work);
    }
    Ok(works)
}

fn zstd(data: &Data) -> io::Result<Vec<Work>> {
    let tar = data.tar(data.codec_size)?;
    let noise = data.noise(data.codec_size)?;
    let must = Goal::of("zstd", 1.05, "≤ 1.05 × the zstd CLI");
    let aim = Goal {
        peak: Some(0.5),
        ..Goal::of("zstd", 1.0, "≤ 1.0 × at half its RSS")
    };
    let row = |name, input: &Path, ours, peers: &[&str]| Work {
        unpack: Some("zstd"),
        must,
        aim,
        ..copy(name, Route::Null, input, ours, peers)
    };
    let one = "highwater -q read {in} :: zstd :: write {sink}";
    let two = "highwater -q read {in} :: zstd threads=2 :: write {sink}";
    let random = Work {
        must: Goal::NONE,
        aim: Goal::NONE,
        ..row("zstd, 2 threads, random data", &noise, two, &["zstd -q -c -T2 {in}"])
    };
    let mut works = vec![
        row("zstd", &tar, one, &["zstd -q -c -T1 {in}"]),
        row("zstd, 2 threads", &tar, two, &["zstd -q -c -T2 {in}"]),
        random,
    ];
    if let Some(packed) = data.packed("zstd", &["-q", "-c"], &tar, "zst")? {
        works.push(Work {
            expected: tar.clone(),
            must,
            aim,
            ..copy(
                "unzstd",
                Route::Null,
                &packed,
                "highwater -q read {in} :: unzstd :: write {sink}",
                &["zstd -q -dc {in}"],
            )
        });
    }
    let own = data.packed(
        "highwater",
        &["-q", "read - | zstd frame=4MiB | write -"],
        &tar,
        "own.zst",
    )?;
    if let Some(own) = own {
        works.push(Work {
            expected: tar,
            must,
            aim: Goal::of("zstd", 0.6, "≤ 0.6 × on two threads"),
            ..copy(
                "unzstd of our own frames",
                Route::Null,
                &own,
                "highwater -q read {in} :: unzstd :: write {sink}",
                &["zstd -q -dc {in}"],
            )
        });
    }
    Ok(works)
}

/// What it costs that a killed run can go on: ours with a journal against ours without.
fn resumable(tar: &Path) -> [Work; 4] {
    let row = |name, stages: &str, unpack| {
        let without = format!("highwater -q read {{in}} :: {stages} :: write {{out}}");
        let mut work = copy(name, Route::File, tar, &format!("{without} resume=true"), &[]);
        work.peers.push(Contender::named("highwater, without", &without));
        work.unpack = unpack;
        work.must = Goal::of("highwater, without", 1.03, "≤ 1.03 × without");
        work
    };
    [
        row("resume=true: hash", "hash", None),
        row("resume=true: gzip, 2 threads", "gzip threads=2", Some("gzip")),
        row("resume=true: zstd", "zstd", Some("zstd")),
        row("resume=true: zstd, 2 threads", "zstd threads=2", Some("zstd")),
    ]
}

/// Time is a poor measure of so little: see also what counts instructions.
fn view(tar: &Path) -> Work {
    let mut work = copy(
        "view on against off, in time",
        Route::Null,
        tar,
        "highwater --progress json --interval 100ms read {in} high=1MiB :: write {sink}",
        &[],
    );
    work.peers.push(Contender::named(
        "the same, off",
        "highwater -q read {in} high=1MiB :: write {sink}",
    ));
    work.must = Goal::NONE;
    work
}

fn starts(data: &Data) -> io::Result<Vec<Work>> {
    let small = data.tar(1 << 10)?;
    let mut printed = copy(
        "start-up of a 1 KiB copy, 20 in a row",
        Route::Null,
        &small,
        "highwater -q read {in} :: write {sink}",
        &["cat {in}"],
    );
    printed.repeat = 20;
    printed.must = Goal::of("cat", 2.0, "≤ 2 × cat");
    printed.aim = Goal::of("cat", 1.5, "≤ 1.5 × cat");
    let mut filed = copy(
        "1 KiB copied to a file, 20 in a row",
        Route::File,
        &small,
        "highwater -q read {in} :: write {out} sync=false",
        &["cp {in} {out}"],
    );
    filed.repeat = 20;
    filed.must = Goal::NONE;
    Ok(vec![with_itself(printed), filed])
}
