//! The kernel queue of a pipe or a socket on the outer side, where backpressure shows first.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::{Descriptor, Interest, Shape, system};

/// The contents of a pipe or a socket queue, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelQueue {
    /// To be read: what the other side has written and we have not read. To be written: what we have written and the
    /// reader of a pipe has not read, or a peer's kernel has not acknowledged; for a Unix socket, the memory in use,
    /// including bookkeeping.
    pub bytes: u64,
    /// Its capacity, if the system tells: a pipe's size, or the memory that a socket's buffer may use.
    pub capacity: Option<u64>,
}

/// What has a kernel queue.
pub trait Queued: Debug + Send + Sync {
    /// The queue to be read or to be written; `None` if there is none, and if the system does not tell.
    fn kernel_queue(&self, side: Interest) -> Option<KernelQueue>;
    /// Lets at most about so many bytes of a connection wait in the system to be sent, where it can be told; those that
    /// are on their way do not count.
    fn limit_unsent(&self, bytes: u32) -> io::Result<()> {
        let _ = bytes;
        Ok(())
    }
}

impl Queued for Descriptor {
    fn kernel_queue(&self, side: Interest) -> Option<KernelQueue> {
        self.kernel_queue(side)
    }
}

impl Descriptor {
    /// The queue of a pipe or a socket, to be read or to be written; `None` for anything else, and if the system does
    /// not tell.
    #[must_use]
    pub fn kernel_queue(&self, side: Interest) -> Option<KernelQueue> {
        let fd = self.as_fd();
        let (bytes, capacity) = match (self.shape(), side) {
            (Shape::Pipe, Interest::Read) => (rustix::io::ioctl_fionread(fd).ok(), system::pipe_capacity(fd)),
            (Shape::Pipe, Interest::Write) => (system::unread_in_pipe(fd), system::pipe_capacity(fd)),
            (Shape::Socket, side) => return socket_queue(fd, side),
            _ => return None,
        };
        bytes.map(|bytes| KernelQueue { bytes, capacity })
    }
}

/// The queue of a socket; `None` if the system does not tell.
pub(super) fn socket_queue(fd: BorrowedFd<'_>, side: Interest) -> Option<KernelQueue> {
    let (bytes, capacity) = match side {
        Interest::Read => {
            let buffer = rustix::net::sockopt::socket_recv_buffer_size(fd);
            (rustix::io::ioctl_fionread(fd).ok(), buffer)
        }
        Interest::Write => (
            system::unsent_bytes(fd),
            rustix::net::sockopt::socket_send_buffer_size(fd),
        ),
    };
    Some(KernelQueue {
        bytes: bytes?,
        capacity: capacity.ok().and_then(|size| u64::try_from(size).ok()),
    })
}

#[cfg(all(test, target_os = "linux", not(feature = "portable-platform")))]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn both_pipe_ends_report_the_same() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
        assert_eq!(rustix::io::write(&write, &[7; 4321]), Ok(4321));
        let size = rustix::pipe::fcntl_getpipe_size(&read).expect("a pipe");
        let ends = [Descriptor::own(read), Descriptor::own(write)].map(|end| end.expect("own"));
        let queues = [
            ends[0].kernel_queue(Interest::Read),
            ends[1].kernel_queue(Interest::Write),
        ];
        let expected = KernelQueue {
            bytes: 4321,
            capacity: Some(size as u64),
        };
        assert_eq!(queues, [Some(expected); 2]);
    }

    #[test]
    fn a_socket_tells_what_it_was_sent() {
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let [one, other] = [one, other].map(|end| Descriptor::own(end).expect("own"));
        assert_eq!(rustix::io::write(&one, &[7; 1234]), Ok(1234));
        let received = other.kernel_queue(Interest::Read).expect("a queue");
        let sent = one.kernel_queue(Interest::Write).expect("a queue");
        assert_eq!(received.bytes, 1234);
        assert!(sent.bytes >= 1234, "with its bookkeeping: {sent:?}");
        assert!(sent.capacity.is_some() && received.capacity.is_some());
    }

    #[test]
    fn a_file_has_no_queue() {
        let file = Descriptor::own(tempfile::tempfile().expect("a file")).expect("own");
        assert_eq!(
            [Interest::Read, Interest::Write].map(|side| file.kernel_queue(side)),
            [None; 2]
        );
    }
}
