//! A client: connections, proxies, redirects.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};
use hyper::ext::on_informational;

use crate::error::{Failure, Kind};
use crate::net::tls::{ClientTls, TlsFiles};
use crate::net::{Dial, Transport, unusable};
use crate::platform::sockets::TcpPeer;

use super::Url;
use super::exchange::Exchange;
use super::payload::{Payload, Slot};
use super::proxy::Proxy;
use super::response::{Response, broken};

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 10;

/// What every request of a stage has in common.
pub struct Client {
    /// How connections are made.
    pub dial: Dial,
    /// The files for TLS.
    pub files: TlsFiles,
    /// Made of the files when they are needed first.
    tls: OnceLock<ClientTls>,
    /// The kind of a failed exchange.
    place: Kind,
}

/// A request. Its body can be sent again.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Its headers, besides those that every request has. Sensitive ones are not sent to another server.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A request that got no response that could be used.
#[derive(Debug)]
pub struct Attempt {
    /// What went wrong.
    pub failure: Failure,
    /// Whether another attempt makes sense.
    pub retry: Retry,
    /// The pause that the server asks for.
    pub pause: Option<Duration>,
}

/// Whether a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    Never,
    /// It may be sent again if it changes nothing on the server, because that may have received it.
    Idempotent,
    /// The server has done nothing yet.
    Always,
}

impl Attempt {
    /// One that would fail again.
    #[must_use]
    pub fn last(failure: Failure) -> Self {
        Self::new(failure, Retry::Never)
    }

    /// One that may be repeated.
    #[must_use]
    pub fn new(failure: Failure, retry: Retry) -> Self {
        let pause = None;
        Self { failure, retry, pause }
    }
}

impl Client {
    /// A client whose exchanges fail as those of a source or a sink.
    #[must_use]
    pub fn new(dial: Dial, files: TlsFiles, place: Kind) -> Self {
        Self {
            dial,
            files,
            tls: OnceLock::new(),
            place,
        }
    }

