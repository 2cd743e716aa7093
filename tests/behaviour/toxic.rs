//! A peer that misbehaves on demand: a server in a thread that does one thing after the other, and waits where it is told
//! to until the test lets it go on. Nothing here sleeps.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::harness::{Folder, reset};

/// What the peer does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toxin {
    /// Reads so many bytes, and not one more.
    Read(usize),
    /// Reads to the end, so many bytes a call.
    ReadToEnd(usize),
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes one by one.
    Slice(Vec<u8>),
    /// Ends its own direction; keeps the other.
    HalfClose,
    /// Does nothing until the test says so, or is over.
    Hang,
    /// Closes the connection, unread bytes or not, as if the process had ended.
    Close,
    /// Resets the connection.
    Reset,
}

/// A running peer.
pub struct Toxic {
    /// Where it listens.
    pub url: String,
    go_on: Sender<()>,
    thread: JoinHandle<Vec<u8>>,
}

/// The peer's end of the connection.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Toxic {
    /// A TCP peer whose system takes little that it does not read.
    pub fn tcp(toxins: impl IntoIterator<Item = Toxin>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        // Inherited by what is accepted, whose window is then small from the first segment on.
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
        let (go_on, told) = channel();
        let thread = std::thread::spawn(move || {
            let mut stream = Some(accept());
            let mut received = Vec::new();
            for toxin in toxins {
                if toxin == Toxin::Hang {
                    // The test may be over.
                    let _ = told.recv();
                } else {
                    stream = stream.and_then(|stream| stream.suffer(toxin, &mut received));
                }
            }
            received
        });
        Self { url, go_on, thread }
    }

    /// Ends its hanging.
    pub fn go_on(&self) {
        self.go_on.send(()).expect("it hangs");
    }

    /// Waits for its end; answers what it has read.
    pub fn received(self) -> Vec<u8> {
        drop(self.go_on);
        self.thread.join().expect("the peer does not panic")
    }
}

impl Stream {
    /// Answers the stream, if it is still open.
    fn suffer(mut self, toxin: Toxin, received: &mut Vec<u8>) -> Option<Self> {
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
            // Whoever hangs up on us is what is tried.
            Toxin::Write(bytes) => drop(self.write_all(&bytes)),
            Toxin::Slice(bytes) => drop(bytes.iter().try_for_each(|byte| self.write_all(&[*byte]))),
            Toxin::HalfClose => match &self {
                Self::Tcp(stream) => stream.shutdown(Shutdown::Write).expect("ended"),
                Self::Unix(stream) => stream.shutdown(Shutdown::Write).expect("ended"),
            },
            Toxin::Hang => {}
            Toxin::Close => return None,
            Toxin::Reset => {
                match self {
                    Self::Tcp(stream) => reset(stream),
                    // With bytes unread, closing is all that it takes.
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
