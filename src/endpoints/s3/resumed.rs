//! How a run goes on with an upload that an earlier one has begun.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;

use crate::error::Failure;
use crate::net::http::{Attempt, Retry};
use crate::net::s3::{Found, Service, Summed};
use crate::stage::{ResumeKey, ResumePoint, SavedStates};

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

    /// Opens the file at `path`, and compares it with what the server has. The states of the stages are restored in `states`.
    ///
    /// # Errors
    /// If the upload cannot be continued.
    pub async fn open(
        service: &Arc<Service>,
        path: PathBuf,
        run: ResumeKey,
        states: &[Arc<SavedStates>],
    ) -> Result<Self, Failure> {
        let destination = Destination {
            server: service.server(),
            object: service.name().to_string(),
        };
        let (file, earlier) = StateFile::open(path, destination, run, states.len())?;
        let Some(mut earlier) = earlier else {
            return Ok(Self {
                upload: Upload::new(service.clone(), None, Some(file)),
                point: Some(ResumePoint::default()),
                ..Self::nothing(service)
            });
        };
        let all = earlier.parts.last().and_then(|part| part.end.clone());
        let (mut point, mut restored) = earlier.keep_whole();
        let mut there = Vec::new();
        let is_complete = !service.parts(&earlier.upload, |part| there.push(part)).await?;
        if is_complete {
            let (Some(object), Some(end)) = (&earlier.completing, all) else {
                return Err(file.contradicted("the server has no such upload any more"));
            };
            check_made(service, object, &file).await?;
            restored = end.states;
            point = ResumePoint {
                read: end.source,
                written: object.size,
            };
        } else if let Some(why) = earlier.difference(&there) {
            return Err(file.contradicted(&why));
        }
        let mut manifest = Manifest::new();
        for part in &earlier.parts {
            let summed = Summed {
                length: part.bytes,
                md5: part.md5,
            };
            manifest.add(&part.etag, summed)?;
        }
        for (saved, state) in states.iter().zip(restored) {
            saved.restore(state);
        }
        Ok(Self {
            upload: Upload::new(service.clone(), Some(earlier.upload), Some(file)),
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
        let attempt = Attempt::new(file.contradicted(why), Retry::Idempotent);
        retries.pause(attempt).await?;
    }
}
