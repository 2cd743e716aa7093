//! A request that a server has accepted, as both ends of a pipeline: its body is the source, its response the sink.

use std::sync::Arc;

use http::HeaderMap;
use hyper::body::{Body as _, Incoming};
use tokio::sync::oneshot;

use crate::error::{Failure, Kind};
use crate::net::http::server::{Answer, Client, Delivery, REQUEST_MEMORY};
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, OpenWriter, Outside};

use super::listen::download::{Download, Writer};
use super::listen::upload::{Reader, Received};

/// The name of both ends in messages, as that of standard input and output.
const SHOWN: &str = "-";

/// The body of a request as a source.
pub struct RequestBody {
    /// `None` if it is only planned.
    body: Option<(Incoming, Client)>,
    received: Arc<Received>,
}

impl RequestBody {
    /// The body that `client` sends; `None` to plan a run without one. What has come of it is counted in the second.
    #[must_use]
    pub fn new(body: Option<(Incoming, Client)>) -> (Self, Arc<Received>) {
        let received = Arc::<Received>::default();
        let counted = received.clone();
        (Self { body, received }, counted)
    }
}

impl Endpoint for RequestBody {
    fn shown(&self) -> String {
        SHOWN.to_owned()
    }

    fn state_bytes(&self) -> u64 {
        REQUEST_MEMORY
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts {
            size: self.body.as_ref().and_then(|(body, _)| body.size_hint().exact()),
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let (body, client) = self.body.ok_or_else(|| unplanned(Kind::Source))?;
            let reader = Reader::new(body, client, self.received);
            Ok(OpenReader::Stream(Box::new(reader)))
        })
    }
}

/// How far a response is.
#[derive(Clone)]
pub struct Response(Arc<Download>);

impl Response {
    /// Whether its head was sent.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.has_begun()
    }

    /// Whether the client left before it had everything.
    #[must_use]
    pub fn client_has_left(&self) -> bool {
        self.0.has_left()
    }
}

/// The body of a response as a sink. The head is sent with its first byte. If the run fails before, the sender of the
/// response is dropped, and the caller answers; after that the connection is cut.
pub struct ResponseBody {
    headers: HeaderMap,
    size: Option<u64>,
    /// `None` if it is only planned.
    download: Option<Arc<Download>>,
}

impl ResponseBody {
    /// A response that is only planned.
    #[must_use]
    pub fn planned() -> Self {
        Self {
            headers: HeaderMap::new(),
            size: None,
            download: None,
        }
    }

    /// A response with these headers, which `client` gets by `respond`.
    #[must_use]
    pub fn new(headers: HeaderMap, client: Client, respond: oneshot::Sender<Answer>) -> (Self, Response) {
        let download = Download::new(respond, client, Delivery::new(), None);
        let response = Response(download.clone());
        let body = Self {
            headers,
            size: None,
            download: Some(download),
        };
        (body, response)
    }
}

impl Endpoint for ResponseBody {
    fn shown(&self) -> String {
        SHOWN.to_owned()
    }

    fn expect_size(&mut self, bytes: u64) {
        self.size = Some(bytes);
    }

    fn effect(&self) -> String {
        "is the body of the response".to_owned()
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let download = self.download.ok_or_else(|| unplanned(Kind::Sink))?;
            let writer = Writer::new(self.headers, self.size, download);
            Ok(OpenWriter::Stream(Box::new(writer)))
        })
    }
}

fn unplanned(kind: Kind) -> Failure {
    Failure::because(kind, "cannot open", "there is no request")
}
