//! The requests that reading and writing an object take.

use std::future::Future;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::catalog::Misnamed;
use crate::error::{Failure, Kind};
use crate::net::Dial;
use crate::net::http::{Attempt, Client, MEMORY as HTTP_MEMORY, Request, Response, Retries, Retry, Url};
use crate::net::tls::{MEMORY as TLS_MEMORY, TlsFiles};

use super::credentials::Provider;
use super::part::Body;
use super::profile::Profile;
use super::refusal::{Failed, refused};
use super::signature::{UNSIGNED, presigned, query, sign};
use super::target::{Name, Style, Target};

/// The most memory that one request holds, in bytes.
pub const MEMORY: u64 = HTTP_MEMORY + TLS_MEMORY;

/// The region if none is given.
const REGION: &str = "us-east-1";
/// The SHA-256 sum of no bytes.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The most that is read of a response, in bytes: a page of a list has up to 1,000 entries.
const MOST: usize = 1 << 20;

/// What the user set, besides the object.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The server's URL; AWS's by default.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// Where the bucket stands in URLs.
    pub style: Option<Style>,
    /// Whether the machine's metadata service may be asked for keys.
    pub asks_metadata: bool,
}

/// An object, the server that has it, and how it is asked.
pub struct Service {
    pub(super) target: Target,
    client: Client,
    provider: Provider,
    /// How often a request is sent again.
    retries: u64,
    /// The kind of a failed request.
    pub(super) place: Kind,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its entity tag, without quotes.
    pub etag: Option<String>,
}

/// What asking for an object gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It is there.
    Object,
    /// It is not there.
    Nothing,
    /// These keys may not read it.
    Secret,
}

