//! Where the keys that sign requests come from: the environment, a profile, a web identity or, only if asked for, the
//! metadata service of a machine.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::Mutex;

use crate::error::{Failure, Kind};
use crate::net::Dial;
use crate::net::http::fields::read_file;
use crate::net::http::{Attempt, Client, Request, Url, refused};
use crate::net::tls::TlsFiles;

use super::profile::Profile;
use super::signature::encoded;
use super::xml;

/// Keys are renewed so long before they expire.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// The most that is read of a response with keys, in bytes.
const MOST: usize = 64 << 10;
/// Where machines of EC2 have their metadata.
const METADATA: &str = "http://169.254.169.254";

/// The keys of somebody.
#[derive(Clone)]
pub struct Credentials {
    /// The access key's id, which is no secret.
    pub id: String,
    /// The access key.
    pub secret: String,
    /// What temporary keys come with.
    pub token: Option<String>,
    /// When they expire.
    pub expires: Option<SystemTime>,
}

/// Where the keys come from.
enum Source {
    Keys(Credentials),
    WebIdentity {
        endpoint: Url,
        role: String,
        session: String,
        token: PathBuf,
    },
    Metadata(Url),
}

/// Gives keys that have not expired.
pub struct Provider {
    source: Source,
    client: Client,
    /// The temporary keys that were got last.
    last: Mutex<Option<Credentials>>,
}

impl Provider {
    /// Finds out where the keys come from, in the order of the AWS tools: the environment, unless a profile is `given`; a
    /// web identity; the profile; the metadata service, if `asks_metadata`.
    ///
    /// # Errors
    /// [`Kind::Connect`] if there are none.
    pub fn find(
        profile: &Profile,
        is_profile_given: bool,
        asks_metadata: bool,
        variable: &dyn Fn(&str) -> Option<String>,
        (dial, files): (Dial, TlsFiles),
    ) -> Result<Self, Failure> {
        let source = source(profile, is_profile_given, asks_metadata, variable)?;
        Ok(Self {
            source,
            client: Client::new(dial, files, Kind::Connect),
            last: Mutex::new(None),
        })
    }

    /// The keys to sign with now.
    ///
    /// # Errors
    /// If temporary ones cannot be got.
    pub async fn credentials(&self) -> Result<Credentials, Attempt> {
        if let Source::Keys(keys) = &self.source {
            return Ok(keys.clone());
        }
        let mut last = self.last.lock().await;
        let is_fresh = |keys: &&Credentials| keys.expires.is_none_or(|at| at > SystemTime::now() + MARGIN);
        if let Some(keys) = last.as_ref().filter(is_fresh) {
            return Ok(keys.clone());
        }
        let keys = match &self.source {
            Source::Keys(keys) => keys.clone(),
            Source::WebIdentity {
                endpoint,
                role,
                session,
                token,
            } => {
                let token = read_file(token).map_err(Attempt::last)?;
                let token = String::from_utf8_lossy(&token);
                self.assume(endpoint, role, session, token.trim()).await?
            }
            Source::Metadata(endpoint) => self.of_machine(endpoint).await?,
        };
        Ok(last.insert(keys).clone())
    }

    /// Gets keys for a web identity.
    async fn assume(&self, endpoint: &Url, role: &str, session: &str, token: &str) -> Result<Credentials, Attempt> {
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
            encoded(role, ""),
            encoded(session, ""),
            encoded(token, "")
        );
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        let text = self.ask(Method::POST, endpoint.clone(), headers, form.into()).await?;
        let element = |name| xml::element(&text, name).filter(|text| !text.is_empty());
        self.keys(
            element("AccessKeyId"),
            element("SecretAccessKey"),
            element("SessionToken"),
            element("Expiration"),
        )
    }

    /// Gets the keys of the machine's role (AWS documentation, "Use the Instance Metadata Service", version 2).
    async fn of_machine(&self, endpoint: &Url) -> Result<Credentials, Attempt> {
        let at = |path: &str| Url {
            target: format!("{}{path}", endpoint.target.trim_end_matches('/')),
            ..endpoint.clone()
        };
        let mut headers = HeaderMap::new();
        let lasts = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
        headers.insert(lasts, HeaderValue::from_static("21600"));
        let session = self
            .ask(Method::PUT, at("/latest/api/token"), headers, Bytes::new())
            .await?;
        let mut headers = HeaderMap::new();
        if let Ok(mut session) = HeaderValue::from_str(session.trim()) {
            session.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token"), session);
        }
        let roles = "/latest/meta-data/iam/security-credentials/";
        let role = self.ask(Method::GET, at(roles), headers.clone(), Bytes::new()).await?;
        let role = role.lines().next().unwrap_or_default().trim().to_owned();
        let path = format!("{roles}{}", encoded(&role, ""));
        let text = self.ask(Method::GET, at(&path), headers, Bytes::new()).await?;
        let values: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let value = |name: &str| values.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        self.keys(
            value("AccessKeyId"),
            value("SecretAccessKey"),
            value("Token"),
            value("Expiration"),
        )
    }

    async fn ask(&self, method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Result<String, Attempt> {
        let request = Request {
            method,
            url,
            headers,
            body,
        };
        let mut response = self.client.exchange(&request).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(response, Kind::Connect, FAILED).await);
        }
        let body = response.read_body(MOST).await;
        let body = body.map_err(|error| Attempt::last(Failure::io(Kind::Connect, FAILED, error)))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn keys(
        &self,
        id: Option<String>,
        secret: Option<String>,
        token: Option<String>,
        expires: Option<String>,
    ) -> Result<Credentials, Attempt> {
        let (Some(id), Some(secret)) = (id, secret) else {
            let from = match &self.source {
                Source::Metadata(url) | Source::WebIdentity { endpoint: url, .. } => url.address.to_string(),
                Source::Keys(_) => String::new(),
            };
            let why = format!("the response of {from} has none");
            return Err(Attempt::last(Failure::because(Kind::Connect, FAILED, why)));
        };
        Ok(Credentials {
            id,
            secret,
            token,
            expires: expires.and_then(|text| humantime::parse_rfc3339_weak(&text).ok()),
        })
    }
}

