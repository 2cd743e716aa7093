//! The stages that only turn bytes into bytes, and the one driver that runs them all.

use std::task::Poll;
use std::time::Duration;

use crate::error::Stop;
use crate::flow::{Chunk, Inlet, Outlet};

use super::{Context, Outcome, Stage, Work};

/// Whether a transform wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// More input.
    More,
    /// No more: the stream ends here, whatever the source still has.
    Enough,
}

/// A transform that is a synchronous machine: testable without a runtime, driven by [`OnThread`].
pub trait Transform: Send {
    /// Takes a chunk and sends what comes of it.
    ///
    /// # Errors
    /// If the input cannot be transformed, or nothing more is wanted.
    fn transform(&mut self, input: Chunk, out: &mut Outlet) -> Result<Want, Stop>;
    /// The input has nothing for now: sends what is gathered, so that a trickling source is not held back.
    ///
    /// # Errors
    /// If nothing more is wanted.
    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        let _ = out;
        Ok(())
    }
    /// After what further time without input [`Transform::on_idle`] is wanted; `None` where it never is. Asked, like
    /// `starved` before it, only when the input has nothing for now, so it may read the clock.
    fn idle_after(&mut self) -> Option<Duration> {
        None
    }
    /// That time has passed: sends all that can be given out.
    ///
    /// # Errors
    /// If nothing more is wanted.
    fn on_idle(&mut self, out: &mut Outlet) -> Outcome {
        let _ = out;
        Ok(())
    }
    /// The input has ended: sends the rest.
    ///
    /// # Errors
    /// If the input was not whole, or nothing more is wanted.
    fn finish(self: Box<Self>, out: &mut Outlet) -> Outcome;
}

/// A [`Transform`] on a thread of its own.
pub struct OnThread<T>(pub T);

impl<T: Transform + 'static> Stage for OnThread<T> {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        Work::Thread(Box::new(move || drive(Box::new(self.0), input, out)))
    }
}

/// A [`Transform`] on a thread of its own that is made with what the engine lends it.
pub struct OnThreadWith<F>(pub F);

impl<T: Transform + 'static, F: FnOnce(&Context) -> T + Send + 'static> Stage for OnThreadWith<F> {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        Work::Thread(Box::new(move || drive(Box::new((self.0)(&context)), input, out)))
    }
}

/// Runs a transform from its first chunk to its end, on this thread.
///
/// # Errors
/// As the transform, or when a neighbour stopped.
pub fn drive<T: Transform>(mut transform: Box<T>, mut input: Inlet, mut out: Outlet) -> Outcome {
    while let Some(chunk) = next(&mut *transform, &mut input, &mut out)? {
        if transform.transform(chunk, &mut out)? == Want::Enough {
            break;
        }
    }
    transform.finish(&mut out)?;
    out.finish();
    Ok(())
}

/// The next chunk, or `None` at the end of the stream. Before it waits, the transform gives out what it has.
fn next(transform: &mut impl Transform, input: &mut Inlet, out: &mut Outlet) -> Result<Option<Chunk>, Stop> {
    if let Some(chunk) = input.try_receive() {
        return Ok(Some(chunk));
    }
    transform.starved(out)?;
    while let Some(limit) = transform.idle_after() {
        match input.receive_within(limit)? {
            Poll::Ready(next) => return Ok(next),
            Poll::Pending => transform.on_idle(out)?,
        }
    }
    Ok(input.receive_blocking()?)
}
