//! A pipeline from its first byte to the last report of a stage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::endpoints::OpenSideFile;
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Link, Outlet, Pool, StageMeter};
use crate::graph::{EdgeId, EdgeMap, Graph, Id, NodeId, NodeMap};
use crate::plan::MemoryPlan;
use crate::platform::ResidentMemory;
use crate::stage::{
    Budget, Cancel, Claim, CommitTurn, Context, Durability, Durable, ExternalFd, Findings, Notice, Notices, OpenSource,
    OpenWriter, Outcome, Settle, SideFile, SubPipeline, Work,
};

use super::commit::Commits;
use super::controls::{Controls, SinkPause, Throttle};
use super::direct::Direct;
use super::guard::Guard;
use super::interrupt::{Cause, Interrupt};
use super::min_rate::Slow;
use super::opening::{OpenRole, Opened};
use super::pause_point::PausePoint;
use super::stall::Stall;
use super::start::{Reports, start, start_direct};
use super::sub_run::SubRun;
use super::verdict::{Next, Verdict};
use super::watch::{Watch, WatchedStage};
use super::{Ending, Observer, Settings};

/// Runs an opened pipeline to its end.
pub async fn run(
    opened: Opened,
    settings: Settings,
    observer: &mut (dyn Observer + Send),
    interrupt: &mut Interrupt,
) -> Ending {
    let before = ResidentMemory::open().now();
    let room = settings.max_rss.map(|limit| limit.saturating_sub(before));
    let mut run = Run::start(opened, room.unwrap_or(u64::MAX));
    let guard = match Guard::start(settings.max_rss, before, &run.watch) {
        Ok(guard) => guard,
        Err(failure) => return run.end(Some(Ending::failed(None, failure)), interrupt).await,
    };
    observer.started(&run.watch);
    let mut stall = Stall::new(settings.stall_timeout);
    let mut slow = Slow::new(settings.min_rate);
    let brief = tokio::time::sleep(settings.brief);
    tokio::pin!(brief);
    let mut is_brief = true;
    let mut drained_by = None;
    let drain_limit = tokio::time::sleep(settings.drain);
    tokio::pin!(drain_limit);
    let cause = loop {
        tokio::select! {
            event = run.next_event() => {
                if run.take_event(event) {
                    break None;
                }
            }
            cause = interrupt.next() => match cause {
                Cause::Signal(signal) if run.drains && drained_by.is_none() => {
                    drained_by = Some(signal);
                    drain_limit.as_mut().reset(Instant::now() + settings.drain);
                    run.drain();
                    observer.draining();
                }
                cause => break Some(cause.ending()),
            },
            () = &mut drain_limit, if drained_by.is_some() => break drained_by.map(|signal| Cause::Signal(signal).ending()),
            ending = guard.tripped() => break Some(ending),
            () = &mut brief, if is_brief => {
                is_brief = false;
                observer.goes_on();
            }
            () = stall.tick() => {
                if let Some(ending) = stall.look(&run.watch) {
                    break Some(ending);
                }
            }
            () = slow.tick() => {
                if let Some(ending) = slow.look(&run.watch) {
                    break Some(ending);
                }
            }
        }
    };
    // The guard cancels the links itself, so the stages may all have stopped before its report arrives.
    let cause = cause.or_else(|| guard.said());
    let ending = run.end(cause, interrupt).await;
    Ending { drained_by, ..ending }
}

/// What a running stage reports to the engine.
enum Event {
    /// An event while it continues.
    Notice(Notice),
    /// Its work is over.
    Ended(NodeId, Outcome),
}

/// The running stages, and everything that stops them.
pub struct Run {
    graph: Arc<Graph>,
    pub watch: Arc<Watch>,
    pub stages: NodeMap<Running>,
    pub commits: Commits,
    /// The sources that are told how the run ends.
    pub settles: Vec<Arc<dyn Settle>>,
    pub reports: UnboundedReceiver<(NodeId, Outcome)>,
    notices: UnboundedReceiver<Notice>,
    pub verdict: Verdict,
    /// Whether the first signal only ends the source.
    drains: bool,
    is_draining: Arc<AtomicBool>,
    /// Tells the source what is durable, where it is to be told.
    durability: Option<Arc<Durability>>,
    is_stopped: bool,
}

