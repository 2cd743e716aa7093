//! Compresses independent members of a stream in parallel: gzip members, zstd frames.
//!
//! One thread copies the input into members and the results into the output, in order; a pool compresses, or with one
//! thread that thread itself. No input chunk is held while it waits for input: a member's bytes are the stage's own, and
//! are part of the budget.
//!
//! Where the input has positions, a member ends at one of them, and the output has that position behind the member. So
//! another run can start there.

use std::io;
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Inlet, Outlet, Position};
use crate::stage::{Content, Context, Conversion, MemoryUse, Outcome, Resume, Stage, TransformPlan, Work};

use super::gathered::Gathered;
use super::worker_pool::{Event, WorkerPool};

pub mod unpack;

/// A format of members that can follow each other.
pub trait Format: Send + Sync + 'static {
    /// The name of its threads.
    const WORKER: &str;
    /// Members besides one for each of several threads. Where filling one takes long beside compressing it, a thread need
    /// not wait for that.
    const SPARE: usize;
    /// Bytes of the largest member with `size` bytes of input.
    fn bound(&self, size: usize) -> usize;
    /// Bytes that a compressor holds.
    fn compressor_bytes(&self) -> usize;
    /// What it does to the bytes, in the words of the pipeline.
    fn effect(&self) -> String;
    /// Makes a function that compresses the first slice into the second, and returns the number of bytes. It can only
    /// lack memory.
    fn compressor(&self) -> impl FnMut(&[u8], &mut [u8]) -> io::Result<usize> + Send + 'static;
}

/// The number of processors that this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(64)
}

/// How a stream is compressed.
#[derive(Debug, Clone, Copy)]
pub struct Members<F> {
    /// Their format.
    pub format: F,
    /// Bytes of input in a member.
    pub size: usize,
    /// Threads that compress.
    pub threads: usize,
    /// After how long without more input a member is ended early; `None` for never.
    pub flush: Option<Duration>,
}

impl<F: Format> Members<F> {
    /// The number of members that are held.
    fn in_hand(&self) -> usize {
        if self.threads > 1 { self.threads + F::SPARE } else { 1 }
    }
}

impl<F: Format> TransformPlan for Members<F> {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        Some(self)
    }

    fn resume(&mut self) -> Result<&mut dyn Resume, &'static str> {
        Ok(self)
    }
}

impl<F: Format> MemoryUse for Members<F> {
    /// All members and their compressors.
    fn state_bytes(&self) -> u64 {
        let members = self.in_hand() * (self.size + self.format.bound(self.size));
        (members + self.threads * self.format.compressor_bytes()) as u64
    }
}

impl<F: Format> Conversion for Members<F> {
    fn content(&self) -> Option<Content> {
        Some(Content::Compressed)
    }
}

impl<F: Format> Resume for Members<F> {
    fn effect(&self) -> Option<String> {
        Some(self.format.effect())
    }

    fn held_back(&self) -> u64 {
        (self.in_hand() * self.size) as u64
    }
}

impl<F: Format> Stage for Members<F> {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        Work::Thread(Box::new(move || {
            let compress = || {
                let mut compress = self.format.compressor();
                move |member: &mut Member| member.size = compress(&member.input, &mut member.output)
            };
            let pool = match self.threads {
                1 => WorkerPool::alone(compress()),
                threads => WorkerPool::spawn(F::WORKER, threads, compress)?,
            };
            let bound = self.format.bound(self.size);
            let packer = Packer {
                pool,
                filling: None,
                spare: (0..self.in_hand()).map(|_| Member::new(self.size, bound)).collect(),
                gathered: Gathered::default(),
                last: Instant::now(),
                is_empty: true,
                unmarked: 0,
                size: self.size,
                flush: self.flush,
            };
            packer.run(input, out, &context)
        }))
    }
}

/// One member.
#[derive(Debug)]
struct Member {
    /// Its uncompressed input.
    input: Vec<u8>,
    /// Its compressed output while a thread works on it; only the first `size` bytes belong to this member.
    output: Vec<u8>,
    size: io::Result<usize>,
    /// The position behind its input.
    position: Option<Position>,
}

