//! The rows of NATS, beside a plain client of the same library: messages of two sizes in and out.

use std::fmt::Write as _;
use std::io;
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

    /// A plain client that publishes, and waits for each confirmation in turn, a thousand behind.
    fn publish(&self, size: usize, count: usize) -> io::Result<()> {
        self.with(|context| async move {
            let payload = bytes::Bytes::from(vec![b'x'; size]);
            let window = (1 << 20) / (size + 1024) + 1;
            let mut sent = std::collections::VecDeque::new();
            for _ in 0..count {
                sent.push_back(context.publish("S.a", payload.clone()).await?);
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

    /// A plain client that reads and acknowledges.
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
            for _ in 0..count {
                let message = messages.next().await.ok_or("it ended")??;
                message.ack().await?;
            }
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
    let (bytes, rounds) = if is_quick { (16 << 20, 3) } else { (128 << 20, 5) };
    for (shown, size) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        let count = bytes / size;
        let file = data.once(&format!("messages-{size}-{count}"), |mut file| {
            let line = [vec![b'x'; size], b"\n".to_vec()].concat();
            (0..count).try_for_each(|_| io::Write::write_all(&mut file, &line))
        })?;
        let file = file.display();
        let url = format!("nats://{}/S", server.url);
        let (mut into, mut out) = (Vec::new(), Vec::new());
        let mut table = format!(
            "### nats, {shown}\n\n| round | in: ours, s | plain, s | out: ours, s | plain, s |\n|---|---|---|---|---|\n"
        );
        for round in 1..=rounds {
            report.progress(&format!("nats, {shown}, round {round}"));
            server.create()?;
            let plain_in = timed(|| server.publish(size, count))?;
            server.create()?;
            let ours_in = timed(|| ours(&format!("read '{file}' | lines | write {url} subject=S.a")))?;
            let plain_out = timed(|| server.read(count, "plain"))?;
            let read = format!("read {url} consumer=ours messages={count} | batch size=64MiB (write /dev/null)");
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
    }
    Ok(())
}
