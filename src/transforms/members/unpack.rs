//! Decompresses in parallel where the input shows where members end.
//!
//! One thread cuts the input into members and copies the results into the output, in order; a pool decompresses.
//! Anything unusual (a member whose end is not shown, one that is too large, one that is corrupt, the end in the middle of
//! one) is left to the decoder that reads any stream of the format, from the first byte whose output was not sent: it
//! alone decides what is an error, and sends the output before one.

use std::sync::Arc;

use crate::flow::{Chunk, Inlet, Outlet};
use crate::stage::{Budget, Claim, Context, Outcome, Stage, Work, drive};

use crate::transforms::codec::{self, Decoding};
use crate::transforms::gathered::Gathered;
use crate::transforms::worker_pool::{Event, WorkerPool};

/// A format whose members can be cut out of a stream without decompressing them.
pub trait Divisible: Copy + Send + Sync + 'static {
    /// The name of its threads.
    const WORKER: &str;
    /// The largest member that is decompressed in one piece, in bytes on either side.
    const LARGEST: usize;
    /// Bytes that a decompressor holds.
    const DECOMPRESSOR: usize;
    /// The fewest threads that are faster than the decoder that reads any stream.
    const LEAST_THREADS: usize;
    /// The formats of the decoder that reads any stream: one.
    const FORMATS: &[&codec::Format];

    /// Looks for the end of the member that starts with `bytes`. The first `seen` of them were understood before; how far
    /// it understood them now is noted there.
    fn cut(self, bytes: &[u8], seen: &mut usize) -> Cut;
    /// The size of a complete member's content, in bytes; a wrong one makes it corrupt.
    fn content_size(self, member: &[u8]) -> usize;
    /// Makes a function that decompresses a complete member, the first slice, into the second, and returns whether it is
    /// valid and filled it.
    fn decompressor(self) -> impl FnMut(&[u8], &mut [u8]) -> bool + Send + 'static;
}

/// What the first bytes of a member say about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It goes on at least to `least` bytes, and at most to `most`.
    More {
        /// More than there are.
        least: usize,
        /// Not less than `least`.
        most: usize,
    },
    /// They are the whole member.
    Whole,
    /// Its end is not shown.
    Unknown,
}

/// A stage that decompresses members.
#[derive(Clone, Copy)]
pub struct Unpack<D> {
    /// The format.
    pub format: D,
    /// Threads that decompress, if there is memory for so many.
    pub threads: usize,
}

/// The number of members: one that is gathered, one for each thread, and one so that no thread waits for the next.
const fn in_hand(threads: usize) -> usize {
    threads + 2
}

/// Claims memory for members of at most `room` bytes on either side and for decompressors, for `threads` or as many as
/// there is memory for.
fn claim_for<D: Divisible>(threads: usize, room: usize, budget: &Arc<Budget>) -> Option<(usize, Claim)> {
    (D::LEAST_THREADS..=threads).rev().find_map(|threads| {
        let bytes = 2 * room * in_hand(threads) + D::DECOMPRESSOR * threads;
        Some((threads, budget.claim(bytes as u64).ok()?))
    })
}

impl<D: Divisible> Stage for Unpack<D> {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        let unpacker = Unpacker {
            stage: *self,
            present: Member::default(),
            seen: 0,
            spare: Vec::new(),
            pool: None,
            first: None,
            gathered: Gathered::default(),
            offset: 0,
            context,
        };
        Work::Thread(Box::new(move || unpacker.run(input, out)))
    }
}

/// One member.
#[derive(Debug, Default)]
struct Member {
    /// The whole compressed member.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Whether the output is valid.
    is_good: bool,
}

impl Member {
    fn decompress(&mut self, format: impl Divisible, decompress: &mut impl FnMut(&[u8], &mut [u8]) -> bool) {
        let size = format.content_size(&self.input);
        self.output.reserve_exact(size.saturating_sub(self.output.len()));
        self.output.resize(size, 0);
        self.is_good = decompress(&self.input, &mut self.output);
    }
}

/// A pool, and the memory that its members may use.
struct Workers {
    pool: WorkerPool<Member>,
    /// Bytes that one member may use on either side.
    room: usize,
    _claim: Claim,
}

struct Unpacker<D> {
    stage: Unpack<D>,
    /// The member that is being gathered.
    present: Member,
    /// Bytes of it that were understood.
    seen: usize,
    /// Unused members.
    spare: Vec<Member>,
    /// `None` until the first complete member.
    pool: Option<Workers>,
    /// Memory for the member that is gathered before the pool exists.
    first: Option<(usize, Claim)>,
    gathered: Gathered,
    /// Bytes of the members whose output was sent.
    offset: u64,
    context: Context,
}

