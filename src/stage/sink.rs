//! An open sink, and how it is driven.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::error::Stop;
use crate::flow::{Inlet, Wait, block_on};
use crate::platform::Interest;

use super::gathering::Gathering;
use super::{BoxFuture, Context, Driver, Outcome, Outgoing, Phase, ResumePoint, Rollback, StreamWriter, Work};

/// An open place to write to.
pub enum OpenWriter {
    /// A descriptor, which is written on a thread and may use the direct path.
    Descriptor(Outgoing),
    /// Anything else.
    Stream(Box<dyn StreamWriter>),
    /// What runs on a thread, and empties the link itself: a child process. It has nothing to commit.
    Driver(Driver<Inlet>),
    /// What empties the link on the reactor. It has nothing to commit itself.
    Task(Box<dyn FnOnce(Inlet, Context) -> BoxFuture<'static, Outcome> + Send>),
}

impl From<Outgoing> for OpenWriter {
    fn from(outgoing: Outgoing) -> Self {
        Self::Descriptor(outgoing)
    }
}

impl OpenWriter {
    /// How to roll back what opening and writing did.
    #[must_use]
    pub fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        match self {
            Self::Descriptor(outgoing) => outgoing.rollback(),
            Self::Stream(writer) => writer.rollback(),
            Self::Driver(_) | Self::Task(_) => None,
        }
    }

    /// When it commits.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Descriptor(outgoing) => outgoing.phase(),
            Self::Stream(writer) => writer.phase(),
            Self::Driver(_) | Self::Task(_) => Phase::Drained,
        }
    }

    /// How far an earlier run has come.
    #[must_use]
    pub fn resumes_at(&self) -> ResumePoint {
        match self {
            Self::Descriptor(outgoing) => outgoing.resumes_at(),
            Self::Stream(writer) => writer.resumes_at().unwrap_or_default(),
            Self::Driver(_) | Self::Task(_) => ResumePoint::default(),
        }
    }

    /// The descriptor, if the direct path may be used.
    pub fn as_direct(&mut self) -> Option<&mut Outgoing> {
        match self {
            Self::Descriptor(outgoing) => Some(outgoing).filter(|outgoing| outgoing.is_direct),
            Self::Stream(_) | Self::Driver(_) | Self::Task(_) => None,
        }
    }

    /// Starts the stage.
    #[must_use]
    pub fn start(self, input: Inlet, context: Context) -> Work {
        match self {
            Self::Descriptor(outgoing) => Work::Thread(Box::new(move || outgoing.run(input, &context))),
            Self::Stream(writer) if writer.blocks() => {
                let runtime = Handle::current();
                Work::Thread(Box::new(move || {
                    let _reactor = runtime.enter();
                    block_on(write_stream(writer, input, context))
                }))
            }
            Self::Task(run) => Work::Task(run(input, context)),
            Self::Driver(run) => Work::Thread(Box::new(move || run(input, &context))),
            Self::Stream(writer) => Work::Task(Box::pin(write_stream(writer, input, context))),
        }
    }
}

/// Writes everything that arrives, and commits it once that is granted.
async fn write_stream(mut writer: Box<dyn StreamWriter>, mut input: Inlet, context: Context) -> Outcome {
    writer.limit_unsent(context.external_fd.most_unsent())?;
    let resumes = writer.resumes_at();
    let mut written = resumes.unwrap_or_default().written;
    let mut gathering = Gathering::new();
    let mut reached = None;
    let report = |position| {
        if let (Some(durable), Some(position)) = (&context.durable, position) {
            durable.report(position);
        }
    };
    loop {
        let has_more = tokio::select! {
            biased;
            has_more = gathering.receive(&mut input) => has_more?,
            stop = poll_fn(|context| {
                let stop = writer.poll_idle(context);
                report(writer.durable());
                stop
            }) => {
                return Err(stop.map(|failure| failure.after(written)));
            }
        };
        if !has_more {
            break;
        }
        while !gathering.is_empty() {
            let external_fd = &context.external_fd;
            let write = poll_fn(|context| {
                let write = if resumes.is_some() {
                    // It may have to end something between two of them.
                    writer.poll_write(context, &[IoSlice::new(gathering.first_chunk())])
                } else {
                    gathering.with_slices(|slices| writer.poll_write(context, slices))
                };
                if write.is_pending()
                    && let Some(queue) = writer.queue()
                {
                    external_fd.show(queue, Interest::Write);
                }
                write
            });
            let count = {
                let _outside = context.meter.wait(Wait::Outside);
                tokio::select! {
                    biased;
                    () = context.cancel.tripped() => return Err(Stop::PeerClosed),
                    count = write => count.map_err(|stop| stop.map(|failure| failure.after(written)))?,
                }
            };
            written += count as u64;
            context.meter.add_out(count as u64);
            gathering.first_chunks(count, |_, position| {
                if let Some(position) = position {
                    writer.reach(position);
                    reached = Some(position);
                }
            });
            gathering.advance(count);
            report(writer.durable());
        }
        if let Some(position) = gathering.take_passed() {
            writer.reach(position);
            reached = Some(position);
        }
    }
    context.meter.begin_commit();
    writer.count_with(context.meter.clone());
    let _outside = context.meter.wait(Wait::Outside);
    tokio::select! {
        biased;
        () = context.cancel.tripped() => return Err(Stop::PeerClosed),
        prepared = writer.prepare() => prepared?,
    }
    if writer.phase() != Phase::Drained {
        tokio::select! {
            biased;
            turn = context.commit.wait(&context.cancel) => turn?,
            stop = poll_fn(|context| writer.poll_idle(context)) => return Err(stop),
        }
    }
    // A commit that has begun is not cancelled: its result would be unknown.
    writer.commit().await?;
    report(reached);
    if let Some(url) = writer.url() {
        context.findings.set_url(url);
    }
    Ok(())
}