/// What the engine keeps of one stage while it runs.
pub struct Running {
    pub cancel: Arc<Cancel>,
    turn: Arc<CommitTurn>,
    notices: Notices,
    /// Bytes that it holds besides its links.
    state: u64,
    /// The state that it has claimed.
    claim: Option<Claim>,
    pub side_file: Option<Arc<OpenSideFile>>,
    sub_pipelines: Vec<Arc<dyn SubPipeline>>,
}

/// What is told how the run ends.
fn settles(roles: &NodeMap<OpenRole>) -> Vec<Arc<dyn Settle>> {
    let settles = roles.values().iter().filter_map(|role| match role {
        OpenRole::Source(source) => source.settle(),
        _ => None,
    });
    settles.collect()
}

impl Run {
    /// Joins the stages and starts them. Unbounded links stop growing when `most` bytes are in use.
    fn start(opened: Opened, most: u64) -> Self {
        let (pipe_room, most_unsent) = (pipe_room(&opened), most_unsent(opened.memory.limit));
        let (graph, memory) = (opened.graph, opened.memory);
        let begun = Instant::now();
        let (notice_sender, notices) = unbounded_channel();
        let mut watched = NodeMap::default();
        let mut throttles = Vec::new();
        let mut stages = NodeMap::default();
        let mut roles = NodeMap::default();
        let mut standings = NodeMap::default();
        for (node, stage) in opened.stages.into_entries() {
            throttles.extend(stage.rate_control.map(|rate_control| Throttle {
                stage: node.number(),
                name: stage.name,
                rate_control,
            }));
            watched.push(WatchedStage {
                name: stage.name,
                text: stage.text,
                listening: stage.listening,
                outside: stage.outside,
                meter: Arc::new(StageMeter::new(begun)),
                findings: Arc::default(),
                external_fd: Arc::new(ExternalFd::new(pipe_room, most_unsent)),
                output_size: stage.output_size,
                is_optional: false,
                is_lost: AtomicBool::new(false),
            });
            let cancel = Arc::<Cancel>::default();
            let stage_notices = Notices::new(node, notice_sender.clone());
            let own = |plan| Arc::new(SubRun::new(plan, cancel.clone())) as Arc<dyn SubPipeline>;
            stages.push(Running {
                turn: Arc::new(CommitTurn::new(stage_notices.clone())),
                notices: stage_notices,
                state: stage.state,
                claim: None,
                side_file: stage.side_file,
                sub_pipelines: stage.sub_pipelines.into_iter().map(own).collect(),
                cancel,
            });
            standings.push((stage.ends_early, stage.branches));
            roles.push(stage.role);
        }
        let verdict = Verdict::new(graph.clone(), &standings);
        for (node, stage) in watched.iter_mut() {
            stage.is_optional = verdict.is_optional(node);
        }
        let sinks = roles.iter().filter_map(|(node, role)| match role {
            OpenRole::Sink(sink) => Some((node, sink.phase(), sink.rollback())),
            _ => None,
        });
        let commits = Commits::new(sinks);
        let settles = settles(&roles);
        let findings = watched[graph.root()].findings.clone();
        let durability = durability(&settles, findings, required(&graph, &verdict).count());
        let direct = joins_directly(&mut roles, &memory);
        let (pool, links) = links(&memory, &opened.joins, direct, most);
        let pause_point = Arc::new(PausePoint::default());
        let hold = |node| match graph.input(node) {
            Some(edge) if !direct => SinkPause::Link(links[edge].clone()),
            _ => SinkPause::PausePoint(pause_point.clone()),
        };
        let budget = Budget::new(memory.limit, memory.link_bytes(), memory.fixed).with_share(memory.share);
        let (sender, reports) = unbounded_channel();
        let is_draining = Arc::<AtomicBool>::default();
        let mut run = Self {
            watch: Arc::new(Watch {
                start: begun,
                lane: direct.then(Arc::default),
                graph: graph.clone(),
                stages: watched,
                controls: Controls::new(graph.sinks().map(hold).collect(), throttles),
                links,
                pool,
                budget: Arc::new(budget),
                expected: opened.expected,
                resumed: opened.resumed,
                is_unbounded: memory.is_unbounded,
                is_draining: is_draining.clone(),
            }),
            verdict,
            graph,
            stages,
            commits,
            settles,
            reports,
            notices,
            drains: opened.drains,
            is_draining,
            durability,
            is_stopped: false,
        };
        if direct {
            run.start_direct(roles, &memory, pause_point, &sender);
        } else {
            run.start_linked(roles, &sender);
        }
        run
    }