/// How many members of a chunk were handled.
enum Taken {
    All,
    /// The bytes from here on are for the general decoder.
    Upto(usize),
}

impl<D: Divisible> Unpacker<D> {
    fn run(mut self, mut input: Inlet, mut out: Outlet) -> Outcome {
        loop {
            let in_flight = self.pool.as_ref().map_or(0, |workers| workers.pool.in_flight());
            if in_flight == 0 && !input.is_ready() {
                // Output must not be held back during a wait.
                self.gathered.send(&mut out)?;
            }
            let event = match &mut self.pool {
                Some(workers) => workers.pool.next_or_input(&mut input, &self.context.meter, None)?,
                None => Event::Input(input.receive_blocking()?),
            };
            match event {
                Event::Done(member) if member.is_good => self.give_out(member, &mut out)?,
                Event::Done(member) => return self.decode(Some(member), None, input, out),
                Event::Input(Some(mut chunk)) => {
                    if let Taken::Upto(at) = self.take_in(&chunk, &mut out)? {
                        chunk.advance(at);
                        return self.decode(None, Some(chunk), input, out);
                    }
                }
                Event::Input(None) => break,
                Event::Late => {}
            }
        }
        // If the input ends inside a member, the general decoder reports the error.
        self.decode(None, None, input, out)
    }

    /// Cuts a chunk into members, and submits those that are complete.
    fn take_in(&mut self, chunk: &Chunk, out: &mut Outlet) -> Result<Taken, crate::error::Stop> {
        let bytes = chunk.as_slice();
        let mut at = 0;
        loop {
            match self.stage.format.cut(&self.present.input, &mut self.seen) {
                Cut::Whole if self.submit(out)? => {}
                Cut::More { .. } if at == bytes.len() => return Ok(Taken::All),
                Cut::More { least, most } if self.may_gather(most) => {
                    let gathered = &mut self.present.input;
                    let count = (least - gathered.len()).min(bytes.len() - at);
                    // Growing by doubling would use memory that was not claimed.
                    gathered.reserve_exact(most - gathered.len());
                    gathered.extend_from_slice(&bytes[at..at + count]);
                    at += count;
                }
                Cut::Whole | Cut::More { .. } | Cut::Unknown => return Ok(Taken::Upto(at)),
            }
        }
    }

    /// Whether there is room for a member of `size` bytes. A header may claim any size, so it is trusted only within
    /// the budget.
    fn may_gather(&mut self, size: usize) -> bool {
        match (&self.pool, &self.first) {
            _ if size > D::LARGEST => false,
            (Some(workers), _) => size <= workers.room,
            (None, Some((claimed, _))) if size <= *claimed => true,
            (None, _) => {
                self.first = None;
                self.first = self.context.budget.claim(size as u64).ok().map(|claim| (size, claim));
                self.first.is_some()
            }
        }
    }

    /// Submits the current member, which is complete, and begins another; returns false if there is no room for it.
    fn submit(&mut self, out: &mut Outlet) -> Result<bool, crate::error::Stop> {
        let gathered = self.present.input.capacity();
        let needed = gathered.max(self.stage.format.content_size(&self.present.input));
        if needed > D::LARGEST {
            return Ok(false);
        }
        if self.pool.is_none() {
            // Members normally have one size; incompressible ones are a little larger.
            let room = needed + needed / 16 + 1024;
            // The first member's memory is a part of it.
            self.first = None;
            let Some((threads, claim)) = claim_for::<D>(self.stage.threads, room, &self.context.budget) else {
                self.may_gather(gathered);
                return Ok(false);
            };
            let format = self.stage.format;
            let pool = WorkerPool::spawn(D::WORKER, threads, || {
                let mut decompress = format.decompressor();
                move |member: &mut Member| member.decompress(format, &mut decompress)
            })?;
            self.spare.resize_with(in_hand(threads) - 1, Member::default);
            self.pool = Some(Workers {
                pool,
                room,
                _claim: claim,
            });
        }
        while self.spare.is_empty() {
            let Some(member) = self.pool.as_mut().and_then(|workers| workers.pool.wait_for_oldest()) else {
                break;
            };
            if !member.is_good {
                // Dropped before the general decoder takes over.
                if let Some(workers) = &mut self.pool {
                    workers.pool.put_back(member);
                }
                return Ok(false);
            }
            self.give_out(member, out)?;
        }
        let (Some(workers), Some(next)) = (&mut self.pool, self.spare.pop()) else {
            return Ok(false);
        };
        if needed > workers.room {
            self.spare.push(next);
            return Ok(false);
        }
        workers.pool.submit(std::mem::replace(&mut self.present, next));
        self.seen = 0;
        Ok(true)
    }