    /// Checks the files for TLS.
    ///
    /// # Errors
    /// [`Kind::Usage`] if one cannot be used.
    pub fn tls(&self) -> Result<&ClientTls, Failure> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = self.files.client(&[b"http/1.1"])?;
        Ok(self.tls.get_or_init(|| tls))
    }

    /// Sends a request, follows redirects, and waits for the response.
    ///
    /// # Errors
    /// If there is none.
    pub async fn fetch(&self, request: &Request) -> Result<Response, Attempt> {
        let mut request = request.clone();
        let first = request.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.exchange(&request).await?;
            if !redirect(&mut request, &response).map_err(|why| Attempt::last(self.invalid(&first, why)))? {
                return Ok(response);
            }
        }
        let why = format!("it was redirected more than {MOST_REDIRECTS} times");
        Err(Attempt::last(self.invalid(&first, why)))
    }

    /// Sends a request and waits for the response, which may be a redirect.
    ///
    /// # Errors
    /// If there is none.
    pub async fn exchange(&self, request: &Request) -> Result<Response, Attempt> {
        let payload = Payload::Whole(request.body.clone());
        let mut exchange = self.send(request, payload).await?;
        let response = poll_fn(|context| exchange.poll_response(context)).await;
        self.respond(&request.url, response, exchange)
    }

    /// Sends a request whose body of `length` bytes comes from `next`, one piece after the other, and waits for the
    /// response, which may come before the body is sent.
    ///
    /// # Errors
    /// If there is none, or `next` fails.
    pub async fn exchange_pieces(
        &self,
        request: &Request,
        length: u64,
        mut next: impl FnMut() -> Result<Bytes, Failure>,
    ) -> Result<Response, Attempt> {
        let slot = Slot::default();
        slot.lock().is_open = true;
        let mut exchange = self.send(request, Payload::Pieces(slot.clone(), Some(length))).await?;
        let mut left = length;
        let response = poll_fn(|context| {
            loop {
                if let Poll::Ready(response) = exchange.poll_response(context) {
                    return Poll::Ready(Ok(response));
                }
                let mut pieces = slot.lock();
                if pieces.next.is_some() || pieces.has_ended {
                    return Poll::Pending;
                }
                if left == 0 {
                    pieces.has_ended = true;
                } else {
                    let piece = next().map_err(Attempt::last)?;
                    left = left.saturating_sub(piece.len() as u64);
                    pieces.next = Some(piece);
                }
            }
        });
        let response = response.await?;
        self.respond(&request.url, response, exchange)
    }

    fn respond(
        &self,
        url: &Url,
        response: hyper::Result<http::Response<hyper::body::Incoming>>,
        exchange: Exchange,
    ) -> Result<Response, Attempt> {
        let response = response.map_err(|error| self.unanswered(url, &error))?;
        let response = Response::new(url.clone(), response, exchange.into_driver());
        response.map_err(|why| Attempt::last(self.invalid(url, why)))
    }

    /// Connects, and begins to send a request.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn send(&self, request: &Request, payload: Payload) -> Result<Exchange, Attempt> {
        let proxy = Proxy::of(&request.url).map_err(Attempt::last)?;
        let transport = self
            .connect(&request.url, proxy.as_ref(), request.url.is_secure)
            .await?;
        let message = message(request, proxy.as_ref(), payload).map_err(|why| {
            let failure = self.invalid(&request.url, why);
            Attempt::last(failure)
        })?;
        let socket = transport
            .tcp()
            .filter(|_| self.dial.resets)
            .map(TcpPeer::descriptor)
            .transpose();
        let socket = socket.map_err(|error| Attempt::last(unusable(error)))?;
        let sent = Exchange::begin(transport, message, socket).await;
        sent.map_err(|error| self.unanswered(&request.url, &error))
    }

    /// Connects for a protocol that only begins as HTTP: through a proxy with a tunnel.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn tunnel(&self, url: &Url) -> Result<Transport, Attempt> {
        let proxy = Proxy::of(url).map_err(Attempt::last)?;
        self.connect(url, proxy.as_ref(), true).await
    }

    async fn connect(&self, url: &Url, proxy: Option<&Proxy>, tunnels: bool) -> Result<Transport, Attempt> {
        // A missing file will not appear; a peer may.
        let tls = if url.is_secure {
            Some(self.tls().map_err(Attempt::last)?)
        } else {
            None
        };
        let dialed = match proxy {
            None => self.dial.connect(&url.address, &url.address.to_string()).await,
            Some(proxy) => {
                let shown = format!("the proxy {}", proxy.address);
                self.dial.connect(&proxy.address, &shown).await
            }
        };
        let stream = dialed.map_err(|failure| match failure.kind() {
            Kind::Connect => Attempt::new(failure, Retry::Always),
            _ => Attempt::last(failure),
        })?;
        let mut stream = TcpPeer::of(stream).map_err(|error| Attempt::last(unusable(error)))?;
        let secure = async {
            if let Some(proxy) = proxy.filter(|_| tunnels) {
                proxy.tunnel(&mut stream, &url.address).await?;
            }
            match tls {
                Some(tls) => tls.connect(stream, &url.address).await,
                None => Ok(Transport::Plain(stream)),
            }
        };
        let limit = self.dial.limit;
        let secured = tokio::time::timeout(limit, secure).await.unwrap_or_else(|_| {
            let what = if tls.is_some() { "agree on TLS with" } else { "reach" };
            let operation = format!("cannot {what} {}", url.address);
            let limit = humantime::format_duration(limit);
            let why = format!("no answer within {limit} (connect-timeout)");
            Err(Failure::because(Kind::Connect, operation, why))
        });
        // A certificate does not get better with time, and a proxy's refusal stays.
        secured.map_err(Attempt::last)
    }

    /// The failure of an exchange that broke off.
    pub fn unanswered(&self, url: &Url, error: &hyper::Error) -> Attempt {
        let why = broken(error);
        let is_invalid = why.kind() == std::io::ErrorKind::InvalidData;
        // A server may reject a client's certificate only once the handshake is over.
        let kind = if is_invalid && !error.is_parse() {
            Kind::Connect
        } else {
            self.place
        };
        let retry = if is_invalid { Retry::Never } else { Retry::Idempotent };
        Attempt::new(Failure::io(kind, operation(url), why), retry)
    }

    fn invalid(&self, url: &Url, why: String) -> Failure {
        Failure::because(self.place, operation(url), why)
    }
}