    /// Starts every stage with the links around it.
    fn start_linked(&mut self, roles: NodeMap<OpenRole>, reports: &Reports) {
        let mut works = Vec::new();
        for (node, role) in roles.into_entries() {
            let stage = &mut self.stages[node];
            // The plan has made room for it.
            stage.claim = self.watch.budget.claim(stage.state).ok();
            let context = self.context(node);
            let input = self.graph.input(node).map(|edge| self.inlet(edge));
            let mut outlets = self.graph.outputs(node).iter().map(|edge| self.outlet(*edge));
            works.extend(match (role, input) {
                (OpenRole::Source(source), _) => outlets.next().map(|out| (node, source.start(out, context))),
                (OpenRole::Transform(stage), Some(input)) => {
                    outlets.next().map(|out| (node, stage.start(input, out, context)))
                }
                (OpenRole::Branch(stage), Some(input)) => Some((node, stage.start(input, outlets.collect(), context))),
                (OpenRole::Sink(sink), Some(input)) => Some((node, sink.start(input, context))),
                (OpenRole::Transform(_) | OpenRole::Branch(_) | OpenRole::Sink(_), None) => None,
            });
        }
        for (node, work) in works {
            self.start_one(node, work, reports.clone());
        }
    }

    fn start_one(&self, node: NodeId, work: Work, reports: Reports) {
        let stage = &self.watch.stages[node];
        start(node, stage.name, work, stage.meter.clone(), reports);
    }

    /// Starts a source and a sink without a link between them.
    fn start_direct(
        &self,
        roles: NodeMap<OpenRole>,
        memory: &MemoryPlan,
        pause_point: Arc<PausePoint>,
        reports: &Reports,
    ) {
        let mut source: Option<(NodeId, OpenSource)> = None;
        let mut sink: Option<(NodeId, OpenWriter)> = None;
        for (node, role) in roles.into_entries() {
            match role {
                OpenRole::Source(role) => source = Some((node, role)),
                OpenRole::Sink(role) => sink = Some((node, role)),
                OpenRole::Transform(_) | OpenRole::Branch(_) => {}
            }
        }
        let (Some((from, source)), Some((to, sink))) = (source, sink) else {
            return;
        };
        // There is one buffer, and no link.
        let largest = memory.links.values().first().map_or(0, |marks| marks.high / 2);
        let largest = usize::try_from(largest).unwrap_or(usize::MAX).max(1);
        let direct = Direct {
            source,
            sink,
            from: self.context(from),
            to: self.context(to),
            buffer: self.watch.pool.lease(largest),
            pause_point,
            lane: self.watch.lane.clone().unwrap_or_default(),
        };
        start_direct([from, to], direct, reports);
    }

    fn context(&self, node: NodeId) -> Context {
        let (watched, stage) = (&self.watch.stages[node], &self.stages[node]);
        Context {
            meter: watched.meter.clone(),
            cancel: stage.cancel.clone(),
            budget: self.watch.budget.clone(),
            findings: watched.findings.clone(),
            external_fd: watched.external_fd.clone(),
            side_file: stage.side_file.clone().map(|file| file as Arc<dyn SideFile>),
            commit: stage.turn.clone(),
            is_draining: self.is_draining.clone(),
            durable: self.durable(node),
            notices: stage.notices.clone(),
            sub_pipelines: stage.sub_pipelines.clone(),
        }
    }

    fn inlet(&self, edge: EdgeId) -> Inlet {
        let consumer = &self.watch.stages[self.graph.edge(edge).to];
        Inlet::new(self.watch.links[edge].clone(), consumer.meter.clone())
    }

    fn outlet(&self, edge: EdgeId) -> Outlet {
        let producer = &self.watch.stages[self.graph.edge(edge).from];
        Outlet::new(self.watch.links[edge].clone(), producer.meter.clone())
    }

