//! Connections through an HTTP proxy, as `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say.

use http::Uri;
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{Failure, Kind, brief};
use crate::net::Address;
use crate::platform::sockets::TcpPeer;

use super::Url;
use super::head::{self, Head};

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Where it is.
    pub address: Address,
    /// Its `Proxy-Authorization` header, if its URL has credentials.
    pub authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy for a URL, from the environment. There is none for a CGI program, where `HTTP_PROXY` would be what the
    /// client wrote into its `Proxy` header.
    ///
    /// # Errors
    /// If it is not an HTTP proxy.
    pub fn of(url: &Url) -> Result<Option<Self>, Failure> {
        // A fixed path, because the matcher only looks at the host.
        let scheme = if url.is_secure { "https" } else { "http" };
        let origin = format!("{scheme}://{}/", url.host_header()).parse::<Uri>();
        let found = origin.ok().and_then(|origin| Matcher::from_env().intercept(&origin));
        let Some(found) = found else { return Ok(None) };
        let uri = found.uri();
        if uri.scheme_str() != Some("http") {
            let operation = format!("cannot use the proxy {uri}");
            let why = "only proxies of the form http://HOST:PORT are supported";
            return Err(Failure::because(Kind::Connect, operation, why));
        }
        let host = uri.host().unwrap_or_default();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Some(Self {
            address: Address {
                host: host.to_owned(),
                port: uri.port_u16().unwrap_or(80),
            },
            authorization: found.basic_auth().cloned(),
        }))
    }

    /// Asks the proxy behind `stream` for a tunnel to `peer`.
    ///
    /// # Errors
    /// [`Kind::Connect`] if it refuses.
    pub async fn tunnel(&self, stream: &mut TcpPeer, peer: &Address) -> Result<(), Failure> {
        /// The longest head of a response.
        const LONGEST: usize = 16 << 10;
        let operation = || format!("cannot reach {peer} through the proxy {}", self.address);
        let failed = |error| Failure::io(Kind::Connect, operation(), error);
        let refused = |why: String| Err(Failure::because(Kind::Connect, operation(), why));
        let target = format!("{}:{}", peer.host_without_zone(), peer.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(failed)?;
        let mut response = Vec::new();
        loop {
            if stream.read_buf(&mut response).await.map_err(failed)? == 0 {
                return refused("it closed the connection".to_owned());
            }
            match head::response(&response, LONGEST) {
                Head::Partial => {}
                Head::TooLong | Head::Malformed => return refused("its response is not HTTP".to_owned()),
                // Interim responses are not expected here, and would be followed by the final one.
                Head::Whole(found) if (200..300).contains(&found.status) => {
                    if response.len() as u64 > found.length {
                        return refused("it sent more than its response".to_owned());
                    }
                    return Ok(());
                }
                Head::Whole(found) => {
                    return refused(format!(
                        "it responded {} {}",
                        found.status,
                        brief(found.reason.as_bytes())
                    ));
                }
            }
        }
    }
}
