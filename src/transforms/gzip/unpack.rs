//! Decompressing in parallel, where members tell their size.
//!
//! One thread cuts the input into members and copies the results into the output, in order; a pool decompresses. Whatever
//! is out of the ordinary (a member without a size, one that is too large, one that is corrupt, the end in the middle of
//! one) is left to the decoder that reads any gzip stream, from the first byte that was not given out: it has the last
//! word on what is an error, and gives out what comes before one.

use std::sync::Arc;

use libdeflater::Decompressor;
use memchr::memmem;

use crate::flow::{Chunk, Inlet, Outlet};
use crate::stage::{Budget, Claim, Context, Outcome, Stage, Work, drive};

use super::member::{FOOTER, Sized, sized, wanted};
use crate::transforms::codec::{Decoding, Format};
use crate::transforms::gathered::Gathered;
use crate::transforms::worker_pool::{Event, WorkerPool};

/// The stage `gunzip`.
#[derive(Clone, Copy)]
pub struct Members {
    /// What reads any stream: one format.
    pub formats: &'static [&'static Format],
    /// Threads that decompress, as far as the memory allows.
    pub threads: usize,
}

/// The largest member that is decompressed in one piece.
const LARGEST: usize = 4 << 20;

/// Members in hand: one that is gathered, one for each thread, and one so that none of them waits for the next.
const fn in_hand(threads: usize) -> usize {
    threads + 2
}

/// Claims memory for members of at most `room` bytes on either side, for `threads` or as many as there is memory for.
fn claim_for(threads: usize, room: usize, budget: &Arc<Budget>) -> Option<(usize, Claim)> {
    (1..=threads).rev().find_map(|threads| {
        let bytes = (2 * room * in_hand(threads)) as u64;
        Some((threads, budget.claim(bytes).ok()?))
    })
}

impl Stage for Members {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        let unpacker = Unpacker {
            members: *self,
            present: Member::default(),
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

/// One member on its way.
#[derive(Debug, Default)]
struct Member {
    /// All of it, as it came.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Whether it came out as its footer says.
    is_good: bool,
}

impl Member {
    /// Bytes that its footer says it comes to, modulo 2³².
    fn length(&self) -> usize {
        let length = self.input.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        length as usize
    }

