//! Who takes what a pipeline gives.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::run::{Program, Took, Watched};

/// Kinds of consumers, with the bytes per second that they take.
#[derive(Debug, Clone, Copy)]
pub enum Consumer {
    /// Standard output's reader, as fast as it can.
    Fast,
    /// Standard output's reader, at that rate.
    Slow(u64),
    /// An HTTP server that takes an upload.
    Store(u64),
    /// Three HTTP clients for ten seconds, each at that rate.
    Clients(u64),
}

/// How long so many bytes take.
#[allow(clippy::cast_precision_loss, reason = "a minute at most")]
fn time_for(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

/// Waits until then. This thread is never unparked.
fn pause(until: Instant) {
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        thread::park_timeout(left);
    }
}

/// Reads all, at most so many bytes a second.
fn drain(mut from: impl Read, rate: Option<u64>) -> io::Result<u64> {
    let begin = Instant::now();
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0_u64;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        total += count as u64;
        if let Some(rate) = rate {
            pause(begin + time_for(total, rate));
        }
    }
}

impl Consumer {
    /// Runs a program with this consumer until everything has arrived.
    pub fn run(self, program: &Program, input: &Path) -> io::Result<Took> {
        match self {
            Self::Fast => to_reader(program, input, None),
            Self::Slow(rate) => to_reader(program, input, Some(rate)),
            Self::Store(rate) => to_store(program, input, rate),
            Self::Clients(rate) => to_clients(program, rate),
        }
    }
}

fn to_reader(program: &Program, input: &Path, rate: Option<u64>) -> io::Result<Took> {
    let begin = Instant::now();
    let mut child = program.command(input, None)?.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().expect("a pipe");
    let watched = Watched::new(child);
    let total = drain(output, rate)?;
    let peak = watched.end()?;
    assert!(total > 0, "{program:?} wrote nothing");
    Ok(Took::new(begin.elapsed(), peak))
}

fn to_store(program: &Program, input: &Path, rate: u64) -> io::Result<Took> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/object", listener.local_addr()?);
    let begin = Instant::now();
    let watched = Watched::new(program.command(input, Some(&url))?.stdout(Stdio::null()).spawn()?);
    let (stream, _) = listener.accept()?;
    store(&stream, rate)?;
    Ok(Took::new(begin.elapsed(), watched.end()?))
}

/// Takes one upload.
fn store(stream: &TcpStream, rate: u64) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        match line.split_once(": ") {
            None if line.is_empty() => break,
            Some(("content-length", value)) => length = value.parse().expect("a length"),
            Some(("transfer-encoding", "chunked")) => is_chunked = true,
            Some(("expect", _)) => (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            _ => {}
        }
    }
    if is_chunked {
        drain(
            Chunks {
                reader,
                left: 0,
                is_over: false,
            },
            Some(rate),
        )?;
    } else {
        drain(reader.take(length), Some(rate))?;
    }
    (&*stream).write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The content of a chunked body.
struct Chunks<R> {
    reader: R,
    left: u64,
    is_over: bool,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && !self.is_over {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                continue;
            }
            self.left = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            self.is_over = self.left == 0;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Starts a program that serves; returns its address as well.
pub fn serve(program: &Program) -> io::Result<(Child, String)> {
    let mut child = program
        .command(Path::new("/dev/null"), None)?
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    said.read_line(&mut line)?;
    let address = line
        .trim()
        .rsplit_once("http://")
        .map(|(_, address)| address.trim_end_matches('/').to_owned());
    let address = address.ok_or_else(|| io::Error::other(format!("it does not listen: {line}")))?;
    thread::spawn(move || io::copy(&mut said, &mut io::sink()));
    Ok((child, address))
}

fn to_clients(program: &Program, rate: u64) -> io::Result<Took> {
    const TIME: Duration = Duration::from_secs(10);
    let (child, address) = serve(program)?;
    let watched = Watched::new(child);
    let client = || -> io::Result<Duration> {
        let mut stream = TcpStream::connect(&address)?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let begin = Instant::now();
        let mut buffer = vec![0; 8 << 10];
        let mut first = None;
        let mut total = 0;
        while begin.elapsed() < TIME {
            total += stream.read(&mut buffer)? as u64;
            first.get_or_insert_with(|| begin.elapsed());
            pause(begin + time_for(total, rate));
        }
        Ok(first.unwrap_or(TIME))
    };
    let firsts = thread::scope(|scope| {
        let clients = [(); 3].map(|()| scope.spawn(client));
        clients.map(|client| client.join().expect("no panic"))
    });
    let mut longest = Duration::ZERO;
    for first in firsts {
        longest = longest.max(first?);
    }
    Ok(Took::new(longest, watched.kill()?))
}
