//! A chain from its first byte to its last report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Inlet, Link, Outlet, Pool, StageMeter};
use crate::platform::{self, ResidentMemory};
use crate::stage::{Budget, Cancel, Claim, Context, Outcome, OuterSide, SideFile, Undo};

use super::controls::{Controls, Hold, Throttle};
use super::direct::Direct;
use super::gate::Gate;
use super::guard::Guard;
use super::interrupt::{Cause, Interrupt};
use super::min_rate::Slow;
use super::opening::{Opened, SideFiles};
use super::stall::Stall;
use super::start::{land, start, start_direct};
use super::verdict::{Next, Verdict};
use super::watch::{Watch, WatchedStage};
use super::{Ending, Observer, Settings};

/// How long a stage may take to come back after a signal. Every wait ends at once; what takes longer is a disk that does
/// not answer, or a machine that has no time for us.
const GRACE: Duration = Duration::from_millis(50);
/// How long it may take after a failure, where nobody sits and waits.
const LONG_GRACE: Duration = Duration::from_secs(2);

/// Runs an opened chain to its end.
pub async fn run(opened: Opened, settings: Settings, observer: &mut dyn Observer, interrupt: &mut Interrupt) -> Ending {
    let before = ResidentMemory::open().now();
    let room = settings.max_rss.map(|limit| limit.saturating_sub(before));
    let mut chain = Chain::start(opened, room.unwrap_or(u64::MAX));
    let guard = match Guard::start(settings.max_rss, before, &chain.watch) {
        Ok(guard) => guard,
        Err(failure) => return chain.end(Some(Ending::failed(None, failure)), interrupt).await,
    };
    observer.started(&chain.watch);
    if fills_links(&chain.watch) {
        // So is what starting took, which the stages do not wait for.
        platform::drop_own_pages();
    }
    let mut stall = Stall::new(settings.stall_timeout);
    let mut slow = Slow::new(settings.min_rate);
    let brief = tokio::time::sleep(settings.brief);
    tokio::pin!(brief);
    let mut is_brief = true;
    let cause = loop {
        tokio::select! {
            report = chain.reports.recv() => {
                if chain.take_report(report) {
                    break None;
                }
                if !is_brief && chain.watch.lane.is_none() {
                    // Links are full while the first stages end: their ending comes on top of that, and this goes for it.
                    platform::drop_own_pages();
                }
            }
            cause = interrupt.next() => break Some(cause.ending()),
            ending = guard.tripped() => break Some(ending),
            () = &mut brief, if is_brief => {
                is_brief = false;
                observer.goes_on();
                if chain.watch.lane.is_none() {
                    // Who looks on has begun: that code is not needed again either.
                    platform::drop_own_pages();
                }
            }
            () = stall.tick() => {
                if let Some(ending) = stall.look(&chain.watch) {
                    break Some(ending);
                }
            }
            () = slow.tick() => {
                if let Some(ending) = slow.look(&chain.watch) {
                    break Some(ending);
                }
            }
        }
    };
    // The guard stops the links itself: the stages may all be back before it is heard. What was done by then is done.
    let cause = cause.or_else(|| guard.said());
    chain.end(cause, interrupt).await
}

/// Bytes of a source that is through before its links hold enough to make resident memory worth a thought.
const BRIEF: u64 = 1 << 20;

/// Whether there are links, and enough to fill them.
fn fills_links(watch: &Watch) -> bool {
    watch.lane.is_none() && watch.expected.is_none_or(|size| size > BRIEF)
}

/// Bytes that a pipe at either end may hold, which the ceiling does not count: a small part of it. Behind a throttle they
/// would be a burst, and before one nobody waits for them.
fn pipe_room(opened: &Opened) -> u64 {
    if opened.transforms.iter().any(|transform| transform.plan.dial.is_some()) {
        return 0;
    }
    (opened.memory.limit / 8).min(opened.wanted.unwrap_or(u64::MAX))
}

/// The running stages, and everything that stops them.
struct Chain {
    watch: Arc<Watch>,
    cancels: Vec<Arc<Cancel>>,
    /// The state that each stage has claimed.
    claims: Vec<Option<Claim>>,
    undo: Option<Arc<dyn Undo>>,
    side_files: SideFiles,
    reports: UnboundedReceiver<(usize, Outcome)>,
    verdict: Verdict,
    is_stopped: bool,
}

