//! Reads a program's output at a steady, slow rate, and discards it.

use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use crate::error::{Failure, Kind};

use super::share_of_step;

/// Our end of the pipe.
#[derive(Debug)]
pub struct SlowOutput {
    pipe: PipeReader,
    rate: u64,
    step: u64,
    /// Bytes that may be read in this step; unused ones do not carry over.
    left: u64,
    returned: u64,
    is_over: bool,
    buffer: Vec<u8>,
}

impl SlowOutput {
    /// Reads `pipe`, which does not block, at `rate` bytes per second.
    pub fn new(pipe: PipeReader, rate: u64) -> Self {
        Self {
            pipe,
            rate,
            step: 0,
            left: 0,
            returned: 0,
            is_over: false,
            buffer: vec![0; 64 << 10],
        }
    }

    /// The descriptor to wait for, as long as something may be read.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (self.left > 0 && !self.is_over).then(|| self.pipe.as_fd())
    }

    /// Begins a step, in which nothing is read if `is_held`.
    pub fn step(&mut self, is_held: bool) {
        self.left = if is_held {
            0
        } else {
            share_of_step(self.rate, self.step)
        };
        self.step += 1;
    }

    /// Reads what this step allows.
    pub fn read(&mut self) -> Result<(), Failure> {
        while self.left > 0 && !self.is_over {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
            match rustix::io::read(&self.pipe, &mut self.buffer[..most]) {
                Ok(0) => self.is_over = true,
                Ok(count) => {
                    self.returned += count as u64;
                    self.left -= count as u64;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::io(Kind::Bug, "cannot read from the program", error)),
            }
        }
        Ok(())
    }

    /// Bytes read so far.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Bytes that are waiting to be read.
    pub fn waiting(&self) -> Result<u64, Failure> {
        rustix::io::ioctl_fionread(&self.pipe)
            .map_err(|error| Failure::io(Kind::Bug, "cannot see what the program has written", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn step_reads_its_share() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&reader, true).expect("does not block");
        let mut output = SlowOutput::new(reader, 1000);
        writer.write_all(&[0; 350]).expect("there is room");
        assert!(output.descriptor().is_none());
        for (is_held, returned) in [(false, 100), (false, 200), (true, 200), (false, 300), (false, 350)] {
            output.step(is_held);
            output.read().expect("read");
            assert_eq!(output.returned(), returned);
        }
        assert_eq!(output.waiting().expect("seen"), 0);
        drop(writer);
        output.step(false);
        output.read().expect("the end");
        assert!(output.descriptor().is_none());
    }
}