fn operation(url: &Url) -> String {
    format!("cannot get a response from {}", url.address)
}

/// The message as it is sent.
fn message(request: &Request, proxy: Option<&Proxy>, payload: Payload) -> Result<http::Request<Payload>, String> {
    let url = &request.url;
    let proxy = proxy.filter(|_| !url.is_secure);
    let target = match proxy {
        // What a proxy receives names the server, too.
        Some(_) => format!("http://{}{}", url.host_header(), url.target),
        None => url.target.clone(),
    };
    let target = target
        .parse::<Uri>()
        .map_err(|error| format!("the URL cannot be sent: {error}"))?;
    let mut message = http::Request::new(payload);
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = target;
    *message.version_mut() = Version::HTTP_11;
    let headers = message.headers_mut();
    headers.clone_from(&request.headers);
    let mut default = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value).map_err(|_| format!("`{value}` cannot be sent as `{name}`"))?;
        headers.entry(name).or_insert(value);
        Ok::<_, String>(())
    };
    default(header::HOST, &url.host_header())?;
    default(header::USER_AGENT, concat!("highwater/", env!("CARGO_PKG_VERSION")))?;
    default(header::ACCEPT, "*/*")?;
    default(header::ACCEPT_ENCODING, "identity")?;
    if let Payload::Pieces(slot, _) = message.body() {
        let slot = slot.clone();
        on_informational(&mut message, move |response| {
            if response.status() == StatusCode::CONTINUE {
                slot.lock().is_open = true;
            }
        });
    }
    let is_empty = matches!(message.body(), Payload::Whole(bytes) if bytes.is_empty());
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(&request.method);
    let headers = message.headers_mut();
    if is_empty && expects_body {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.clone()) {
        headers.insert(header::PROXY_AUTHORIZATION, authorization);
    }
    Ok(message)
}

/// Changes `request` into the one that a redirect asks for (RFC 9110, section 15.4); returns false if there is none.
fn redirect(request: &mut Request, response: &Response) -> Result<bool, String> {
    let becomes_get = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => true,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
        _ => return Ok(false),
    };
    let Some(location) = response.headers().get(header::LOCATION) else {
        return Ok(false);
    };
    let url = request.url.join(location.as_bytes());
    let url = url.map_err(|wrong| format!("it was redirected to something else than HTTP: {}", wrong.message))?;
    tracing::info!("{} leads to {}", response.status_line(), url.without_query());
    if becomes_get && request.method != Method::HEAD {
        request.method = Method::GET;
        request.body = Bytes::new();
        request.headers.remove(header::CONTENT_TYPE);
    }
    if !url.is_same_origin(&request.url) {
        request.headers.remove(header::HOST);
        request.headers = public(&request.headers);
    }
    request.url = url;
    Ok(true)
}

/// The headers that any server may see.
fn public(headers: &HeaderMap) -> HeaderMap {
    let public = headers.iter().filter(|(_, value)| !value.is_sensitive());
    public.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The pause that a `Retry-After` header asks for, in seconds or as a date.
#[must_use]
pub fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value.trim()).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_can_be_sent() {
        for byte in (0..=255).filter(|byte: &u8| !byte.is_ascii_whitespace() && !byte.is_ascii_control()) {
            let text = [&b"http://h/a"[..], &[byte], b"b?c", &[byte]].concat();
            let request = Request {
                method: Method::GET,
                url: Url::parse(&text).expect("a URL"),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
            let message = message(&request, None, Payload::Whole(Bytes::new())).expect("it can be sent");
            assert_eq!(message.uri().to_string(), request.url.target);
        }
    }

    #[test]
    fn pauses_are_seconds_or_dates() {
        assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        for text in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
    }
}
