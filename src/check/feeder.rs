//! Feeds a program through a small pipe, as fast as it takes it.

use std::io::PipeWriter;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use crate::error::{Failure, Kind};

use super::input::Input;

/// Bytes that are made at a time.
const BLOCK: usize = 64 << 10;
/// Writes in a row, before the output is read again.
const IN_A_ROW: usize = 64;
/// The most bytes of a step: 256 MiB a second, so that the check leaves the machine usable.
const SHARE: u64 = (256 << 20) / 10;

/// The end of the pipe that is ours.
#[derive(Debug)]
pub struct Feeder {
    /// `None` once the program has closed its end.
    pipe: Option<PipeWriter>,
    input: Input,
    block: Vec<u8>,
    at: usize,
    written: u64,
    /// Bytes that may be written in this step.
    left: u64,
    /// What it had taken when it closed its end.
    taken: u64,
}

impl Feeder {
    /// Feeds `input` to `pipe`, which does not block.
    pub fn new(pipe: PipeWriter, input: Input) -> Self {
        Self {
            pipe: Some(pipe),
            input,
            left: SHARE,
            block: vec![0; BLOCK],
            at: BLOCK,
            written: 0,
            taken: 0,
        }
    }

    /// What to wait for, as long as something may be written.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().filter(|_| self.left > 0).map(AsFd::as_fd)
    }

    /// Begins a step.
    pub fn step(&mut self) {
        self.left = SHARE;
    }

    /// Gives the program as much as it takes now.
    pub fn feed(&mut self) -> Result<(), Failure> {
        for _ in 0..IN_A_ROW {
            let Some(pipe) = self.pipe.as_ref().filter(|_| self.left > 0) else {
                break;
            };
            if self.at == BLOCK {
                self.input.fill(&mut self.block)?;
                self.at = 0;
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(BLOCK - self.at);
            match rustix::io::write(pipe, &self.block[self.at..self.at + most]) {
                Ok(count) => {
                    self.at += count;
                    self.written += count as u64;
                    self.left -= count as u64;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => {
                    self.taken = self.accepted()?;
                    self.pipe = None;
                }
                Err(error) => return Err(Failure::io(Kind::Bug, "cannot write to the program", error)),
            }
        }
        Ok(())
    }

    /// Bytes that the program has taken: without what still waits in the pipe.
    pub fn accepted(&self) -> Result<u64, Failure> {
        let Some(pipe) = &self.pipe else { return Ok(self.taken) };
        let waiting = rustix::io::ioctl_fionread(pipe)
            .map_err(|error| Failure::io(Kind::Bug, "cannot see what waits for the program", error))?;
        Ok(self.written.saturating_sub(waiting))
    }

    /// Whether the program has closed its standard input.
    pub fn is_closed(&self) -> bool {
        self.pipe.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::input::InputKind;
    use std::io::Read;

    #[test]
    fn what_waits_in_the_pipe_is_not_taken() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        crate::platform::shrink_pipe(writer.as_fd());
        rustix::io::ioctl_fionbio(&writer, true).expect("does not block");
        let mut feeder = Feeder::new(writer, Input::random(InputKind::Lines));
        feeder.feed().expect("fed");
        assert_eq!(feeder.accepted().expect("seen"), 0);
        let mut some = [0; 1000];
        reader.read_exact(&mut some).expect("there is more");
        assert_eq!(feeder.accepted().expect("seen"), 1000);
        drop(reader);
        feeder.feed().expect("it says so");
        assert!(feeder.is_closed());
        assert_eq!(feeder.accepted().expect("seen"), 1000);
    }
}
