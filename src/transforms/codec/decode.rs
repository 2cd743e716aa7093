//! Decompresses a stream: all its members, and nothing else.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use async_compression::core::util::PartialBuffer;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Chunk, Outlet};
use crate::grammar::{format_size, human_size};
use crate::stage::{Budget, Claim, Content, Context, OnThread, Outcome, Transform, TransformPlan, Want};

use super::{Codec, Decoder, Format, Head, PIECE, Padding, Step, magic};
use crate::transforms::gathered::Gathered;

/// Plans a stage that decompresses any of `formats`.
pub fn decompress(formats: &'static [&'static Format]) -> Box<dyn TransformPlan> {
    // With several formats, even a decoder's base is claimed only once the format is known.
    let (state, claims_later) = match formats {
        [only] => (only.base, only.grows),
        _ => (0, true),
    };
    Box::new(Codec {
        stage: OnThread(move |context: &Context| Decoding::new(formats, context.budget.clone())),
        content: Content::Restored,
        state,
        claims_later,
    })
}

/// A decompressor as a transform.
pub struct Decoding {
    formats: &'static [&'static Format],
    /// The format of the stream and its decoder, once a member has shown it.
    chosen: Option<(&'static Format, Box<dyn Decoder>)>,
    memory: Memory,
    state: State,
    /// Whether a complete member, or a skippable frame, has been read.
    is_whole: bool,
    /// Zero bytes since the last member.
    zeros: u64,
    /// Output that was not sent yet.
    gathered: Gathered,
    /// Bytes read so far, to report where an error is.
    offset: u64,
}

enum State {
    /// The first bytes of a member, too few yet to identify it; not counted in `offset`.
    Head(Vec<u8>),
    /// In the middle of a member.
    Member,
    /// In a skippable frame with this many bytes left.
    Skip(u64),
}

