//! Reads and writes descriptors of every kind, in waits that an alarm can end.
//!
//! Inherited descriptors are shared with other processes, so their flags stay unchanged. Pipes and terminals are
//! reopened, sockets are called with a flag not to wait; all others are polled first, and then written in pieces that
//! never wait.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::fault::{self, Operation};
use super::{FileId, files, system};

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A regular file or a block device: never waits for a peer.
    File,
    /// A pipe or a FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal.
    Terminal,
    /// Any other character device.
    Device,
}

/// The result of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// The number of bytes; 0 from a read is the end.
    Bytes(usize),
    /// It would have to wait.
    NotReady,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A transfer is possible, or reports an error.
    Ready,
    /// The alarm was rung.
    Alarm,
    /// Neither came in time.
    TimedOut,
}

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end.
    Read,
    /// Room to write.
    Write,
}

/// An open descriptor that is read and written without waits that an alarm could not end.
#[derive(Debug)]
pub struct Descriptor {
    fd: Handle,
    shape: Shape,
    manner: Manner,
    /// The size that a pipe had before it was enlarged.
    old_size: OnceLock<usize>,
}

#[derive(Debug)]
enum Handle {
    Own(OwnedFd),
    Inherited(BorrowedFd<'static>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Calls return when the disk is done.
    Blocking,
    /// `O_NONBLOCK` on an open file description of our own.
    NonBlocking,
    /// `MSG_DONTWAIT` on every call.
    DontWait,
    /// Polled before every call; writes of at most `PIPE_BUF`.
    Polled,
}

/// What a pipe accepts at once after poll has reported that it is writable.
const PIPE_BUF: usize = libc::PIPE_BUF;

impl Descriptor {
    /// Standard input, its flags untouched.
    pub fn standard_input() -> io::Result<Self> {
        Self::inherited(rustix::stdio::stdin(), OFlags::RDONLY)
    }

    /// Standard output, its flags untouched.
    pub fn standard_output() -> io::Result<Self> {
        Self::inherited(rustix::stdio::stdout(), OFlags::WRONLY)
    }

    /// A descriptor that the process was started with, its flags untouched.
    ///
    /// # Errors
    /// `EBADF` if there is none of that number, or it is not open for `access`.
    pub fn numbered(number: RawFd, access: OFlags) -> io::Result<Self> {
        Self::inherited(super::inherited::inherited(number, access)?, access)
    }

    fn inherited(fd: BorrowedFd<'static>, access: OFlags) -> io::Result<Self> {
        if system::was_closed(fd.as_raw_fd()) {
            return Err(Errno::BADF.into());
        }
        let stat = files::fstat(fd)?;
        let shape = shape_of(fd, &stat);
        let (fd, manner) = match shape {
            Shape::File => (Handle::Inherited(fd), Manner::Blocking),
            Shape::Device if system::is_memory_device(&stat) => (Handle::Inherited(fd), Manner::Blocking),
            Shape::Socket => (Handle::Inherited(fd), Manner::DontWait),
            Shape::Pipe | Shape::Terminal => match reopen(fd, access) {
                Some(own) => (Handle::Own(own), Manner::NonBlocking),
                None => (Handle::Inherited(fd), Manner::Polled),
            },
            Shape::Device => (Handle::Inherited(fd), Manner::Polled),
        };
        Ok(Self::new(fd, shape, manner))
    }

    /// A descriptor that we opened with `O_NONBLOCK` set, which means nothing to a regular file.
    pub fn own(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        let shape = shape_of(fd.as_fd(), &files::fstat(&fd)?);
        let manner = match shape {
            Shape::File => Manner::Blocking,
            _ => Manner::NonBlocking,
        };
        Ok(Self::new(Handle::Own(fd), shape, manner))
    }

    fn new(fd: Handle, shape: Shape, manner: Manner) -> Self {
        Self {
            fd,
            shape,
            manner,
            old_size: OnceLock::new(),
        }
    }

