//! One client of those that connect.

use std::sync::OnceLock;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::catalog::{Args, Kind as Value, Param, Place};
use crate::endpoints::connecting::ConnectOptions;
use crate::endpoints::http::listen::parse_path;
use crate::endpoints::{tcp, tls};
use crate::error::{Failure, Kind, Problem, shown};
use crate::net::tls::{ServerTls, TlsFiles};
use crate::net::{Address, Transport};
use crate::platform::sockets::{self, TcpPeer};

use super::{Side, Socket};

/// How long a client may take until both sides have agreed.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const LONGEST: usize = 16 << 10;

/// Whose pages a browser may connect for.
pub const ORIGIN: Param = Param {
    name: "origin",
    kind: Value::Text,
    place: Place::NamedMany,
    required: false,
    default: None,
    help: "an origin such as https://example.org whose pages may connect from a browser; by default only those of the \
           host that is listened on, and of this machine if that is loopback",
};

/// Where one client is waited for.
pub struct Listener {
    peers: tcp::Listen,
    /// `None` if none is given.
    path: Option<String>,
    origins: Vec<String>,
    is_secure: bool,
    files: TlsFiles,
    tls: OnceLock<ServerTls>,
}

impl Listener {
    /// Reads what follows `ws-listen://`.
    pub fn named(rest: &[u8], args: &Args) -> Result<Self, Problem> {
        let at = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (address, path) = rest.split_at(at);
        let files = tls::files(args);
        Ok(Self {
            peers: tcp::Listen::named("ws-listen", address, args)?,
            path: parse_path(path).map_err(|wrong| wrong.of(args))?,
            origins: args.texts(ORIGIN.name).into_iter().map(str::to_owned).collect(),
            is_secure: files.certificates.is_some() || files.key.is_some() || files.authorities.is_some(),
            files,
            tls: OnceLock::new(),
        })
    }

    /// What clients connect to, where `address` may begin with a scheme.
    fn url(&self, address: &str) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        let address = address.split_once("://").map_or(address, |(_, address)| address);
        format!("{scheme}://{address}{}", self.path.as_deref().unwrap_or("/"))
    }

    /// Agrees with a client.
    ///
    /// # Errors
    /// Why not; it was told then.
    async fn agree(&self, peer: TcpPeer, config: WebSocketConfig) -> Result<Socket, String> {
        let failed = |error: std::io::Error| format!("cannot agree on WebSocket: {error}");
        let mut transport = match self.tls.get() {
            Some(tls) => tls.accept(peer).await.map_err(|failure| failure.to_string())?,
            None => Transport::Plain(peer),
        };
        let (response, rest) = match head(&mut transport).await.map_err(failed)? {
            Ok((request, rest)) => (self.response(&request), rest),
            Err(refusal) => (refusal, Vec::new()),
        };
        let mut bytes = Vec::new();
        write_response(&mut bytes, &response).map_err(|error| error.to_string())?;
        bytes.extend_from_slice(response.body().as_bytes());
        transport.write_all(&bytes).await.map_err(failed)?;
        transport.flush().await.map_err(failed)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(WebSocketStream::from_partially_read(transport, rest, Role::Server, Some(config)).await);
        }
        // A reset could overtake the response.
        let ended = sockets::end_at_close(&transport);
        let _ = transport.shutdown().await;
        ended.map_err(failed)?;
        Err(format!("refused: {}", response.body().trim_end()))
    }

    /// The response to a request.
    fn response(&self, request: &Request) -> Response<String> {
        let path = request.uri().path();
        if self.path.as_ref().is_some_and(|expected| expected != path) {
            return refusal(StatusCode::NOT_FOUND, "there is nothing at this path");
        }
        let origins = request.headers().get_all(header::ORIGIN).iter();
        if let Some(origin) = origins.into_iter().find(|origin| !self.permits(origin)) {
            let origin = shown(origin.as_bytes());
            return refusal(StatusCode::FORBIDDEN, &format!("pages of {origin} may not connect"));
        }
        match create_response(request) {
            Ok(response) => response.map(|()| String::new()),
            Err(error) => {
                let status = match error {
                    Error::Protocol(
                        ProtocolError::MissingUpgradeWebSocketHeader
                        | ProtocolError::MissingConnectionUpgradeHeader
                        | ProtocolError::MissingSecWebSocketVersionHeader,
                    ) => StatusCode::UPGRADE_REQUIRED,
                    _ => StatusCode::BAD_REQUEST,
                };
                refusal(status, &error.to_string())
            }
        }
    }

    /// Whether pages of this origin may connect. It is not compared with the request's `Host`, because the owner of a
    /// name can point it at this machine (DNS rebinding).
    fn permits(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let is_same = |other: &String| other.trim_end_matches('/').eq_ignore_ascii_case(origin);
        if self.origins.iter().any(is_same) {
            return true;
        }
        let Some((_, authority)) = origin.split_once("://") else {
            return false;
        };
        let host = Address::parse(authority, Some(0)).map(|address| address.host);
        let ours = &self.peers.address.host;
        host.is_ok_and(|host| host.eq_ignore_ascii_case(ours) || (is_loopback(&host) && is_loopback(ours)))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Reads the head of a request; returns what came behind it, too, or the response to one that is invalid.
async fn head(transport: &mut Transport) -> std::io::Result<Result<(Request, Vec<u8>), Response<String>>> {
    let mut head = Vec::new();
    loop {
        if transport.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match Request::try_parse(&head) {
            Ok(Some((length, request))) if length <= LONGEST => return Ok(Ok((request, head.split_off(length)))),
            Ok(None) if head.len() <= LONGEST => {}
            Ok(_) => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return Ok(Err(refusal(status, "the head is longer than 16 KiB")));
            }
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return Ok(Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "use GET")));
            }
            Err(error) => return Ok(Err(refusal(StatusCode::BAD_REQUEST, &error.to_string()))),
        }
    }
}

/// A response of one line.
fn refusal(status: StatusCode, line: &str) -> Response<String> {
    let mut response = Response::new(format!("{line}\n"));
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close, Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}

impl Side for Listener {
    fn shown(&self) -> String {
        format!("{}{}", self.peers.shown(), self.path.as_deref().unwrap_or_default())
    }

    fn effect(&self) -> String {
        format!("listens on {} for one client", self.url(&self.peers.shown()))
    }

    fn options(&self) -> ConnectOptions {
        self.peers.options
    }

    fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        let address = self.peers.bind()?;
        Ok(Some(self.url(&address)))
    }

    fn check(&self) -> Result<(), Failure> {
        if self.is_secure && self.tls.get().is_none() {
            let _ = self.tls.set(self.files.server()?);
        }
        Ok(())
    }

    async fn open(mut self, place: Kind, config: WebSocketConfig) -> Result<Socket, Failure> {
        self.check()?;
        let queue = self.peers.peers()?;
        loop {
            let peer = self.peers.accept(&queue, place == Kind::Sink).await?;
            let address = peer
                .address()
                .map_or_else(|_| "a client".to_owned(), |address| address.to_string());
            match tokio::time::timeout(HANDSHAKE, self.agree(peer, config)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(why)) => tracing::warn!("{address}: {why}"),
                Err(_) => tracing::warn!(
                    "{address}: no WebSocket handshake within {}",
                    humantime::format_duration(HANDSHAKE)
                ),
            }
        }
    }
}