    /// The next event of a stage; `None` once all stages have ended.
    async fn next_event(&mut self) -> Option<Event> {
        tokio::select! {
            Some(notice) = self.notices.recv() => Some(Event::Notice(notice)),
            report = self.reports.recv() => report.map(|(node, outcome)| Event::Ended(node, outcome)),
        }
    }

    /// Handles an event; returns whether the run is over, because all stages have ended or because one has failed.
    fn take_event(&mut self, event: Option<Event>) -> bool {
        let is_over = match event {
            None => true,
            Some(Event::Notice(Notice::Prepared(node))) => {
                self.commits.prepared(node);
                false
            }
            Some(Event::Notice(Notice::Detached { fork, output, after })) => {
                let why = format!("it accepted nothing for {after:?} and was detached (detach=)");
                let failure = Failure::because(Kind::Timeout, "cannot keep up", why);
                let next = self.verdict.detach(fork, output, failure);
                self.obey(next)
            }
            Some(Event::Ended(node, outcome)) => self.take_report(node, outcome),
        };
        if is_over {
            return true;
        }
        match self.commits.next(&self.verdict) {
            Some(node) => {
                self.stages[node].turn.grant();
                false
            }
            None => self.commits.is_stuck(&self.verdict),
        }
    }

    pub fn take_report(&mut self, node: NodeId, outcome: Outcome) -> bool {
        self.stages[node].claim = None;
        let text = &self.watch.stages[node].text;
        match &outcome {
            Ok(()) => tracing::debug!("{text}: done"),
            Err(Stop::PeerClosed) => tracing::debug!("{text}: stopped"),
            Err(Stop::Failed(failure)) => tracing::debug!("{text}: failed: {failure}"),
        }
        let next = self.verdict.report(node, outcome);
        self.obey(next)
    }

    /// Does what the verdict requires; returns whether the run is over.
    fn obey(&mut self, next: Next) -> bool {
        match next {
            Next::Wait => {}
            Next::Stop(unneeded) => {
                for node in unneeded {
                    self.stages[node].cancel.trip();
                    let is_lost = self.verdict.is_lost(node);
                    self.watch.stages[node].is_lost.store(is_lost, Ordering::Relaxed);
                }
            }
            Next::StopAll => return true,
        }
        self.verdict.awaited().next().is_none()
    }

    /// Where a sink reports what it has made durable.
    fn durable(&self, node: NodeId) -> Option<Durable> {
        let sink = required(&self.graph, &self.verdict).position(|sink| sink == node)?;
        Some(Durable::of(self.durability.clone()?, sink))
    }

    /// Ends the source: what it has read is committed.
    fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.stages[self.graph.root()].cancel.trip();
    }

    /// Tells every stage to stop, and frees what the links hold.
    pub fn stop(&mut self) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            self.stages.values().iter().for_each(|stage| stage.cancel.trip());
            self.watch.links.values().iter().for_each(|link| link.cancel());
        }
    }
}

/// What tells the source that wants to know what is durable in that many sinks.
fn durability(settles: &[Arc<dyn Settle>], findings: Arc<Findings>, sinks: usize) -> Option<Arc<Durability>> {
    let source = settles.iter().find(|source| source.is_acknowledged())?;
    Some(Durability::new(source.clone(), findings, sinks))
}

/// The sinks without which nothing is acknowledged: a branch counts also once it is lost, unless it is optional.
fn required(graph: &Graph, verdict: &Verdict) -> impl Iterator<Item = NodeId> {
    graph.sinks().filter(|sink| !verdict.is_optional(*sink))
}

/// Whether the pipeline is a source and a sink that need no link.
fn joins_directly(roles: &mut NodeMap<OpenRole>, memory: &MemoryPlan) -> bool {
    match roles.values_mut() {
        [OpenRole::Source(source), OpenRole::Sink(sink)] => {
            !memory.has_explicit_marks() && !memory.is_unbounded && Direct::joins(source, sink)
        }
        _ => false,
    }
}