impl Member {
    fn new(size: usize, bound: usize) -> Self {
        Self {
            input: Vec::with_capacity(size),
            output: vec![0; bound],
            size: Ok(0),
            position: None,
        }
    }
}

struct Packer {
    /// Bytes of input in a member.
    size: usize,
    flush: Option<Duration>,
    pool: WorkerPool<Member>,
    /// The member that is being filled; not empty.
    filling: Option<Member>,
    /// Unused members.
    spare: Vec<Member>,
    gathered: Gathered,
    /// When the last input came.
    last: Instant,
    /// Whether no member was begun at all.
    is_empty: bool,
    /// Bytes since the last chunk that had a position: a stage before may give one only to some.
    unmarked: usize,
}

impl Packer {
    fn run(mut self, mut input: Inlet, mut out: Outlet, context: &Context) -> Outcome {
        loop {
            if self.pool.in_flight() == 0 && !input.is_ready() {
                // Output must not be held back during a wait.
                self.gathered.send(&mut out)?;
            }
            match self.pool.next_or_input(&mut input, &context.meter, self.patience())? {
                Event::Done(member) => self.give_out(member, &mut out)?,
                Event::Input(Some(chunk)) => self.take_in(&chunk, &mut out)?,
                Event::Input(None) => break,
                Event::Late => self.submit(),
            }
        }
        // An empty stream is one empty member, which any reader accepts.
        if self.is_empty {
            self.fill(&[], &mut out)?;
        }
        self.submit();
        while let Some(member) = self.pool.wait_for_oldest() {
            self.give_out(member, &mut out)?;
        }
        self.gathered.send(&mut out)?;
        out.finish();
        Ok(())
    }

    /// How long the member that is being filled waits for more.
    fn patience(&self) -> Option<Duration> {
        let flush = self.flush.filter(|_| self.filling.is_some())?;
        Some(flush.saturating_sub(self.last.elapsed()))
    }

