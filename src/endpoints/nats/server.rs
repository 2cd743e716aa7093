//! A server with a stream, and how it is connected to.

use std::ffi::OsStr;
use std::future::ready;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ClientError, ConnectErrorKind, ConnectOptions, Event};
use nkeys::KeyPair;
use rustix::fs::{Mode, OFlags};
use tokio::sync::Notify;
use tokio::time::Instant;

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
/// For how long a server may refuse the credentials of a connection that was lost: one that begins anew may not know them at
/// once.
const REFUSED: Duration = Duration::from_secs(5);
/// After how long without a word from the server it is asked for one; the connection is lost after three times that.
const PING: Duration = Duration::from_secs(5);
/// How long the server may take to answer a request.
const ANSWER: Duration = Duration::from_secs(5);
/// How many subjects are remembered that this user may not publish to.
const MOST_DENIED: usize = 16;
/// The longest pause before an attempt to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Bytes of one read.
const READ: u16 = u16::MAX;
/// How many commands the library queues.
const COMMANDS: usize = 256;
/// The most memory that a connection holds besides messages, in bytes: what was read and is not a whole message, what is
/// gathered for one write, the queue of commands, TLS, which the server may ask for, and what the heap keeps.
pub const MEMORY: u64 = 2 * READ as u64 + (128 << 10) + COMMANDS as u64 * 256 + TLS_MEMORY + KEPT_BY_HEAP as u64;

/// A server, named and not yet connected to.
#[derive(Clone)]
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
        self.configured(&Arc::default(), false).map(drop)
    }

    /// The library's options. Without `goes_on` a connection that is lost stays so: what was queued for it must not be sent
    /// on another one.
    fn configured(&self, events: &Arc<Events>, goes_on: bool) -> Result<ConnectOptions, Failure> {
        let (proof, opened) = (self.proof()?, events.clone());
        let prove = move |nonce: Vec<u8>| {
            ready(if goes_on || !opened.is_open.load(Ordering::Relaxed) {
                proof.auth(&nonce)
            } else {
                Err(AuthError::new("this connection ends here"))
            })
        };
        let mut options = ConnectOptions::with_auth_callback(prove)
            .name(concat!("highwater/", env!("CARGO_PKG_VERSION")))
            .connection_timeout(self.options.connect)
            .ping_interval(PING)
            .request_timeout(Some(ANSWER))
            .client_capacity(COMMANDS)
            .subscription_capacity(super::session::SUBSCRIBED)
            .read_buffer_capacity(READ)
            .ignore_discovered_servers()
            .require_tls(self.requires_tls);
        if !goes_on {
            options = options.max_reconnects(1);
        }
        if self.requires_tls {
            options = options.tls_client_config(self.files.client(&[])?.config());
        }
        let events = events.clone();
        Ok(options.event_callback(move |event| {
            events.take(&event);
            async {}
        }))
    }

    /// How its connections prove who they are.
    fn proof(&self) -> Result<Proof, Failure> {
        if let Some(path) = &self.creds {
            let text = secret(path)?;
            let wrong = |why: &str| unusable(path, io::Error::new(io::ErrorKind::InvalidData, why));
            let jwt = decorated(&text, "USER JWT").ok_or_else(|| wrong("it has no user JWT"))?;
            let seed = decorated(&text, "NKEY SEED").ok_or_else(|| wrong("it has no seed"))?;
            let pair = KeyPair::from_seed(seed).map_err(|error| wrong(&error.to_string()))?;
            return Ok(Proof::Signed(jwt.to_owned(), Box::new(pair)));
        }
        let Some(path) = &self.user else { return Ok(Proof::None) };
        let text = secret(path)?;
        let line = text.lines().next().unwrap_or_default();
        Ok(match line.split_once(':') {
            Some((name, password)) => Proof::Password(name.to_owned(), password.to_owned()),
            None => Proof::Token(line.to_owned()),
        })
    }

    /// Connects; the library connects again if that connection is lost.
    pub async fn connect(&self, events: &Arc<Events>) -> Result<Client, Failure> {
        let attempt = || self.attempt(events, true);
        retry::connect(self.options.retries, Backoff::default(), attempt).await
    }

    /// Connects once and for all.
    pub async fn connect_once(&self) -> Result<Connection, Failure> {
        let attempt = || async {
            let events = Arc::new(Events::once());
            let client = self.attempt(&events, false).await?;
            Ok(Connection { client, events })
        };
        retry::connect(self.options.retries, Backoff::default(), attempt).await
    }

    /// Connects after a connection was lost, however long that takes.
    ///
    /// # Errors
    /// If the server goes on refusing the credentials.
    pub async fn connect_again(&self) -> Result<Connection, Failure> {
        let mut backoff = Backoff::default();
        let (mut refused, mut said) = (None, String::new());
        loop {
            let events = Arc::new(Events::once());
            let failure = match self.attempt(&events, false).await {
                Ok(client) => {
                    tracing::warn!("connected again");
                    return Ok(Connection { client, events });
                }
                Err(failure) => failure,
            };
            // A file with credentials may be missing while it is replaced.
            if events.is_refused() || failure.kind() != Kind::Connect {
                if refused.get_or_insert_with(Instant::now).elapsed() >= REFUSED {
                    return Err(failure);
                }
            } else {
                refused = None;
            }
            let text = failure.to_string();
            if said != text {
                tracing::warn!("{text}; trying again");
                said = text;
            }
            tokio::time::sleep(backoff.pause().min(LONGEST_PAUSE)).await;
        }
    }

    async fn attempt(&self, events: &Arc<Events>, goes_on: bool) -> Result<Client, Failure> {
        keep_large_buffers();
        let options = self.configured(events, goes_on)?;
        let error = match options.connect(format!("nats://{}", self.address)).await {
            Ok(client) => {
                events.is_open.store(true, Ordering::Relaxed);
                return Ok(client);
            }
            Err(error) => error,
        };
        let why = match error.kind() {
            ConnectErrorKind::TimedOut => {
                let limit = humantime::format_duration(self.options.connect);
                format!("no answer within {limit} (connect-timeout)")
            }
            ConnectErrorKind::AuthorizationViolation => {
                events.refused();
                error.to_string()
            }
            _ => error.to_string(),
        };
        let operation = format!("cannot connect to {}", self.address);
        Err(Failure::because(Kind::Connect, operation, why))
    }
}