/// The bytes that a pipe at an end may hold, which the ceiling does not count: a small part of it. Behind a throttle a
/// larger pipe would cause a burst, and before one it would gain nothing.
fn pipe_room(opened: &Opened) -> u64 {
    if opened.stages.values().iter().any(|stage| stage.rate_control.is_some()) {
        return 0;
    }
    (opened.memory.limit / 8).min(opened.wanted.unwrap_or(u64::MAX))
}

/// The bytes that a connection at an end may keep in the system, besides those that are on their way: as many as a pipe,
/// and enough for some segments.
fn most_unsent(limit: u64) -> u32 {
    const LEAST: u32 = 16 << 10;
    const MOST: u32 = 1 << 20;
    u32::try_from(limit / 8).map_or(MOST, |bytes| bytes.clamp(LEAST, MOST))
}

/// The links of a run, and the pool of their buffers. The direct path has none.
fn links(memory: &MemoryPlan, joins: &EdgeMap<bool>, direct: bool, most: u64) -> (Arc<Pool>, EdgeMap<Arc<Link>>) {
    let pool = Arc::new(if memory.is_unbounded {
        Pool::advisory(memory.link_bytes(), most)
    } else {
        Pool::new(memory.link_bytes())
    });
    let links = if direct {
        EdgeMap::default()
    } else {
        memory.links.map(|edge, marks| {
            let make = if joins[edge] { Link::joined } else { Link::new };
            make(*marks, pool.clone())
        })
    };
    (pool, links)
}

#[cfg(test)]
mod tests {
    use super::super::fake_runs::shapes;
    use super::super::fakes::{AtFirst, Case, Form, Moment, Tally, Way};
    use super::super::opening::open;
    use super::*;

    /// Runs a chain that times out once `is_there` is true.
    fn out_of_time(case: &Case, is_there: fn(&Run) -> bool) -> (Ending, Arc<Tally>) {
        let tally = Arc::<Tally>::default();
        let runtime = crate::platform::reactor().expect("a runtime");
        let ending = runtime.block_on(async {
            let mut interrupt = Interrupt::new(None).expect("signals");
            let opened = open(case.plan(&tally), &mut AtFirst::default(), &mut interrupt).await;
            let mut run = Run::start(opened.expect("fakes open"), u64::MAX);
            while !is_there(&run) {
                let report = run.next_event().await;
                run.take_event(report);
            }
            run.end(Some(Cause::Deadline.ending()), &mut interrupt).await
        });
        (ending, tally)
    }

    #[test]
    fn timeout_ends_every_wait() {
        for graph in shapes() {
            let stages = graph.nodes().len();
            for first in [Form::Task, Form::Thread] {
                // One waits until it is told to stop, the others at links that stay full or empty; in the last case all
                // continue.
                for at in 0..=stages {
                    let case = Case {
                        first,
                        ..Case::of(graph.clone(), Some((at, Way::Hang, Moment::Midway)))
                    };
                    let (ending, tally) = out_of_time(&case, |_| true);
                    assert_eq!(ending.exit_code(), 8, "{at}: {ending:?}");
                    assert_eq!(ending.left_behind, [""; 0], "{at}");
                    assert_eq!(tally.counts(), [stages, stages, 0, case.sinks()], "{at}");
                }
            }
        }
    }

    #[test]
    fn a_deadline_after_the_commit_changes_nothing() {
        for at in 1..3 {
            let case = Case::new(4, Some((at, Way::Hang, Moment::Over)));
            let (ending, tally) = out_of_time(&case, |run| run.verdict.is_whole());
            assert_eq!(ending.exit_code(), 0, "{at}: {ending:?}");
            assert_eq!(tally.counts(), [4, 4, 1, 0], "{at}");
        }
    }

    #[test]
    fn ended_stage_holds_no_state() {
        let case = Case::new(4, None);
        let (ending, _) = out_of_time(&case, |run| {
            let state = run.watch.budget.state();
            let transforms = [1, 2].map(|at| run.verdict.is_missing(Id::numbered(at)));
            let out = transforms.into_iter().filter(|is_out| *is_out).count() as u64;
            let sink = if run.verdict.is_whole() { 0 } else { 500 };
            assert_eq!(state, 1000 * out + sink);
            state == 0
        });
        assert_eq!(ending.exit_code(), 0, "{ending:?}");
    }
}
