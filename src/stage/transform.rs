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

/// A [`Transform`] on a thread of its own, where it is made with what the engine lends it.
pub struct OnThread<F>(pub F);

impl<T: Transform + 'static, F: FnOnce(&Context) -> T + Send + 'static> Stage for OnThread<F> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::flow::{Link, Marks, Pool, StageMeter, block_on};

    /// Says what is asked of it. What it is given last, it gives out when it is finished.
    struct Teller {
        said: Sender<&'static str>,
        idles: u32,
        wants: Want,
        last: Vec<u8>,
    }

    impl Teller {
        fn say(&self, what: &'static str) {
            self.said.send(what).expect("somebody listens");
        }
    }

    impl Transform for Teller {
        fn transform(&mut self, input: Chunk, _: &mut Outlet) -> Result<Want, Stop> {
            self.say("transform");
            self.last = input.as_slice().to_vec();
            Ok(self.wants)
        }

        fn starved(&mut self, _: &mut Outlet) -> Outcome {
            self.say("starved");
            Ok(())
        }

        fn idle_after(&mut self) -> Option<Duration> {
            self.idles = self.idles.checked_sub(1)?;
            Some(Duration::from_millis(1))
        }

        fn on_idle(&mut self, _: &mut Outlet) -> Outcome {
            self.say("idle");
            Ok(())
        }

        fn finish(self: Box<Self>, out: &mut Outlet) -> Outcome {
            self.say("finish");
            Ok(block_on(out.copy(&self.last))?)
        }
    }

    fn link() -> (Outlet, Inlet) {
        let link = Link::new(Marks::new(64, 32, 4), Arc::new(Pool::new(64)));
        let meter = || Arc::new(StageMeter::new(std::time::Instant::now()));
        (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
    }

    fn teller(idles: u32, wants: Want) -> (Box<Teller>, Receiver<&'static str>) {
        let (said, heard) = channel();
        let last = Vec::new();
        let teller = Teller {
            said,
            idles,
            wants,
            last,
        };
        (Box::new(teller), heard)
    }

    fn hear(heard: &Receiver<&'static str>, count: usize) -> Vec<&'static str> {
        let hear = |_| heard.recv_timeout(Duration::from_secs(60)).expect("it says more");
        (0..count).map(hear).collect()
    }

    #[test]
    fn it_gives_out_what_it_has_before_it_waits_and_what_it_can_when_it_has_waited() {
        let (mut feed, input) = link();
        let (out, mut end) = link();
        let (teller, heard) = teller(2, Want::More);
        for chunk in [b"abcd", b"efgh"] {
            block_on(feed.copy(chunk)).expect("room");
        }
        let driver = std::thread::spawn(move || drive(teller, input, out));
        let waits = ["transform", "transform", "starved", "idle", "idle"];
        assert_eq!(hear(&heard, 5), waits);
        feed.finish();
        assert_eq!(hear(&heard, 1), ["finish"]);
        assert!(driver.join().expect("no panic").is_ok());
        assert_eq!(end.try_receive().expect("the rest").as_slice(), b"efgh");
        assert!(matches!(end.receive_blocking(), Ok(None)));
    }

    #[test]
    fn one_that_has_enough_is_finished_and_ends_the_stream() {
        let (mut feed, input) = link();
        let (out, mut end) = link();
        let (teller, heard) = teller(0, Want::Enough);
        for chunk in [b"abcd", b"efgh"] {
            block_on(feed.copy(chunk)).expect("room");
        }
        assert!(drive(teller, input, out).is_ok());
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["transform", "finish"]);
        assert_eq!(end.try_receive().expect("the rest").as_slice(), b"abcd");
        assert!(matches!(end.receive_blocking(), Ok(None)));
        assert!(block_on(feed.copy(b"more")).is_err(), "nobody wants more");
    }

    #[test]
    fn an_input_that_was_not_whole_ends_nothing() {
        let (feed, input) = link();
        let (out, mut end) = link();
        let (teller, heard) = teller(0, Want::More);
        drop(feed);
        assert!(matches!(drive(teller, input, out), Err(Stop::PeerClosed)));
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["starved"]);
        assert!(end.receive_blocking().is_err());
    }
}
