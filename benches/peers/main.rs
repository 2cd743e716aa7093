//! Ours beside its peers: `cargo bench --bench peers [-- --quick] [-- FILTER]`. BENCHMARKS.md says how it is measured.

mod compare;
mod contender;
mod data;
mod endings;
mod footprint;
mod instructions;
mod objects;
mod pacing;
#[cfg(feature = "nats")]
mod queues;
mod records;
mod report;
mod run;
mod service;
mod web;
mod workloads;

use std::fs::read_to_string;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use contender::{PEERS, found};
use data::Data;
use report::Report;

/// How many processors everyone has.
const PROCESSORS: usize = 2;

/// A row that is no copy beside others.
type Measure = fn(bool, &Data, &mut Report) -> io::Result<()>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("skipped: these are measured by `cargo bench --bench peers`");
        return ExitCode::SUCCESS;
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    match run(is_quick, &filters) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(is_quick: bool, filters: &[&String]) -> io::Result<()> {
    let begin = Instant::now();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let processors = share_processors()?;
    let mut report = Report::default();
    let pairs = if is_quick { 3 } else { 9 };
    report.table(&machine(processors, pairs));
    let data = Data::open(is_quick)?;
    let server = web::Server::start(&data)?;
    if server.is_none() {
        report.note("HTTP: nginx or openssl is missing".to_owned());
    }
    let tar = data.tar(data.lane_size)?;
    let store = objects::Server::start(&data)?;
    if store.is_none() {
        report.note("S3: s3s-fs is missing".to_owned());
    }
    let stored = store.iter().flat_map(|store| store.works(&tar));
    let small = data.tar(100 << 20)?;
    let service = service::Service::start(&small)?;
    let web = server.iter().flat_map(|server| {
        let url = server.url(&small);
        let one = std::iter::once(service.work(&small, &url));
        server.works(&tar).into_iter().chain(one)
    });
    for work in workloads::all(&data)?
        .into_iter()
        .chain(records::all(&data)?)
        .chain(web)
        .chain(stored)
    {
        if is_wanted(work.name) {
            compare::compare(&work, pairs, &data, &mut report)?;
        }
    }
    let others: &[(&str, Measure)] = &[
        ("serve, a fast client beside 200 slow ones", service::measure),
        ("view and meters on against off", instructions::measure),
        ("throttle", pacing::measure),
        #[cfg(feature = "nats")]
        ("nats", queues::measure),
        ("peak RSS", footprint::measure),
        ("SIGINT or an error to exit", endings::measure),
    ];
    for (name, measure) in others {
        if is_wanted(name) {
            measure(is_quick, &data, &mut report)?;
        }
    }
    let load = read_to_string("/proc/loadavg")?;
    report.note(format!(
        "took {} s; load at the end {}",
        begin.elapsed().as_secs(),
        load.trim()
    ));
    let file = if is_quick { "quick.md" } else { "full.md" };
    report.end(&data.path(file))
}

/// Everything that is started from here on runs on the same processors. Answers how many.
fn share_processors() -> io::Result<u32> {
    let allowed = sched_getaffinity(None)?;
    let mut shared = CpuSet::new();
    let all = 0..CpuSet::MAX_CPU;
    for processor in all.filter(|&processor| allowed.is_set(processor)).take(PROCESSORS) {
        shared.set(processor);
    }
    sched_setaffinity(None, &shared)?;
    Ok(shared.count())
}

/// Where and with what it is measured.
fn machine(processors: u32, pairs: usize) -> String {
    let read = |path| read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let (present, missing): (Vec<&str>, Vec<&str>) = PEERS.iter().partition(|peer| found(peer).is_some());
    let missing = if missing.is_empty() { vec!["none"] } else { missing };
    format!(
        "## Measured\n\n- {processors} processors of {}, Linux {}, load {}\n- {pairs} pairs of each, A B B A; ratios are ours / \
         theirs, median (min–max): below 1 is better\n- peers: {}\n- missing: {}\n",
        model.unwrap_or("an unknown kind"),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").trim(),
        present.join(", "),
        missing.join(", ")
    )
}
