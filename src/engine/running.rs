//! A pipeline from its first byte to its last report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::endpoints::OpenSideFile;
use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Link, Outlet, Pool, StageMeter};
use crate::graph::{EdgeId, EdgeMap, Graph, Id, NodeId, NodeMap};
use crate::plan::MemoryPlan;
use crate::platform::ResidentMemory;
use crate::stage::{
    Budget, Cancel, Claim, CommitTurn, Context, Outcome, OuterSide, Settle, Settled, SideFile, Sink, Source,
    SubPipeline, Work,
};

use super::commit::{Commits, Fate};
use super::controls::{Controls, Hold, Throttle};
use super::direct::Direct;
use super::gate::Gate;
use super::guard::Guard;
use super::interrupt::{Cause, Interrupt};
use super::min_rate::Slow;
use super::opening::{OpenRole, Opened};
use super::settling::settle;
use super::stall::Stall;
use super::start::{Reports, land, start, start_direct};
use super::sub_run::SubRun;
use super::verdict::{Loss, Next, Verdict};
use super::watch::{Watch, WatchedStage};
use super::{Ending, Observer, Settings};

/// How long a stage may take to come back after a signal. Every wait ends at once; what takes longer is a disk that does
/// not answer, or a machine that has no time for us.
const GRACE: Duration = Duration::from_millis(50);
/// How long it may take after a failure, where nobody sits and waits.
const LONG_GRACE: Duration = Duration::from_secs(2);

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
    let cause = loop {
        tokio::select! {
            event = run.next_event() => {
                if run.take_event(event) {
                    break None;
                }
            }
            cause = interrupt.next() => break Some(cause.ending()),
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
    // The guard stops the links itself: the stages may all be back before it is heard. What was done by then is done.
    let cause = cause.or_else(|| guard.said());
    run.end(cause, interrupt).await
}

/// What a running stage tells the engine.
enum Event {
    /// Its output is prepared, and it waits for its turn to commit.
    Prepared(NodeId),
    /// Its work is over.
    Ended(NodeId, Outcome),
}

/// The running stages, and everything that stops them.
struct Run {
    graph: Arc<Graph>,
    watch: Arc<Watch>,
    stages: NodeMap<Running>,
    commits: Commits,
    /// The sources that want to know how the run is settled.
    settles: Vec<Arc<dyn Settle>>,
    reports: UnboundedReceiver<(NodeId, Outcome)>,
    prepared: UnboundedReceiver<NodeId>,
    verdict: Verdict,
    is_stopped: bool,
}

/// What the engine keeps of one stage while it runs.
struct Running {
    cancel: Arc<Cancel>,
    turn: Arc<CommitTurn>,
    /// Bytes that it holds besides its links.
    state: u64,
    /// The state that it has claimed.
    claim: Option<Claim>,
    side_file: Option<Arc<OpenSideFile>>,
    sub_pipelines: Vec<Arc<dyn SubPipeline>>,
}

impl Run {
    /// Joins the stages and starts them. Links without a bound stop growing when `most` bytes are in use.
    fn start(opened: Opened, most: u64) -> Self {
        let pipe_room = pipe_room(&opened);
        let (graph, memory) = (opened.graph, opened.memory);
        let begun = Instant::now();
        let (prepared_sender, prepared) = unbounded_channel();
        let mut watched = NodeMap::default();
        let mut throttles = Vec::new();
        let mut stages = NodeMap::default();
        let mut roles = NodeMap::default();
        let mut standings = NodeMap::default();
        for (node, stage) in opened.stages.into_entries() {
            throttles.extend(stage.dial.map(|dial| Throttle {
                stage: node.number(),
                name: stage.name,
                dial,
            }));
            watched.push(WatchedStage {
                name: stage.name,
                text: stage.text,
                listening: stage.listening,
                meter: Arc::new(StageMeter::new(begun)),
                findings: Arc::default(),
                outer_side: Arc::new(OuterSide::new(pipe_room)),
                output_size: stage.output_size,
            });
            let cancel = Arc::<Cancel>::default();
            let own = |plan| Arc::new(SubRun::new(plan, cancel.clone())) as Arc<dyn SubPipeline>;
            stages.push(Running {
                turn: Arc::new(CommitTurn::new(node, prepared_sender.clone())),
                state: stage.state,
                claim: None,
                side_file: stage.side_file,
                sub_pipelines: stage.sub_pipelines.into_iter().map(own).collect(),
                cancel,
            });
            standings.push((stage.ends_early, stage.branches));
            roles.push(stage.role);
        }
        let sinks = roles.iter().filter_map(|(node, role)| match role {
            OpenRole::Sink(sink) => Some((node, sink.phase(), sink.rollback())),
            _ => None,
        });
        let commits = Commits::new(sinks);
        let settles = roles.values().iter().filter_map(|role| match role {
            OpenRole::Source(source) => source.settle(),
            _ => None,
        });
        let settles = settles.collect();
        let direct = joins_directly(&mut roles, &memory);
        let (pool, links) = links(&memory, direct, most);
        let gate = Arc::new(Gate::default());
        let hold = |node| match graph.input(node) {
            Some(edge) if !direct => Hold::Link(links[edge].clone()),
            _ => Hold::Gate(gate.clone()),
        };
        let budget = Budget::new(memory.limit, memory.link_bytes(), memory.fixed).with_share(memory.share);
        let (sender, reports) = unbounded_channel();
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
                is_unbounded: memory.is_unbounded,
            }),
            verdict: Verdict::new(graph.clone(), &standings),
            graph,
            stages,
            commits,
            settles,
            reports,
            prepared,
            is_stopped: false,
        };
        if direct {
            run.start_direct(roles, &memory, gate, &sender);
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
    fn start_direct(&self, roles: NodeMap<OpenRole>, memory: &MemoryPlan, gate: Arc<Gate>, reports: &Reports) {
        let mut source: Option<(NodeId, Box<dyn Source>)> = None;
        let mut sink: Option<(NodeId, Box<dyn Sink>)> = None;
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
        let largest = memory.links.values().first().map_or(1, |marks| marks.chunk);
        let direct = Direct {
            source,
            sink,
            from: self.context(from),
            to: self.context(to),
            buffer: self.watch.pool.lease(largest),
            gate,
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
            outer_side: watched.outer_side.clone(),
            side_file: stage.side_file.clone().map(|file| file as Arc<dyn SideFile>),
            commit: stage.turn.clone(),
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

    /// The next thing that a stage tells; `None` when none of them can any more.
    async fn next_event(&mut self) -> Option<Event> {
        tokio::select! {
            Some(node) = self.prepared.recv() => Some(Event::Prepared(node)),
            report = self.reports.recv() => report.map(|(node, outcome)| Event::Ended(node, outcome)),
        }
    }

    /// Takes what a stage tells; returns whether the run is over, because all are back or because one has failed.
    fn take_event(&mut self, event: Option<Event>) -> bool {
        let is_over = match event {
            None => true,
            Some(Event::Prepared(node)) => {
                self.commits.prepared(node);
                false
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

    fn take_report(&mut self, node: NodeId, outcome: Outcome) -> bool {
        self.stages[node].claim = None;
        let text = &self.watch.stages[node].text;
        match &outcome {
            Ok(()) => tracing::debug!("{text}: done"),
            Err(Stop::Neighbour) => tracing::debug!("{text}: stopped"),
            Err(Stop::Failed(failure)) => tracing::debug!("{text}: failed: {failure}"),
        }
        match self.verdict.report(node, outcome) {
            Next::Wait => {}
            Next::Stop(unneeded) => unneeded.into_iter().for_each(|node| self.stages[node].cancel.trip()),
            Next::StopAll => return true,
        }
        self.verdict.awaited().next().is_none()
    }

    /// Tells every stage to stop, and frees what the links hold.
    fn stop(&mut self) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            self.stages.values().iter().for_each(|stage| stage.cancel.trip());
            self.watch.links.values().iter().for_each(|link| link.cancel());
        }
    }

    /// Waits for the stages that are still out, decides how the run ended, takes back what a failed one did, and tells the
    /// sources.
    async fn end(mut self, cause: Option<Ending>, interrupt: &mut Interrupt) -> Ending {
        let is_signalled = cause.as_ref().is_some_and(|ending| ending.signal.is_some());
        if self.verdict.missing().next().is_some() {
            // Before the time runs: without a bound, what links hold takes a while to be freed.
            self.stop();
        }
        let mut left_behind = Vec::new();
        self.wait_for_stages(is_signalled, &mut left_behind, interrupt).await;
        let mut ending = match cause {
            // A signal or a deadline that comes when the sinks have committed changes nothing any more.
            Some(cause) if !self.verdict.is_whole() => cause,
            _ => self.decide(),
        };
        let mut is_committed = ending.is_good();
        if is_committed && let Err(late) = self.land_side_files(interrupt).await {
            ending = late;
            is_committed = false;
        }
        let losses = self.verdict.take_losses();
        if !is_committed || !losses.is_empty() {
            self.roll_back(&mut left_behind, interrupt).await;
            let lost = self
                .stages
                .iter()
                .filter(|(node, _)| !is_committed || self.verdict.is_lost(*node));
            let side_files = lost.filter_map(|(_, stage)| stage.side_file.as_ref());
            let failures = side_files.filter_map(|file| file.take_back().err());
            left_behind.extend(failures.map(|failure| failure.to_string()));
        }
        for Loss {
            node,
            failure,
            is_optional,
        } in losses
        {
            let text = &self.watch.stages[node].text;
            if ending.is_good() && !is_optional {
                ending.failure = Some((Some(text.clone()), failure));
            } else {
                left_behind.push(format!("{text}: {failure}"));
            }
        }
        let how = if ending.is_good() {
            Settled::Committed
        } else {
            Settled::RolledBack
        };
        ending.outputs = self.commits.fates(&self.verdict);
        if !is_committed {
            left_behind.extend(self.kept_outputs(&ending));
        }
        if !settle(&self.settles, how, interrupt).await {
            left_behind.push("the source was not told in time how the run ended".to_owned());
        }
        left_behind.append(&mut ending.left_behind);
        ending.left_behind = left_behind;
        ending
    }

    /// Waits for the stages that are still out, as long as they may take.
    async fn wait_for_stages(&mut self, is_signalled: bool, left_behind: &mut Vec<String>, interrupt: &mut Interrupt) {
        let grace = if is_signalled { GRACE } else { LONG_GRACE };
        let allowances = self.verdict.missing().map(|node| self.stages[node].cancel.allowance());
        let grace = tokio::time::sleep(grace + allowances.max().unwrap_or_default());
        tokio::pin!(grace);
        let mut is_committing = false;
        while self.verdict.missing().next().is_some() {
            tokio::select! {
                Some((node, outcome)) = self.reports.recv() => {
                    self.take_report(node, outcome);
                }
                () = &mut grace => {
                    // From now on an output is in its place or never will be. If it is, the end of it is worth waiting for.
                    let is_committed = self.roll_back(left_behind, interrupt).await;
                    if is_committed && !std::mem::replace(&mut is_committing, true) {
                        grace.as_mut().reset(tokio::time::Instant::now() + LONG_GRACE);
                        continue;
                    }
                    left_behind.extend(self.missing("did not stop in time; left alone"));
                    break;
                }
                // A second signal is meant.
                Cause::Signal(_) = interrupt.next() => {
                    left_behind.extend(self.missing("not waited for"));
                    break;
                }
            }
        }
    }

    /// Takes back what is not committed, unless a signal says that nobody waits for that; returns whether something is
    /// committed.
    async fn roll_back(&self, left_behind: &mut Vec<String>, interrupt: &mut Interrupt) -> bool {
        tokio::select! {
            biased;
            is_committed = self.commits.roll_back(left_behind) => is_committed,
            () = interrupt.signalled() => false,
        }
    }

    /// A line for each stage that is not back.
    fn missing(&self, what: &str) -> Vec<String> {
        let stages = self.verdict.missing().map(|node| &self.watch.stages[node].text);
        stages.map(|text| format!("{text}: {what}")).collect()
    }

    /// A line for each output of a failed run that could not be taken back any more, where there is another one.
    fn kept_outputs(&self, ending: &Ending) -> Vec<String> {
        if ending.is_good() || ending.outputs.len() < 2 {
            return Vec::new();
        }
        let kept = ending.outputs.iter().filter(|(_, fate)| *fate == Fate::Committed);
        let texts = kept.map(|(node, _)| &self.watch.stages[*node].text);
        texts
            .map(|text| format!("{text}: was complete before, and stays"))
            .collect()
    }

    /// Puts the side files in their places, now that the sinks have committed. A disk that does not answer must not keep
    /// a user who wants to leave, so a thread waits for it.
    async fn land_side_files(&self, interrupt: &mut Interrupt) -> Result<(), Ending> {
        let kept = self.stages.iter().filter(|(node, _)| !self.verdict.is_lost(*node));
        for (node, stage) in kept {
            let Some(file) = &stage.side_file else { continue };
            let text = &self.watch.stages[node].text;
            tokio::select! {
                landed = land(node, file.clone(), stage.cancel.clone()) => {
                    landed.map_err(|failure| Ending::failed(Some(text.clone()), failure))?;
                }
                cause = interrupt.next() => {
                    let mut ending = cause.ending();
                    ending.left_behind.push(format!("{text}: not waited for"));
                    return Err(ending);
                }
            }
        }
        Ok(())
    }

    fn decide(&mut self) -> Ending {
        let is_whole = self.verdict.is_whole();
        match self.verdict.take_failure() {
            Some((node, failure)) => Ending::failed(Some(self.watch.stages[node].text.clone()), failure),
            None if is_whole => Ending::default(),
            None => {
                let why = "a sink stopped, and no stage said why";
                Ending::failed(None, Failure::because(Kind::Bug, "a bug in highwater", why))
            }
        }
    }
}

/// Whether the pipeline is a source and a sink that need no link.
fn joins_directly(roles: &mut NodeMap<OpenRole>, memory: &MemoryPlan) -> bool {
    match roles.values_mut() {
        [OpenRole::Source(source), OpenRole::Sink(sink)] => {
            !memory.has_explicit_marks && !memory.is_unbounded && Direct::joins(source, sink)
        }
        _ => false,
    }
}

/// Bytes that a pipe at an end may hold, which the ceiling does not count: a small part of it. Behind a throttle they
/// would be a burst, and before one nobody waits for them.
fn pipe_room(opened: &Opened) -> u64 {
    if opened.stages.values().iter().any(|stage| stage.dial.is_some()) {
        return 0;
    }
    (opened.memory.limit / 8).min(opened.wanted.unwrap_or(u64::MAX))
}

/// The links of a run, and the pool of their buffers. The direct path has none.
fn links(memory: &MemoryPlan, direct: bool, most: u64) -> (Arc<Pool>, EdgeMap<Arc<Link>>) {
    let pool = Arc::new(if memory.is_unbounded {
        Pool::advisory(memory.link_bytes(), most)
    } else {
        Pool::new(memory.link_bytes())
    });
    let links = if direct {
        EdgeMap::default()
    } else {
        memory.links.map(|_, marks| Link::new(*marks, pool.clone()))
    };
    (pool, links)
}

#[cfg(test)]
mod tests {
    use super::super::fake_runs::shapes;
    use super::super::fakes::{AtFirst, Case, Form, Moment, Tally, Way};
    use super::super::opening::open;
    use super::*;

    /// Runs a chain until `is_there`, when its time is up.
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
    fn the_end_of_the_time_ends_every_wait() {
        for graph in shapes() {
            let stages = graph.nodes().len();
            for first in [Form::Task, Form::Thread] {
                // One waits for nothing but to be told, the others at links that stay full or empty; in the last case all
                // go on.
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
    fn a_time_that_is_up_when_the_sink_has_landed_changes_nothing() {
        for at in 0..3 {
            let case = Case::new(4, Some((at, Way::Hang, Moment::Over)));
            let (ending, tally) = out_of_time(&case, |run| run.verdict.is_whole());
            assert_eq!(ending.exit_code(), 0, "{at}: {ending:?}");
            assert_eq!(tally.counts(), [4, 4, 1, 0], "{at}");
        }
    }

    #[test]
    fn a_stage_that_is_back_holds_no_state() {
        let case = Case::new(4, Some((0, Way::Hang, Moment::Over)));
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