impl Decoding {
    /// A transform that decompresses a stream of one of `formats`.
    pub fn new(formats: &'static [&'static Format], budget: Arc<Budget>) -> Self {
        Self {
            formats,
            chosen: None,
            memory: Memory::new(budget),
            state: State::Head(Vec::new()),
            is_whole: false,
            zeros: 0,
            gathered: Gathered::default(),
            offset: 0,
        }
    }

    /// The same after complete members of `format` that were decoded by other means, `offset` bytes in all.
    pub fn behind(formats: &'static [&'static Format], budget: Arc<Budget>, offset: u64) -> Self {
        Self {
            // Without a member before it, it still has to identify the format.
            chosen: formats
                .first()
                .filter(|_| offset > 0)
                .map(|format| (*format, (format.decoder)())),
            is_whole: offset > 0,
            offset,
            ..Self::new(formats, budget)
        }
    }

    /// Decodes bytes that are not in a chunk. Output before an error is sent: a stage that needs no more than that must
    /// get it.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Outlet) -> Outcome {
        let fed = self.consume_all(bytes, out);
        if fed.is_err() {
            self.starved(out)?;
        }
        fed
    }

    fn consume_all(&mut self, bytes: &[u8], out: &mut Outlet) -> Outcome {
        for piece in bytes.chunks(PIECE) {
            let mut rest = PartialBuffer::new(piece);
            while !rest.unwritten().is_empty() {
                self.consume(&mut rest, out)?;
            }
        }
        Ok(())
    }

    /// The format of the stream, as far as it is known.
    fn format(&self) -> Option<&'static Format> {
        match (&self.chosen, self.formats) {
            (Some((format, _)), _) => Some(format),
            (None, [only]) => Some(only),
            _ => None,
        }
    }

    fn operation(&self) -> String {
        match self.format() {
            Some(format) => format!("cannot decompress {} input", format.name),
            None => "cannot decompress the input".to_owned(),
        }
    }

    fn corrupt(&self, why: impl Display) -> Stop {
        let why = format!("{why} (at byte {})", self.offset);
        Failure::because(Kind::Corrupt, self.operation(), why).into()
    }

    fn cut(&self) -> Stop {
        self.corrupt("the input ends in the middle of the data")
    }

    /// The failure for an unknown format.
    fn foreign(&self, head: &[u8]) -> Stop {
        let seen = magic::describe(&head[..head.len().min(magic::LONGEST)]);
        if self.is_whole {
            return self.corrupt(format!("something else follows the end of the data: {seen}"));
        }
        if let Some(format) = self.format() {
            return self.corrupt(format!("this is not {}: {seen}", format.name));
        }
        let names: Vec<&str> = self.formats.iter().map(|format| format.name).collect();
        let names = names.join(", ");
        self.corrupt(format!(
            "this is not any of {names}: {seen}; brotli cannot be recognised, use unbrotli for it"
        ))
    }

    /// The failure if the decoder needs too much memory: `needed` is what the whole pipeline would need.
    fn too_much(&self, bytes: u64, needed: u64) -> Stop {
        let why = format!(
            "it takes {} to decompress; --memory {} would do",
            human_size(bytes),
            format_size(needed.next_multiple_of(1 << 10))
        );
        Failure::because(Kind::Limit, self.operation(), why).into()
    }

    /// Decodes as much of `input` as the current state needs.
    fn consume(&mut self, input: &mut PartialBuffer<&[u8]>, out: &mut Outlet) -> Outcome {
        match &mut self.state {
            State::Member => self.decode(input, out),
            State::Skip(left) => {
                let count = input
                    .unwritten()
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                let is_over = *left == 0;
                input.advance(count);
                self.offset += count as u64;
                if is_over {
                    self.end_member();
                }
                Ok(())
            }
            State::Head(head) if head.is_empty() && self.is_whole => {
                let zeros = match self.chosen {
                    Some((format, _)) if format.padding != Padding::None => {
                        input.unwritten().iter().take_while(|byte| **byte == 0).count()
                    }
                    _ => 0,
                };
                input.advance(zeros);
                self.zeros += zeros as u64;
                self.offset += zeros as u64;
                match input.unwritten() {
                    [] => Ok(()),
                    _ => self.gather(input, out),
                }
            }
            State::Head(_) => self.gather(input, out),
        }
    }

    /// A member or frame is over.
    fn end_member(&mut self) {
        self.state = State::Head(Vec::new());
        self.is_whole = true;
        self.zeros = 0;
    }

    /// Gathers the first bytes of a member until they identify it, and starts it.
    fn gather(&mut self, input: &mut PartialBuffer<&[u8]>, out: &mut Outlet) -> Outcome {
        let State::Head(head) = &mut self.state else {
            return Ok(());
        };
        let mut head = std::mem::take(head);
        loop {
            let wanted = match self.look(&head) {
                (_, Head::More(wanted)) => wanted,
                (_, Head::Foreign) if head.len() < magic::LONGEST => {
                    // A few more bytes make a better message.
                    if input.unwritten().is_empty() && self.is_whole {
                        return Err(self.foreign(&head));
                    }
                    magic::LONGEST
                }
                (_, Head::Foreign) => return Err(self.foreign(&head)),
                (_, Head::Unable(why)) => return Err(self.corrupt(why)),
                (_, Head::Skippable(bytes)) => {
                    self.offset += head.len() as u64;
                    self.state = State::Skip(bytes - head.len() as u64);
                    if let State::Skip(0) = self.state {
                        self.end_member();
                    }
                    return Ok(());
                }
                (format, Head::Member(bytes)) => return self.start(format, bytes, &head, out),
            };
            let count = input.unwritten().len().min(wanted - head.len());
            if count == 0 {
                self.state = State::Head(head);
                return Ok(());
            }
            head.extend_from_slice(&input.unwritten()[..count]);
            input.advance(count);
        }
    }

    /// Identifies the first bytes of a member, by the format that recognises them.
    fn look(&self, head: &[u8]) -> (&'static Format, Head) {
        let known = self.chosen.as_ref().map(|(format, _)| *format);
        let formats = known.as_slice();
        let formats = if formats.is_empty() { self.formats } else { formats };
        if self.is_whole && known.is_some_and(|format| !format.repeats || !self.may_follow(format)) {
            return (formats[0], Head::Foreign);
        }
        let mut answer = (formats[0], Head::Foreign);
        for format in formats {
            match ((format.head)(head), answer.1) {
                (Head::Foreign, _) => {}
                (Head::More(more), Head::More(least)) => answer.1 = Head::More(least.min(more)),
                (Head::More(more), _) => answer = (format, Head::More(more)),
                (told, _) => return (format, told),
            }
        }
        answer
    }

    /// Whether another member may follow the last one.
    fn may_follow(&self, format: &Format) -> bool {
        format.padding != Padding::Fours || self.zeros.is_multiple_of(4)
    }

    /// Starts a member whose decoder needs `bytes`, with its first bytes.
    fn start(&mut self, format: &'static Format, bytes: u64, head: &[u8], out: &mut Outlet) -> Outcome {
        match &mut self.chosen {
            Some((_, decoder)) => decoder.restart().map_err(|error| self.corrupt(error))?,
            None => {
                if self.formats.len() > 1 {
                    let claim = self.memory.claim_base(format.base);
                    claim.map_err(|needed| self.too_much(format.base, needed))?;
                }
                self.chosen = Some((format, (format.decoder)()));
            }
        }
        self.claim(bytes)?;
        self.state = State::Member;
        let mut input = PartialBuffer::new(head);
        while !input.unwritten().is_empty() {
            self.consume(&mut input, out)?;
        }
        Ok(())
    }

    fn claim(&mut self, bytes: u64) -> Outcome {
        self.memory.claim(bytes).map_err(|needed| self.too_much(bytes, needed))
    }

    /// Decodes all of `input` that belongs to this member, and sends the output.
    fn decode(&mut self, input: &mut PartialBuffer<&[u8]>, out: &mut Outlet) -> Outcome {
        loop {
            let before = input.written_len();
            let (step, _) = self.gathered.step(out, |output| match &mut self.chosen {
                Some((_, decoder)) => decoder.decode(input, output),
                None => Err(io::Error::other("no decoder was chosen")),
            })?;
            let step = step.map_err(|error| self.corrupt(error))?;
            self.offset += (input.written_len() - before) as u64;
            match step {
                Step::Ended => {
                    self.end_member();
                    return Ok(());
                }
                Step::Needs(bytes) => {
                    self.claim(bytes)?;
                    if let Some((_, decoder)) = &mut self.chosen {
                        decoder.allow(bytes).map_err(|error| self.corrupt(error))?;
                    }
                }
                // If it filled a buffer, there may be more.
                Step::Within if input.unwritten().is_empty() && !self.gathered.is_empty() => return Ok(()),
                Step::Within => {}
            }
        }
    }
}

