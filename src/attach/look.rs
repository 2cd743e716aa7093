//! Samples a pipeline of other programs.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::FileSample;
use crate::error::shown;
use crate::graph::{EdgeId, EdgeMap, Graph, NodeId, NodeMap};
use crate::platform::other_process::{HeldDescriptor, Target, child_processes, command_line, file_position};

use super::activity::{Elsewhere, State};
use super::attached::{Attached, Counters, LinkCounters, StageCounters};
use super::census::{Carrier, command, name, own_pid};
use super::levels::{Levels, LinkProbe};
use super::member::{Ends, Member};
use super::pipeline::{Link, Pipeline};

/// The mean time between two samples of what each thread does.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// How often memory and processor time are read.
const PROGRAMS_INTERVAL: Duration = Duration::from_millis(500);
/// How often levels and bytes are read.
const COUNTERS_INTERVAL: Duration = Duration::from_millis(200);
/// How often threads, descriptors and children are listed.
const LISTS_INTERVAL: Duration = Duration::from_secs(1);
/// The time that the rate of a file is taken over.
const RECENT: Duration = Duration::from_secs(5);

/// Looks at a pipeline, again and again.
#[derive(Debug)]
pub struct Look {
    attached: Arc<Attached>,
    graph: Graph,
    links: EdgeMap<Link>,
    probes: EdgeMap<LinkProbe>,
    stages: NodeMap<WatchedStage>,
    /// The first process of each stage, and this process: what descends from one is no part of another stage.
    leaders: Vec<i32>,
    begun: Instant,
    last: Instant,
    next_counters: Instant,
    next_lists: Instant,
    /// Whether the source ends with the file that it reads.
    reads_one_file: bool,
    /// How far the source was in its file, over the last seconds.
    offsets: VecDeque<(Duration, u64)>,
    random: u64,
}

/// The processes of one stage.
#[derive(Debug)]
struct WatchedStage {
    pid: i32,
    is_owner: bool,
    members: Vec<Member>,
    /// The sum of what its processes had read and written when each was first seen. What a child has moved is added to
    /// its parent's counters once that has waited for it: see `proc_pid_io(5)`.
    base: (u64, u64),
    /// The same of their processor time.
    base_cpu: Duration,
}

impl Look {
    /// Begins to look at a pipeline.
    #[must_use]
    pub fn new(pipeline: &Pipeline) -> Self {
        let now = Instant::now();
        let stages = pipeline.stages.map(|_, stage| WatchedStage {
            pid: stage.pid,
            is_owner: stage.is_owner,
            members: Vec::new(),
            base: (0, 0),
            base_cpu: Duration::ZERO,
        });
        let counters = Counters {
            stages: pipeline.stages.map(|_, stage| StageCounters::of(stage.pid)),
            links: pipeline.links.map(|_, _| LinkCounters::default()),
            ..Counters::default()
        };
        let leaders = pipeline.stages.values().iter().map(|stage| stage.pid);
        let mut this = Self {
            attached: Arc::new(Attached::new(pipeline.graph.clone(), counters)),
            graph: pipeline.graph.clone(),
            probes: pipeline.links.map(|_, link| LinkProbe::new(link)),
            links: pipeline.links.clone(),
            leaders: leaders.chain([own_pid()]).collect(),
            stages,
            begun: now,
            last: now,
            next_counters: now,
            next_lists: now + LISTS_INTERVAL,
            reads_one_file: false,
            offsets: VecDeque::new(),
            random: u64::from(std::process::id()) | 1,
        };
        this.list();
        // What is started later moves all of its bytes from now on.
        for stage in this.stages.values_mut() {
            for member in &stage.members {
                stage.base.0 += member.base.0;
                stage.base.1 += member.base.1;
                stage.base_cpu += member.used().cpu;
            }
        }
        this.count();
        this
    }

    /// What was seen so far.
    #[must_use]
    pub fn attached(&self) -> Arc<Attached> {
        self.attached.clone()
    }

    /// How long to wait for the next sample: never in step with what is looked at.
    pub fn interval(&mut self) -> Duration {
        // See Marsaglia, Xorshift RNGs, 2003.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let part = u32::try_from(self.random >> 40).unwrap_or(0) & 0xFFFF;
        SAMPLE_INTERVAL / 2 + SAMPLE_INTERVAL * part / 0xFFFF
    }

