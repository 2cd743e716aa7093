//! The requests of an upload of several parts.

use http::header::HeaderMap;
use http::{Method, StatusCode};

use crate::error::Failure;
use crate::net::http::{Attempt, Retry};

use super::part::Body;
use super::refusal::{Failed, of_code, refused};
use super::service::{Found, Service, WRITE, only, with_query};
use super::xml::element;

const BEGIN: &str = "cannot begin an upload";
const COMPLETE: &str = "cannot complete the upload";

/// A part that the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its number, from 1 on.
    pub number: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag, without quotes.
    pub etag: String,
}

impl Service {
    /// Begins an upload; returns its id.
    ///
    /// # Errors
    /// If the server does not give one.
    pub async fn create(&self) -> Result<String, Failed> {
        let attempt = || async {
            let url = with_query(&self.target.url(), &mut [("uploads", "")]);
            let text = self.text(Method::POST, url, HeaderMap::new(), None, BEGIN).await?;
            element(&text, "UploadId").filter(|id| !id.is_empty()).ok_or_else(|| {
                let failure = Failure::because(self.place, BEGIN, "the response has no UploadId");
                Attempt::last(failure).into()
            })
        };
        // After a lost response there would be two uploads.
        self.retried(&Method::POST, attempt).await
    }

    /// Sends a part; returns its entity tag, without quotes.
    ///
    /// # Errors
    /// If the server does not confirm it.
    pub async fn put_part(&self, upload: &str, number: u64, body: &Body) -> Result<String, Failed> {
        let number = number.to_string();
        let attempt = || async {
            let mut parameters = [("partNumber", number.as_str()), ("uploadId", upload)];
            let url = with_query(&self.target.url(), &mut parameters);
            let response = self.send(Method::PUT, url, HeaderMap::new(), Some(body)).await?;
            match response.status() {
                StatusCode::OK => Found::of(&response).etag.ok_or_else(|| {
                    let why = "the response to a part has no ETag";
                    Attempt::last(Failure::because(self.place, WRITE, why)).into()
                }),
                _ => Err(refused(response, self.place, WRITE).await),
            }
        };
        self.retried(&Method::PUT, attempt).await
    }

    /// Makes the object of the parts that `manifest` lists, unless there is one and it has to be `new`; in one attempt.
    ///
    /// # Errors
    /// If the server does not confirm it, whatever the status of its response is.
    pub async fn complete(&self, upload: &str, manifest: &Body, new: bool) -> Result<(), Failed> {
        let url = with_query(&self.target.url(), &mut [("uploadId", upload)]);
        let text = self
            .text(Method::POST, url, only(new), Some(manifest), COMPLETE)
            .await?;
        // Some servers have the second name.
        let confirmations = ["CompleteMultipartUploadResult", "CompleteMultipartUploadResponse"];
        if confirmations.iter().any(|name| element(&text, name).is_some()) {
            return Ok(());
        }
        match element(&text, "Code") {
            Some(code) if element(&text, "Error").is_some() => {
                let message = element(&text, "Message").unwrap_or_default();
                let why = format!(
                    "the server responded 200 with an error: {code}: {}",
                    message.escape_debug()
                );
                Err(of_code(&code, StatusCode::OK, self.place, COMPLETE, why))
            }
            _ => {
                let failure = Failure::because(self.place, COMPLETE, "the response does not say that it is");
                Err(Attempt::new(failure, Retry::Idempotent).into())
            }
        }
    }

    /// Removes an upload and its parts; returns false if there is no such upload.
    ///
    /// # Errors
    /// If the server does not confirm it.
    pub async fn abort(&self, upload: &str) -> Result<bool, Failed> {
        let attempt = || async {
            let url = with_query(&self.target.url(), &mut [("uploadId", upload)]);
            let response = self.send(Method::DELETE, url, HeaderMap::new(), None).await?;
            match response.status() {
                StatusCode::NO_CONTENT | StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(refused(response, self.place, "cannot remove the upload").await),
            }
        };
        self.retried(&Method::DELETE, attempt).await
    }

    /// Passes the parts that the server has of an upload to `each`, by their numbers; returns false if there is no such
    /// upload.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn parts(&self, upload: &str, mut each: impl FnMut(UploadedPart)) -> Result<bool, Failed> {
        let mut marker = "0".to_owned();
        loop {
            let attempt = || async {
                let mut parameters = [("part-number-marker", marker.as_str()), ("uploadId", upload)];
                let url = with_query(&self.target.url(), &mut parameters);
                self.text(Method::GET, url, HeaderMap::new(), None, "cannot list the parts")
                    .await
            };
            let text = match self.retried(&Method::GET, attempt).await {
                Ok(text) => text,
                Err(failed) if failed.code == "NoSuchUpload" => return Ok(false),
                Err(failed) => return Err(failed),
            };
            for part in text.split("<Part>").skip(1) {
                let number = |name| element(part, name).and_then(|text| text.parse().ok());
                if let (Some(number), Some(size), Some(etag)) =
                    (number("PartNumber"), number("Size"), element(part, "ETag"))
                {
                    let etag = etag.trim_matches('"').to_owned();
                    each(UploadedPart { number, size, etag });
                }
            }
            let next = element(&text, "NextPartNumberMarker").filter(|next| *next != marker);
            match next {
                Some(next) if element(&text, "IsTruncated").as_deref() == Some("true") => marker = next,
                _ => return Ok(true),
            }
        }
    }

    /// The uploads of this object that are neither complete nor removed, the oldest first, each with the time when it was
    /// begun; no more than the first page of them.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn uploads(&self) -> Result<Vec<(String, String)>, Failed> {
        let key = &self.target.name.key;
        let mut parameters = [("uploads", ""), ("prefix", key.as_str())];
        let url = with_query(&self.target.bucket_url(), &mut parameters);
        let operation = "cannot list the uploads";
        let text = self.text(Method::GET, url, HeaderMap::new(), None, operation).await?;
        let mut found = Vec::new();
        for upload in text.split("<Upload>").skip(1) {
            if let (Some(found_key), Some(id)) = (element(upload, "Key"), element(upload, "UploadId"))
                && found_key == *key
            {
                found.push((element(upload, "Initiated").unwrap_or_default(), id));
            }
        }
        found.sort();
        Ok(found)
    }
}
