//! A server that is connected to.

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response, generate_key};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::catalog::{Args, Misnamed};
use crate::endpoints::connecting::ConnectOptions;
use crate::endpoints::http::options::Headers;
use crate::endpoints::tls;
use crate::error::{Failure, Kind, Problem, brief};
use crate::net::http::{Attempt, Client, Retries, Retry, Url, retry_after};
use crate::net::tls::TlsFiles;

use super::{Side, Socket};

/// A server, and how it is asked for a connection.
pub struct Server {
    /// With the scheme of HTTP.
    url: Url,
    client: Client,
    headers: Headers,
    options: ConnectOptions,
}

impl Server {
    /// Reads what follows `ws://` or `wss://`. `place` is the kind of its failures.
    pub fn named(is_secure: bool, rest: &[u8], args: &Args, place: Kind) -> Result<Self, Problem> {
        let scheme: &[u8] = if is_secure { b"https://" } else { b"http://" };
        let url = Url::parse(&[scheme, rest].concat()).map_err(|wrong| {
            let help = wrong.help.replace("http", "ws");
            Misnamed::new(wrong.message, help).of(args)
        })?;
        let options = ConnectOptions::of(args);
        let files = if is_secure {
            tls::files(args)
        } else {
            TlsFiles::default()
        };
        Ok(Self {
            url,
            client: Client::new(options.dial(place == Kind::Sink), files, place),
            headers: Headers::of(args)?,
            options,
        })
    }

    /// The request for a connection.
    fn request(&self) -> Result<Request, Failure> {
        const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
        let wrong = |error: http::Error| {
            let operation = format!("cannot ask {} for a connection", self.url.address);
            Failure::new(Kind::Usage, operation, error)
        };
        let host = self.url.host_header();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| wrong(error.into()));
        let mut headers = self.headers.read(&self.url)?;
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!(
                "highwater/",
                env!("CARGO_PKG_VERSION")
            )));
        if !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, value(&host)?);
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(KEY, value(&generate_key())?);
        let uri = format!("ws://{host}{}", self.url.target);
        let mut request = http::Request::get(uri).body(()).map_err(wrong)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn attempt(&self, config: WebSocketConfig) -> Result<Socket, Attempt> {
        let request = self.request().map_err(Attempt::last)?;
        let transport = self.client.tunnel(&self.url).await?;
        let limit = self.options.connect;
        let handshake = client_async_with_config(request, transport, Some(config));
        match tokio::time::timeout(limit, handshake).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(response))) => Err(self.refused(&response)),
            Ok(Err(tungstenite::Error::Io(error))) => {
                let failure = Failure::io(Kind::Connect, self.operation(), error);
                Err(Attempt::new(failure, Retry::Idempotent))
            }
            Ok(Err(error)) => Err(Attempt::last(self.failed(error.to_string()))),
            Err(_) => {
                let limit = humantime::format_duration(limit);
                let failure = self.failed(format!("no answer within {limit} (connect-timeout)"));
                Err(Attempt::new(failure, Retry::Idempotent))
            }
        }
    }

    fn operation(&self) -> String {
        format!("cannot agree on WebSocket with {}", self.url.address)
    }

    fn failed(&self, why: String) -> Failure {
        Failure::because(Kind::Connect, self.operation(), why)
    }

    /// A response other than 101.
    fn refused(&self, response: &Response) -> Attempt {
        let status = response.status();
        let field = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let location = field(header::LOCATION).filter(|_| status.is_redirection());
        let to = location.and_then(|location| self.url.join(location.as_bytes()).ok());
        let to = to.map_or_else(String::new, |to| format!(", which leads to {}", to.without_query()));
        // Only what has come with the head.
        let body = response
            .body()
            .as_deref()
            .filter(|_| field(header::CONTENT_LENGTH).is_some());
        let line = body.and_then(|body| body.split(|byte| *byte == b'\n').next());
        let line = line.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let line = line.map_or_else(String::new, |line| format!(": {}", brief(line)));
        let retry = match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Retry::Always,
            _ => Retry::Never,
        };
        Attempt {
            failure: self.failed(format!("the server responded {status}{to}{line}")),
            retry,
            pause: field(header::RETRY_AFTER).and_then(retry_after),
        }
    }
}

impl Side for Server {
    fn shown(&self) -> String {
        self.url.without_query().replacen("http", "ws", 1)
    }

    fn effect(&self) -> String {
        format!("connects to {}", self.shown())
    }

    fn options(&self) -> ConnectOptions {
        self.options
    }

    fn is_secure(&self) -> bool {
        self.url.is_secure
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.url.is_secure {
            self.client.tls()?;
        }
        self.request().map(drop)
    }

    async fn open(self, _: Kind, config: WebSocketConfig) -> Result<Socket, Failure> {
        let mut retries = Retries::new(self.options.retries, &Method::GET);
        loop {
            match self.attempt(config).await {
                Ok(socket) => return Ok(socket),
                Err(attempt) => retries.pause(attempt).await?,
            }
        }
    }
}
