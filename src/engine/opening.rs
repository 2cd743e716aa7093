//! Opening a chain's ends in the order that loses nothing.
//!
//! Checks without side effects come first, then listeners are bound, then near sources are opened, then far sinks, far
//! sources, and last the near sink, whose temporary file is the first thing on disk. So a connection that fails leaves
//! no file behind, and a source that is missing is noticed before any sink exists.

use std::sync::Arc;

use crate::error::{Failure, Kind};
use crate::plan::{MemoryPlan, Plan, Planned};
use crate::stage::{Content, Dial, Facts, Reach, Sink, Source, Stage, TransformPlan};

use super::interrupt::Interrupt;
use super::{Ending, Observer};

/// A chain whose ends are open.
pub struct Opened {
    pub source: Planned<Box<dyn Source>>,
    pub transforms: Vec<Planned<Made>>,
    pub sink: Planned<Box<dyn Sink>>,
    pub memory: MemoryPlan,
    /// Bytes that the source is expected to give.
    pub expected: Option<u64>,
    /// Addresses that were bound, with the index of the stage.
    pub listening: Vec<(usize, String)>,
}

/// A transform, ready to be started.
pub struct Made {
    pub stage: Box<dyn Stage>,
    /// Bytes that it holds besides its links.
    pub state: u64,
    /// Whether it may end its input before the input's own end.
    pub ends_early: bool,
    /// The rate that it keeps, if it keeps one.
    pub dial: Option<Arc<Dial>>,
}

/// Opens both ends, or says why that cannot be.
pub async fn open(mut plan: Plan, observer: &mut dyn Observer, interrupt: &mut Interrupt) -> Result<Opened, Ending> {
    let source_text = plan.source.text.clone();
    let sink_text = plan.sink.text.clone();
    let at_source = |failure| Ending::failed(Some(source_text.clone()), failure);
    let at_sink = |failure| Ending::failed(Some(sink_text.clone()), failure);

    let source_facts = plan.source.plan.facts().map_err(at_source)?;
    let sink_facts = plan.sink.plan.facts().map_err(at_sink)?;
    check_ends(&plan, &source_facts, &sink_facts).map_err(at_sink)?;

    let last = plan.transforms.len() + 1;
    let mut listening: Vec<(usize, String)> = Vec::new();
    listening.extend(
        plan.source
            .plan
            .bind()
            .map_err(at_source)?
            .into_iter()
            .map(|url| (0, url)),
    );
    listening.extend(plan.sink.plan.bind().map_err(at_sink)?.map(|url| (last, url)));
    for (_, url) in &listening {
        observer.listening(url);
    }

    let (source_reach, sink_reach) = (plan.source.plan.reach(), plan.sink.plan.reach());
    let (source, sink) = (plan.source.plan, plan.sink.plan);
    let wanted = plan.transforms.first().map_or(0, |first| first.plan.leading_skip());
    let opening = async {
        let open_source = async || {
            let mut source = source.open().await.map_err(at_source)?;
            let skipped = if wanted > 0 {
                source.skip(wanted).map_err(at_source)?
            } else {
                0
            };
            Ok((source, skipped))
        };
        let open_sink = async || sink.open().await.map_err(at_sink);
        match (source_reach, sink_reach) {
            (Reach::Near, _) | (Reach::Far, Reach::Near) => {
                let source = open_source().await?;
                Ok((source, open_sink().await?))
            }
            (Reach::Far, Reach::Far) => {
                let sink = open_sink().await?;
                Ok((open_source().await?, sink))
            }
        }
    };
    let ((source, mut skipped), sink) = tokio::select! {
        opened = opening => opened?,
        cause = interrupt.next() => return Err(cause.ending()),
    };

    let expected = source_facts.size.map(|size| size - skipped.min(size));
    let transforms = plan.transforms.into_iter();
    let transforms = transforms
        .map(|transform| make(transform, std::mem::take(&mut skipped)))
        .collect();
    Ok(Opened {
        source: Planned {
            name: plan.source.name,
            text: plan.source.text,
            defaults: plan.source.defaults,
            plan: source,
        },
        transforms,
        sink: Planned {
            name: plan.sink.name,
            text: plan.sink.text,
            defaults: plan.sink.defaults,
            plan: sink,
        },
        memory: plan.memory,
        expected,
        listening,
    })
}

fn make(transform: Planned<Box<dyn TransformPlan>>, skipped: u64) -> Planned<Made> {
    Planned {
        name: transform.name,
        text: transform.text,
        defaults: transform.defaults,
        plan: Made {
            state: transform.plan.state_bytes(),
            ends_early: transform.plan.ends_early(),
            dial: transform.plan.dial(),
            stage: transform.plan.make(skipped),
        },
    }
}

/// What both ends together must not be.
fn check_ends(plan: &Plan, source: &Facts, sink: &Facts) -> Result<(), Failure> {
    if source.files.iter().any(|file| sink.files.contains(file)) {
        let why = "it is the same file as the source; write to another name";
        return Err(Failure::because(Kind::Usage, "would overwrite what is read", why));
    }
    let contents = plan.transforms.iter().rev().map(|transform| transform.plan.content());
    let compressed = contents.into_iter().find(|content| *content != Content::AsItCame) == Some(Content::Compressed);
    if compressed && sink.is_terminal && !plan.sink.plan.is_spelled_out() {
        let why = "compressed data is nothing to look at; redirect it, or spell out `| write -`";
        return Err(Failure::because(Kind::Usage, "will not write to a terminal", why));
    }
    Ok(())
}
