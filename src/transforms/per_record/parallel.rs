//! A stage that treats each record on its own, on several threads.
//!
//! Each chunk is a job of a pool, and the results are sent in order. Chunks are held while the stage waits for more, but
//! no job needs more input to be done, so each gives its credit back by itself.

use crate::flow::{Chunk, Inlet, Outlet};
use crate::stage::{Context, Outcome, Stage, Work};

use super::{Cut, PerRecord, Progress, Running, Target, Worker};
use crate::transforms::worker_pool::{Event, WorkerPool};

/// The stage, before it runs.
pub struct Parallel<T> {
    stage: T,
    /// Bytes of the largest record, with its newline.
    limit: usize,
    threads: usize,
    /// Bytes of each job's output.
    room: usize,
}

/// The largest chunk of an ordinary link: what a worker has no more room for is done behind it, on one thread.
const ROOM: usize = 256 << 10;

impl<T: PerRecord> Parallel<T> {
    /// A stage whose records have at most `limit` bytes each, with their newlines.
    pub fn new(stage: T, limit: usize, threads: usize) -> Self {
        Self {
            stage,
            limit,
            threads,
            room: ROOM,
        }
    }

    /// Bytes of the jobs' output: one job more than there are threads, so that none waits while a result is sent.
    pub fn job_bytes(threads: usize) -> u64 {
        ((threads + 1) * ROOM) as u64
    }
}

impl<T: PerRecord> Stage for Parallel<T> {
    fn start(self: Box<Self>, mut input: Inlet, mut out: Outlet, context: Context) -> Work {
        Work::Thread(Box::new(move || {
            let pool = WorkerPool::spawn("record worker", self.threads, || {
                let mut worker = Worker::new(self.stage.clone(), self.limit);
                move |job: &mut Job| job.work(&mut worker)
            })?;
            let mut owner = Owner {
                pool,
                spare: (0..=self.threads).map(|_| Job::new(self.room)).collect(),
                running: Running::new(self.stage, self.limit),
            };
            owner.run(&mut input, &mut out, &context)?;
            out.finish();
            Ok(())
        }))
    }
}

/// A chunk, and what a worker made of it.
struct Job {
    chunk: Option<Chunk>,
    progress: Progress,
    output: Output,
}

/// The records that were made of a chunk, in memory that never grows.
struct Output {
    bytes: Vec<u8>,
    records: u64,
}

impl Target for Output {
    fn put(&mut self, bytes: &[u8], records: u64) -> Result<(), Cut> {
        if bytes.len() > self.bytes.capacity() - self.bytes.len() {
            return Err(Cut::Full);
        }
        self.bytes.extend_from_slice(bytes);
        self.records += records;
        Ok(())
    }
}

impl Job {
    fn new(room: usize) -> Self {
        let bytes = Vec::with_capacity(room);
        Self {
            chunk: None,
            progress: Progress::default(),
            output: Output { bytes, records: 0 },
        }
    }

    /// Goes through the chunk as far as there is room. Where that ends, or a record fails, its owner goes on.
    fn work<T: PerRecord>(&mut self, worker: &mut Worker<T>) {
        if let Some(chunk) = &self.chunk {
            let _ = worker.apply(chunk.as_slice(), &mut self.progress, &mut self.output);
        }
    }
}

struct Owner<T> {
    pool: WorkerPool<Job>,
    /// Unused jobs.
    spare: Vec<Job>,
    running: Running<T>,
}

impl<T: PerRecord> Owner<T> {
    fn run(&mut self, input: &mut Inlet, out: &mut Outlet, context: &Context) -> Outcome {
        loop {
            if self.pool.in_flight() == 0 && !input.is_ready() {
                // Output must not be held back during a wait.
                self.running.output.send(out)?;
            }
            match self.pool.next_or_input(input, &context.meter, None)? {
                Event::Done(job) => self.give_out(job, out)?,
                Event::Input(Some(chunk)) => self.take_in(chunk, out)?,
                Event::Input(None) => break,
                Event::Late => {}
            }
        }
        while let Some(job) = self.pool.wait_for_oldest() {
            self.give_out(job, out)?;
        }
        Ok(self.running.output.send(out)?)
    }

    fn take_in(&mut self, chunk: Chunk, out: &mut Outlet) -> Outcome {
        let mut job = loop {
            if let Some(job) = self.spare.pop() {
                break job;
            }
            if let Some(job) = self.pool.wait_for_oldest() {
                self.give_out(job, out)?;
            }
        };
        job.chunk = Some(chunk);
        self.pool.submit(job);
        Ok(())
    }