impl Service {
    /// Reads the environment and the profile for what is not set.
    ///
    /// # Errors
    /// [`Kind::Usage`] if a setting is wrong, [`Kind::Connect`] if there are no credentials.
    pub fn new(
        name: Name,
        settings: &Settings,
        (dial, mut files): (Dial, TlsFiles),
        retries: u64,
        place: Kind,
    ) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let profile = Profile::load(settings.profile.as_deref(), &variable)?;
        let or = |given: &Option<String>, variables: &[&str], setting: &str| {
            let set = || variables.iter().find_map(|name| variable(name));
            let of_profile = || profile.get(setting).map(str::to_owned);
            given.clone().or_else(set).or_else(of_profile)
        };
        let region = or(&settings.region, &["AWS_REGION", "AWS_DEFAULT_REGION"], "region");
        let endpoint = or(
            &settings.endpoint,
            &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            "endpoint_url",
        );
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let wrong = |wrong: Misnamed| {
            let why = format!("{}; {}", wrong.message, wrong.help);
            Failure::because(Kind::Usage, "cannot use the endpoint", why)
        };
        let target = Target::new(name, endpoint.as_deref(), region, settings.style).map_err(wrong)?;
        files.authorities = files.authorities.or_else(|| variable("AWS_CA_BUNDLE").map(Into::into));
        let is_given = settings.profile.is_some();
        let provider = Provider::find(
            &profile,
            is_given,
            settings.asks_metadata,
            &variable,
            (dial, files.clone()),
        )?;
        let client = Client::new(dial, files, place);
        if target.endpoint.is_secure {
            client.tls()?;
        }
        Ok(Self {
            target,
            client,
            provider,
            retries,
            place,
        })
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.target.name
    }

    /// The server's address, for people.
    #[must_use]
    pub fn server(&self) -> String {
        self.target.endpoint.address.to_string()
    }

    /// Whether the sum of a body is part of its signature: where TLS does not protect it.
    #[must_use]
    pub fn signs_bodies(&self) -> bool {
        !self.target.endpoint.is_secure
    }

    /// The further attempts of a request with that method.
    #[must_use]
    pub fn retries(&self, method: &Method) -> Retries {
        Retries::new(self.retries, method)
    }

    /// Asks for an object, or for the bytes from one offset up to another, of the version with that entity tag; in one
    /// attempt.
    ///
    /// # Errors
    /// If there is no response with it.
    pub async fn get(&self, range: Option<(u64, Option<u64>)>, etag: Option<&str>) -> Result<Response, Failed> {
        let mut headers = HeaderMap::new();
        if let Some((from, to)) = range {
            let to = to.map_or_else(String::new, |to| (to - 1).to_string());
            insert(&mut headers, header::RANGE, &format!("bytes={from}-{to}"));
        }
        if let Some(etag) = etag {
            insert(&mut headers, header::IF_MATCH, &format!("\"{etag}\""));
        }
        let response = self.send(Method::GET, self.target.url(), headers, None).await?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            _ => {
                let operation = if self.place == Kind::Sink { WRITE } else { READ };
                Err(refused(response, self.place, operation).await)
            }
        }
    }

    /// Whether the object is there, and the bucket and the keys are right: asks for its first byte, because the response
    /// to a HEAD does not say why it fails.
    ///
    /// # Errors
    /// If the bucket cannot be used.
    pub async fn look(&self) -> Result<Given, Failed> {
        let found = self.retried(&Method::GET, || self.get(Some((0, Some(1))), None)).await;
        match found {
            Ok(_) => Ok(Given::Object),
            Err(failed) => match failed.code.as_str() {
                "NoSuchKey" => Ok(Given::Nothing),
                // An empty object; one that was moved to another kind of storage.
                "InvalidRange" | "InvalidObjectState" => Ok(Given::Object),
                "AccessDenied" => Ok(Given::Secret),
                _ => Err(failed),
            },
        }
    }

    /// What is known of the object; `None` if there is none.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn head(&self) -> Result<Option<Found>, Failed> {
        let attempt = || async {
            let response = self
                .send(Method::HEAD, self.target.url(), HeaderMap::new(), None)
                .await?;
            match response.status() {
                StatusCode::OK => Ok(Some(Found::of(&response))),
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(refused(response, self.place, "cannot look at the object").await),
            }
        };
        self.retried(&Method::HEAD, attempt).await
    }

    /// Puts an object, unless there is one and it has to be `new`; in one attempt.
    ///
    /// # Errors
    /// If the server does not confirm it.
    pub async fn put(&self, body: &Body, new: bool) -> Result<(), Failed> {
        let response = self.send(Method::PUT, self.target.url(), only(new), Some(body)).await?;
        match response.status() {
            StatusCode::OK => Ok(()),
            _ => Err(refused(response, self.place, WRITE).await),
        }
    }

    /// A URL with which anyone may get the object for so long, and when its keys expire.
    ///
    /// # Errors
    /// If there are no keys.
    pub async fn presign(&self, lasts: Duration) -> Result<(String, Option<SystemTime>), Failed> {
        let keys = self.provider.credentials().await?;
        let url = presigned(&self.target.url(), &keys, &self.target.region, SystemTime::now(), lasts);
        Ok((url.to_string(), keys.expires))
    }

    /// Sends a request, and again as long as that makes sense.
    pub(super) async fn retried<T, F>(&self, method: &Method, attempt: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut retries = self.retries(method);
        loop {
            let failed = match attempt().await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let code = failed.code;
            if let Err(failure) = retries.pause(failed.attempt).await {
                let attempt = Attempt::last(failure);
                return Err(Failed { attempt, code });
            }
        }
    }

    /// The text of a response that is a success.
    pub(super) async fn text(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<&Body>,
        operation: &str,
    ) -> Result<String, Failed> {
        let mut response = self.send(method, url, headers, body).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(response, self.place, operation).await);
        }
        let text = response.read_body(MOST).await;
        let text = text.map_err(|error| {
            let failure = Failure::io(self.place, operation, error);
            Attempt::new(failure, Retry::Idempotent)
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Signs and sends a request once.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Option<&Body>,
    ) -> Result<Response, Failed> {
        let keys = self.provider.credentials().await?;
        if let Some(body) = body {
            let name = HeaderName::from_static("content-md5");
            insert(&mut headers, name, &STANDARD.encode(body.md5));
        }
        let mut request = Request {
            method,
            url,
            headers,
            body: Bytes::new(),
        };
        let payload = match body {
            _ if !self.signs_bodies() => UNSIGNED,
            Some(body) => body.sha256.as_deref().unwrap_or(UNSIGNED),
            None => NOTHING,
        };
        sign(&mut request, &keys, &self.target.region, SystemTime::now(), payload);
        let Some(body) = body else {
            return Ok(self.client.exchange(&request).await?);
        };
        if let Some(bytes) = body.bytes() {
            request.body = bytes.clone();
            return Ok(self.client.exchange(&request).await?);
        }
        let mut sent = 0;
        let next = || {
            let piece = body.piece(sent)?;
            sent += piece.len() as u64;
            Ok(piece)
        };
        Ok(self.client.exchange_pieces(&request, body.length(), next).await?)
    }
}

impl Found {
    /// What the head of a response says.
    #[must_use]
    pub fn of(response: &Response) -> Self {
        let size = response
            .header(&header::CONTENT_LENGTH)
            .and_then(|text| text.parse().ok());
        let etag = response.header(&header::ETAG);
        Self {
            size,
            etag: etag.map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned()),
        }
    }
}

const READ: &str = "cannot read";
pub(super) const WRITE: &str = "cannot write";

/// A URL with a query of these parameters.
pub(super) fn with_query(url: &Url, parameters: &mut [(&str, &str)]) -> Url {
    Url {
        target: format!("{}?{}", url.target, query(parameters)),
        ..url.clone()
    }
}

/// The header of a request that may not replace an object.
pub(super) fn only(new: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if new {
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