impl Chain {
    /// Joins the stages and starts them. Links without a bound stop growing when `most` bytes are in use.
    fn start(mut opened: Opened, most: u64) -> Self {
        let pipe_room = pipe_room(&opened);
        let memory = opened.memory;
        let direct = opened.transforms.is_empty()
            && !memory.has_explicit_marks
            && !memory.is_unbounded
            && Direct::joins(&mut opened.source.plan, &mut opened.sink.plan);
        let pool = Arc::new(if memory.is_unbounded {
            Pool::advisory(memory.link_bytes(), most)
        } else {
            Pool::new(memory.link_bytes())
        });
        let budget = Budget::new(memory.limit, memory.link_bytes(), memory.fixed);
        let budget = Arc::new(budget.with_elastic(memory.elastic));
        let marks = if direct { &[][..] } else { &memory.links };
        let links: Vec<Arc<Link>> = marks.iter().map(|marks| Link::new(*marks, pool.clone())).collect();
        let begun = Instant::now();
        let mut stages = Vec::new();
        let mut stage = |name, text, listening: &[(usize, String)]| {
            let own = listening.iter().filter(|(stage, _)| *stage == stages.len());
            stages.push(WatchedStage {
                name,
                text,
                listening: own.map(|(_, url)| url.clone()).collect(),
                meter: Arc::new(StageMeter::new(begun)),
                findings: Arc::default(),
                outer_side: Arc::new(OuterSide::new(pipe_room)),
            });
        };
        stage(opened.source.name, opened.source.text, &opened.listening);
        let mut transforms = Vec::new();
        let mut throttles = Vec::new();
        for (at, transform) in (1..).zip(opened.transforms) {
            throttles.extend(transform.plan.dial.clone().map(|dial| Throttle {
                stage: at,
                name: transform.name,
                dial,
            }));
            stage(transform.name, transform.text, &opened.listening);
            transforms.push(transform.plan);
        }
        stage(opened.sink.name, opened.sink.text, &opened.listening);

        let gate = Arc::new(Gate::default());
        let hold = links
            .last()
            .map_or_else(|| Hold::Gate(gate.clone()), |link| Hold::Link(link.clone()));
        let (sender, reports) = unbounded_channel();
        let last = stages.len() - 1;
        let ends_early: Vec<bool> = (0..=last)
            .map(|at| at > 0 && at < last && transforms[at - 1].ends_early)
            .collect();
        let mut chain = Self {
            watch: Arc::new(Watch {
                start: begun,
                lane: direct.then(Arc::default),
                stages,
                links,
                pool,
                budget,
                expected: opened.expected,
                is_unbounded: memory.is_unbounded,
                controls: Controls::new(hold, throttles),
            }),
            cancels: (0..=last).map(|_| Arc::default()).collect(),
            claims: (0..=last).map(|_| None).collect(),
            undo: opened.sink.plan.undo(),
            side_files: opened.side_files,
            reports,
            verdict: Verdict::new(ends_early),
            is_stopped: false,
        };
        if fills_links(&chain.watch) {
            // Before the links fill: what is resident at the same time is what counts.
            platform::drop_own_pages();
        }
        let (source, sink) = (opened.source.plan, opened.sink.plan);
        if direct {
            let largest = memory.links.first().map_or(1, |marks| marks.chunk);
            let direct = Direct {
                source,
                sink,
                from: chain.context(0),
                to: chain.context(1),
                buffer: chain.watch.pool.lease(largest),
                gate,
                lane: chain.watch.lane.clone().unwrap_or_default(),
            };
            start_direct(direct, &sender);
            return chain;
        }
        let mut works = vec![source.start(chain.outlet(0), chain.context(0))];
        for (at, made) in (1..).zip(transforms) {
            // The plan has made room for it.
            chain.claims[at] = chain.watch.budget.claim(made.state).ok();
            works.push(made.stage.start(chain.inlet(at), chain.outlet(at), chain.context(at)));
        }
        chain.claims[last] = chain.watch.budget.claim(opened.sink_state).ok();
        works.push(sink.start(chain.inlet(last), chain.context(last)));
        for (at, work) in works.into_iter().enumerate() {
            let stage = &chain.watch.stages[at];
            start(at, stage.name, work, stage.meter.clone(), sender.clone());
        }
        chain
    }