/// A connection, and what the library says of it.
pub struct Connection {
    pub client: Client,
    pub events: Arc<Events>,
}

/// How a client proves who it is.
enum Proof {
    None,
    Password(String, String),
    Token(String),
    /// A user's JWT, and the key that signs what the server sends.
    Signed(String, Box<KeyPair>),
}

impl Proof {
    fn auth(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::None => {}
            Self::Password(name, password) => {
                (auth.username, auth.password) = (Some(name.clone()), Some(password.clone()));
            }
            Self::Token(token) => auth.token = Some(token.clone()),
            Self::Signed(jwt, pair) => {
                auth.jwt = Some(jwt.clone());
                auth.signature = Some(pair.sign(nonce).map_err(AuthError::new)?);
            }
        }
        Ok(auth)
    }
}

/// What stands between `-----BEGIN … WHAT-----` and the line after that.
fn decorated<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    let mut lines = text.lines();
    lines.find(|line| line.starts_with("-----BEGIN") && line.contains(what))?;
    lines.map(str::trim).find(|line| !line.is_empty())
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

/// What the library says of a connection.
#[derive(Default)]
pub struct Events {
    is_open: AtomicBool,
    is_lost: AtomicBool,
    lost: Notify,
    /// Whether the library does not connect again.
    is_once: bool,
    /// Since when the server refuses the credentials.
    refused: Mutex<Option<Instant>>,
    is_refused: Notify,
    /// What the server has said of subjects that this user may not publish to.
    denied: Mutex<Vec<String>>,
    is_denied: Notify,
    /// The last error of the library that was said.
    said: Mutex<String>,
}

impl Events {
    /// Those of a connection that the library does not make again.
    fn once() -> Self {
        Self {
            is_once: true,
            ..Self::default()
        }
    }

    fn take(&self, event: &Event) {
        match event {
            Event::Disconnected => {
                self.is_lost.store(true, Ordering::Relaxed);
                self.lost.notify_one();
                tracing::warn!("the connection was lost; connecting again");
            }
            Event::Connected if self.is_lost.swap(false, Ordering::Relaxed) => {
                *lock(&self.refused) = None;
                tracing::warn!("connected again");
            }
            // Before that it is an error of the connection.
            Event::ServerError(error) if self.is_open.load(Ordering::Relaxed) => {
                let text = error.to_string();
                let mut denied = lock(&self.denied);
                if denied.contains(&text) {
                    return;
                }
                tracing::warn!("the server says: {text}");
                if denied.len() < MOST_DENIED && text.to_ascii_lowercase().contains("permissions violation for publish")
                {
                    denied.push(text);
                    self.is_denied.notify_waiters();
                }
            }
            // That is how it ends.
            Event::ClientError(_) if self.is_once => {}
            // Each attempt to connect again may fail for the same reason.
            Event::ClientError(ClientError::Other(text)) => {
                if *text == ConnectErrorKind::AuthorizationViolation.to_string() {
                    self.refused();
                }
                let mut said = lock(&self.said);
                if *said != *text {
                    tracing::warn!("cannot connect again: {text}");
                    said.clone_from(text);
                }
            }
            _ => {}
        }
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Whether it is lost.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn refused(&self) {
        if lock(&self.refused).get_or_insert_with(Instant::now).elapsed() >= REFUSED {
            self.is_refused.notify_one();
        }
    }

    fn is_refused(&self) -> bool {
        lock(&self.refused).is_some()
    }

    /// What the server answers to a request; `None` if it says that this user may not ask, which is no answer to the library.
    pub async fn unless_denied<T>(&self, request: &str, answer: impl Future<Output = T>) -> Option<T> {
        let denial = async {
            loop {
                let more = self.is_denied.notified();
                if lock(&self.denied).iter().any(|text| text.contains(request)) {
                    return;
                }
                more.await;
            }
        };
        tokio::select! {
            biased;
            () = denial => None,
            answer = answer => Some(answer),
        }
    }

    /// Waits until the server goes on refusing the credentials of a connection that the library tries again.
    pub async fn refusal(self: Arc<Self>) -> Failure {
        self.is_refused.notified().await;
        let why = ConnectErrorKind::AuthorizationViolation.to_string();
        Failure::because(Kind::Connect, "cannot connect again", why)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_between_their_lines() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().expect("a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.a.b\n------END NATS USER JWT------\n\nA warning.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        assert_eq!(decorated(&text, "USER JWT"), Some("eyJ0.a.b"));
        let found = KeyPair::from_seed(decorated(&text, "NKEY SEED").expect("a seed")).expect("valid");
        assert_eq!(found.public_key(), pair.public_key());
        assert_eq!(decorated("-----BEGIN NATS USER JWT-----", "USER JWT"), None);
        let auth = Proof::Signed("eyJ0.a.b".to_owned(), Box::new(found))
            .auth(b"nonce")
            .expect("signed");
        pair.verify(b"nonce", &auth.signature.expect("there"))
            .expect("by that key");
    }

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
