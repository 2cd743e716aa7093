//! An upload of several parts, until it is complete or removed.

use std::io::IoSlice;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use http::Method;
use md5::{Digest, Md5};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{Failure, Kind};
use crate::net::http::Attempt;
use crate::net::s3::{Body, Failed, MOST_PARTS, Part, Service, Store, Summed, hex};
use crate::stage::{BoxFuture, Rollback};

use super::state::{Completing, StateFile};

/// The object, and the upload that makes it. The engine keeps it to roll back.
pub struct Upload {
    service: Arc<Service>,
    /// Its id. Locked while the server is asked for one: only then can it be removed.
    id: Arc<Mutex<Option<String>>>,
    state: StdMutex<State>,
    /// Where a later run finds it, if it stays when this one ends early.
    noted: Option<StdMutex<StateFile>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The server was told to complete it, and may have.
    Completing,
    Committed,
    RolledBack,
}

/// The request that makes the object.
enum Making<'b> {
    /// The whole of it.
    Put(&'b Body),
    /// The upload's id, and the list of its parts.
    Complete(String, Body),
}

/// The parts that the server has.
pub struct Manifest {
    /// Their entity tags, each on a line.
    etags: String,
    count: u64,
    /// Bytes of all parts.
    bytes: u64,
    /// The sum of the parts' sums, of which the entity tag of the whole is made.
    sum: Md5,
    /// Whether the parts' entity tags are their sums.
    is_summed: bool,
}

/// The most memory that a manifest takes, in bytes: an MD5 sum in hexadecimal is 32 bytes, and other tags are about as
/// long.
pub const MANIFEST: u64 = MOST_PARTS * 40;
/// A manifest's memory grows by so many bytes at a time.
const STEP: usize = 64 << 10;
/// The most that the document has for a part besides its entity tag, in bytes.
const MARKUP: u64 = 80;

impl Manifest {
    pub fn new() -> Self {
        Self {
            etags: String::new(),
            count: 0,
            bytes: 0,
            sum: Md5::new(),
            is_summed: true,
        }
    }

    /// The number of the next part.
    pub fn next(&self) -> u64 {
        self.count + 1
    }

    /// Adds the next part.
    ///
    /// # Errors
    /// If the entity tags are too long to be kept.
    pub fn add(&mut self, etag: &str, part: Summed) -> Result<(), Failure> {
        self.count += 1;
        self.bytes += part.length;
        self.is_summed &= etag.eq_ignore_ascii_case(&hex(&part.md5));
        self.sum.update(part.md5);
        let etag = etag.replace('&', "&amp;").replace('<', "&lt;");
        let length = self.etags.len() + etag.len() + 1;
        if length as u64 > MANIFEST {
            let why = format!("the ETags of {} parts are longer than 400 kB", self.count);
            return Err(Failure::because(Kind::Limit, "cannot write", why));
        }
        if self.etags.capacity() < length {
            self.etags.reserve_exact(STEP);
        }
        self.etags.push_str(&etag);
        self.etags.push('\n');
        Ok(())
    }

    /// The entity tag that the object will have, unless the server makes them otherwise.
    fn etag(&self) -> Option<String> {
        let sum = self.sum.clone().finalize();
        self.is_summed.then(|| format!("{}-{}", hex(&sum), self.count))
    }

    /// The document that completes the upload, kept where a part would be.
    fn document(&self, store: impl Fn(u64) -> Store, is_signed: bool) -> Result<Body, Failure> {
        let size = self.etags.len() as u64 + (self.count + 1) * MARKUP;
        let mut document = Part::new(size, &store(size), BytesMut::new(), is_signed)?;
        let mut push = |text: &str| document.fill(&[IoSlice::new(text.as_bytes())]).map(drop);
        push("<CompleteMultipartUpload>")?;
        for (etag, number) in self.etags.lines().zip(1..) {
            push(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>"
            ))?;
        }
        push("</CompleteMultipartUpload>")?;
        Ok(document.finish())
    }
}

impl Upload {
    /// An upload that is not begun, or the one with this id. With a file that notes it, it stays when the run ends early.
    pub fn new(service: Arc<Service>, id: Option<String>, noted: Option<StateFile>) -> Self {
        Self {
            service,
            id: Arc::new(Mutex::new(id)),
            state: StdMutex::new(State::Open),
            noted: noted.map(StdMutex::new),
        }
    }