    fn context(&self, at: usize) -> Context {
        Context {
            meter: self.watch.stages[at].meter.clone(),
            cancel: self.cancels[at].clone(),
            budget: self.watch.budget.clone(),
            findings: self.watch.stages[at].findings.clone(),
            outer_side: self.watch.stages[at].outer_side.clone(),
            side_file: self.side_file(at),
        }
    }

    fn side_file(&self, at: usize) -> Option<Arc<dyn SideFile>> {
        let mut own = self.side_files.iter().filter(|(stage, _)| *stage == at);
        own.next().map(|(_, file)| file.clone() as Arc<dyn SideFile>)
    }

    fn inlet(&self, at: usize) -> Inlet {
        Inlet::new(self.watch.links[at - 1].clone(), self.watch.stages[at].meter.clone())
    }

    fn outlet(&self, at: usize) -> Outlet {
        Outlet::new(self.watch.links[at].clone(), self.watch.stages[at].meter.clone())
    }

    /// Takes one stage's report; answers whether the run is over, be it that all are back or that one has failed.
    fn take_report(&mut self, report: Option<(usize, Outcome)>) -> bool {
        let Some((at, outcome)) = report else { return true };
        self.claims[at] = None;
        let text = &self.watch.stages[at].text;
        match &outcome {
            Ok(()) => tracing::debug!("{text}: done"),
            Err(Stop::Neighbour) => tracing::debug!("{text}: stopped"),
            Err(Stop::Failed(failure)) => tracing::debug!("{text}: failed: {failure}"),
        }
        match self.verdict.report(at, outcome) {
            Next::Wait => {}
            Next::StopBefore(at) => self.cancels[..at].iter().for_each(|cancel| cancel.trip()),
            Next::StopAll => return true,
        }
        self.verdict.missing().next().is_none()
    }

