//! The parameters of a request.

use std::path::PathBuf;
use std::sync::OnceLock;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method};

use crate::catalog::{Args, Kind as Value, Misnamed, Param, Place};
use crate::endpoints::connecting::ConnectOptions;
use crate::endpoints::tls;
use crate::error::{Failure, Kind, Problem, brief};
use crate::net::http::fields::{Fields, LARGEST_FILE, authorization_of, path, read_file};
use crate::net::http::{Client, MEMORY, Request, Url, netrc};
use crate::net::tls::MEMORY as TLS_MEMORY;
use crate::platform::files;

/// Further headers.
pub const HEADER: Param = Param {
    place: Place::NamedMany,
    ..Param::named(
        "header",
        Value::Bytes,
        None,
        "a header to send, as 'NAME: VALUE', or @FILE with one a line; those of a file are not sent to another server \
         after a redirect",
    )
};

/// Credentials.
pub const USER: Param = Param::named(
    "user",
    Value::Bytes,
    None,
    "@FILE whose first line is NAME:PASSWORD, to authenticate (Basic); by default what ~/.netrc or $NETRC has for the \
     host",
);

/// The method of a download.
pub const METHOD: Param = Param::named(
    "method",
    Value::Text,
    None,
    "the request's method; GET, or POST with a body",
);

/// The body of a download's request.
pub const BODY: Param = Param::named(
    "body",
    Value::Bytes,
    None,
    "a body to send with the request, or @FILE of up to 1 MiB",
);

/// The method of an upload.
pub const UPLOAD_METHOD: Param = Param {
    default: Some("PUT"),
    ..Param::named(
        "method",
        Value::Choice(&["PUT", "POST", "PATCH"]),
        None,
        "the request's method",
    )
};

/// The type of an upload.
pub const CONTENT_TYPE: Param = Param::named("type", Value::Text, None, "what is uploaded, as Content-Type: text/csv");

/// The headers that the user gives, credentials included.
pub struct Headers {
    fields: Fields,
    user: Option<PathBuf>,
}

impl Headers {
    /// Those of a call.
    pub fn of(args: &Args) -> Result<Self, Problem> {
        let wrong =
            |param: Param| move |wrong: Misnamed| Problem::at(args.span_of(param.name), wrong.message).help(wrong.help);
        let mut fields = Fields::default();
        for text in args.words(HEADER.name) {
            fields.add(text).map_err(wrong(HEADER))?;
        }
        let user = args.words(USER.name).pop().map(|text| match text.strip_prefix(b"@") {
            Some(file) => Ok(path(file)),
            None => Err(Misnamed::new(
                "credentials are not taken from the command line, where others may see them",
                "write NAME:PASSWORD into a file and name it with user=@FILE",
            )),
        });
        let user = user.transpose().map_err(wrong(USER))?;
        Ok(Self { fields, user })
    }

    /// All of them, with those of the files, and the authorization for the URL's host.
    ///
    /// # Errors
    /// [`Kind::Usage`] if a file cannot be used.
    pub fn read(&self, url: &Url) -> Result<HeaderMap, Failure> {
        let mut headers = self.fields.read()?;
        let found = match &self.user {
            Some(file) => Some(authorization_of(file)?),
            None if headers.contains_key(header::AUTHORIZATION) => None,
            None => netrc::authorization_for(&url.address.host)?,
        };
        headers.extend(found.map(|value| (header::AUTHORIZATION, value)));
        Ok(headers)
    }
}

/// A request that is planned.
pub struct Planned {
    pub client: Client,
    pub url: Url,
    /// Whether the files for TLS are checked before anything is opened: all of them for https, else those given.
    uses_files: bool,
    pub method: Method,
    pub retries: u64,
    pub options: ConnectOptions,
    headers: Headers,
    body: Body,
    content_type: Option<HeaderValue>,
    /// Made once, because a pipe among the files can be read only once.
    request: OnceLock<Request>,
}

/// What is sent with the request of a download.
enum Body {
    Given(Vec<u8>),
    File(PathBuf),
}

