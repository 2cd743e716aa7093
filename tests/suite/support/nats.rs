//! A NATS server of a test's own, and a plain client of it that has nothing of highwater's.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, Info, pull};
use async_nats::jetstream::{self, Context, stream};
use futures_util::StreamExt;

use super::harness::{Folder, peer, skip};
use super::port::reserve;

/// A server that listens on a port of loopback and keeps its streams in a folder.
pub struct Server {
    pub folder: Folder,
    configuration: String,
    pub port: u16,
    _reserved: OwnedFd,
    /// What the plain client proves itself with, as in a file with credentials.
    pub credentials: Option<String>,
    child: Child,
}

/// A new server; `None` if it is not installed.
pub fn server() -> Option<Server> {
    server_with("", |_| String::new())
}

/// As [`server`], with more lines of its configuration, which may name files of the folder.
pub fn server_with(user: &str, lines: impl FnOnce(&Folder) -> String) -> Option<Server> {
    if peer("nats-server").is_none() {
        skip("nats-server is missing");
        return None;
    }
    let folder = Folder::new();
    let lines = lines(&folder) + user;
    let configuration = folder.write("server.conf", lines).display().to_string();
    let (reserved, address) = reserve();
    let port = address.port();
    let child = start(&folder, &configuration, port);
    Some(Server {
        folder,
        configuration,
        port,
        _reserved: reserved,
        credentials: None,
        child,
    })
}

fn start(folder: &Folder, configuration: &str, port: u16) -> Child {
    let mut child = Command::new("nats-server")
        .args([
            "-a",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-js",
            "-c",
            configuration,
            "-sd",
        ])
        .arg(folder.join("store"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nats-server starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut all = String::new();
    while !all.contains("Server is ready") {
        assert!(said.read_line(&mut all).expect("text") > 0, "it did not start: {all}");
    }
    // It must not block on a full pipe.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    child
}

impl Server {
    /// The URL of a stream.
    pub fn url(&self, stream: &str) -> String {
        format!("nats://127.0.0.1:{}/{stream}", self.port)
    }

    /// Kills it, and starts it again.
    pub fn restart(&mut self) {
        self.kill();
        self.child = start(&self.folder, &self.configuration, self.port);
    }

    /// Kills it, keeps what its disk has then, and starts it again.
    pub fn keep(&mut self) {
        self.kill();
        let [store, kept] = ["store", "kept"].map(|name| self.folder.join(name));
        let copied = Command::new("cp").arg("-a").args([store, kept]).status();
        assert!(copied.expect("cp starts").success());
        self.child = start(&self.folder, &self.configuration, self.port);
    }

    /// As after a power cut: its disk has what was kept.
    pub fn restart_from_kept(&mut self) {
        self.kill();
        let [store, kept] = ["store", "kept"].map(|name| self.folder.join(name));
        std::fs::remove_dir_all(&store).expect("removed");
        std::fs::rename(kept, store).expect("renamed");
        self.child = start(&self.folder, &self.configuration, self.port);
    }

    /// Replaces its configuration, and starts it again with that.
    pub fn reconfigure(&mut self, configuration: &str) {
        std::fs::write(&self.configuration, configuration).expect("written");
        self.restart();
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Does something with a plain client.
    pub fn with<T, F: Future<Output = T>>(&self, act: impl FnOnce(Context) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let options = match &self.credentials {
                Some(text) => ConnectOptions::with_credentials(text).expect("credentials"),
                None => ConnectOptions::new(),
            };
            let client = options.connect(format!("127.0.0.1:{}", self.port));
            act(jetstream::new(client.await.expect("connected"))).await
        })
    }

    /// Makes a stream of the subjects below its name.
    pub fn create(&self, name: &str, max_bytes: i64) {
        self.with(|context| async move {
            let configuration = stream::Config {
                name: name.to_owned(),
                subjects: vec![format!("{name}.>")],
                max_bytes,
                discard: stream::DiscardPolicy::New,
                ..stream::Config::default()
            };
            context.create_stream(configuration).await.expect("created");
        });
    }

    /// Publishes messages and waits until the server has all of them.
    pub fn publish<P: Into<Vec<u8>>>(&self, subject: &str, messages: impl IntoIterator<Item = P>) {
        self.with(|context| async move {
            let mut sent = VecDeque::new();
            for message in messages {
                let message: Vec<u8> = message.into();
                sent.push_back(context.publish(subject.to_owned(), message.into()).await.expect("sent"));
                // The library waits for ever where more are on their way.
                if sent.len() > 1000 {
                    sent.pop_front().expect("some").await.expect("stored");
                }
            }
            for confirmed in sent {
                confirmed.await.expect("stored");
            }
        });
    }

    /// How many messages a stream has.
    pub fn count(&self, name: &str) -> u64 {
        self.with(|context| async move {
            let mut stream = context.get_stream(name).await.expect("a stream");
            stream.info().await.expect("known").state.messages
        })
    }

    /// What the messages of a stream are.
    pub fn messages(&self, name: &str) -> Vec<Vec<u8>> {
        self.with(|context| async move {
            let mut stream = context.get_stream(name).await.expect("a stream");
            let count = stream.info().await.expect("known").state.messages;
            let configuration = pull::Config {
                ack_policy: AckPolicy::None,
                ..pull::Config::default()
            };
            let consumer = stream.create_consumer(configuration).await.expect("created");
            let mut batch = consumer
                .batch()
                .max_messages(usize::try_from(count).expect("small"))
                .expires(Duration::from_secs(60))
                .messages()
                .await
                .expect("asked");
            let mut messages = Vec::new();
            while (messages.len() as u64) < count {
                let message = batch.next().await.expect("one more").expect("a message");
                messages.push(message.payload.to_vec());
            }
            messages
        })
    }

    /// Removes all messages of a stream.
    pub fn purge(&self, name: &str) {
        self.with(|context| async move {
            let stream = context.get_stream(name).await.expect("a stream");
            stream.purge().await.expect("purged");
        });
    }

    /// What the server knows of a consumer.
    pub fn consumer(&self, stream: &str, name: &str) -> Info {
        self.with(|context| async move {
            let stream = context.get_stream(stream).await.expect("a stream");
            stream.consumer_info(name).await.expect("a consumer")
        })
    }

    /// Makes a durable consumer.
    pub fn create_consumer(&self, stream: &str, configuration: pull::Config) {
        self.with(|context| async move {
            let stream = context.get_stream(stream).await.expect("a stream");
            stream.create_consumer(configuration).await.expect("created");
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