    /// Takes a sample; returns whether the pipeline goes on.
    pub fn sample(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.next_lists {
            self.list();
            self.renew_probes();
            self.next_lists = now + LISTS_INTERVAL;
        }
        let levels = Levels::new(&self.probes);
        let states = self.stages.iter_mut().map(|(node, stage)| {
            let state = stage.state(&levels);
            let ends = |held: &HeldDescriptor| ends(&self.graph, &self.links, node, held);
            // A shell or xargs may start many children between two listings, and wait for one or for what it prints.
            match state {
                Some(State::Waiting(Elsewhere::Child | Elsewhere::Pipe)) if stage.find_started(&self.leaders, ends) => {
                    stage.state(&levels)
                }
                _ => state,
            }
        });
        let states: NodeMap<Option<State>> = states.collect();
        let time = now.saturating_duration_since(self.last);
        self.last = now;
        {
            let mut counters = self.attached.counters();
            counters.at = now.saturating_duration_since(self.begun);
            let at = counters.at;
            for (node, seen) in states.iter() {
                let stage = &mut counters.stages[node];
                match seen {
                    Some(done) => {
                        stage.times.ended_at = None;
                        stage.spend(time, *done);
                    }
                    None => {
                        stage.times.ended_at.get_or_insert(at);
                    }
                }
            }
            for (edge, link) in counters.links.iter_mut() {
                let joined = self.graph.edge(edge);
                let is_full = states[joined.from] == Some(State::Backpressured(edge));
                let waiting_with = is_full.then(|| self.stages[joined.from].transferred().1);
                link.observe(time, waiting_with, states[joined.to] == Some(State::Idle));
            }
        }
        let is_over = !self.goes_on(&states);
        if now >= self.next_counters || is_over {
            self.count();
            self.next_counters = now + COUNTERS_INTERVAL;
        }
        !is_over
    }

    /// A pipeline goes on as long as something reads from one of its links. What has started the pipeline may never
    /// close its end.
    fn goes_on(&self, states: &NodeMap<Option<State>>) -> bool {
        let is_there = |node: NodeId| states[node].is_some() && self.stages[node].members.iter().any(Member::is_joined);
        let mut links = self.graph.edges().map(|edge| self.graph.edge(edge));
        links.any(|edge| is_there(edge.to) && (!self.stages[edge.to].is_owner || is_there(edge.from)))
    }

    /// Lists the processes of each stage with their threads and descriptors.
    fn list(&mut self) {
        for (node, stage) in self.stages.iter_mut() {
            let ends = |held: &HeldDescriptor| ends(&self.graph, &self.links, node, held);
            stage.members.retain_mut(|member| member.refresh(ends));
            stage.find_started(&self.leaders, ends);
            let mut counters = self.attached.counters();
            let counted = &mut counters.stages[node];
            // The command that runs now stands for the shell that has started it.
            if let Some(newest) = stage.members.iter().rev().find(|member| member.is_joined()) {
                let text = command(newest.pid);
                if !text.starts_with('[') && text != counted.text {
                    (counted.text, counted.name) = (text, name(newest.pid));
                }
                counted.pid = newest.pid.unsigned_abs();
            }
        }
        self.reads_one_file = self.stages[self.graph.root()].reads_one_file();
    }

    /// Looks at the ends of links through processes that hold them now: a subshell's commands come and go.
    fn renew_probes(&mut self) {
        for (edge, probe) in self.probes.iter_mut() {
            let joined = self.graph.edge(edge);
            let [writer, reader] = [joined.from, joined.to].map(|node| self.stages[node].holder(edge));
            let link = &mut self.links[edge];
            let mut is_new = false;
            for (end, holder) in [(&mut link.writer, writer), (&mut link.reader, reader)] {
                if let Some((pid, held)) = holder.filter(|(pid, _)| *pid != end.0) {
                    let direction = HeldDescriptor {
                        reads: end.1.reads,
                        writes: end.1.writes,
                        ..held
                    };
                    *end = (pid, direction);
                    is_new = true;
                }
            }
            if is_new {
                *probe = LinkProbe::new(link);
            }
        }
    }

