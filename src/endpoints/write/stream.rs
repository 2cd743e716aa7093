//! Writing a place that the reactor waits for.

use std::future::poll_fn;

use crate::error::{Failure, Stop};
use crate::flow::{Inlet, Wait};
use crate::stage::{Context, Outcome, Phase, StreamWriter};

use super::batch::Batch;

/// Writes all that comes, and commits it when it is its turn.
pub async fn write_all(mut writer: Box<dyn StreamWriter>, mut input: Inlet, context: Context) -> Outcome {
    let mut written = 0;
    let mut batch = Batch::new();
    while batch.receive(&mut input).await? {
        while !batch.is_empty() {
            let count = {
                let _outside = context.meter.wait(Wait::Outside);
                tokio::select! {
                    biased;
                    () = context.cancel.tripped() => return Err(Stop::Neighbour),
                    count = write_once(&mut *writer, &batch) => count.map_err(|failure| failure.after(written))?,
                }
            };
            written += count as u64;
            context.meter.add_out(count as u64);
            batch.advance(count);
        }
    }
    context.meter.begin_commit();
    let _outside = context.meter.wait(Wait::Outside);
    tokio::select! {
        biased;
        () = context.cancel.tripped() => return Err(Stop::Neighbour),
        prepared = writer.prepare() => prepared?,
    }
    if writer.phase() != Phase::Drained {
        context.commit.wait(&context.cancel).await?;
    }
    // A commit that was begun is not given up: nobody could say what became of it.
    writer.commit().await?;
    Ok(())
}

async fn write_once(writer: &mut dyn StreamWriter, batch: &Batch) -> Result<usize, Failure> {
    poll_fn(|context| batch.with_slices(|slices| writer.poll_write(context, slices))).await
}
