//! The rows of NATS, beside a plain client of the same library: messages of two sizes in and out.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, Context, stream};
use futures_util::StreamExt;

use crate::compare::Spread;
use crate::contender::{OURS, found};
use crate::data::Data;
use crate::report::{Report, Verdict};

const MUST: f64 = 1.1;

/// A server of its own.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts one; `None` where nats-server is missing.
    fn start(data: &Data) -> io::Result<Option<Self>> {
        let Some(program) = found("nats-server") else {
            return Ok(None);
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut process = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(data.path("nats"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if process.try_wait()?.is_some() {
                return Err(io::Error::other("nats-server did not start"));
            }
            std::thread::yield_now();
        }
        Ok(Some(Self {
            process,
            url: format!("127.0.0.1:{port}"),
        }))
    }

    fn with<T, F: Future<Output = Result<T, async_nats::Error>>>(
        &self,
        act: impl FnOnce(Context) -> F,
    ) -> io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(async {
            let client = async_nats::connect(&self.url).await?;
            act(jetstream::new(client)).await
        });
        done.map_err(io::Error::other)
    }

    /// An empty stream.
    fn create(&self) -> io::Result<()> {
        self.with(|context| async move {
            let _ = context.delete_stream("S").await;
            let configuration = stream::Config {
                name: "S".to_owned(),
                subjects: vec!["S.>".to_owned()],
                ..stream::Config::default()
            };
            context.create_stream(configuration).await?;
            Ok(())
        })
    }

    fn url(&self, stream: &str) -> String {
        format!("nats://{}/{stream}", self.url)
    }

    /// The deliveries of a consumer so far.
    fn delivered(&self, name: &str) -> io::Result<u64> {
        self.with(|context| async move {
            let stream = context.get_stream("S").await?;
            Ok(stream.consumer_info(name).await?.delivered.consumer_sequence)
        })
    }

    /// Waits until that many messages were acknowledged.
    fn all_acknowledged(&self, name: &str, count: u64) -> io::Result<()> {
        self.with(|context| async move {
            let stream = context.get_stream("S").await?;
            loop {
                let consumer = stream.consumer_info(name).await;
                if consumer.is_ok_and(|info| info.ack_floor.stream_sequence == count) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    }

    /// Removes a consumer.
    fn forget(&self, name: &str) -> io::Result<()> {
        self.with(|context| async move {
            context.get_stream("S").await?.delete_consumer(name).await?;
            Ok(())
        })
    }

    /// A plain client that publishes, and waits for each confirmation in turn, as many behind as ours.
    fn publish(&self, messages: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        self.with(|context| async move {
            let mut sent = std::collections::VecDeque::new();
            let mut window = 0;
            for message in messages {
                if sent.is_empty() {
                    window = (1 << 20) / (message.len() + 1024) + 1;
                }
                sent.push_back(context.publish("S.a", message.into()).await?);
                if sent.len() > window {
                    sent.pop_front().expect("one").await?;
                }
            }
            for confirmed in sent {
                confirmed.await?;
            }
            Ok(())
        })
    }

    /// A plain client that reads, writes lines to /dev/null, and acknowledges.
    fn read(&self, count: usize, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        self.with(|context| async move {
            let configuration = pull::Config {
                durable_name: Some(name),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: -1,
                ..pull::Config::default()
            };
            let consumer = context.create_consumer_on_stream(configuration, "S").await?;
            let stream = consumer
                .stream()
                .max_messages_per_batch(512)
                .max_bytes_per_batch(1 << 20);
            let mut messages = stream.messages().await?;
            let mut sink = io::BufWriter::with_capacity(256 << 10, std::fs::File::create("/dev/null")?);
            for _ in 0..count {
                let message = messages.next().await.ok_or("it ended")??;
                sink.write_all(&message.payload)?;
                sink.write_all(b"\n")?;
                message.ack().await?;
            }
            sink.flush()?;
            context.client().flush().await?;
            Ok(())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ours(pipeline: &str) -> io::Result<()> {
    let status = Command::new(found(OURS).expect("it was built"))
        .args(["-q", pipeline])
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{pipeline}: {status}")))
}

fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed())
}

/// Measures all rows.
pub fn measure(is_quick: bool, data: &Data, report: &mut Report) -> io::Result<()> {
    let Some(server) = Server::start(data)? else {
        report.note("nats: nats-server is missing".to_owned());
        return Ok(());
    };
    for (shown, size) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        in_and_out(&server, shown, size, is_quick, data, report)?;
    }
    slow_sink(&server, is_quick, report)?;
    shared_work(&server, is_quick, report)
}

/// Messages of `size` bytes, published and read.
fn in_and_out(
    server: &Server,
    shown: &str,
    size: usize,
    is_quick: bool,
    data: &Data,
    report: &mut Report,
) -> io::Result<()> {
    let (bytes, rounds) = if is_quick { (16 << 20, 3) } else { (128 << 20, 5) };
    let count = bytes / size;
    let path = data.once(&format!("messages-{size}-{count}"), |mut file| {
        let line = [vec![b'x'; size], b"\n".to_vec()].concat();
        (0..count).try_for_each(|_| io::Write::write_all(&mut file, &line))
    })?;
    let file = path.display();
    let url = server.url("S");
    let (mut into, mut out) = (Vec::new(), Vec::new());
    let mut table = format!(
        "### nats, {shown}\n\n| round | in: ours, s | plain, s | out: ours, s | plain, s |\n|---|---|---|---|---|\n"
    );
    for round in 1..=rounds {
        report.progress(&format!("nats, {shown}, round {round}"));
        server.create()?;
        let plain_in = timed(|| {
            let lines = io::BufReader::with_capacity(256 << 10, std::fs::File::open(&path)?).split(b'\n');
            server.publish(lines.map_while(Result::ok))
        })?;
        server.create()?;
        let ours_in = timed(|| ours(&format!("read '{file}' | lines | write {url} subject=S.a")))?;
        let plain_out = timed(|| server.read(count, "plain"))?;
        let read = format!("read {url} consumer=ours messages={count} | batch size=8MiB (write /dev/null)");
        let ours_out = timed(|| ours(&read))?;
        into.push(ours_in.as_secs_f64() / plain_in.as_secs_f64());
        out.push(ours_out.as_secs_f64() / plain_out.as_secs_f64());
        let seconds = [ours_in, plain_in, ours_out, plain_out].map(|time| format!("{:.2}", time.as_secs_f64()));
        let _ = writeln!(table, "| {round} | {} |", seconds.join(" | "));
    }
    report.table(&table);
    for (name, ratios) in [("in", into), ("out", out)] {
        let ratios = Spread::of(ratios);
        let verdict = Verdict::from(ratios.median <= MUST);
        let work = format!("nats {name}, {shown}");
        let figure = format!("{:.2} ({:.2}–{:.2})", ratios.median, ratios.min, ratios.max);
        report.row(
            &work,
            &figure,
            &("≤ 1.1 × a plain client", verdict),
            &("", Verdict::None),
        );
    }
    Ok(())
}

/// A sink that holds messages for longer than the server waits for an acknowledgement.
fn slow_sink(server: &Server, is_quick: bool, report: &mut Report) -> io::Result<()> {
    report.progress("nats, a slow sink");
    let count = if is_quick { 20_000 } else { 60_000 };
    server.create()?;
    server.publish(std::iter::repeat_n(vec![b'x'; 1 << 10], count))?;
    let url = server.url("S");
    ours(&format!(
        "read {url} consumer=slow ack-wait=1s messages={count} max-pending=100000 | batch size=64MiB (throttle 5MB/s | write /dev/null)"
    ))?;
    let again = server.delivered("slow")? - count as u64;
    report.row(
        "nats, a sink of 5 MB/s, ack-wait=1s",
        &format!("{again} delivered again"),
        &("0", Verdict::from(again == 0)),
        &("", Verdict::None),
    );
    Ok(())
}

/// Records that differ, and compress to about a third.
fn records(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 88_172_645_463_325_252_u64;
    (0..count).map(move |number| {
        let mut record = format!("{{\"id\":{number},\"values\":[").into_bytes();
        for at in 0..48 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let gap = if at == 0 { "" } else { "," };
            record.extend(format!("{gap}{{\"a\":{},\"b\":{}}}", state % 1000, state >> 60).bytes());
        }
        record.extend(b"]}");
        record
    })
}

/// Four processes on one consumer beside one, with a stage that is bound by the processor.
fn shared_work(server: &Server, is_quick: bool, report: &mut Report) -> io::Result<()> {
    let (count, rounds) = if is_quick { (2_000, 2) } else { (6_000, 5) };
    let url = server.url("S");
    let read = format!("read {url} consumer=w | batch size=128KiB every=500ms (brotli level=11 | write /dev/null)");
    server.create()?;
    server.publish(records(count))?;
    let mut ratios = Vec::new();
    let mut table = "### nats, four processes\n\n| round | one, s | four, s |\n|---|---|---|\n".to_owned();
    for round in 1..=rounds {
        report.progress(&format!("nats, four processes, round {round}"));
        let [one, four] = [1, 4].map(|processes| {
            let begin = Instant::now();
            let mut running = Running::start(&read, processes)?;
            server.all_acknowledged("w", count as u64)?;
            let taken = begin.elapsed();
            running.end()?;
            server.forget("w")?;
            io::Result::Ok(taken.as_secs_f64())
        });
        let (one, four) = (one?, four?);
        ratios.push(one / four);
        let _ = writeln!(table, "| {round} | {one:.2} | {four:.2} |");
    }
    report.table(&table);
    let ratios = Spread::of(ratios);
    report.row(
        "nats, four processes on one consumer, brotli level=11",
        &format!(
            "{:.2} ({:.2}–{:.2}) times as fast as one",
            ratios.median, ratios.min, ratios.max
        ),
        &("≥ 1.7", Verdict::from(ratios.median >= 1.7)),
        &("", Verdict::None),
    );
    Ok(())
}

/// Processes that read until they are told to end.
struct Running(Vec<Child>);

impl Running {
    fn start(pipeline: &str, count: usize) -> io::Result<Self> {
        let program = found(OURS).expect("it was built");
        let processes = (0..count).map(|_| Command::new(&program).args(["-q", pipeline]).spawn());
        processes.collect::<io::Result<_>>().map(Self)
    }

    fn end(&mut self) -> io::Result<()> {
        for process in &mut self.0 {
            let number = i32::try_from(process.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            rustix::process::kill_process(number.expect("a number"), rustix::process::Signal::TERM)?;
        }
        self.0.iter_mut().try_for_each(|process| process.wait().map(drop))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
        }
    }
}