    /// The file that notes it, if there is one.
    pub fn noted(&self) -> Option<MutexGuard<'_, StateFile>> {
        let noted = self.noted.as_ref()?;
        Some(noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Told that the server has the object.
    pub fn committed(&self) {
        self.set(State::Committed);
        if let Some(noted) = self.noted() {
            noted.remove();
        }
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upload's id. It is asked for by a task of its own, so that a run that is cancelled meanwhile learns it and
    /// removes the upload.
    pub async fn id(&self) -> Result<String, Failure> {
        let mut locked = self.id.clone().lock_owned().await;
        if let Some(id) = &*locked {
            return Ok(id.clone());
        }
        if self.state() == State::RolledBack {
            return Err(Failure::because(
                Kind::Sink,
                "cannot begin an upload",
                "the run is over",
            ));
        }
        warn_of_others(&self.service).await;
        let service = self.service.clone();
        let asked = tokio::spawn(async move {
            let id = service.create().await?;
            *locked = Some(id.clone());
            Ok::<_, Failed>((id, locked))
        });
        let created = asked.await;
        let created: Result<(String, OwnedMutexGuard<_>), Failed> = created.unwrap_or_else(|error| {
            let failure = Failure::because(Kind::Bug, "cannot begin an upload", error.to_string());
            Err(Attempt::last(failure).into())
        });
        let (id, _locked) = created?;
        if let Some(mut noted) = self.noted() {
            noted.begin(&id)?;
        }
        Ok(id)
    }

    /// Sends a part; returns its entity tag.
    pub async fn put_part(&self, number: u64, body: &Body) -> Result<String, Failure> {
        let id = self.id().await?;
        Ok(self.service.put_part(&id, number, body).await?)
    }

    /// Puts the whole object in one request.
    pub async fn put(&self, body: &Body, new: bool) -> Result<(), Failure> {
        self.set(State::Completing);
        let expected = (body.length(), Some(hex(&body.md5)));
        self.settle(&Making::Put(body), new, expected).await
    }

    /// Makes the object of its parts.
    pub async fn complete(&self, manifest: &Manifest, store: impl Fn(u64) -> Store, new: bool) -> Result<(), Failure> {
        let id = self.id().await?;
        let document = manifest.document(store, self.service.signs_bodies())?;
        if let Some(mut noted) = self.noted() {
            let (size, etag) = (manifest.bytes, manifest.etag());
            noted.completing(Completing { size, etag })?;
        }
        self.set(State::Completing);
        let making = Making::Complete(id, document);
        self.settle(&making, new, (manifest.bytes, manifest.etag())).await
    }

    /// Sends what makes the object, and again as long as that makes sense. After a response that was lost it looks at
    /// what is there first.
    async fn settle(&self, making: &Making<'_>, new: bool, (size, etag): (u64, Option<String>)) -> Result<(), Failure> {
        // A second attempt makes the same object, or finds that there is nothing left to do.
        let mut retries = self.service.retries(&Method::PUT);
        let mut was_lost = false;
        loop {
            let made = match making {
                Making::Put(body) => self.service.put(body, new).await,
                Making::Complete(id, document) => self.service.complete(id, document, new).await,
            };
            let failed = match made {
                Ok(()) => break,
                Err(failed) => failed,
            };
            was_lost |= failed.is_unknown();
            let may_be_done = failed.is_unknown() || ["NoSuchUpload", "PreconditionFailed"].contains(&&*failed.code);
            if was_lost && may_be_done {
                match self.service.head().await {
                    Ok(Some(found)) if found.size == Some(size) && etag.is_some() && found.etag == etag => {
                        tracing::info!("{}; the object is there all the same", failed.attempt.failure);
                        break;
                    }
                    Ok(_) if failed.code == "PreconditionFailed" => {}
                    Ok(_) if !failed.code.is_empty() => {
                        let why = "the server has no such upload any more, and what is there may be another object";
                        return Err(unknown(why));
                    }
                    Ok(_) => {}
                    Err(looked) => tracing::info!("{}", looked.attempt.failure),
                }
            }
            if failed.code == "PreconditionFailed" {
                self.set(State::Open);
                let why = "there is such an object, and if-absent=true does not replace it";
                return Err(Failure::because(Kind::Sink, "cannot write", why));
            }
            if let Err(failure) = retries.pause(failed.attempt).await {
                if was_lost {
                    return Err(unknown(&failure.to_string()));
                }
                self.set(State::Open);
                return Err(failure);
            }
        }
        self.committed();
        Ok(())
    }
}

fn unknown(why: &str) -> Failure {
    let operation = "cannot tell whether the server has made the object";
    Failure::because(Kind::Sink, operation, why)
}

/// Names the uploads of the object that others have left, or are making now.
async fn warn_of_others(service: &Service) {
    match service.uploads().await {
        Ok(others) if !others.is_empty() => {
            let (begun, id) = &others[0];
            tracing::warn!(
                "{} has {} that was begun and not completed, the oldest at {begun}: its parts take room until it is \
                 removed: {}",
                service.name(),
                if others.len() == 1 {
                    "another upload".to_owned()
                } else {
                    format!("{} other uploads", others.len())
                },
                service.name().abort_command(id),
            );
        }
        Ok(_) => {}
        Err(failed) => tracing::debug!("{}", failed.attempt.failure),
    }
}

impl Rollback for Upload {
    fn roll_back(self: Arc<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let was = self.state();
            if [State::Committed, State::RolledBack].contains(&was) {
                return Ok(());
            }
            // If the server is being asked for an id, it comes first.
            let mut id = self.id.lock().await;
            self.set(State::RolledBack);
            if let Some(noted) = self.noted() {
                if noted.has_begun() {
                    return Ok(());
                }
                noted.remove();
            }
            let Some(id) = id.take() else {
                return Ok(());
            };
            let removed = self.service.abort(&id).await.map_err(|failed| {
                let why = format!(
                    "{}; its parts take room until it is removed: {}",
                    failed.attempt.failure,
                    self.service.name().abort_command(&id)
                );
                Failure::because(
                    Kind::Sink,
                    format!("cannot remove the upload to {}", self.service.name()),
                    why,
                )
            })?;
            if removed || was == State::Open {
                return Ok(());
            }
            let why = "the server has no such upload any more: it may have been completed";
            Err(Failure::because(
                Kind::Sink,
                format!("cannot roll {} back", self.service.name()),
                why,
            ))
        })
    }

    fn is_committed(&self) -> bool {
        self.state() == State::Committed
    }

    fn name(&self) -> String {
        format!("the upload to {}", self.service.name())
    }
}
