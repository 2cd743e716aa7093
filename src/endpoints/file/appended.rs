//! A file that is appended to while a source is told what is durable in it.
//!
//! With each position the file's length is noted. What a killed run has added behind that comes again, since the source goes
//! on at the position: as far as it is the same, it is not written a second time.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memrchr;
use rustix::fs::{Mode, OFlags, Stat};

use crate::error::{Failure, Kind};
use crate::flow::{Position, Wait};
use crate::platform::{Descriptor, files};
use crate::stage::{Context, Outcome, SinkEnd, Verify};

use super::super::revocable::Revocable;
use super::in_place::InPlace;

/// How often the disk is waited for.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that are compared at once.
const BLOCK: usize = 16 << 10;

/// What is known of the file.
pub struct Appended {
    file: Arc<Revocable<InPlace>>,
    /// What an earlier run may have added; `None` once it is passed.
    tail: Option<Tail>,
    /// The last position whose bytes are in the file.
    position: Option<Position>,
    /// How many bytes are there behind that: a part of a record that is longer than a buffer.
    behind: u64,
    /// The last one that was reported.
    reported: Option<Position>,
    /// When that was.
    last: Option<Instant>,
}

/// The end of a file, behind the length that was noted.
struct Tail {
    file: OwnedFd,
    /// So far it is what comes now.
    at: u64,
    /// Where it ends.
    end: u64,
    /// Where the line begins that `at` is in.
    line: u64,
}

impl Appended {
    /// That of a file which is open.
    pub fn new(file: Arc<Revocable<InPlace>>) -> Self {
        Self {
            file,
            tail: None,
            position: None,
            behind: 0,
            reported: None,
            last: None,
        }
    }

    fn find_tail(&self, earlier: SinkEnd) -> Result<Option<Tail>, Failure> {
        let failed = |error| Failure::io(Kind::Sink, "cannot look at it", error);
        let found = self.file.stat().map_err(failed)?;
        let end = size(&found);
        let name = self.file.shown();
        if (found.st_dev, found.st_ino) != (earlier.device, earlier.inode) || end < earlier.length {
            tracing::warn!(
                "{name}: it is not the file that an earlier run has appended to, or is shorter: its last lines may be lost, or \
                 come again"
            );
            return Ok(None);
        }
        if end == earlier.length {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let opened = files::open(self.file.path(), flags, Mode::empty()).and_then(|file| {
            let again = files::fstat(&file)?;
            Ok(((again.st_dev, again.st_ino) == (found.st_dev, found.st_ino)).then_some(file))
        });
        let Ok(Some(file)) = opened else {
            tracing::warn!("{name}: it cannot be read: the last lines of an earlier run may come again");
            return Ok(None);
        };
        Ok(Some(Tail {
            file,
            at: earlier.length,
            end,
            line: earlier.length,
        }))
    }

    /// Makes durable what was written, and reports it.
    fn keep(&mut self, context: &Context) -> Result<(), Failure> {
        let (Some(durable), Some(position)) = (&context.durable, self.position) else {
            return Ok(());
        };
        if self.reported >= Some(position) {
            return Ok(());
        }
        let _outside = context.meter.wait(Wait::Outside);
        let Some(end) = self.file.unless_rolled_back(|file| file.keep(self.behind)) else {
            return Ok(());
        };
        let mut end = end?;
        if let Some(tail) = &self.tail {
            end.length = tail.at - self.behind;
        }
        durable.report_with(position, end);
        self.reported = Some(position);
        self.last = Some(Instant::now());
        Ok(())
    }
}

fn size(found: &Stat) -> u64 {
    u64::try_from(found.st_size).unwrap_or(0)
}

impl Tail {
    /// How many of these bytes come next in it.
    fn same(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut block = [0; BLOCK];
        let left = usize::try_from(self.end - self.at).unwrap_or(BLOCK);
        let wanted = bytes.len().min(left).min(BLOCK);
        let count = files::pread(&self.file, &mut block[..wanted], self.at);
        let count = count.map_err(|error| Failure::io(Kind::Sink, "cannot read its end", error))?;
        let same = block[..count]
            .iter()
            .zip(bytes)
            .take_while(|(there, now)| there == now)
            .count();
        if let Some(last) = memrchr(b'\n', &block[..same]) {
            self.line = self.at + last as u64 + 1;
        }
        self.at += same as u64;
        Ok(same)
    }

