//! Reading a place that the reactor waits for.

use std::future::poll_fn;
use std::task::Poll;

use crate::error::{Failure, Stop};
use crate::flow::{Buffer, Outlet, Wait};
use crate::stage::{Context, Outcome, StreamReader};

/// Reads a place to its end, or as far as `left` allows, and sends what it gives. What waits for the place holds no
/// buffer. `named` puts the name of the place into its failures.
pub async fn read_all(
    reader: &mut dyn StreamReader,
    out: &mut Outlet,
    left: &mut u64,
    context: &Context,
    named: impl Fn(Failure) -> Failure,
) -> Outcome {
    let mut total = 0;
    loop {
        if *left == 0 {
            // Only another read could tell whether this is the end.
            return Err(Stop::Neighbour);
        }
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(out.largest());
        let mut buffer = out.reserve(wanted).await?;
        match read_once(reader, &mut buffer).await {
            Some(read) => {
                let count = read.map_err(|failure| named(failure).after(total))?;
                if count == 0 {
                    drop(buffer);
                    return reader.position().map_or(Ok(()), |position| Ok(out.mark(position)?));
                }
                total += count as u64;
                *left -= count as u64;
                context.meter.add_in(count as u64);
                buffer.advance(count);
                if let Some(position) = reader.position() {
                    buffer.mark(position);
                }
                out.send(buffer)?;
            }
            None => {
                drop(buffer);
                let _outside = context.meter.wait(Wait::Outside);
                tokio::select! {
                    biased;
                    () = context.cancel.tripped() => return Err(Stop::Neighbour),
                    () = woken() => {}
                }
            }
        }
    }
}

/// Reads a place that is the only one.
pub async fn read_one(
    mut reader: Box<dyn StreamReader>,
    mut out: Outlet,
    mut left: u64,
    context: Context,
    named: impl Fn(Failure) -> Failure,
) -> Outcome {
    read_all(&mut *reader, &mut out, &mut left, &context, named).await?;
    out.finish();
    Ok(())
}

/// What one read gives; `None` where there is nothing now.
async fn read_once(reader: &mut dyn StreamReader, buffer: &mut Buffer) -> Option<Result<usize, Failure>> {
    poll_fn(|context| {
        Poll::Ready(match reader.poll_read(context, buffer.spare_mut()) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        })
    })
    .await
}

/// Waits until this task is woken: by the place that a read has just found not ready, or for no reason.
async fn woken() {
    let mut is_first = true;
    poll_fn(|_| {
        if std::mem::replace(&mut is_first, false) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}
