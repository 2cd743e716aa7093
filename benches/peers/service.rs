//! `highwater serve`: one client beside nginx, and one fast client beside two hundred slow ones.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::{Goal, Spread, Work, megabytes};
use crate::contender::{Contender, OURS, found};
use crate::data::Data;
use crate::report::{Report, Verdict};
use crate::run::{Route, drain};

/// Slow clients of the crowd.
const SLOW: usize = 200;
/// Bytes per second that each of them reads.
const RATE: usize = 50_000;
/// How often each of them reads.
const PERIOD: Duration = Duration::from_secs(1);
/// The ceiling over the service: two hundred runs and more fit.
const MEMORY: &str = "256MiB";
/// Megabytes of the service itself, besides the shares of its runs.
const BASE: f64 = 8.0;

/// A service of one file.
#[derive(Debug)]
pub struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    /// Starts one.
    pub fn start(file: &Path) -> io::Result<Self> {
        let mut process = Command::new(found(OURS).expect("it was built"))
            .args(["serve", "127.0.0.1:0", "--memory", MEMORY, "--per-address", "1000"])
            .arg(format!("read '{}'", file.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line
            .trim()
            .rsplit_once("http://")
            .map(|(_, address)| address.trim_end_matches('/'));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| io::Error::other(format!("serve did not start: {line}")))?;
        // A full pipe would stop it.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        Ok(Self { process, address })
    }

    /// The row of one client, beside `nginx`, which serves the same file at that URL.
    pub fn work(&self, file: &Path, nginx: &str) -> Work {
        let curl = |name, url: &str| Contender::named(name, &format!("curl -s -S -o {{sink}} {url}"));
        Work {
            name: "serve, one client",
            route: Route::Null,
            input: file.to_owned(),
            expected: file.to_owned(),
            unpack: None,
            repeat: 1,
            ours: curl("serve", &format!("http://{}/", self.address)),
            peers: vec![curl("nginx", nginx)],
            must: Goal::of("nginx", 1.2, "≤ 1.2 × nginx"),
            aim: Goal::NONE,
        }
    }

    fn get(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
        Ok(stream)
    }

    /// Seconds for a whole response.
    fn timed(&self) -> io::Result<f64> {
        let begin = Instant::now();
        drain(self.get()?)?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Its resident memory in megabytes.
    fn resident(&self) -> io::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(megabytes(kibibytes.unwrap_or(0) << 10))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Measures the crowd.
pub fn measure(is_quick: bool, data: &Data, report: &mut Report) -> io::Result<()> {
    let name = "serve, a fast client beside 200 slow ones";
    report.progress(name);
    let file = data.tar(100 << 20)?;
    let service = Service::start(&file)?;
    let time = Duration::from_secs(if is_quick { 15 } else { 60 });
    let fast = |time: Duration| -> io::Result<Vec<f64>> {
        let begin = Instant::now();
        std::iter::from_fn(|| (begin.elapsed() < time).then(|| service.timed())).collect()
    };
    let alone = Spread::of(fast(time / 4)?);
    let (beside, slow, resident) = thread::scope(|scope| {
        let (end, is_over) = channel();
        let (tell, is_served) = channel();
        let service = &service;
        let crowd = scope.spawn(move || crowd(service, &is_over, &tell));
        // A crowd that failed says why below.
        let _ = is_served.recv();
        let before = service.resident();
        let beside = fast(time);
        let after = service.resident();
        drop(end);
        let slow = crowd.join().expect("no panic")?;
        Ok::<_, io::Error>((Spread::of(beside?), slow, [before?, after?]))
    })?;
    let share = alone.median / beside.median;
    let least = slow.min;
    let [before, after] = resident;
    report.table(&format!(
        "### {name}\n\n| | |\n|---|---|\n| a response of {} MB alone, s | {alone} |\n| beside the others, s | {beside} |\n| \
         slow clients, bytes per second | {:.0} ({:.0}–{:.0}) |\n| RSS after the first of them and at the end, MB | {before:.1} \
         and {after:.1} |\n",
        100, slow.median, slow.min, slow.max
    ));
    let share_mb = (before.max(after) - BASE) / f64::from(u8::try_from(SLOW).expect("200"));
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let is_served = least >= 0.98 * RATE as f64;
    report.row(
        name,
        &format!(
            "{:.0} % of its speed alone, the slowest at {least:.0} B/s, {share_mb:.2} MB each",
            100.0 * share
        ),
        &("≥ 90 %, all at their rate", Verdict::from(share >= 0.9 && is_served)),
        &("", Verdict::None),
    );
    Ok(())
}

/// Reads from many responses at a rate, each once a period, until `is_over` is closed; returns the rates. Tells once all of
/// them are being served.
fn crowd(service: &Service, is_over: &Receiver<()>, tell: &Sender<()>) -> io::Result<Spread> {
    let mut clients: Vec<(TcpStream, u64)> = (0..SLOW).map(|_| Ok((service.get()?, 0))).collect::<io::Result<_>>()?;
    let begin = Instant::now();
    let mut buffer = vec![0; RATE];
    let step = PERIOD / u32::try_from(SLOW).expect("few");
    let mut next = begin;
    loop {
        for (client, read) in &mut clients {
            client.read_exact(&mut buffer)?;
            *read += buffer.len() as u64;
            next += step;
            let pause = next.saturating_duration_since(Instant::now());
            if is_over.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                let seconds = begin.elapsed().as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "a few megabytes each")]
                let rates = clients.iter().map(|(_, read)| *read as f64 / seconds);
                return Ok(Spread::of(rates));
            }
        }
        // The bench may have what it needs.
        let _ = tell.send(());
    }
}
