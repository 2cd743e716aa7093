//! Records that are gathered into whole buffers.

use memchr::{memchr, memchr_iter, memrchr};

use crate::flow::{Buffer, Chunk, Closed, Outlet, Position, block_on};

/// Records that were not sent yet. Each ends in a newline.
#[derive(Debug, Default)]
pub struct RecordOutput(Option<Buffer>);

/// More records than a buffer holds; the link grants as many of them as its marks allow.
const MANY: u64 = 1 << 32;

impl RecordOutput {
    /// Appends `records` whole records, and sends each buffer that becomes full. A record that is larger than the
    /// link's chunks gets a buffer of its own.
    ///
    /// # Errors
    /// [`Closed`] if the consumer has closed its side.
    ///
    /// # Panics
    /// If a record is larger than the link.
    pub fn push(&mut self, mut bytes: &[u8], mut records: u64, out: &mut Outlet) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let mut buffer = match self.0.take() {
                Some(buffer) => buffer,
                None => block_on(out.reserve_records(usize::MAX, MANY))?,
            };
            let (length, count) = fitting(&buffer, bytes, records);
            if length > 0 {
                buffer.fill_from(&bytes[..length]);
                buffer.count_records(count);
                (bytes, records) = (&bytes[length..], records - count);
                self.0 = Some(buffer);
                continue;
            }
            if !buffer.is_empty() {
                out.send(buffer)?;
                continue;
            }
            // Given back first: the link may not have room for both.
            drop(buffer);
            let length = memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
            let mut buffer = block_on(out.reserve_whole(length))?;
            buffer.fill_from(&bytes[..length]);
            buffer.count_records(1);
            out.send(buffer)?;
            (bytes, records) = (&bytes[length..], records - 1);
        }
        Ok(())
    }

    /// Appends one record, which is given without its newline, as [`RecordOutput::push`] does.
    ///
    /// # Errors
    /// [`Closed`] if the consumer has closed its side.
    ///
    /// # Panics
    /// If the record is larger than the link.
    pub async fn push_line(&mut self, line: &[u8], out: &mut Outlet) -> Result<(), Closed> {
        let length = line.len() + 1;
        let fits = |buffer: &Buffer| buffer.capacity() - buffer.len() >= length && buffer.record_room() > 0;
        if self.0.as_ref().is_some_and(|buffer| !fits(buffer)) {
            self.send(out)?;
        }
        let mut buffer = match self.0.take() {
            Some(buffer) => buffer,
            None if length <= out.largest() => out.reserve_records(usize::MAX, MANY).await?,
            None => out.reserve_whole(length).await?,
        };
        buffer.fill_from(line);
        buffer.fill_from(b"\n");
        buffer.count_records(1);
        self.0 = Some(buffer);
        Ok(())
    }

    /// Passes a chunk on behind what was gathered, without a copy where possible; all of it is `records` whole records.
    ///
    /// # Errors
    /// [`Closed`] if the consumer has closed its side.
    pub fn forward(&mut self, chunk: Chunk, records: u64, out: &mut Outlet) -> Result<(), Closed> {
        self.send(out)?;
        block_on(out.forward_records(chunk, records))
    }

    /// Records that everything up to `position` was appended.
    ///
    /// # Errors
    /// [`Closed`] if the consumer has closed its side.
    pub fn mark(&mut self, position: Position, out: &mut Outlet) -> Result<(), Closed> {
        match &mut self.0 {
            Some(buffer) => {
                buffer.mark(position);
                Ok(())
            }
            None => out.mark(position),
        }
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// [`Closed`] if the consumer has closed its side.
    pub fn send(&mut self, out: &mut Outlet) -> Result<(), Closed> {
        self.0.take().map_or(Ok(()), |buffer| out.send(buffer))
    }
}

/// The bytes and the number of the first of `records` records that the buffer has room for.
fn fitting(buffer: &Buffer, bytes: &[u8], records: u64) -> (usize, u64) {
    let spare = buffer.capacity() - buffer.len();
    if bytes.len() <= spare && records <= buffer.record_room() {
        return (bytes.len(), records);
    }
    let within = &bytes[..bytes.len().min(spare)];
    let Some(last) = memrchr(b'\n', within) else {
        return (0, 0);
    };
    let count = memchr_iter(b'\n', &within[..last]).count() as u64 + 1;
    let room = buffer.record_room();
    if count <= room {
        return (last + 1, count);
    }
    let ends = memchr_iter(b'\n', within).zip(1..);
    let last = ends.take_while(|(_, number)| *number <= room).last();
    last.map_or((0, 0), |(newline, number)| (newline + 1, number))
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::flow::{Inlet, Link, Marks, Pool, StageMeter};

    fn link(records: u64) -> (Outlet, Inlet) {
        let marks = Marks::new(400, 400, 100).with_records(records, records);
        let link = Link::new(marks, Arc::new(Pool::new(1 << 20)));
        let meter = || Arc::new(StageMeter::new(Instant::now()));
        (Outlet::new(link.clone(), meter()), Inlet::new(link, meter()))
    }

    fn received(inlet: &mut Inlet) -> Vec<(usize, u64)> {
        let chunks = std::iter::from_fn(|| inlet.try_receive());
        chunks.map(|chunk| (chunk.len(), chunk.records())).collect()
    }

    #[test]
    fn records_are_gathered_up_to_a_chunk() {
        let (mut out, mut inlet) = link(400);
        let mut output = RecordOutput::default();
        for _ in 0..7 {
            output
                .push(&[[b'a'; 29].as_slice(), b"\n"].concat(), 1, &mut out)
                .expect("open");
        }
        assert_eq!(received(&mut inlet), [(90, 3), (90, 3)]);
        output.send(&mut out).expect("open");
        assert_eq!(received(&mut inlet), [(30, 1)]);
    }

    #[test]
    fn lines_are_gathered_up_to_a_chunk() {
        let (mut out, mut inlet) = link(400);
        let mut output = RecordOutput::default();
        for length in [59, 39, 30, 199, 0] {
            block_on(output.push_line(&[b'a'; 300][..length], &mut out)).expect("open");
        }
        assert_eq!(received(&mut inlet), [(100, 2), (31, 1), (200, 1)]);
        output.send(&mut out).expect("open");
        assert_eq!(received(&mut inlet), [(1, 1)]);
    }

    #[test]
    fn both_marks_cut_a_run_of_records() {
        let (mut out, mut inlet) = link(40);
        let mut output = RecordOutput::default();
        output.push(&[b'\n'; 23], 23, &mut out).expect("open");
        output.send(&mut out).expect("open");
        assert_eq!(received(&mut inlet), [(10, 10), (10, 10), (3, 3)]);
    }

    #[test]
    fn large_record_passes_in_its_own_buffer() {
        let (mut out, mut inlet) = link(40);
        let mut output = RecordOutput::default();
        output.push(b"a\n", 1, &mut out).expect("open");
        let large = [[b'b'; 299].as_slice(), b"\n"].concat();
        output.push(&large, 1, &mut out).expect("open");
        output.mark(Position(7), &mut out).expect("open");
        let chunks: Vec<_> = std::iter::from_fn(|| inlet.try_receive())
            .map(|chunk| (chunk.len(), chunk.position()))
            .collect();
        assert_eq!(chunks, [(2, None), (300, Some(Position(7)))]);
    }
}