    /// Writes the part again that is there of the current line.
    fn repeat_line(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        let failed = |error| Failure::io(Kind::Sink, "cannot write its last line again", error);
        let mut block = [0; BLOCK];
        let mut from = self.line;
        while from < self.at {
            let wanted = usize::try_from(self.at - from).unwrap_or(BLOCK).min(BLOCK);
            let count = files::pread(&self.file, &mut block[..wanted], from).map_err(failed)?;
            if count == 0 {
                break;
            }
            files::write_all(descriptor, &block[..count]).map_err(failed)?;
            from += count as u64;
        }
        Ok(())
    }
}

impl Verify for Appended {
    fn begin(&mut self, _: &Descriptor, context: &Context) -> Outcome {
        let Some(durable) = &context.durable else { return Ok(()) };
        let earlier = durable.earlier();
        if let Some(earlier) = earlier {
            self.tail = self.find_tail(earlier)?;
        }
        if self.tail.is_none()
            && let Some(end) = self.file.unless_rolled_back(|file| file.keep(0))
        {
            let end = end?;
            if earlier != Some(end) {
                durable.begin_at(end)?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: &[u8], descriptor: &Descriptor) -> Result<usize, Failure> {
        let Some(tail) = &mut self.tail else { return Ok(0) };
        let same = tail.same(bytes)?;
        if tail.at == tail.end {
            self.tail = None;
        } else if same == 0 {
            tracing::warn!(
                "{}: behind what an earlier run has certainly written are {} bytes that do not come again: lines may be lost, or \
                 there twice",
                self.file.shown(),
                tail.end - tail.at
            );
            tail.repeat_line(descriptor)?;
            self.tail = None;
        }
        Ok(same)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.behind += bytes.len() as u64;
    }

    fn reach(&mut self, position: Position) {
        self.position = Some(position);
        self.behind = 0;
    }

    fn note(&mut self, _: &Descriptor, context: &Context) -> Result<(), Failure> {
        if self.last.is_none_or(|last| last.elapsed() >= KEEP_INTERVAL) {
            self.keep(context)?;
        }
        Ok(())
    }

    fn verify(&mut self, _: &Descriptor, context: &Context) -> Outcome {
        Ok(self.keep(context)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::options::{Existing, WriteOptions};
    use super::*;
    use crate::flow::{StageMeter, block_on};
    use crate::stage::{BoxFuture, Durability, Durable, Findings, Settle, Settled};

    #[derive(Default)]
    struct Told(Mutex<Vec<(u128, u64)>>);

    impl Settle for Told {
        fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }

        fn acknowledge_with(&self, position: Position, end: SinkEnd) {
            self.0.lock().expect("no panic").push((position.0, end.length));
        }
    }

    #[test]
    fn part_of_a_record_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let writing = WriteOptions {
            existing: Existing::Append,
            sync: true,
            ..WriteOptions::default()
        };
        let mut outgoing = InPlace::open(&path, &writing).expect("opened");
        let told = Arc::<Told>::default();
        let run = Durability::new(told.clone(), Arc::<Findings>::default(), 1);
        let mut context = Context::detached(Arc::new(StageMeter::new(Instant::now())));
        context.durable = Some(Durable::of(run, 0));
        let mut appended = outgoing.kept_parts.take().expect("it can keep parts");
        let mut write = |bytes: &[u8], position: Option<u128>| {
            outgoing.descriptor().write(bytes).expect("written");
            outgoing.took(bytes.len() as u64, &context);
            appended.add(bytes);
            if let Some(position) = position {
                appended.reach(Position(position));
            }
        };
        write(b"one\n", Some(4));
        write(b"two, and more", None);
        appended.verify(outgoing.descriptor(), &context).expect("made durable");
        assert_eq!(*told.0.lock().expect("no panic"), [(4, 4)]);
        block_on(outgoing.rollback().expect("can be rolled back").roll_back()).expect("cut back");
        assert_eq!(std::fs::read(&path).expect("read"), b"one\n");
    }
}
