//! Uploads, which the server has whole or not at all.

use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Method;

use crate::catalog::{Args, Placed};
use crate::endpoints::revocable::Revocable;
use crate::endpoints::socket::Reset;
use crate::error::{Failure, Kind, Stop};
use crate::net::http::{Retries, Upload};
use crate::platform::Queued;
use crate::stage::{BoxFuture, Endpoint, OpenWriter, Outcome, Phase, Reach, Rollback, StreamWriter};

use super::options::Planned;

/// The resource behind a URL.
pub fn named(scheme: &[u8], rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Resource {
        planned: Planned::of(scheme, rest, args, Kind::Sink)?,
        size: None,
    }))
}

struct Resource {
    planned: Planned,
    /// How many bytes will come, if that is known.
    size: Option<u64>,
}

impl Endpoint for Resource {
    fn shown(&self) -> String {
        self.planned.url.to_string()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        self.planned.memory() + Upload::MEMORY
    }

    fn permit(&self) -> Result<(), Failure> {
        self.planned.check()
    }

    fn effect(&self) -> String {
        format!("sends it to {} ({})", self.shown(), self.planned.method)
    }

    fn expect_size(&mut self, bytes: u64) {
        self.size = Some(bytes);
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let Self { planned, size } = *self;
            let request = planned.request()?;
            // What a server that does not respond has done is unknown, whatever the method.
            let mut retries = Retries::new(planned.retries, &Method::POST);
            let upload = loop {
                match Upload::begin(&planned.client, request, size).await {
                    Ok(upload) => break upload,
                    Err(attempt) => retries.pause(attempt).await?,
                }
            };
            Ok(OpenWriter::Stream(Box::new(Writer {
                upload,
                limit: planned.options.linger,
                reset: Arc::default(),
            })))
        })
    }
}

struct Writer {
    upload: Upload,
    /// How long the server may take to respond at the end; `None` for as long as it takes.
    limit: Option<Duration>,
    reset: Arc<Revocable<Reset>>,
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        self.upload.poll_send(context, slices).map_err(Stop::from)
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        self.upload.poll_failure(context).map(Stop::from)
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.upload.queue()
    }

    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        self.upload.limit_unsent(bytes)
    }

    fn phase(&self) -> Phase {
        Phase::Remote
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Ok(self.upload.flush().await?) })
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            self.upload.finish(self.limit).await?;
            self.reset.commit(|_| self.upload.end_in_order())
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.reset.clone())
    }
}