    fn give_out(&mut self, mut member: Member, out: &mut Outlet) -> Outcome {
        self.gathered.put(&member.output, out)?;
        self.offset += member.input.len() as u64;
        member.input.clear();
        self.spare.push(member);
        Ok(())
    }

    /// Leaves the rest of the stream to the general decoder: the submitted members, the oldest first, then what was
    /// gathered of the next, then `rest` and all that follows.
    fn decode(mut self, oldest: Option<Member>, rest: Option<Chunk>, input: Inlet, mut out: Outlet) -> Outcome {
        let mut in_hand: Vec<Member> = oldest.into_iter().collect();
        while let Some(member) = self.pool.as_mut().and_then(|workers| workers.pool.wait_for_oldest()) {
            if in_hand.is_empty() && member.is_good {
                self.give_out(member, &mut out)?;
            } else {
                in_hand.push(member);
            }
        }
        self.gathered.send(&mut out)?;
        // The pool keeps its memory to the end: the submitted members are still in it.
        let mut decoding = Decoding::behind(D::FORMATS, self.context.budget.clone(), self.offset);
        for member in in_hand {
            decoding.feed(&member.input, &mut out)?;
        }
        decoding.feed(&self.present.input, &mut out)?;
        if let Some(chunk) = rest {
            // Released here: a stage that waits for input must not hold any.
            decoding.feed(chunk.as_slice(), &mut out)?;
        }
        self.spare = Vec::new();
        self.present = Member::default();
        self.pool = None;
        self.first = None;
        drive(Box::new(decoding), input, out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::flow::StageMeter;

    /// Members of a length byte and so many bytes; the content is as long.
    #[derive(Clone, Copy)]
    struct Counted;

    impl Divisible for Counted {
        const WORKER: &str = "worker";
        const LARGEST: usize = 1000;
        const DECOMPRESSOR: usize = 100;
        const LEAST_THREADS: usize = 1;
        const FORMATS: &[&codec::Format] = &[];

        fn cut(self, bytes: &[u8], _: &mut usize) -> Cut {
            let size = bytes.first().map_or(1, |count| 1 + usize::from(*count));
            if bytes.len() < size || bytes.is_empty() {
                Cut::More {
                    least: size,
                    most: size,
                }
            } else {
                Cut::Whole
            }
        }

        fn content_size(self, member: &[u8]) -> usize {
            member.len()
        }

        fn decompressor(self) -> impl FnMut(&[u8], &mut [u8]) -> bool + Send + 'static {
            |_, _| true
        }
    }

    fn unpacker(budget: Budget) -> Unpacker<Counted> {
        Unpacker {
            stage: Unpack {
                format: Counted,
                threads: 1,
            },
            present: Member::default(),
            seen: 0,
            spare: Vec::new(),
            pool: None,
            first: None,
            gathered: Gathered::default(),
            offset: 0,
            context: Context {
                budget: Arc::new(budget),
                ..Context::detached(Arc::new(StageMeter::new(Instant::now())))
            },
        }
    }

    #[test]
    fn stated_size_is_trusted_within_budget() {
        let mut unpacker = unpacker(Budget::new(900, 0, true));
        assert!(!unpacker.may_gather(950));
        assert_eq!(unpacker.context.budget.state(), 0);
        assert!(unpacker.may_gather(20));
        assert!(unpacker.may_gather(800), "its header says more");
        assert_eq!(unpacker.context.budget.state(), 800);
        assert!(unpacker.may_gather(800), "it is the same member");
        assert_eq!(unpacker.context.budget.state(), 800);
    }

    #[test]
    fn oversized_member_is_not_gathered() {
        let mut unpacker = unpacker(Budget::new(4000, 0, false));
        assert!(!unpacker.may_gather(Counted::LARGEST + 1));
        assert!(unpacker.may_gather(Counted::LARGEST));
    }

    #[test]
    fn short_memory_starts_fewer_threads() {
        let budget = Arc::new(Budget::new(10_000, 2000, true));
        // A member takes 900 bytes on either side, and a thread 100; the third thread's would be the fifth.
        let (threads, claim) = claim_for::<Counted>(7, 900, &budget).expect("room");
        assert_eq!((threads, budget.state()), (2, 7400));
        assert!(claim_for::<Counted>(1, 900, &budget).is_none(), "all is taken");
        drop(claim);
        assert_eq!(
            claim_for::<Counted>(1, 900, &budget).map(|(threads, _)| threads),
            Some(1)
        );
    }
}
