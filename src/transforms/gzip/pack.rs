//! Compressing independent members in parallel.
//!
//! One thread copies the input into members and the results into the output, in order; a pool compresses, or with
//! `threads=1` that thread itself. No input chunk is held while input is waited for: a member's bytes are the stage's own,
//! and stand in the budget.

use std::time::{Duration, Instant};

use libdeflater::{CompressionLvl, Compressor, Crc};

use crate::error::Stop;
use crate::flow::{Chunk, Inlet, Outlet};
use crate::stage::{Context, Outcome, Stage, Work};

use super::member::{FOOTER, HEADER, header};
use crate::transforms::gathered::Gathered;
use crate::transforms::worker_pool::{Event, WorkerPool};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    /// 1 to 12.
    pub level: i32,
    /// Bytes of input in a member.
    pub size: usize,
    /// Threads that compress.
    pub threads: usize,
    /// After what time without more input a member is cut short; `None` for never.
    pub flush: Option<Duration>,
}

impl Members {
    /// The most bytes that a member can come to. What cannot be compressed is stored, which costs 5 bytes in each 5000 at
    /// the most: libdeflate's own bound.
    fn bound(&self) -> usize {
        HEADER + FOOTER + self.size + 5 * (self.size / 5000 + 1) + 9
    }

    /// Bytes of one of libdeflate's compressors, measured at each level.
    fn compressor_bytes(&self) -> usize {
        match self.level {
            ..=1 => 208 << 10,
            2..=9 => 664 << 10,
            _ => 8816 << 10,
        }
    }

    /// Bytes of all members in hand and their compressors.
    pub fn state_bytes(&self) -> u64 {
        (self.threads * (self.size + self.bound() + self.compressor_bytes())) as u64
    }
}

impl Stage for Members {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, context: Context) -> Work {
        Work::Thread(Box::new(move || {
            let level = self.level;
            let compress = || {
                let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap_or_default());
                move |member: &mut Member| member.compress(&mut compressor, level)
            };
            let pool = match self.threads {
                1 => WorkerPool::alone(compress()),
                threads => WorkerPool::spawn("gzip worker", threads, compress)?,
            };
            let packer = Packer {
                pool,
                filling: None,
                spare: (0..self.threads).map(|_| Member::new(&self)).collect(),
                gathered: Gathered::default(),
                last: Instant::now(),
                is_empty: true,
                members: *self,
            };
            packer.run(input, out, &context)
        }))
    }
}

/// One member on its way.
#[derive(Debug)]
struct Member {
    /// What goes into it.
    input: Vec<u8>,
    /// What comes of it, as long as it is in a thread's hand; only the first `size` bytes are of this member.
    output: Vec<u8>,
    size: usize,
}

impl Member {
    fn new(members: &Members) -> Self {
        Self {
            input: Vec::with_capacity(members.size),
            output: vec![0; members.bound()],
            size: 0,
        }
    }

    fn compress(&mut self, compressor: &mut Compressor, level: i32) {
        let room = self.output.len() - FOOTER;
        let deflated = compressor
            .deflate_compress(&self.input, &mut self.output[HEADER..room])
            .expect("the bound leaves room for what cannot be compressed");
        let footer = HEADER + deflated;
        self.size = footer + FOOTER;
        let mut crc = Crc::new();
        crc.update(&self.input);
        let length = |bytes: usize| u32::try_from(bytes).expect("a member is far smaller than 4 GiB");
        self.output[..HEADER].copy_from_slice(&header(length(self.size), level));
        self.output[footer..footer + 4].copy_from_slice(&crc.sum().to_le_bytes());
        self.output[footer + 4..self.size].copy_from_slice(&length(self.input.len()).to_le_bytes());
    }
}

struct Packer {
    members: Members,
    pool: WorkerPool<Member>,
    /// The member that is being filled; it has something in it.
    filling: Option<Member>,
    /// Members that nobody uses. With the others there is one for each thread: filling one takes a hundredth of the time
    /// that compressing one does, and a thread that waits for it leaves its processor to this one.
    spare: Vec<Member>,
    gathered: Gathered,
    /// When input came last.
    last: Instant,
    /// Whether no member was begun at all.
    is_empty: bool,
}

impl Packer {
    fn run(mut self, mut input: Inlet, mut out: Outlet, context: &Context) -> Outcome {
        loop {
            if self.pool.in_flight() == 0 && !input.is_ready() {
                // Whoever waits gives out what it has.
                self.gathered.send(&mut out)?;
            }
            match self.pool.next_or_input(&mut input, &context.meter, self.patience())? {
                Event::Done(member) => self.give_out(member, &mut out)?,
                Event::Input(Some(chunk)) => self.take_in(&chunk, &mut out)?,
                Event::Input(None) => break,
                Event::Late => self.submit(),
            }
        }
        // Nothing at all is a member, too: an empty stream that any gzip reads.
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
        let flush = self.members.flush.filter(|_| self.filling.is_some())?;
        Some(flush.saturating_sub(self.last.elapsed()))
    }

    /// Copies a chunk into members, and hands over those that are full.
    fn take_in(&mut self, chunk: &Chunk, out: &mut Outlet) -> Outcome {
        self.last = Instant::now();
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            rest = &rest[self.fill(rest, out)?..];
        }
        Ok(())
    }

    /// Copies what fits of `bytes` into the member that is being filled, and hands it over if that fills it; answers how
    /// many bytes that were. Waits for a member if all are in hand.
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
        let count = bytes.len().min(self.members.size - filling.input.len());
        filling.input.extend_from_slice(&bytes[..count]);
        let is_full = filling.input.len() == self.members.size;
        self.filling = Some(filling);
        if is_full {
            self.submit();
        }
        Ok(count)
    }

    /// Hands over the member that is being filled, if there is one.
    fn submit(&mut self) {
        if let Some(member) = self.filling.take() {
            self.pool.submit(member);
        }
    }

    fn give_out(&mut self, mut member: Member, out: &mut Outlet) -> Outcome {
        self.gathered.put(&member.output[..member.size], out)?;
        member.input.clear();
        self.spare.push(member);
        Ok(())
    }
}
