//! Opening a chain's ends in the order that loses nothing.
//!
//! Checks without side effects come first, then listeners are bound, then near sources are opened, then far sinks, far
//! sources, and last the near sink, whose temporary file is the first thing on disk but for those of side files, which
//! come just before any sink. So a connection that fails leaves no file behind, a source that is missing is noticed before
//! any sink exists, and no byte is read for a sum that could not be written.

use std::sync::Arc;

use crate::endpoints::{OpenSideFile, SideFile};
use crate::error::{Failure, Kind};
use crate::plan::{MemoryPlan, Plan, Planned};
use crate::platform::FilePlace;
use crate::stage::{Content, Dial, Facts, Reach, Sink, Source, Stage, TransformPlan, Undertaking};

use super::interrupt::Interrupt;
use super::{Ending, Observer};

/// A chain whose ends are open.
pub struct Opened {
    pub source: Planned<Box<dyn Source>>,
    pub transforms: Vec<Planned<Made>>,
    pub sink: Planned<Box<dyn Sink>>,
    pub side_files: SideFiles,
    /// Bytes that the sink holds besides its link.
    pub sink_state: u64,
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

/// The small files that stages leave beside the stream, each with the index of its stage.
pub type SideFiles = Vec<(usize, Arc<OpenSideFile>)>;

/// Opens both ends, or says why that cannot be.
pub async fn open(mut plan: Plan, observer: &mut dyn Observer, interrupt: &mut Interrupt) -> Result<Opened, Ending> {
    let source_text = plan.source.text.clone();
    let sink_text = plan.sink.text.clone();
    let at_source = |failure| Ending::failed(Some(source_text.clone()), failure);
    let at_sink = |failure| Ending::failed(Some(sink_text.clone()), failure);

    let source_facts = plan.source.plan.facts().map_err(at_source)?;
    let sink_facts = plan.sink.plan.facts().map_err(at_sink)?;
    plan.sink.plan.permit().map_err(at_sink)?;
    let mut transforms = plan.transforms.iter();
    if source_facts.is_sparse && transforms.all(|transform| transform.plan.content() == Content::AsItCame) {
        plan.sink.plan.expect_holes();
    }
    check_ends(&plan, &source_facts, &sink_facts).map_err(at_sink)?;
    check_side_files(&plan, &source_facts, &sink_facts)?;

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
    let undertaking = plan.sink.plan.resumes().then(|| plan.text());
    let sink_state = plan.sink.plan.state_bytes();
    let side_files = std::mem::take(&mut plan.side_files).into_iter();
    let side_files: Vec<_> = side_files
        .map(|(at, file)| (at, plan.text_of(at).to_owned(), file))
        .collect();
    let (source, mut sink) = (plan.source.plan, plan.sink.plan);
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
        match (source_reach, sink_reach) {
            (Reach::Near, _) | (Reach::Far, Reach::Near) => {
                let (mut source, skipped) = open_source().await?;
                let side_files = open_side_files(side_files).await?;
                if let Some(pipeline) = undertaking {
                    let identity = source.identity().and_then(|known| known.ok_or_else(unknowable));
                    let source = identity.map_err(at_source)?;
                    sink.undertake(Undertaking { pipeline, source });
                }
                let sink = sink.open().await.map_err(at_sink)?;
                let resumed = go_on(&mut *source, sink.resumes_at()).map_err(at_source)?;
                Ok((source, skipped, side_files, sink, resumed))
            }
            (Reach::Far, Reach::Far) => {
                let side_files = open_side_files(side_files).await?;
                let sink = sink.open().await.map_err(at_sink)?;
                let (source, skipped) = open_source().await?;
                Ok((source, skipped, side_files, sink, 0))
            }
        }
    };
    let (source, mut skipped, side_files, sink, resumed) = tokio::select! {
        opened = opening => opened?,
        cause = interrupt.next() => return Err(cause.ending()),
    };

    let expected = source_facts.size.map(|size| size - (skipped + resumed).min(size));
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
        side_files,
        sink_state,
        memory: plan.memory,
        expected,
        listening,
    })
}

/// Opens the side files. Those that are open when a later one, or the sink, cannot be are dropped, and so taken back.
async fn open_side_files(named: Vec<(usize, String, SideFile)>) -> Result<SideFiles, Ending> {
    let mut opened = SideFiles::new();
    for (at, text, file) in named {
        let file = file.open().await;
        opened.push((
            at,
            Arc::new(file.map_err(|failure| Ending::failed(Some(text), failure))?),
        ));
    }
    Ok(opened)
}

/// Moves the source to where an earlier run ended, and answers how far that is.
fn go_on(source: &mut dyn Source, offset: u64) -> Result<u64, Failure> {
    if offset == 0 {
        return Ok(0);
    }
    let skipped = source.skip(offset)?;
    if skipped < offset {
        let why = format!("{offset} bytes of it were written already, and it has {skipped}");
        return Err(Failure::because(Kind::Integrity, "cannot go on", why));
    }
    tracing::info!("goes on after {offset} bytes");
    Ok(offset)
}

/// What was a regular file a moment ago is none any more.
fn unknowable() -> Failure {
    let why = "resume=true needs a regular file, and it is none";
    Failure::because(Kind::Usage, "cannot be known again", why)
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

/// What a side file must not be: an end of the chain, or another side file.
fn check_side_files(plan: &Plan, source: &Facts, sink: &Facts) -> Result<(), Ending> {
    let of = |facts: &Facts, whose: &str| -> Vec<(FilePlace, String)> {
        let places = facts.files.iter().cloned();
        places.map(|place| (place, whose.to_owned())).collect()
    };
    let mut taken = of(source, "the source");
    taken.extend(of(sink, "the sink"));
    for (at, file) in &plan.side_files {
        let text = plan.text_of(*at);
        let failed = |failure| Ending::failed(Some(text.to_owned()), failure);
        let facts = file.facts().map_err(failed)?;
        if let Some((_, other)) = taken.iter().find(|(place, _)| facts.files.contains(place)) {
            let why = format!("it is the same file as {other}; write to another name");
            let operation = "would overwrite what the chain reads or writes";
            return Err(failed(Failure::because(Kind::Usage, operation, why)));
        }
        taken.extend(of(&facts, &format!("that of {text}")));
    }
    Ok(())
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
