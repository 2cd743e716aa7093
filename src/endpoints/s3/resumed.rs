//! How a run goes on with an upload that an earlier one has begun.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;

use crate::error::Failure;
use crate::net::http::{Attempt, Retry};
use crate::net::s3::{Found, LEAST_PART, Service, Summed};
use crate::stage::{ResumeKey, ResumePoint, Resumption};

use super::state::{Completing, Destination, StateFile};
use super::upload::{Manifest, Upload};

/// What an earlier run has left of an upload, as far as the server agrees.
pub struct Resumed {
    pub upload: Upload,
    /// The parts that are kept.
    pub manifest: Manifest,
    /// How far that is; `None` if no later run can go on.
    pub point: Option<ResumePoint>,
    /// Whether it has made the object.
    pub is_complete: bool,
}

impl Resumed {
    /// Nothing is left, and nothing will be.
    pub fn nothing(service: &Arc<Service>) -> Self {
        Self {
            upload: Upload::new(service.clone(), None, None),
            manifest: Manifest::new(),
            point: None,
            is_complete: false,
        }
    }

    /// Opens the file at `path`, and compares it with what the server has. The states of the stages are restored.
    ///
    /// # Errors
    /// If the upload cannot be continued.
    pub async fn open(
        service: &Arc<Service>,
        path: PathBuf,
        key: ResumeKey,
        run: &Resumption,
    ) -> Result<Self, Failure> {
        let (file, earlier) = StateFile::open(path, Destination::of(service), key, run)?;
        let Some(mut earlier) = earlier else {
            return Ok(Self {
                upload: Upload::new(service.clone(), None, Some(file)),
                point: Some(ResumePoint::default()),
                ..Self::nothing(service)
            });
        };
        let upload = earlier.upload.clone();
        let is_known = run.states.is_empty() || earlier.parts.last().is_some_and(|part| part.end.is_some());
        let mut there = Vec::new();
        let is_complete = !service.parts(&upload, |part| there.push(part)).await?;
        let (mut point, restored) = earlier.keep(if is_complete { 0 } else { LEAST_PART });
        if is_complete {
            let Some(object) = &earlier.completing else {
                return Err(file.contradicted(None, "the server has no such upload any more"));
            };
            check_made(service, object, &file).await?;
            if !is_known {
                let why =
                    "an earlier run has made the object, and what its other stages would say at the end is not known";
                return Err(file.contradicted(None, why));
            }
            // What comes from there on is only for the stages before: the object has it.
            point.written = object.size;
        } else if let Some(why) = earlier.difference(&there) {
            return Err(file.contradicted(Some(&upload), &why));
        }
        let mut manifest = Manifest::new();
        for part in &earlier.parts {
            let summed = Summed {
                length: part.bytes,
                md5: part.md5,
            };
            manifest.add(&part.etag, summed)?;
        }
        for (saved, state) in run.states.iter().zip(restored) {
            saved.restore(state);
        }
        Ok(Self {
            upload: Upload::new(service.clone(), Some(upload), Some(file)),
            manifest,
            point: Some(point),
            is_complete,
        })
    }
}

/// Checks that the server has made the object of an upload that it does not have any more. It may still be at it.
async fn check_made(service: &Service, object: &Completing, file: &StateFile) -> Result<(), Failure> {
    let mut retries = service.retries(&Method::HEAD);
    loop {
        let found = service.head().await?;
        let is_same = |found: Found| found.etag == object.etag && found.size == Some(object.size);
        if object.etag.is_some() && found.is_some_and(is_same) {
            return Ok(());
        }
        let why = "the server has no such upload any more, and has not made the object of it";
        let attempt = Attempt::new(file.contradicted(None, why), Retry::Idempotent);
        retries.pause(attempt).await?;
    }
}
