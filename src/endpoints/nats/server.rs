//! A server with a stream, and how it is connected to.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use rustix::fs::{Mode, OFlags};
use tokio::sync::Notify;

use crate::catalog::{Args, Misnamed, Param};
use crate::endpoints::connecting;
use crate::endpoints::tls::{self, CA, CERT, KEY};
use crate::error::{Failure, Kind, Problem, shown};
use crate::net::retry::{self, Backoff};
use crate::net::tls::TlsFiles;
use crate::net::{Address, tls::MEMORY as TLS_MEMORY};
use crate::platform::{KEPT_BY_HEAP, files, keep_large_buffers};

use super::{CREDS, TLS, USER};

const PORT: u16 = 4222;
const FORM: &str = "write nats://HOST[:PORT]/STREAM";
/// The most that is read of a file with credentials, in bytes.
const LONGEST: u64 = 64 << 10;
/// Bytes of one read.
const READ: u16 = u16::MAX;
/// How many commands the library queues.
const COMMANDS: usize = 256;
/// The most memory that a connection holds besides messages, in bytes: what was read and is not a whole message, what is
/// gathered for one write, the queue of commands, TLS, which the server may ask for, and what the heap keeps.
pub const MEMORY: u64 = 2 * READ as u64 + (128 << 10) + COMMANDS as u64 * 256 + TLS_MEMORY + KEPT_BY_HEAP as u64;

/// A server, named and not yet connected to.
pub struct Server {
    address: Address,
    pub stream: String,
    options: connecting::ConnectOptions,
    files: TlsFiles,
    requires_tls: bool,
    creds: Option<PathBuf>,
    user: Option<PathBuf>,
}

impl Server {
    /// Reads what follows `nats://`.
    pub fn named(rest: &[u8], args: &Args) -> Result<Self, Problem> {
        let wrong = |message: String| Misnamed::new(message, FORM).of(args);
        let text = std::str::from_utf8(rest).map_err(|_| wrong("the URL is not UTF-8".to_owned()))?;
        let (address, stream) = text
            .split_once('/')
            .filter(|(_, stream)| !stream.is_empty())
            .ok_or_else(|| wrong("the stream is missing".to_owned()))?;
        if address.contains('@') {
            let help = "leave them out; creds=FILE or user=@FILE has them";
            return Err(Misnamed::new("credentials in a URL are not accepted", help).of(args));
        }
        let address = Address::parse(address, Some(PORT)).map_err(|error| wrong(error.to_string()))?;
        if address.host.is_empty() {
            return Err(wrong("the host is missing".to_owned()));
        }
        if !is_name(stream) {
            return Err(wrong(format!("`{}` is no name of a stream", shown(stream.as_bytes()))));
        }
        let path = |param: Param| {
            let words = args.words(param.name);
            words.first().map(|word| word.to_vec())
        };
        let creds = path(CREDS).map(|word| word.strip_prefix(b"@").map_or(word.clone(), <[u8]>::to_vec));
        let user = path(USER).map(|word| match word.strip_prefix(b"@") {
            Some(file) => Ok(file.to_vec()),
            None => {
                let message = "credentials are not taken from the command line, where others may see them";
                let problem = Problem::at(args.span_of(USER.name), message);
                Err(problem.help("write NAME:PASSWORD into a file and name it with user=@FILE"))
            }
        });
        let user = user.transpose()?;
        if creds.is_some() && user.is_some() {
            let problem = Problem::at(args.span_of(USER.name), "creds= and user= are two ways to authenticate");
            return Err(problem.help("leave one out"));
        }
        let files = tls::files(args);
        let is_tls_named = [CA, CERT, KEY].iter().any(|param| args.is_given(param.name)) || files.unverified;
        let to_path = |word: Vec<u8>| PathBuf::from(OsStr::from_bytes(&word));
        Ok(Self {
            address,
            stream: stream.to_owned(),
            options: connecting::ConnectOptions::of(args),
            files,
            requires_tls: args.flag(TLS.name) || is_tls_named,
            creds: creds.map(to_path),
            user: user.map(to_path),
        })
    }

    pub fn shown(&self) -> String {
        format!("nats://{}/{}", self.address, self.stream)
    }

    /// Checks the files that it names.
    pub fn check(&self) -> Result<(), Failure> {
        self.configured(&Arc::default()).map(drop)
    }

