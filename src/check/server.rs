//! Checks a server: clients read its responses slowly, and it is measured ten times a second.

use rustix::event::PollFd;

use crate::error::Failure;
use crate::platform::Tree;

use super::interruption::Interruption;
use super::meter::{Meter, passed};
use super::owner::trees;
use super::request::Request;
use super::series::Sample;
use super::slow_reader::{SlowReader, addresses};
use super::verdict::{Certainty, Clients, Ending, Finding, ServerEvidence, Verdict, judge_server};
use super::{Moment, Outcome, Pace, Report, Settings, Watcher};
use crate::net::http::Url;

/// Steps in which the idle server is measured before the clients connect.
const IDLE_STEPS: usize = 5;
/// More than sockets hold by themselves: a shorter response proves nothing.
const TELLING: u64 = 8 << 20;
/// Steps without a byte after which a response that should continue is given up, and the limit of all steps of that.
const QUIET_STEPS: u32 = 10;
const READ_ON_STEPS: u32 = 30;
/// An undecided check may take up to this many times its length.
const UNDECIDED_LENGTHS: u32 = 4;
/// From this step on a clear verdict ends the check; it is computed once in so many steps.
const FIRST_LOOK: u32 = 20;
const JUDGE_INTERVAL: u32 = 5;

/// The checked server.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub url: Url,
    /// Its processes; empty to find them by the port.
    pub pids: Vec<i32>,
    /// The number of clients.
    pub clients: u32,
    /// Their request.
    pub request: Request,
}

/// Checks a server.
///
/// # Errors
/// If its process is not found or not the server's ([`crate::error::Kind::Usage`]), if it cannot be reached
/// ([`crate::error::Kind::Connect`]), if the system cannot measure processes, if resources are short, or if the watcher
/// fails.
pub fn check(target: &Target, settings: &Settings, watcher: &mut dyn Watcher) -> Result<Outcome, Failure> {
    // Refuses a system that does not list processes before the server is contacted.
    Meter::new(vec![Tree::Ours], None)?;
    let addresses = addresses(&target.url)?;
    SlowReader::probe(&target.url, &addresses)?;
    let meter = Meter::new(trees(&target.pids, target.url.address.port)?, None)?;
    let interruption = Interruption::listen()?;
    watcher.begin()?;
    let mut check = Check {
        meter,
        readers: Vec::new(),
        buffer: vec![0; 64 << 10],
        pace: Pace::start(),
        steps: 0,
        length: u32::try_from(settings.length.as_millis() / 100).unwrap_or(u32::MAX / UNDECIDED_LENGTHS),
        idle: Sample::default(),
        ready: 0,
        asked: 0,
        settings: *settings,
    };
    let outcome = check.run(target, &addresses, &interruption, watcher)?;
    Ok(match outcome {
        Err(signal) => Outcome::Interrupted(signal, check.meter.series.last().unwrap_or_default()),
        Ok(verdict) => Outcome::Judged(Report {
            verdict,
            peak: check.meter.series.peak(),
            holder: check.meter.holder.take(),
            samples: check.meter.series.samples(),
            error_line: None,
        }),
    })
}

struct Check {
    meter: Meter,
    readers: Vec<SlowReader>,
    buffer: Vec<u8>,
    pace: Pace,
    /// Steps since the clients connected.
    steps: u32,
    length: u32,
    /// The server before they connected.
    idle: Sample,
    /// How often a served client had bytes waiting at the end of a step, out of how many looks.
    ready: u64,
    asked: u64,
    settings: Settings,
}

impl Check {
    /// Returns the verdict, or the signal that arrived before it.
    fn run(
        &mut self,
        target: &Target,
        addresses: &[std::net::SocketAddr],
        interruption: &Interruption,
        watcher: &mut dyn Watcher,
    ) -> Result<Result<Verdict, i32>, Failure> {
        let mut idle = Vec::new();
        while idle.len() < IDLE_STEPS {
            if let Some(signal) = interruption.signal() {
                return Ok(Err(signal));
            }
            if self.pace.wait(&mut [])? {
                idle.push(self.sample(watcher, "measuring it at rest")?);
            }
        }
        idle.sort_by_key(|sample| sample.memory);
        self.idle = idle[IDLE_STEPS / 2];
        for _ in 0..target.clients {
            let reader = SlowReader::start(&target.url, addresses, &target.request, self.settings.rate)?;
            self.readers.push(reader);
        }
        let ending = loop {
            if let Some(signal) = interruption.signal() {
                return Ok(Err(signal));
            }
            if let Some(ending) = self.turn(watcher)? {
                break ending;
            }
        };
        let clients = self.clients();
        let is_fine = clients.trouble.is_none() && clients.shortest.is_none();
        if ending == Ending::Done && is_fine && clients.length.is_none_or(|length| length < TELLING) {
            // Their sockets hold something, too, so there must have been more to read than that.
            if let Err(signal) = self.read_on(interruption)? {
                return Ok(Err(signal));
            }
        }
        let clients = Clients {
            are_the_slow_ones: clients.are_the_slow_ones,
            count: clients.count,
            served: clients.served,
            ..self.clients()
        };
        Ok(Ok(self.judge(&clients, &ending)))
    }