    /// Tells every stage to stop, and frees what the links hold.
    fn stop(&mut self) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            self.cancels.iter().for_each(|cancel| cancel.trip());
            self.watch.links.iter().for_each(|link| link.cancel());
        }
    }

    /// Waits for the stages that are still out, decides how the run ended, and takes back what a failed one did.
    async fn end(mut self, cause: Option<Ending>, interrupt: &mut Interrupt) -> Ending {
        let is_signalled = cause.as_ref().is_some_and(|ending| ending.signal.is_some());
        if self.verdict.missing().next().is_some() {
            // Before the time runs: without a bound, what links hold takes a while to be freed.
            self.stop();
        }
        let grace = tokio::time::sleep(if is_signalled { GRACE } else { LONG_GRACE });
        tokio::pin!(grace);
        let mut left_behind = Vec::new();
        let mut is_landing = false;
        while self.verdict.missing().next().is_some() {
            tokio::select! {
                report = self.reports.recv() => {
                    self.take_report(report);
                }
                () = &mut grace => {
                    // From now on the output is in its place or never will be. If it is, the end of it is worth waiting for.
                    let has_landed = self.take_back(&mut left_behind);
                    if has_landed && !std::mem::replace(&mut is_landing, true) {
                        grace.as_mut().reset(tokio::time::Instant::now() + LONG_GRACE);
                        continue;
                    }
                    let stages = self.verdict.missing().map(|at| &self.watch.stages[at].text);
                    left_behind.extend(stages.map(|text| format!("{text}: did not stop in time; left alone")));
                    break;
                }
                // Whoever asks twice means it.
                Cause::Signal(_) = interrupt.next() => {
                    let stages = self.verdict.missing().map(|at| &self.watch.stages[at].text);
                    left_behind.extend(stages.map(|text| format!("{text}: not waited for")));
                    break;
                }
            }
        }
        let mut ending = match cause {
            // A signal or a deadline that comes when the sink has landed changes nothing any more.
            Some(cause) if !self.verdict.is_whole() => cause,
            _ => self.decide(),
        };
        if ending.is_good()
            && let Err(late) = self.land_side_files(interrupt).await
        {
            ending = late;
        }
        if !ending.is_good() {
            self.take_back(&mut left_behind);
            let failures = self.side_files.iter().filter_map(|(_, file)| file.take_back().err());
            left_behind.extend(failures.map(|failure| failure.to_string()));
        }
        left_behind.append(&mut ending.left_behind);
        ending.left_behind = left_behind;
        ending
    }

    /// Puts the side files in their places, now that the sink has landed. A disk that does not answer must not keep
    /// whoever wants to leave, so a thread waits for it.
    async fn land_side_files(&self, interrupt: &mut Interrupt) -> Result<(), Ending> {
        for (at, file) in &self.side_files {
            let text = &self.watch.stages[*at].text;
            tokio::select! {
                landed = land(*at, file.clone(), self.cancels[*at].clone()) => {
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

    /// Takes back what the sink did, if that is still possible; answers whether it was too late. A second time changes
    /// nothing.
    fn take_back(&self, left_behind: &mut Vec<String>) -> bool {
        let Some(undo) = &self.undo else { return false };
        if let Err(failure) = undo.undo() {
            left_behind.push(failure.to_string());
        }
        undo.has_landed()
    }

    fn decide(&mut self) -> Ending {
        let verdict = std::mem::replace(&mut self.verdict, Verdict::new([]));
        let is_whole = verdict.is_whole();
        match verdict.decide() {
            Some((at, failure)) => Ending::failed(Some(self.watch.stages[at].text.clone()), failure),
            None if is_whole => Ending {
                failure: None,
                signal: None,
                left_behind: Vec::new(),
            },
            None => {
                let why = "the sink stopped, and no stage said why";
                Ending::failed(None, Failure::because(Kind::Bug, "a bug in highwater", why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::failing_positions::{AtFirst, Case, Form, Moment, Tally, Way};
    use super::super::opening::open;
    use super::*;

    /// Runs a chain until `is_there`, when its time is up.
    fn out_of_time(case: Case, is_there: fn(&Chain) -> bool) -> (Ending, Arc<Tally>) {
        let tally = Arc::<Tally>::default();
        let runtime = platform::reactor().expect("a runtime");
        let ending = runtime.block_on(async {
            let mut interrupt = Interrupt::new(None).expect("signals");
            let opened = open(case.plan(&tally), &mut AtFirst::default(), &mut interrupt).await;
            let mut chain = Chain::start(opened.expect("fakes open"), u64::MAX);
            while !is_there(&chain) {
                let report = chain.reports.recv().await;
                chain.take_report(report);
            }
            chain.end(Some(Cause::Deadline.ending()), &mut interrupt).await
        });
        (ending, tally)
    }

    #[test]
    fn whatever_a_stage_waits_for_the_end_of_the_time_ends_it() {
        for first in [Form::Task, Form::Thread] {
            // One waits for nothing but to be told, the others at links that stay full or empty; in the last case all go on.
            for at in 0..=4 {
                let case = Case::new(4, Some((at, Way::Hang, Moment::Midway)));
                let (ending, tally) = out_of_time(Case { first, ..case }, |_| true);
                assert_eq!(ending.exit_code(), 8, "{at}: {ending:?}");
                assert_eq!(ending.left_behind, [""; 0], "{at}");
                assert_eq!(tally.counts(), [4, 4, 0, 1], "{at}");
            }
        }
    }

    #[test]
    fn a_time_that_is_up_when_the_sink_has_landed_changes_nothing() {
        for at in 0..3 {
            let case = Case::new(4, Some((at, Way::Hang, Moment::Over)));
            let (ending, tally) = out_of_time(case, |chain| chain.verdict.is_whole());
            assert_eq!(ending.exit_code(), 0, "{at}: {ending:?}");
            assert_eq!(tally.counts(), [4, 4, 1, 0], "{at}");
        }
    }

    #[test]
    fn a_stage_that_is_back_holds_no_state() {
        let case = Case::new(4, Some((0, Way::Hang, Moment::Over)));
        let (ending, _) = out_of_time(case, |chain| {
            let state = chain.watch.budget.state();
            let transforms = [1, 2].map(|at| chain.verdict.missing().any(|missing| missing == at));
            let out = transforms.into_iter().filter(|is_out| *is_out).count() as u64;
            let sink = if chain.verdict.is_whole() { 0 } else { 500 };
            assert_eq!(state, 1000 * out + sink);
            state == 0
        });
        assert_eq!(ending.exit_code(), 0, "{ending:?}");
    }
}