const FAILED: &str = "cannot get credentials";

fn source(
    profile: &Profile,
    is_profile_given: bool,
    asks_metadata: bool,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Source, Failure> {
    let missing = |why: String| Err(Failure::because(Kind::Connect, FAILED, why));
    let url = |text: &str, name: &str| {
        Url::parse(text.as_bytes()).map_err(|wrong| {
            let why = format!("{}; {}", wrong.message, wrong.help);
            Failure::because(Kind::Usage, format!("cannot use {name}"), why)
        })
    };
    if !is_profile_given {
        let keys = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        if let (Some(id), Some(secret)) = keys {
            return Ok(Source::Keys(Credentials {
                id,
                secret,
                token: variable("AWS_SESSION_TOKEN"),
                expires: None,
            }));
        }
        if let (Some(token), Some(role)) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN")) {
            let name = "AWS_ENDPOINT_URL_STS";
            let Some(endpoint) = variable(name) else {
                let why = "AWS_WEB_IDENTITY_TOKEN_FILE is set, and not where to send it: set AWS_ENDPOINT_URL_STS, such \
                           as to https://sts.eu-west-1.amazonaws.com";
                return missing(why.to_owned());
            };
            return Ok(Source::WebIdentity {
                endpoint: url(&endpoint, name)?,
                role,
                session: variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "highwater".to_owned()),
                token: PathBuf::from(token),
            });
        }
    }
    let keys = (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key"));
    if let (Some(id), Some(secret)) = keys {
        return Ok(Source::Keys(Credentials {
            id: id.to_owned(),
            secret: secret.to_owned(),
            token: profile.get("aws_session_token").map(str::to_owned),
            expires: None,
        }));
    }
    if asks_metadata {
        let name = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        let endpoint = variable(name).unwrap_or_else(|| METADATA.to_owned());
        return url(&endpoint, name).map(Source::Metadata);
    }
    let other = ["sso_session", "sso_start_url", "role_arn", "credential_process"];
    if let Some(other) = other.into_iter().find(|name| profile.get(name).is_some()) {
        return missing(format!(
            "the profile has {other}, which highwater does not use; run `aws configure export-credentials --format env` \
             and set what it prints"
        ));
    }
    missing(
        "there are none: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or have them in a profile of ~/.aws/credentials; \
         imds=true asks the machine's metadata service"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(set: &[(&str, &str)], given: bool, asks_metadata: bool) -> Result<String, String> {
        let variable = |name: &str| {
            let value = set.iter().find(|(known, _)| *known == name);
            value.map(|(_, value)| (*value).to_owned())
        };
        let profile = Profile::load(given.then_some("p"), &variable).map_err(|failure| failure.to_string())?;
        match source(&profile, given, asks_metadata, &variable) {
            Ok(Source::Keys(keys)) => Ok(keys.id),
            Ok(Source::WebIdentity { endpoint, role, .. }) => Ok(format!("{role} by {endpoint}")),
            Ok(Source::Metadata(endpoint)) => Ok(endpoint.to_string()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn sources_are_asked_in_order() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(
            &file,
            "[p]\naws_access_key_id=of-p\naws_secret_access_key=x\n[s]\nsso_session=y\n",
        )
        .expect("written");
        let files = file.path().to_str().expect("text");
        let keys = [("AWS_ACCESS_KEY_ID", "of-env"), ("AWS_SECRET_ACCESS_KEY", "x")];
        let identity = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
            ("AWS_ROLE_ARN", "arn"),
            ("AWS_ENDPOINT_URL_STS", "http://sts:1"),
        ];
        let shared = [("AWS_SHARED_CREDENTIALS_FILE", files)];
        let all = [&keys[..], &identity, &shared, &[("AWS_PROFILE", "p")]].concat();
        assert_eq!(found(&all, false, true).as_deref(), Ok("of-env"));
        assert_eq!(found(&all[2..], false, true).as_deref(), Ok("arn by http://sts:1/"));
        assert_eq!(found(&all[5..], false, true).as_deref(), Ok("of-p"));
        assert_eq!(
            found(&all, true, true).as_deref(),
            Ok("of-p"),
            "a profile that is given"
        );
        let machine = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[::1]:80/x")];
        assert_eq!(found(&machine, false, true).as_deref(), Ok("http://[::1]/x"));
        for (set, why) in [
            (&[][..], "there are none: set AWS_ACCESS_KEY_ID"),
            (&machine, "there are none: set AWS_ACCESS_KEY_ID"),
            (
                &identity[..2],
                "AWS_WEB_IDENTITY_TOKEN_FILE is set, and not where to send it",
            ),
            (&[shared[0], ("AWS_PROFILE", "s")], "the profile has sso_session"),
        ] {
            let refused = found(set, false, false).expect_err(why);
            assert!(
                refused.starts_with(&format!("cannot get credentials: {why}")),
                "{refused}"
            );
        }
    }
}