    fn judge(&self, clients: &Clients, ending: &Ending) -> Verdict {
        let evidence = ServerEvidence {
            samples: &self.meter.series.samples(),
            peak: self.meter.series.peak(),
            idle: self.idle,
            clients,
        };
        judge_server(evidence, ending)
    }

    /// Reads until the next step is due, and takes that step.
    fn turn(&mut self, watcher: &mut dyn Watcher) -> Result<Option<Ending>, Failure> {
        if !self.move_bytes()? {
            return Ok(None);
        }
        self.steps += 1;
        let sample = self.sample(watcher, "reading slowly")?;
        // The beginning shows the server's start, not its pace.
        let counts = self.steps > self.length / 4;
        for reader in &mut self.readers {
            let had_enough = reader.step();
            if counts && reader.received() > 0 && !reader.is_over() {
                self.asked += 1;
                self.ready += u64::from(had_enough);
            }
        }
        if sample.memory == 0 {
            return Ok(Some(Ending::Ended("by itself".to_owned())));
        }
        let is_over = self.steps >= self.length * UNDECIDED_LENGTHS || self.readers.iter().any(SlowReader::is_over);
        let ending = passed(&self.settings, &sample).or(is_over.then_some(Ending::Done));
        if ending.is_some() || self.steps < FIRST_LOOK || !self.steps.is_multiple_of(JUDGE_INTERVAL) {
            return Ok(ending);
        }
        let verdict = self.judge(&self.clients(), &Ending::Done);
        let is_enough = match verdict.certainty {
            Certainty::Final => verdict.finding == Finding::Buffers || self.steps >= self.length,
            Certainty::Enough => self.steps >= self.length,
            Certainty::Open => false,
        };
        Ok(is_enough.then_some(Ending::Done))
    }

    /// Reads until something arrives or the next step is due; returns whether it is.
    fn move_bytes(&mut self) -> Result<bool, Failure> {
        let waiting: Vec<_> = self.readers.iter().filter_map(SlowReader::descriptor).collect();
        let mut waited_for: Vec<PollFd<'_>> = waiting.iter().map(|(fd, flags)| PollFd::new(fd, *flags)).collect();
        let is_due = self.pace.wait(&mut waited_for)?;
        for reader in &mut self.readers {
            reader.send();
            reader.read(&mut self.buffer);
        }
        Ok(is_due)
    }

    fn sample(&mut self, watcher: &mut dyn Watcher, doing: &'static str) -> Result<Sample, Failure> {
        let used = self.meter.measure()?;
        let sample = Sample {
            elapsed: self.pace.elapsed(),
            rss: used.rss,
            memory: used.memory,
            disk: used.disk,
            returned: self.readers.iter().map(SlowReader::received).sum(),
            is_running: used.is_running,
            ..Sample::default()
        };
        if !self.readers.is_empty() && used.processes > 0 {
            self.meter.series.add(sample);
        }
        let progress = (f64::from(self.steps) / f64::from(self.length)).min(0.99);
        watcher.sample(&sample, Moment { doing, progress })?;
        Ok(sample)
    }

    /// What the clients have observed so far.
    fn clients(&self) -> Clients {
        let short = self.readers.iter().filter(|reader| reader.is_over());
        let shortest = short
            .map(SlowReader::received)
            .min()
            .filter(|received| *received < TELLING);
        Clients {
            count: self.readers.len() as u64,
            served: self.readers.iter().filter(|reader| reader.received() > 0).count() as u64,
            trouble: self
                .readers
                .iter()
                .find_map(|reader| reader.trouble().map(str::to_owned)),
            shortest,
            length: self.readers.iter().find_map(SlowReader::length),
            // Nine of ten: on a busy machine a server may miss a turn.
            are_the_slow_ones: self.asked > 0 && self.ready * 10 >= self.asked * 9,
        }
    }

    /// Lets one client read as fast as it can, for a while.
    fn read_on(&mut self, interruption: &Interruption) -> Result<Result<(), i32>, Failure> {
        self.readers.sort_by_key(|reader| std::cmp::Reverse(reader.received()));
        self.readers.truncate(1);
        let Some(had) = self.readers.first().map(SlowReader::received) else {
            return Ok(Ok(()));
        };
        self.readers[0].allow(TELLING.saturating_sub(had));
        let (mut quiet, mut before, mut steps) = (0, had, 0);
        while self.readers[0].descriptor().is_some() && quiet < QUIET_STEPS && steps < READ_ON_STEPS {
            if let Some(signal) = interruption.signal() {
                return Ok(Err(signal));
            }
            if self.move_bytes()? {
                let now = self.readers[0].received();
                quiet = if now == before { quiet + 1 } else { 0 };
                before = now;
                steps += 1;
            }
        }
        Ok(Ok(()))
    }
}