    /// Copies a chunk into members, and submits those that are full. A member ends with the chunk if that has a position,
    /// and as many bytes as there were since the one before would not fit.
    fn take_in(&mut self, chunk: &Chunk, out: &mut Outlet) -> Outcome {
        self.last = Instant::now();
        let ends_at_position =
            |filling: &Member| filling.position.is_some() && filling.input.len() + chunk.len() > self.size;
        if self.filling.as_ref().is_some_and(ends_at_position) {
            // With a part of this chunk its end would have none.
            self.submit();
        }
        self.unmarked += chunk.len();
        let gap = self.unmarked;
        if chunk.position().is_some() {
            self.unmarked = 0;
        }
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            rest = &rest[self.fill(rest, out)?..];
        }
        if let Some(filling) = &mut self.filling {
            filling.position = chunk.position();
            let length = filling.input.len();
            let is_last = filling.position.is_some() && length + gap > self.size;
            if is_last || length == self.size {
                self.submit();
            }
        }
        Ok(())
    }

    /// Copies as much of `bytes` as fits into the member that is being filled, and submits it if the rest does not fit;
    /// returns the number of bytes. Waits for a member if all are in use.
    fn fill(&mut self, bytes: &[u8], out: &mut Outlet) -> Result<usize, Stop> {
        self.is_empty = false;
        let mut filling = loop {
            if let Some(member) = self.filling.take().or_else(|| self.spare.pop()) {
                break member;
            }
            if let Some(member) = self.pool.wait_for_oldest() {
                self.give_out(member, out)?;
            }
        };
        let count = bytes.len().min(self.size - filling.input.len());
        filling.input.extend_from_slice(&bytes[..count]);
        // It was that of what was there before.
        filling.position = None;
        self.filling = Some(filling);
        if count < bytes.len() {
            self.submit();
        }
        Ok(count)
    }

    /// Submits the member that is being filled, if there is one.
    fn submit(&mut self) {
        if let Some(member) = self.filling.take() {
            self.pool.submit(member);
        }
    }

    fn give_out(&mut self, mut member: Member, out: &mut Outlet) -> Outcome {
        let size = std::mem::replace(&mut member.size, Ok(0));
        let size = size.map_err(|error| Failure::io(Kind::Resources, "cannot compress", error))?;
        self.gathered
            .put_marked(&member.output[..size], member.position.take(), out)?;
        member.input.clear();
        self.spare.push(member);
        Ok(())
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use super::*;
    use crate::flow::{Link, Marks, Pool, StageMeter, block_on};
    use crate::transforms::gzip::Pack;

    /// What is sent for `input`, which comes in chunks of these sizes, each with its position: pieces, and where each ends.
    fn sent(members: Members<Pack>, input: &[u8], sizes: &[usize]) -> Vec<(Vec<u8>, Option<Position>)> {
        let pool = Arc::new(Pool::new(1 << 20));
        let meter = || Arc::new(StageMeter::new(Instant::now()));
        let link = |chunk| Link::new(Marks::new(128 << 10, 64 << 10, chunk), pool.clone());
        let (first, second) = (link(64 << 10), link(1 << 10));
        let mut feed = Outlet::new(first.clone(), meter());
        let mut end = Inlet::new(second.clone(), meter());
        let work = Box::new(members).start(
            Inlet::new(first, meter()),
            Outlet::new(second, meter()),
            Context::detached(meter()),
        );
        let Work::Thread(work) = work else {
            panic!("it has a thread")
        };
        std::thread::scope(|scope| {
            let worker = scope.spawn(work);
            scope.spawn(move || {
                let (mut at, mut sizes) = (0, sizes.iter().cycle());
                while at < input.len() {
                    let size = (*sizes.next().expect("endless")).min(input.len() - at);
                    let mut buffer = feed.reserve_blocking(size).expect("room");
                    at += buffer.fill_from(&input[at..at + size]);
                    buffer.mark(Position(at as u128));
                    feed.send(buffer).expect("sent");
                }
                feed.finish();
            });
            let mut pieces = Vec::new();
            while let Some(chunk) = block_on(end.receive()).expect("a stream") {
                pieces.push((chunk.as_slice().to_vec(), chunk.position()));
            }
            assert!(worker.join().expect("no panic").is_ok());
            pieces
        })
    }

    #[test]
    fn positions_stand_between_members() {
        let input: Vec<u8> = (0..200_000_u32)
            .map(|at| (at.wrapping_mul(at) >> 7).to_le_bytes()[0])
            .collect();
        for sizes in [
            &[5000_usize, 1, 300][..],
            &[300, 5000, 9000, 12_000],
            &[1, 100, 20_000, 3, 16_000],
            &[50_000],
            &[16 << 10],
            &[1],
        ] {
            let input = if sizes == [1] { &input[..20_000] } else { &input[..] };
            for threads in [1, 3] {
                let members = Members {
                    format: Pack { level: 1 },
                    size: 16 << 10,
                    threads,
                    flush: None,
                };
                let (mut output, mut positions) = (Vec::new(), Vec::new());
                for (bytes, position) in sent(members, input, sizes) {
                    output.extend(bytes);
                    if let Some(Position(position)) = position {
                        let mut plain = Vec::new();
                        let mut decoder = flate2::read::MultiGzDecoder::new(&output[..]);
                        decoder.read_to_end(&mut plain).expect("whole members");
                        assert!(plain == input[..usize::try_from(position).expect("small")]);
                        positions.push(position);
                    }
                }
                let largest = *sizes.iter().max().expect("a size").max(&(16 << 10)) as u128;
                let gaps = [0].iter().chain(&positions).zip(&positions);
                let widest = gaps.map(|(one, next)| next - one).max().expect("a position");
                assert!(
                    widest <= largest,
                    "{widest} bytes without a position, of chunks of {sizes:?}"
                );
                assert!(input.len() as u128 - positions[positions.len() - 1] <= largest);
            }
        }
    }
}
