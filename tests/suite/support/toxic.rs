//! A peer that misbehaves on demand: a server thread that executes steps.
//!
//! It does not sleep. The peer's time comes in ticks, which the test defines: a sample of the run, for example. A
//! waiting step counts the ticks from then on, and when the test is done with the peer, time ends and no step waits any
//! more.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::harness::{Folder, reset, xorshift};

/// The next step of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toxin {
    /// Reads so many bytes, and not one more.
    Read(usize),
    /// Reads to the end, so many bytes a call.
    ReadToEnd(usize),
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Does nothing for so many ticks, or until time ends.
    Wait(usize),
    /// Ends its own direction; keeps the other.
    HalfClose,
    /// Closes the connection, unread bytes or not, as if the process had ended.
    Close,
    /// Resets the connection.
    Reset,
}

impl Toxin {
    /// Does nothing until time ends.
    pub const HANG: Self = Self::Wait(usize::MAX);
}

/// Reads of `piece` bytes, `size` in all.
pub fn reads(size: usize, piece: usize) -> impl Iterator<Item = Toxin> {
    (0..size)
        .step_by(piece)
        .map(move |at| Toxin::Read(piece.min(size - at)))
}

/// Writes of `piece` bytes, which the system does not merge.
pub fn writes(bytes: &[u8], piece: usize) -> impl Iterator<Item = Toxin> {
    bytes.chunks(piece).map(|piece| Toxin::Write(piece.to_vec()))
}

/// Each of `steps` so many ticks later. The same number each time is a latency; 1 before pieces of one size is a bandwidth;
/// [`jitter`] is uneven.
pub fn late(steps: impl Iterator<Item = Toxin>, ticks: impl Iterator<Item = usize>) -> impl Iterator<Item = Toxin> {
    steps.zip(ticks).flat_map(|(step, ticks)| [Toxin::Wait(ticks), step])
}

/// Numbers from 0 to `most`, the same for the same seed.
pub fn jitter(most: usize, seed: u64) -> impl Iterator<Item = usize> {
    xorshift(seed).map(move |word| usize::from(word.to_be_bytes()[0]) % (most + 1))
}

/// A running peer.
pub struct Toxic {
    /// Where it listens.
    pub url: String,
    ticks: Sender<()>,
    thread: JoinHandle<Vec<u8>>,
}

/// The peer's end of the connection.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Toxic {
    /// A TCP peer with a small receive buffer.
    pub fn tcp(toxins: impl IntoIterator<Item = Toxin>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        // Accepted connections inherit it, so their window is small from the first segment on.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096).expect("set");
        let url = format!("tcp://{}", listener.local_addr().expect("bound"));
        Self::start(url, toxins, move || Stream::Tcp(listener.accept().expect("a peer").0))
    }

    /// A peer on a Unix socket in `folder`.
    pub fn unix(folder: &Folder, toxins: impl IntoIterator<Item = Toxin>) -> Self {
        let listener = UnixListener::bind(folder.join("toxic")).expect("bound");
        Self::start("unix:toxic".to_owned(), toxins, move || {
            Stream::Unix(listener.accept().expect("a peer").0)
        })
    }

    fn start(
        url: String,
        toxins: impl IntoIterator<Item = Toxin>,
        accept: impl FnOnce() -> Stream + Send + 'static,
    ) -> Self {
        let toxins: Vec<Toxin> = toxins.into_iter().collect();
        let (ticks, clock) = channel();
        let thread = std::thread::spawn(move || {
            let mut stream = Some(accept());
            let mut received = Vec::new();
            for toxin in toxins {
                stream = stream.and_then(|stream| stream.suffer(toxin, &clock, &mut received));
            }
            received
        });
        Self { url, ticks, thread }
    }

    /// Reports that a tick has passed.
    pub fn tick(&self) {
        // It may have done all its steps.
        let _ = self.ticks.send(());
    }

    /// Ends its time and waits for its last step; returns the bytes it has read.
    pub fn received(self) -> Vec<u8> {
        drop(self.ticks);
        self.thread.join().expect("the peer does not panic")
    }
}

impl Stream {
    /// Executes a step; returns the stream, if it is still open.
    fn suffer(mut self, toxin: Toxin, clock: &Receiver<()>, received: &mut Vec<u8>) -> Option<Self> {
        match toxin {
            Toxin::Read(count) => {
                let mut bytes = vec![0; count];
                self.read_exact(&mut bytes).expect("that many bytes");
                received.extend(bytes);
            }
            Toxin::ReadToEnd(step) => {
                let mut bytes = vec![0; step];
                loop {
                    match self.read(&mut bytes).expect("read") {
                        0 => break,
                        count => received.extend(&bytes[..count]),
                    }
                }
            }
            // A run that closes the connection is what is tested.
            Toxin::Write(bytes) => drop(self.write_all(&bytes)),
            Toxin::HalfClose => match &self {
                Self::Tcp(stream) => stream.shutdown(Shutdown::Write).expect("ended"),
                Self::Unix(stream) => stream.shutdown(Shutdown::Write).expect("ended"),
            },
            Toxin::Wait(ticks) => {
                // Ticks during an earlier step do not count.
                clock.try_iter().for_each(drop);
                clock.iter().take(ticks).for_each(drop);
            }
            Toxin::Close => return None,
            Toxin::Reset => {
                match self {
                    Self::Tcp(stream) => reset(stream),
                    // Closing with unread bytes is enough.
                    Self::Unix(stream) => drop(stream),
                }
                return None;
            }
        }
        Some(self)
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                // Otherwise the system would gather what was sliced.
                stream.set_nodelay(true)?;
                stream.write(bytes)
            }
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
