//! The parameters of an object.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::catalog::{Args, Kind as Value, Param};
use crate::endpoints::connecting::ConnectOptions;
use crate::endpoints::file::regular_path;
use crate::endpoints::tls;
use crate::error::{Failure, Kind, Problem};
use crate::grammar::format_size;
use crate::net::s3::{LEAST_PART, MOST_PART, Name, Service, Settings, Style};
use crate::net::tls::TlsFiles;

use super::ranges::RangeOptions;

/// The server.
pub const ENDPOINT: Param = Param::named(
    "endpoint",
    Value::Text,
    None,
    "the server's URL; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's endpoint_url, or AWS",
);
/// The region.
pub const REGION: Param = Param::named(
    "region",
    Value::Text,
    None,
    "the bucket's region; else AWS_REGION, AWS_DEFAULT_REGION, the profile's, or us-east-1",
);
/// The profile.
pub const PROFILE: Param = Param::named(
    "profile",
    Value::Text,
    None,
    "the profile of ~/.aws/config and ~/.aws/credentials; else AWS_PROFILE, or default",
);
/// Where the bucket stands.
pub const STYLE: Param = Param::named(
    "style",
    Value::Choice(&["path", "host"]),
    None,
    "where URLs have the bucket: in the path, the default with an endpoint, or in front of the host, as AWS has it",
);
/// Whether the metadata service is asked.
pub const IMDS: Param = Param::named(
    "imds",
    Value::Flag,
    Some("false"),
    "whether the machine's metadata service may be asked for keys",
);
/// Further attempts.
pub const RETRY: Param = Param::named(
    "retry",
    Value::Integer { min: 0, max: i64::MAX },
    Some("4"),
    "how often to try again to connect, and to send a request that the server throttles or has no answer to, after \
     pauses that grow to 10s",
);
/// Requests at once.
pub const THREADS: Param = Param::named(
    "threads",
    Value::Integer { min: 1, max: 64 },
    Some("1"),
    "how many ranges are asked for, or parts sent, at once",
);
/// The size of ranges.
pub const RANGE: Param = Param::named(
    "range",
    Value::Size,
    Some("2MiB"),
    "the size of a range, with threads= of 2 or more; each is kept in memory until it is given on",
);
/// The size of parts.
pub const PART: Param = Param::named(
    "part",
    Value::Size,
    Some("5MiB"),
    "the size of an upload's parts, 5MiB to 5GiB; larger where the object would have more than 10,000 of them",
);
/// Where it is noted how far an upload is.
pub const STATE: Param = Param::named(
    "state",
    Value::Endpoint(&[]),
    None,
    "a file that notes which parts the server has; they stay when the run ends early, and the next one goes on with them",
);
/// Whether an object may be replaced.
pub const IF_ABSENT: Param = Param::named(
    "if-absent",
    Value::Flag,
    Some("false"),
    "fail if there is such an object, also if it comes meanwhile",
);
/// Whether a URL is printed.
pub const PRESIGN: Param = Param::named(
    "presign",
    Value::Duration,
    None,
    "print a URL at the end with which anyone may get the object for so long, up to 7d",
);

/// The longest time for which AWS lets a URL be signed (AWS documentation, "Download and upload objects with presigned
/// URLs").
const LONGEST_PRESIGN: Duration = Duration::from_secs(7 * 24 * 3600);

/// An object that is asked for, and how.
pub struct Planned {
    pub name: Name,
    pub options: ConnectOptions,
    settings: Settings,
    files: TlsFiles,
    place: Kind,
    /// Made once, when the environment is looked at.
    service: OnceLock<Arc<Service>>,
}

impl Planned {
    /// Reads the parameters of a call. `place` is the kind of its failures.
    pub fn of(rest: &[u8], args: &Args, place: Kind) -> Result<Self, Problem> {
        let text = |param: Param| args.text(param.name).map(str::to_owned);
        Ok(Self {
            name: Name::parse(rest).map_err(|wrong| wrong.of(args))?,
            options: ConnectOptions::of(args),
            settings: Settings {
                endpoint: text(ENDPOINT),
                region: text(REGION),
                profile: text(PROFILE),
                style: args.choice(STYLE.name).map(|style| match style {
                    "host" => Style::Host,
                    _ => Style::Path,
                }),
                asks_metadata: args.flag(IMDS.name),
            },
            files: tls::files(args),
            place,
            service: OnceLock::new(),
        })
    }

    /// The server, with what the environment and the profile say of it.
    ///
    /// # Errors
    /// If a setting is wrong, or there are no credentials.
    pub fn service(&self) -> Result<&Arc<Service>, Failure> {
        if let Some(service) = self.service.get() {
            return Ok(service);
        }
        let connection = (self.options.dial(false), self.files.clone());
        let service = Service::new(
            self.name.clone(),
            &self.settings,
            connection,
            self.options.retries,
            self.place,
        )?;
        Ok(self.service.get_or_init(|| Arc::new(service)))
    }

    /// The server's address, for people; empty if it is not known.
    pub fn server(&self) -> String {
        self.service().map(|service| service.server()).unwrap_or_default()
    }
}

/// The least size of a range, in bytes: below this most of the time goes into requests.
const LEAST_RANGE: u64 = 64 << 10;

/// The ranges that are asked for at once; `None` for one request.
pub fn ranges(args: &Args) -> Option<RangeOptions> {
    let size = args.size(RANGE.name).unwrap_or_default().max(LEAST_RANGE);
    let threads = Some(threads(args)).filter(|threads| *threads > 1)?;
    Some(RangeOptions { threads, size })
}

/// How many ranges are asked for, or parts sent, at once.
pub fn threads(args: &Args) -> usize {
    let threads = args.integer(THREADS.name).unwrap_or(1);
    usize::try_from(threads).map_or(1, |threads| threads.max(1))
}

/// The size of the parts of an upload, in bytes.
pub fn part_size(args: &Args) -> Result<u64, Problem> {
    let size = args.size(PART.name).unwrap_or(LEAST_PART);
    if (LEAST_PART..=MOST_PART).contains(&size) {
        return Ok(size);
    }
    let message = format!("a part of {} is not possible", format_size(size));
    Err(Problem::at(args.span_of(PART.name), message).help("S3 takes parts of 5MiB to 5GiB"))
}

/// The file that notes how far the upload is.
pub fn state_file(args: &Args) -> Result<Option<PathBuf>, Problem> {
    let path = args.endpoint(STATE.name).map(regular_path).transpose();
    path.map_err(|wrong| Problem::at(args.span_of(STATE.name), wrong.message).help(wrong.help))
}

/// How long a URL is to be good for.
pub fn presign_time(args: &Args) -> Result<Option<Duration>, Problem> {
    let time = args.duration(PRESIGN.name);
    match time {
        Some(time) if time > LONGEST_PRESIGN || time < Duration::from_secs(1) => {
            let message = "a URL cannot be signed for so long a time, or so short a one";
            Err(Problem::at(args.span_of(PRESIGN.name), message).help("it is 1s to 7d"))
        }
        time => Ok(time),
    }
}