    /// Lets a pipe hold up to `room` bytes, until this is dropped. Does nothing to a pipe whose size was set before.
    pub fn enlarge_pipe(&self, room: u64) {
        // If it is refused, only speed is lost.
        if self.shape == Shape::Pipe
            && self.old_size.get().is_none()
            && fault::point(Operation::PipeSize).is_ok()
            && let Some(old) = system::enlarge_pipe(self.as_fd(), room)
        {
            let _ = self.old_size.set(old);
        }
    }

    /// Its kind.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Its `stat`.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(files::fstat(self)?)
    }

    /// Which regular file it is, if it is one.
    pub fn file_id(&self) -> io::Result<Option<FileId>> {
        let stat = self.stat()?;
        let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
        Ok(is_file.then(|| FileId::of(&stat)))
    }

    /// The error that closing it would return about written bytes; only files have one.
    pub fn close_error(&self) -> io::Result<()> {
        match self.shape {
            Shape::File => Ok(files::close_error(self)?),
            _ => Ok(()),
        }
    }

    /// Reads what is available, up to the length of `buffer`.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Transfer> {
        transfer(|| {
            let room = fault::share(Operation::Read, buffer.len())?;
            let buffer = &mut buffer[..room];
            match self.manner {
                Manner::DontWait => rustix::net::recv(self, buffer, RecvFlags::DONTWAIT).map(|(count, _)| count),
                Manner::Polled if !self.is_ready(Interest::Read)? => Err(Errno::AGAIN),
                _ => rustix::io::read(self, buffer),
            }
        })
    }

    /// Writes as much of `bytes` as there is room for.
    pub fn write(&self, bytes: &[u8]) -> io::Result<Transfer> {
        transfer(|| {
            let bytes = &bytes[..fault::share(Operation::Write, bytes.len())?];
            match self.manner {
                Manner::DontWait => rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                Manner::Polled if !self.is_ready(Interest::Write)? => Err(Errno::AGAIN),
                Manner::Polled => rustix::io::write(self, &bytes[..bytes.len().min(PIPE_BUF)]),
                _ => rustix::io::write(self, bytes),
            }
            .and_then(files::moved)
        })
    }

    /// Moves up to `length` bytes to `to` inside the kernel, both at their offsets; `None` if that is not possible for
    /// these files or on this system, or fails with an error that reading and writing will return as well.
    #[must_use]
    pub fn copy_range_to(&self, to: &Self, length: usize) -> Option<usize> {
        loop {
            let copy = |length| system::copy_file_range(self.as_fd(), to.as_fd(), length);
            match fault::share(Operation::CopyFileRange, length).and_then(copy) {
                Err(Errno::INTR) => {}
                result => return result.ok(),
            }
        }
    }

    /// Moves up to `length` bytes to `to` without a copy, if one of the two is a pipe, or they are a file and a socket;
    /// `None` if that is not possible, or fails with an error that reading or writing will return as well.
    ///
    /// # Errors
    /// `EPIPE` if the pipe `to` has no reader, and the pending error of a socket's connection, which the system reports only
    /// once: a later read would see an end.
    pub fn splice_to(&self, to: &Self, length: usize) -> io::Result<Option<Transfer>> {
        let ends = [self, to];
        if ends
            .iter()
            .any(|end| !matches!(end.manner, Manner::Blocking | Manner::NonBlocking))
        {
            return Ok(None);
        }
        let is_sent = (self.shape(), to.shape()) == (Shape::File, Shape::Socket);
        let (operation, call): (_, fn(_, _, _) -> _) = if is_sent {
            (Operation::SendFile, system::send_file)
        } else {
            (Operation::Splice, system::splice)
        };
        let moved = transfer(|| call(self.as_fd(), to.as_fd(), fault::share(operation, length)?));
        match moved {
            Ok(moved) => Ok(Some(moved)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
            Err(error) if ends.iter().any(|end| end.shape == Shape::Socket) && !is_refusal(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Lets the disk begin to write this file's pages; does not wait.
    pub fn start_writeback(&self) {
        if fault::point(Operation::Writeback).is_ok() {
            system::start_writeback(self.as_fd());
        }
    }

    /// The next range that is not a hole, from the offset of a sparse file, which is unchanged; `None` if the file
    /// system does not tell.
    ///
    /// # Errors
    /// As lseek(2), if the offset may have changed.
    pub fn next_data(&self) -> io::Result<Option<Range<u64>>> {
        let Ok(offset) = files::tell(self) else {
            return Ok(None);
        };
        if fault::point(Operation::Seek).is_err() {
            return Ok(None);
        }
        let data = system::next_data(self.as_fd(), offset);
        files::seek(self, SeekFrom::Start(offset))?;
        Ok(data)
    }

    /// Makes a hole of that length at the offset of a file, which is at its end: the offset and the file's length move
    /// over it.
    pub fn leave_hole(&self, length: u64) -> io::Result<()> {
        let end = files::tell(self)? + length;
        files::ftruncate(self, end)?;
        files::seek(self, SeekFrom::Start(end))?;
        Ok(())
    }

    /// Frees the blocks of the last `length` bytes before the offset of a file, which were zeros. Errors are ignored,
    /// because that only saves room.
    pub fn punch_hole(&self, length: u64) {
        let Some(start) = files::tell(self).ok().and_then(|end| end.checked_sub(length)) else {
            return;
        };
        if fault::point(Operation::Punch).is_ok() {
            system::punch_hole(self.as_fd(), start, length);
        }
    }

    /// Writes as much of `slices`, one after the other, as there is room for.
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<Transfer> {
        let write = |room| match self.manner {
            _ if room <= 1 => rustix::io::write(self, &first_bytes(slices, 1).1[..room]),
            Manner::DontWait => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                rustix::net::sendmsg(self, slices, &mut SendAncillaryBuffer::default(), flags)
            }
            Manner::Polled if !self.is_ready(Interest::Write)? => Err(Errno::AGAIN),
            Manner::Polled => {
                let (count, cut) = first_bytes(slices, PIPE_BUF);
                if count == 0 {
                    rustix::io::write(self, cut)
                } else {
                    rustix::io::writev(self, &slices[..count])
                }
            }
            _ => rustix::io::writev(self, slices),
        };
        transfer(|| write(fault::share(Operation::Write, usize::MAX)?).and_then(files::moved))
    }

    fn is_ready(&self, interest: Interest) -> rustix::io::Result<bool> {
        let now = Timespec::default();
        fault::point(Operation::Poll)?;
        poll(&mut [PollFd::new(self, interest.flags())], Some(&now)).map(|count| count > 0)
    }

    /// Waits until a transfer is possible or the alarm is rung.
    pub fn wait(&self, interest: Interest, alarm: BorrowedFd<'_>) -> io::Result<Woken> {
        self.wait_for(interest, alarm, None)
    }

    /// [`Descriptor::wait`], for at most `limit`.
    pub fn wait_for(&self, interest: Interest, alarm: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<Woken> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds = [
            PollFd::new(self, interest.flags()),
            PollFd::from_borrowed_fd(alarm, PollFlags::IN),
        ];
        loop {
            match fault::point(Operation::Poll).and_then(|()| poll(&mut fds, limit.as_ref())) {
                Ok(0) => return Ok(Woken::TimedOut),
                Ok(_) if !fds[1].revents().is_empty() => return Ok(Woken::Alarm),
                Ok(_) => return Ok(Woken::Ready),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(old) = self.old_size.get() {
            system::restore_pipe(self.as_fd(), *old);
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Handle::Own(fd) => fd.as_fd(),
            Handle::Inherited(fd) => *fd,
        }
    }
}

impl Interest {
    fn flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
        }
    }
}

/// Repeats a call that a signal interrupted, and distinguishes waiting from failure.
fn transfer(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Transfer> {
    loop {
        match call() {
            Ok(count) => return Ok(Transfer::Bytes(count)),
            Err(Errno::AGAIN) => return Ok(Transfer::NotReady),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a call was not possible for these descriptors, or met a disk error that reading will meet again.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [
        Errno::INVAL,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::XDEV,
        Errno::IO,
    ];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

/// How many whole slices fit into `limit` bytes; if not even the first does, the part of it that fits.
fn first_bytes<'a>(slices: &'a [IoSlice<'_>], limit: usize) -> (usize, &'a [u8]) {
    let mut bytes = 0;
    let fits = |slice: &&IoSlice<'_>| {
        bytes += slice.len();
        bytes <= limit
    };
    let count = slices.iter().take_while(fits).count();
    let cut = slices.first().map_or(&[][..], |first| &first[..first.len().min(limit)]);
    (count, cut)
}

/// An open file description of our own, if the descriptor can be reopened.
fn reopen(fd: BorrowedFd<'_>, access: OFlags) -> Option<OwnedFd> {
    fault::point(Operation::Open).ok()?;
    system::reopen(fd, access)
}

fn shape_of(fd: BorrowedFd<'_>, stat: &Stat) -> Shape {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Shape::Pipe,
        FileType::Socket => Shape::Socket,
        FileType::CharacterDevice if rustix::termios::isatty(fd) => Shape::Terminal,
        FileType::CharacterDevice => Shape::Device,
        _ => Shape::File,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alarm;
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn alarm_ends_wait_for_empty_pipe() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
        let (read, write) = (
            Descriptor::own(read).expect("own"),
            Descriptor::own(write).expect("own"),
        );
        let alarm = Alarm::new().expect("an alarm");
        let mut buffer = [0; 8];
        assert_eq!(read.read(&mut buffer).expect("read"), Transfer::NotReady);
        assert_eq!(write.write(b"abc").expect("write"), Transfer::Bytes(3));
        assert_eq!(
            read.wait(Interest::Read, alarm.descriptor()).expect("wait"),
            Woken::Ready
        );
        assert_eq!(read.read(&mut buffer).expect("read"), Transfer::Bytes(3));
        alarm.ring();
        assert_eq!(
            read.wait(Interest::Read, alarm.descriptor()).expect("wait"),
            Woken::Alarm
        );
        drop(write);
        assert_eq!(read.read(&mut buffer).expect("read"), Transfer::Bytes(0), "the end");
    }

    #[test]
    fn a_polled_descriptor_writes_small_pieces() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let write = Descriptor::new(Handle::Own(write), Shape::Pipe, Manner::Polled);
        assert_eq!(write.write(&[7; 10_000]).expect("write"), Transfer::Bytes(PIPE_BUF));
        while write.write(&[7; 10_000]).expect("write") != Transfer::NotReady {}
        drop(read);
    }

    #[test]
    fn slices_are_written_in_order() {
        let pieces = [&[1; 3000][..], &[2; 1000], &[3; 5000]];
        let slices = pieces.map(IoSlice::new);
        let whole = pieces.concat();
        for (manner, count) in [(Manner::NonBlocking, 9000), (Manner::Polled, 4000)] {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
            let write = Descriptor::new(Handle::Own(write), Shape::Pipe, manner);
            assert_eq!(write.write_vectored(&slices).expect("writev"), Transfer::Bytes(count));
            let mut bytes = vec![0; count];
            assert_eq!(rustix::io::read(&read, &mut bytes), Ok(count));
            assert_eq!(bytes, whole[..count]);
        }
        let (read, write) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let write = Descriptor::new(Handle::Own(write.into()), Shape::Socket, Manner::DontWait);
        assert_eq!(write.write_vectored(&slices).expect("sendmsg"), Transfer::Bytes(9000));
        drop(read);
        assert!(write.write_vectored(&slices).is_err(), "the peer is gone");
    }

    #[test]
    fn oversized_first_slice_is_cut() {
        let large = [7; 10_000];
        let slices = [IoSlice::new(&large), IoSlice::new(b"x")];
        assert_eq!(first_bytes(&slices, PIPE_BUF), (0, &large[..PIPE_BUF]));
        assert_eq!(first_bytes(&slices[1..], PIPE_BUF).0, 1);
    }
}