impl Planned {
    /// Reads the parameters of a call. `place` is the kind of its failures.
    pub fn of(scheme: &[u8], rest: &[u8], args: &Args, place: Kind) -> Result<Self, Problem> {
        let url = Url::parse(&[scheme, rest].concat()).map_err(|wrong| wrong.of(args))?;
        let at =
            |param: Param| move |wrong: Misnamed| Problem::at(args.span_of(param.name), wrong.message).help(wrong.help);
        let is_read = place == Kind::Source;
        let body = is_read.then(|| args.words(BODY.name).pop()).flatten();
        let body = body.map(|text| match text.strip_prefix(b"@") {
            Some(file) => Body::File(path(file)),
            None => Body::Given(text.to_vec()),
        });
        let method = if is_read {
            args.text(METHOD.name).map(method).transpose().map_err(at(METHOD))?
        } else {
            let given = args.choice(UPLOAD_METHOD.name);
            given.and_then(|name| Method::from_bytes(name.as_bytes()).ok())
        };
        let content_type = (!is_read).then(|| args.text(CONTENT_TYPE.name)).flatten();
        let content_type = content_type.map(|text| {
            let wrong = |_| Misnamed::new(format!("`{}` cannot be sent", brief(text.as_bytes())), "write text/csv");
            HeaderValue::from_str(text).map_err(wrong)
        });
        let options = ConnectOptions::of(args);
        let names_files = [tls::CA, tls::CERT, tls::KEY]
            .iter()
            .any(|file| args.is_given(file.name));
        Ok(Self {
            client: Client::new(options.dial(!is_read), tls::files(args), place),
            uses_files: url.is_secure || names_files,
            url,
            method: method.unwrap_or(if body.is_some() { Method::POST } else { Method::GET }),
            retries: options.retries,
            options,
            headers: Headers::of(args)?,
            body: body.unwrap_or(Body::Given(Vec::new())),
            content_type: content_type.transpose().map_err(at(CONTENT_TYPE))?,
            request: OnceLock::new(),
        })
    }

    /// Checks the files that it names.
    ///
    /// # Errors
    /// [`Kind::Usage`] if one cannot be used.
    pub fn check(&self) -> Result<(), Failure> {
        if self.uses_files {
            self.client.tls()?;
        }
        self.request().map(drop)
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        let body = match &self.body {
            Body::Given(bytes) => bytes.len() as u64,
            Body::File(file) => files::stat(file).map_or(0, |stat| (stat.st_size.unsigned_abs()).min(LARGEST_FILE)),
        };
        // A redirect may lead to TLS.
        MEMORY + TLS_MEMORY + body
    }

    /// The request, with what the files have.
    ///
    /// # Errors
    /// [`Kind::Usage`] if one cannot be used.
    pub fn request(&self) -> Result<&Request, Failure> {
        if let Some(request) = self.request.get() {
            return Ok(request);
        }
        let request = self.read()?;
        Ok(self.request.get_or_init(|| request))
    }

    fn read(&self) -> Result<Request, Failure> {
        let mut headers = self.headers.read(&self.url)?;
        if let Some(kind) = &self.content_type {
            headers.insert(header::CONTENT_TYPE, kind.clone());
        }
        let body = match &self.body {
            Body::Given(bytes) => bytes.clone(),
            Body::File(file) => read_file(file)?,
        };
        Ok(Request {
            method: self.method.clone(),
            url: self.url.clone(),
            headers,
            body: body.into(),
        })
    }
}

fn method(text: &str) -> Result<Method, Misnamed> {
    let is_fit = |method: &Method| {
        let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
        is_upper && ![Method::HEAD, Method::CONNECT, Method::TRACE].contains(method)
    };
    Method::from_bytes(text.as_bytes()).ok().filter(is_fit).ok_or_else(|| {
        let message = format!(
            "`{}` is not a method that something can be read with",
            brief(text.as_bytes())
        );
        Misnamed::new(message, "write GET, POST or another in capital letters")
    })
}