    /// Reads levels, bytes, memory and the files at the ends.
    fn count(&mut self) {
        let levels = Levels::new(&self.probes);
        let mut counters = self.attached.counters();
        let at = counters.at;
        let is_due = at == Duration::ZERO || at >= counters.counted_at + PROGRAMS_INTERVAL;
        if is_due {
            counters.counted_at = at;
        }
        for (edge, link) in counters.links.iter_mut() {
            let level = levels.level(edge);
            // Nothing is in a pipe that is gone.
            link.levels.buffered = level.map_or(0, |level| level.bytes);
            if let Some(level) = level {
                link.levels.peak = link.levels.peak.max(level.bytes);
                link.levels.high = level.capacity.max(level.bytes);
                // A writer goes on once a page is free.
                link.levels.low = link.levels.high.saturating_sub(PAGE);
            }
        }
        for (node, stage) in self.stages.iter() {
            let counted = &mut counters.stages[node];
            let (read, written) = stage.transferred();
            counted.bytes_in = counted.bytes_in.max(read.saturating_sub(stage.base.0));
            counted.bytes_out = counted.bytes_out.max(written.saturating_sub(stage.base.1));
            if is_due {
                let (mut rss, mut cpu) = (0, Duration::ZERO);
                for used in stage.members.iter().map(Member::used) {
                    rss += used.rss;
                    cpu += used.cpu;
                }
                counted.rss = rss;
                counted.cpu = counted.cpu.max(cpu.saturating_sub(stage.base_cpu));
            }
        }
        self.estimate_uncounted(&mut counters);
        let rss = counters.stages.values().iter().map(|stage| stage.rss).sum();
        counters.rss_peak = counters.rss_peak.max(rss);
        let buffered = counters.links.values().iter().map(|link| link.levels.buffered).sum();
        counters.buffered_peak = counters.buffered_peak.max(buffered);
        for node in self.graph.nodes() {
            let is_source = self.graph.input(node).is_none();
            let file = self.stages[node]
                .file(is_source)
                .filter(|_| is_source || self.graph.is_sink(node));
            let counted = &mut counters.stages[node];
            let moved = file.and_then(|file| counted.note_file(file)).unwrap_or(0);
            let bytes = if is_source {
                &mut counted.bytes_in
            } else {
                &mut counted.bytes_out
            };
            *bytes = moved.max(*bytes);
        }
        let file = counters.stages[self.graph.root()].file.clone();
        let Some(file) = file.filter(|file| file.size > 0 && self.reads_one_file) else {
            return;
        };
        self.offsets.push_back((at, file.offset));
        while self.offsets.len() > 2 && self.offsets[1].0 + RECENT <= at {
            self.offsets.pop_front();
        }
        counters.progress = Some(ratio(file.offset, file.size).min(1.0));
        counters.remaining = self.offsets.front().and_then(|(before, offset)| {
            let rate = file.offset.checked_sub(*offset).filter(|moved| *moved > 0)?;
            let seconds = ratio(file.size.saturating_sub(file.offset), rate) * at.saturating_sub(*before).as_secs_f64();
            Duration::try_from_secs_f64(seconds).ok()
        });
    }

    /// What splice(2) and vmsplice(2) move is in no process's counters. The other side of the pipe has counted it.
    fn estimate_uncounted(&self, counters: &mut Counters) {
        for edge in self.graph.edges() {
            let (joined, held) = (self.graph.edge(edge), counters.links[edge].levels.buffered);
            let [given, taken] = [
                counters.stages[joined.from].bytes_out,
                counters.stages[joined.to].bytes_in,
            ];
            if taken > given {
                counters.stages[joined.from].bytes_out = taken;
            } else if self.graph.outputs(joined.from).len() == 1 && !self.stages[joined.from].writes_files() {
                counters.stages[joined.to].bytes_in = taken.max(given.saturating_sub(held));
            }
        }
    }
}

