//! Checks a server: clients read its response slowly, and its memory is looked at ten times a second.

use rustix::event::{PollFd, PollFlags};

use crate::error::{Failure, Kind};
use crate::platform::Tree;

use super::interruption::Interruption;
use super::series::{Sample, Series};
use super::slow_reader::{SlowReader, addresses};
use super::url::Url;
use super::verdict::{Clients, Ending, judge_server};
use super::{Moment, Outcome, Pace, Report, Settings, Watcher};

/// Steps in which the server's memory is looked at before the clients come.
const IDLE_STEPS: usize = 5;
/// What sockets hold by themselves, and more: a response that is over sooner has told nothing.
const TELLING: u64 = 8 << 20;
/// Steps without a byte in which a response that should end is waited for.
const QUIET_STEPS: u32 = 10;

/// The server that is checked.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub url: Url,
    /// Its process.
    pub pid: i32,
    /// How many clients come.
    pub clients: u32,
}

/// Checks a server.
///
/// # Errors
/// Where there is no such process ([`Kind::Usage`]), where it cannot be reached ([`Kind::Connect`]), where the system
/// does not tell what is needed, where resources are short, and where the watcher cannot go on.
pub fn check(target: &Target, settings: &Settings, watcher: &mut dyn Watcher) -> Result<Outcome, Failure> {
    let tree = Tree::Of(target.pid);
    let memory = tree
        .memory()
        .map_err(|error| Failure::io(Kind::Usage, "cannot measure a server's memory", error))?;
    if memory.processes == 0 {
        let operation = format!("cannot look at process {}", target.pid);
        return Err(Failure::because(
            Kind::Usage,
            operation,
            "there is none; --pid is the server's",
        ));
    }
    let interruption = Interruption::listen()?;
    let addresses = addresses(&target.url)?;
    // So that nothing has happened yet where the server cannot be reached.
    SlowReader::knock(&target.url, &addresses)?;
    watcher.begin()?;
    let mut check = Check {
        tree,
        readers: Vec::new(),
        buffer: vec![0; 64 << 10],
        pace: Pace::start(),
        series: Series::default(),
        steps_left: u32::try_from(settings.length.as_millis() / 100).unwrap_or(u32::MAX),
        steps: 0,
        contented: 0,
        asked: 0,
        max_rss: settings.max_rss,
    };
    check.steps = check.steps_left;
    let mut idle = Vec::new();
    while idle.len() < IDLE_STEPS {
        if let Some(signal) = interruption.signal() {
            return Ok(Outcome::Interrupted(signal));
        }
        if check.pace.wait(&mut [])? {
            idle.push(check.look(watcher, "looking at it at rest")?.rss);
        }
    }
    idle.sort_unstable();
    for _ in 0..target.clients {
        check
            .readers
            .push(SlowReader::start(&target.url, &addresses, settings.rate)?);
    }
    loop {
        if let Some(signal) = interruption.signal() {
            return Ok(Outcome::Interrupted(signal));
        }
        if let Some(ending) = check.turn(watcher)? {
            let clients = check.clients(&ending, &interruption)?;
            if let Some(signal) = interruption.signal() {
                return Ok(Outcome::Interrupted(signal));
            }
            let samples = check.series.samples();
            return Ok(Outcome::Judged(Report {
                verdict: judge_server(&samples, idle[IDLE_STEPS / 2], &clients, &ending),
                samples,
                complaint: String::new(),
            }));
        }
    }
}

struct Check {
    tree: Tree,
    readers: Vec<SlowReader>,
    buffer: Vec<u8>,
    pace: Pace,
    series: Series,
    steps_left: u32,
    steps: u32,
    /// How many times a client had bytes waiting at the end of a step, of how many times it was asked.
    contented: u64,
    asked: u64,
    max_rss: u64,
}

impl Check {
    /// Reads until the next step is due, and takes that.
    fn turn(&mut self, watcher: &mut dyn Watcher) -> Result<Option<Ending>, Failure> {
        if !self.move_bytes()? {
            return Ok(None);
        }
        let sample = self.look(watcher, "reading slowly")?;
        self.steps_left = self.steps_left.saturating_sub(1);
        // What comes first is the server's start, not its pace.
        let counts = self.steps_left < self.steps * 3 / 4;
        for reader in &mut self.readers {
            let had_enough = reader.step();
            if counts && !reader.is_over() {
                self.asked += 1;
                self.contented += u64::from(had_enough);
            }
        }
        Ok(if sample.rss == 0 {
            Some(Ending::Ended("by itself".to_owned()))
        } else if sample.rss > self.max_rss {
            Some(Ending::TooLarge(self.max_rss))
        } else if self.steps_left == 0 || self.readers.iter().any(SlowReader::is_over) {
            Some(Ending::Done)
        } else {
            None
        })
    }

    /// Reads until something has come or the next step is due; answers whether it is.
    fn move_bytes(&mut self) -> Result<bool, Failure> {
        let waiting: Vec<_> = self.readers.iter().filter_map(SlowReader::descriptor).collect();
        let mut waited_for: Vec<PollFd<'_>> = waiting.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let is_due = self.pace.wait(&mut waited_for)?;
        for reader in &mut self.readers {
            reader.read(&mut self.buffer);
        }
        Ok(is_due)
    }

    fn look(&mut self, watcher: &mut dyn Watcher, doing: &'static str) -> Result<Sample, Failure> {
        let memory = self
            .tree
            .memory()
            .map_err(|error| Failure::io(Kind::Resources, "cannot look at the server", error))?;
        let sample = Sample {
            elapsed: self.pace.elapsed(),
            rss: memory.rss,
            returned: self.readers.iter().map(SlowReader::received).sum(),
            is_running: memory.is_running,
            ..Sample::default()
        };
        if !self.readers.is_empty() && memory.rss > 0 {
            self.series.add(sample);
        }
        let progress = 1.0 - f64::from(self.steps_left) / f64::from(self.steps.max(1));
        watcher.sample(&sample, Moment { doing, progress })?;
        Ok(sample)
    }

    /// What the clients met with. One of them reads on as fast as it can, to see whether there was enough to read.
    fn clients(&mut self, ending: &Ending, interruption: &Interruption) -> Result<Clients, Failure> {
        let count = self.readers.len() as u64;
        let is_fine = |reader: &SlowReader| !reader.is_over() && reader.trouble().is_none();
        if *ending == Ending::Done && self.readers.iter().all(is_fine) {
            self.read_on(interruption)?;
        }
        let short = self.readers.iter().filter(|reader| reader.is_over());
        let shortest = short
            .map(SlowReader::received)
            .min()
            .filter(|received| *received < TELLING);
        Ok(Clients {
            count,
            trouble: self
                .readers
                .iter()
                .find_map(|reader| reader.trouble().map(str::to_owned)),
            shortest,
            // Nine of ten: a busy machine lets a server miss a turn.
            are_the_slow_ones: self.asked > 0 && self.contented * 10 >= self.asked * 9,
        })
    }

    fn read_on(&mut self, interruption: &Interruption) -> Result<(), Failure> {
        self.readers.truncate(1);
        let Some(had) = self.readers.first().map(SlowReader::received) else {
            return Ok(());
        };
        let missing = TELLING.saturating_sub(had);
        self.readers[0].allow(missing);
        let (mut quiet, mut before) = (0, had);
        while self.readers[0].descriptor().is_some() && quiet < QUIET_STEPS && interruption.signal().is_none() {
            if self.move_bytes()? {
                let now = self.readers[0].received();
                quiet = if now == before { quiet + 1 } else { 0 };
                before = now;
            }
        }
        Ok(())
    }
}