    fn decompress(&mut self, decompressor: &mut Decompressor) {
        let length = self.length();
        self.output.reserve_exact(length.saturating_sub(self.output.len()));
        self.output.resize(length, 0);
        let came_to = decompressor.gzip_decompress(&self.input, &mut self.output);
        // The library does not say where the member ended, only that a right footer followed. If the last bytes occur
        // nowhere else, that footer was the last, and nothing is hidden between the data and it.
        let footer = self.input.len() - FOOTER;
        self.is_good = came_to == Ok(length) && memmem::find(&self.input, &self.input[footer..]) == Some(footer);
    }
}

/// A pool, and the memory that its members may take.
struct Workers {
    pool: WorkerPool<Member>,
    /// Bytes that one member may take on either side.
    room: usize,
    _claim: Claim,
}

struct Unpacker {
    members: Members,
    /// The member that is being gathered.
    present: Member,
    /// Members that nobody uses.
    spare: Vec<Member>,
    /// `None` until a member has come whose size is known.
    pool: Option<Workers>,
    /// Memory for the member that is gathered before there is a pool.
    first: Option<Claim>,
    gathered: Gathered,
    /// Bytes of the members that were given out.
    offset: u64,
    context: Context,
}

/// How far the members of a chunk went.
enum Taken {
    All,
    /// The bytes from here on are for the decoder that reads any stream.
    Upto(usize),
}

impl Unpacker {
    fn run(mut self, mut input: Inlet, mut out: Outlet) -> Outcome {
        loop {
            let in_flight = self.pool.as_ref().map_or(0, |workers| workers.pool.in_flight());
            if in_flight == 0 && !input.is_ready() {
                // Whoever waits gives out what it has.
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
        // An end anywhere else than behind a member is not for us to judge.
        self.decode(None, None, input, out)
    }

    /// Cuts a chunk into members, and hands over those that are whole.
    fn take_in(&mut self, chunk: &Chunk, out: &mut Outlet) -> Result<Taken, crate::error::Stop> {
        let bytes = chunk.as_slice();
        let mut at = 0;
        while at < bytes.len() {
            let size = match sized(&self.present.input) {
                Sized::Unknown => wanted(&self.present.input),
                Sized::Yes(member) if self.may_gather(member) => member,
                Sized::No | Sized::Yes(_) => return Ok(Taken::Upto(at)),
            };
            let missing = size - self.present.input.len();
            let count = missing.min(bytes.len() - at);
            // No more than that: growing by doubling would take memory that nobody has asked for.
            self.present.input.reserve_exact(missing);
            self.present.input.extend_from_slice(&bytes[at..at + count]);
            at += count;
            let is_whole = sized(&self.present.input) == Sized::Yes(self.present.input.len());
            if is_whole && !self.submit(out)? {
                return Ok(Taken::Upto(at));
            }
        }
        Ok(Taken::All)
    }

    /// Whether there is room for a member of `size` bytes. What a header says costs its writer nothing, so it is believed
    /// only as far as the budget goes.
    fn may_gather(&mut self, size: usize) -> bool {
        match (&self.pool, &self.first) {
            _ if size > LARGEST => false,
            (Some(workers), _) => size <= workers.room,
            (None, Some(_)) => true,
            (None, None) => {
                self.first = self.context.budget.claim(size as u64).ok();
                self.first.is_some()
            }
        }
    }

    /// Hands over the present member, which is whole, and begins another; answers whether there is room for it.
    fn submit(&mut self, out: &mut Outlet) -> Result<bool, crate::error::Stop> {
        let needed = self.present.input.len().max(self.present.length());
        if needed > LARGEST {
            return Ok(false);
        }
        if self.pool.is_none() {
            // Members are of one size as a rule; what cannot be compressed is a little larger.
            let room = needed + needed / 16 + 1024;
            // The first member's memory is a part of it.
            self.first = None;
            let Some((threads, claim)) = claim_for(self.members.threads, room, &self.context.budget) else {
                self.first = self.context.budget.claim(self.present.input.len() as u64).ok();
                return Ok(false);
            };
            let pool = WorkerPool::spawn("gunzip worker", threads, || {
                let mut decompressor = Decompressor::new();
                move |member: &mut Member| member.decompress(&mut decompressor)
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
                // It goes first when all is decoded by the other decoder.
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
        Ok(true)
    }

    fn give_out(&mut self, mut member: Member, out: &mut Outlet) -> Outcome {
        self.gathered.put(&member.output, out)?;
        self.offset += member.input.len() as u64;
        member.input.clear();
        self.spare.push(member);
        Ok(())
    }

    /// Leaves the rest of the stream to the decoder that reads any: the members in hand, the oldest first, then what was
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
        // The pool's memory is its own to the end: the members in hand are still in it.
        let mut decoding = Decoding::behind(self.members.formats, self.context.budget.clone(), self.offset);
        for member in in_hand {
            decoding.feed(&member.input, &mut out)?;
        }
        decoding.feed(&self.present.input, &mut out)?;
        if let Some(chunk) = rest {
            // Given back here: whoever waits for input must not hold any.
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

    fn unpacker(budget: Budget) -> Unpacker {
        Unpacker {
            members: Members {
                formats: &[],
                threads: 1,
            },
            present: Member::default(),
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
    fn a_size_in_a_header_is_believed_only_within_the_budget() {
        let mut unpacker = unpacker(Budget::new(256 << 10, 0, true));
        assert!(!unpacker.may_gather(LARGEST));
        assert_eq!(unpacker.context.budget.state(), 0);
        assert!(unpacker.may_gather(200 << 10));
        assert_eq!(unpacker.context.budget.state(), 200 << 10);
        assert!(unpacker.may_gather(200 << 10), "it is the same member");
        assert_eq!(unpacker.context.budget.state(), 200 << 10);
    }

    #[test]
    fn what_is_too_large_to_be_cut_out_is_not_gathered_at_all() {
        let mut unpacker = unpacker(Budget::new(LARGEST as u64 * 4, 0, false));
        assert!(!unpacker.may_gather(LARGEST + 1));
        assert!(unpacker.may_gather(LARGEST));
    }

    #[test]
    fn fewer_threads_are_hired_where_the_memory_is_short() {
        let budget = Arc::new(Budget::new(10_000, 2000, true));
        // A member takes 1000 bytes on either side; the third thread's would be the fifth.
        let (threads, claim) = claim_for(7, 1000, &budget).expect("room");
        assert_eq!((threads, budget.state()), (2, 8000));
        assert!(claim_for(1, 1000, &budget).is_none(), "all is taken");
        drop(claim);
        assert_eq!(claim_for(1, 1000, &budget).map(|(threads, _)| threads), Some(1));
    }
}