    /// The library's options.
    fn configured(&self, events: &Arc<Events>) -> Result<ConnectOptions, Failure> {
        let mut options = ConnectOptions::new()
            .name(concat!("highwater/", env!("CARGO_PKG_VERSION")))
            .connection_timeout(self.options.connect)
            .client_capacity(COMMANDS)
            .subscription_capacity(super::session::SUBSCRIBED)
            .read_buffer_capacity(READ)
            .ignore_discovered_servers()
            .require_tls(self.requires_tls);
        if self.requires_tls {
            options = options.tls_client_config(self.files.client(&[])?.config());
        }
        if let Some(path) = &self.creds {
            let text = secret(path)?;
            options = options.credentials(&text).map_err(|error| unusable(path, error))?;
        }
        if let Some(path) = &self.user {
            let text = secret(path)?;
            let line = text.lines().next().unwrap_or_default();
            options = match line.split_once(':') {
                Some((name, password)) => options.user_and_password(name.to_owned(), password.to_owned()),
                None => options.token(line.to_owned()),
            };
        }
        let events = events.clone();
        Ok(options.event_callback(move |event| {
            events.take(&event);
            async {}
        }))
    }

    /// Connects.
    pub async fn connect(&self, events: &Arc<Events>) -> Result<Client, Failure> {
        keep_large_buffers();
        let url = format!("nats://{}", self.address);
        retry::connect(self.options.retries, Backoff::default(), || async {
            let options = self.configured(events)?;
            let failed = |why: String| {
                let operation = format!("cannot connect to {}", self.address);
                Failure::because(Kind::Connect, operation, why)
            };
            match options.connect(&url).await {
                Ok(client) => {
                    events.is_open.store(true, Ordering::Relaxed);
                    Ok(client)
                }
                Err(error) if error.kind() == ConnectErrorKind::TimedOut => {
                    let limit = humantime::format_duration(self.options.connect);
                    Err(failed(format!("no answer within {limit} (connect-timeout)")))
                }
                Err(error) => Err(failed(error.to_string())),
            }
        })
        .await
    }
}

/// Whether it can name a stream or a consumer.
pub fn is_name(text: &str) -> bool {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
    !text.is_empty() && !text.contains(is_special)
}

/// Whether it can be a subject; with wildcards for one that is subscribed to.
pub fn is_subject(text: &str, has_wildcards: bool) -> bool {
    let is_token = |token: &str| {
        let is_special = |c: char| c.is_whitespace() || c.is_control() || "*>".contains(c);
        !token.is_empty() && (!token.contains(is_special) || (has_wildcards && (token == "*" || token == ">")))
    };
    text.split('.').all(is_token)
}

/// Whether `subject` is one of those that a pattern stands for.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            (part, Some(token)) if part == "*" || part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn unusable(path: &Path, error: io::Error) -> Failure {
    let operation = format!("cannot use the credentials in {}", shown(path.as_os_str().as_bytes()));
    Failure::new(Kind::Usage, operation, error)
}

/// The text of a file with credentials.
fn secret(path: &Path) -> Result<String, Failure> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mut text = String::new();
    files::open(path, flags, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|file| files::Stream(&file).take(LONGEST).read_to_string(&mut text))
        .map_err(|error| unusable(path, error))?;
    Ok(text)
}

/// What the library says of the connection.
#[derive(Default)]
pub struct Events {
    is_open: AtomicBool,
    was_lost: AtomicBool,
    /// Whether nobody has gone on yet with another connection than the one that was lost.
    is_behind: AtomicBool,
    again: Notify,
    /// The last error of the library that was said.
    said: Mutex<String>,
}

impl Events {
    fn take(&self, event: &Event) {
        match event {
            Event::Disconnected => {
                self.was_lost.store(true, Ordering::Relaxed);
                self.is_behind.store(true, Ordering::Relaxed);
                tracing::warn!("the connection was lost; connecting again");
            }
            Event::Connected if self.was_lost.swap(false, Ordering::Relaxed) => {
                tracing::info!("connected again");
                self.again.notify_one();
            }
            // Before that it is an error of the connection.
            Event::ServerError(error) if self.is_open.load(Ordering::Relaxed) => {
                tracing::warn!("the server says: {error}");
            }
            // Each attempt to connect again may fail for the same reason.
            Event::ClientError(error) => {
                let text = error.to_string();
                let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                if *said != text {
                    tracing::warn!("cannot connect again: {text}");
                    *said = text;
                }
            }
            _ => {}
        }
    }

    /// Waits until there is another connection than the one before.
    pub async fn connected_again(&self) {
        self.again.notified().await;
    }

    /// Everything goes on with the connection that there is now.
    pub fn caught_up(&self) {
        let is_lost = self.was_lost.load(Ordering::Relaxed);
        self.is_behind.store(is_lost, Ordering::Relaxed);
    }

    /// Whether the connection was lost, and all has not gone on with another one.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_match_patterns_token_by_token() {
        for (pattern, subject, is_one) in [
            ("orders.eu", "orders.eu", true),
            ("orders.*", "orders.eu", true),
            ("orders.>", "orders.eu.de", true),
            (">", "orders", true),
            ("orders.>", "orders", false),
            ("orders.*", "orders.eu.de", false),
            ("orders.*", "ordrs.eu", false),
            ("orders.eu.de", "orders.eu", false),
        ] {
            assert_eq!(matches(pattern, subject), is_one, "{pattern} {subject}");
        }
    }
}