    fn give_out(&mut self, mut job: Job, out: &mut Outlet) -> Outcome {
        let Output { bytes, records } = &mut job.output;
        self.running.output.push(bytes, *records, out)?;
        bytes.clear();
        *records = 0;
        let progress = std::mem::take(&mut job.progress);
        let chunk = job.chunk.take();
        self.spare.push(job);
        chunk.map_or(Ok(()), |chunk| self.running.complete(chunk, progress, out))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::error::Stop;
    use crate::flow::{Link, Marks, Pool, Position, StageMeter, block_on};
    use crate::records::Record;
    use crate::transforms::per_record::Verdict;

    /// Drops records of an even length, keeps those that begin with `k`, and writes the others thrice.
    #[derive(Clone)]
    struct Thrice;

    impl PerRecord for Thrice {
        fn apply(&mut self, record: &[u8], made: &mut Record) -> Verdict {
            match record {
                record if record.len().is_multiple_of(2) => Verdict::Drop,
                [b'k', ..] => Verdict::Keep,
                _ => {
                    (0..3).for_each(|_| made.extend(record));
                    Verdict::Replace
                }
            }
        }
    }

    /// What comes of chunks on so many threads, whose jobs have so much room.
    fn ran(threads: usize, room: usize, chunks: &[&str]) -> (String, u64, Option<Position>, Outcome) {
        let pool = Arc::new(Pool::new(1 << 16));
        let link = || {
            let link = Link::new(Marks::new(512, 256, 128), pool.clone());
            let meter = || Arc::new(StageMeter::new(Instant::now()));
            (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
        };
        let ((mut feed, input), (out, mut drain)) = (link(), link());
        let stage = Parallel {
            room,
            ..Parallel::new(Thrice, 64, threads)
        };
        let context = Context::detached(Arc::new(StageMeter::new(Instant::now())));
        let Work::Thread(work) = Box::new(stage).start(input, out, context) else {
            panic!("it is a thread");
        };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (chunk, position) in chunks.iter().zip(1..) {
                    let count = chunk.lines().count() as u64;
                    let Ok(mut buffer) = block_on(feed.reserve_records(chunk.len(), count)) else {
                        return;
                    };
                    buffer.fill_from(chunk.as_bytes());
                    buffer.count_records(count);
                    buffer.mark(Position(position));
                    if feed.send(buffer).is_err() {
                        return;
                    }
                }
                feed.finish();
            });
            let stage = scope.spawn(work);
            let (mut bytes, mut records, mut position) = (Vec::new(), 0, None);
            while let Ok(Some(chunk)) = drain.receive_blocking() {
                bytes.extend_from_slice(chunk.as_slice());
                records += chunk.records();
                position = chunk.position().or(position);
            }
            let text = String::from_utf8(bytes).expect("UTF-8");
            (text, records, position, stage.join().expect("no panic"))
        })
    }

    #[test]
    fn order_is_kept_whatever_the_room() {
        let chunks = ["a\nkbc\nde\n", "klm\nkno\n", "pqr\nstu\nvwxyz\n", "ab\ncd\n", "k\n"].repeat(20);
        let once = "aaa\nkbc\nklm\nkno\npqrpqrpqr\nstustustu\nvwxyzvwxyzvwxyz\nk\n";
        for (threads, room) in [(1, 128), (2, 128), (3, 11), (3, 0)] {
            let (text, records, position, outcome) = ran(threads, room, &chunks);
            assert!(outcome.is_ok());
            assert_eq!(text, once.repeat(20), "{threads} threads, {room} bytes");
            assert_eq!((records, position), (8 * 20, Some(Position(100))));
        }
    }

    #[test]
    fn failure_names_the_record_of_the_stream() {
        let long = "x".repeat(23) + "\n";
        let (text, _, _, outcome) = ran(2, 128, &["a\nb\n", "c\nd\n", &("e\n".to_owned() + &long), "f\n"]);
        assert_eq!(text, "aaa\nbbb\nccc\nddd\neee\n"[..text.len()]);
        let Err(Stop::Failed(failure)) = outcome else {
            panic!("a record of 70 bytes is too large");
        };
        assert!(failure.to_string().contains("cannot change record 6"), "{failure}");
    }
}