impl WatchedStage {
    /// Begins to look at its processes that it did not have before, and leaves out those that are gone; returns whether
    /// there are new ones. What descends from the first process of another stage belongs there.
    fn find_started(&mut self, leaders: &[i32], ends: impl Fn(&HeldDescriptor) -> Ends) -> bool {
        self.members.retain(|member| !member.is_gone());
        let known = self.members.len();
        let mut found = vec![self.pid];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            at += 1;
            if !self.is_owner {
                let children = child_processes(pid).into_iter();
                found.extend(children.filter(|child| !leaders.contains(child)));
            }
            if self.members.iter().all(|member| member.pid != pid) {
                self.members.push(Member::new(pid, &ends));
            }
        }
        self.members.len() > known
    }

    /// What its processes do now; `None` if none is left.
    fn state(&mut self, levels: &Levels<'_>) -> Option<State> {
        let states = self.members.iter_mut().filter_map(|member| member.state(levels));
        states.max()
    }

    /// What its processes have read and written.
    fn transferred(&self) -> (u64, u64) {
        let moved = self.members.iter().filter_map(Member::transferred);
        moved.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    /// The first process that holds an end of a link, and its descriptor.
    fn holder(&self, edge: EdgeId) -> Option<(i32, HeldDescriptor)> {
        let mut members = self.members.iter();
        members.find_map(|member| Some((member.pid, member.end_of(edge)?)))
    }

    /// Whether it has a file open for writing, besides its standard error.
    fn writes_files(&self) -> bool {
        let mut held = self.members.iter().flat_map(Member::held);
        held.any(|held| held.writes && held.fd != 2 && matches!(held.target, Target::File(_)))
    }

    /// Whether its input ends with the file that it reads: that is at its standard input, or is the last word of its
    /// command.
    fn reads_one_file(&self) -> bool {
        let files = self.members.iter().flat_map(|member| {
            let held = member.held().into_iter().filter(|held| held.reads);
            held.map(|held| (member.pid, held))
        });
        let mut files = files.filter_map(|(pid, held)| match held.target {
            Target::File(path) => Some((pid, held.fd, path)),
            _ => None,
        });
        files.any(|(pid, fd, path)| {
            let last = command_line(pid).pop().unwrap_or_default();
            fd == 0 || !last.is_empty() && path.as_os_str().as_bytes().ends_with(&last)
        })
    }

    /// The file that it reads from or writes to: the one at its standard input or output, or the largest.
    fn file(&self, is_source: bool) -> Option<FileSample> {
        let standard = i32::from(!is_source);
        let files = self.members.iter().flat_map(|member| {
            let held = member.held().into_iter();
            let wanted = held.filter(|held| if is_source { held.reads } else { held.writes } && held.fd != 2);
            wanted.filter_map(|held| {
                let Target::File(path) = held.target else { return None };
                let position = file_position(member.pid, held.fd)?;
                Some((held.fd == standard, position, path))
            })
        });
        let (_, position, path) = files.max_by_key(|(is_standard, position, _)| (*is_standard, position.size))?;
        Some(FileSample {
            path: shown(path.as_os_str().as_encoded_bytes()),
            offset: position.offset,
            size: position.size,
        })
    }
}

/// The page size of a pipe.
const PAGE: u64 = 4096;

/// The links that a descriptor of a stage is an end of.
fn ends(graph: &Graph, links: &EdgeMap<Link>, node: NodeId, held: &HeldDescriptor) -> Ends {
    let is_at = |edge: EdgeId, writes: bool| match (links[edge].carrier, &held.target) {
        (Carrier::Connection(writer, reader), Target::Socket(inode)) => *inode == if writes { writer } else { reader },
        (carrier, _) => Carrier::of(held) == Some(carrier) && if writes { held.writes } else { held.reads },
    };
    // What a program says on its standard error is not its output.
    let is_output = |edge: &EdgeId| held.fd != 2 && is_at(*edge, true);
    Ends {
        input: graph.input(node).filter(|edge| is_at(*edge, false)),
        output: graph.outputs(node).iter().copied().find(is_output),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(all(test, not(feature = "portable-platform")))]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::super::Census;
    use super::*;

    #[test]
    fn earlier_bytes_are_left_out() {
        let script = "{ head -c 10000000 /dev/zero; cat; } | \
                      { head -c 10000000 > /dev/null; echo ready; read line; echo passed; read line; } 2>&1";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut stdin = shell.stdin.take().expect("a pipe");
        let mut said = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
        let mut said = || said.next().expect("a line").expect("text");
        assert_eq!(said(), "ready");
        let census = Census::take().expect("a list");
        let pipelines = census.pipelines_of(&[shell.id().cast_signed()]);
        let mut look = Look::new(&pipelines[0]);
        stdin.write_all(b"twelve bytes\n").expect("written");
        assert_eq!(said(), "passed");
        assert!(look.sample());
        look.count();
        let moved = look
            .attached
            .counters()
            .stages
            .map(|_, stage| (stage.bytes_in, stage.bytes_out));
        drop(stdin);
        shell.wait().expect("it ends");
        assert_eq!((moved.values()[0].1, moved.values()[1].0), (13, 13));
    }
}