impl Transform for Decoding {
    fn transform(&mut self, input: Chunk, out: &mut Outlet) -> Result<Want, Stop> {
        self.feed(input.as_slice(), out)?;
        Ok(Want::More)
    }

    fn starved(&mut self, out: &mut Outlet) -> Outcome {
        Ok(self.gathered.send(out)?)
    }

    fn finish(mut self: Box<Self>, out: &mut Outlet) -> Outcome {
        self.starved(out)?;
        let State::Head(head) = &self.state else {
            return Err(self.cut());
        };
        match head.as_slice() {
            [] if !self.is_whole => Err(self.corrupt("the input is empty")),
            [] if !self.chosen.as_ref().is_none_or(|(format, _)| self.may_follow(format)) => {
                Err(self.corrupt("the zero bytes behind the data are no multiple of four"))
            }
            [] => Ok(()),
            head => Err(match self.look(head).1 {
                Head::Foreign => self.foreign(head),
                _ => {
                    self.offset += head.len() as u64;
                    self.cut()
                }
            }),
        }
    }
}

/// A decoder's claims. They only grow: a decoder keeps its largest window for the next member.
pub struct Memory {
    budget: Arc<Budget>,
    base: Option<Claim>,
    state: Option<Claim>,
    bytes: u64,
}

impl Memory {
    /// No claim.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            base: None,
            state: None,
            bytes: 0,
        }
    }

    /// Claims the decoder's base, if the plan did not.
    pub fn claim_base(&mut self, bytes: u64) -> Result<(), u64> {
        self.base = Some(self.budget.claim(bytes)?);
        Ok(())
    }

    /// Claims `bytes` in all for what the input needs.
    pub fn claim(&mut self, bytes: u64) -> Result<(), u64> {
        if bytes > self.bytes {
            self.state = None;
            self.state = Some(self.budget.claim(bytes)?);
            self.bytes = bytes;
        }
        Ok(())
    }
}
