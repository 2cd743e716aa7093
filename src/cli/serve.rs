//! `highwater serve`: its options, and what is said at its start.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::fs::{Mode, OFlags};

use crate::engine::{self, MinRate};
use crate::error::{Failure, Kind, shown};
use crate::grammar::{human_size, parse_size};
use crate::net::Address;
use crate::net::http::fields::Fields;
use crate::net::http::server::{Limits, REQUEST_MEMORY};
use crate::net::tls::TlsFiles;
use crate::platform::{end_as, files, terminal_size};
use crate::serve::{LogTarget, Refusal, Route, RouteOptions, Service, Settings, Shares, Shown, TooLittle, Wanted};
use crate::view::metrics::{Listener, parse_address};
use crate::view::{Progress, say};

use super::log::{self, LogLevel};
use super::options::{
    Color, ProgressChoice, parse_drain, parse_interval, parse_limit, parse_min_rate, stdout_is_piped, style,
};
use super::own_files::Taken;
use super::{USAGE, fail};

/// What is served, and how.
#[derive(Debug, Args)]
#[command(override_usage = "highwater serve [OPTIONS] ADDRESS 'PIPELINE'\n       \
                            highwater serve [OPTIONS] ADDRESS --route PATH 'PIPELINE'…")]
pub struct ServeOptions {
    /// Where to listen: HOST:PORT, :PORT or PORT; on the loopback address unless a host is given, port 0 picks a free one
    #[arg(value_name = "ADDRESS", value_parser = parse_address)]
    address: Address,

    /// The pipeline of the path /: its standard input is the request's body, its standard output the response's
    #[arg(value_name = "PIPELINE", required_unless_present = "route")]
    pipeline: Option<OsString>,

    /// A pipeline of another path, which is matched literally; may be repeated
    ///
    /// Nothing of a request reaches a pipeline but its body. Paths below /-/ are the service's own: /-/health says ok.
    #[arg(long, num_args = 2, value_names = ["PATH", "PIPELINE"], help_heading = ROUTES)]
    route: Vec<OsString>,

    /// A header of every response, or @FILE with one a line; may be repeated
    #[arg(long, value_name = "NAME: VALUE", help_heading = ROUTES)]
    header: Vec<OsString>,

    /// The file name that clients are told [default: the last part of a path that has a dot]
    #[arg(long, value_name = "NAME", value_parser = parse_name, help_heading = ROUTES)]
    name: Option<String>,

    /// A name under which clients may call the service; may be repeated [default: any, but on loopback only localhost]
    ///
    /// Requests that name an address are always answered. Others get 421, so that no web site can point its own name here.
    #[arg(long, value_name = "NAME", help_heading = ROUTES)]
    host: Vec<String>,

    /// The server's certificate and those that lead to its authority, PEM: serves HTTPS
    #[arg(long, value_name = "FILE", requires = "key", help_heading = ROUTES)]
    cert: Option<PathBuf>,

    /// The key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = ROUTES)]
    key: Option<PathBuf>,

    /// Hard ceiling over the buffers of all runs and connections
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size, help_heading = LIMITS)]
    memory: u64,

    /// The share of one run [default: the least its pipeline needs, and 256KiB a link]
    ///
    /// A record or a decoder's window that does not fit makes a run fail.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = LIMITS)]
    run_memory: Option<u64>,

    /// The most runs at once [default: as many as fit the memory]
    #[arg(long, value_name = "COUNT", value_parser = parse_count, help_heading = LIMITS)]
    max_clients: Option<usize>,

    /// The most runs of a route at once, or of each; may be repeated
    #[arg(long, value_name = "[PATH=]COUNT", value_parser = parse_route_clients, help_heading = LIMITS)]
    route_clients: Vec<(Option<String>, usize)>,

    /// How long a request waits for its turn, in order, before it gets 503
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_limit, help_heading = LIMITS)]
    queue_timeout: Duration,

    /// The most requests of one address at once, those that wait included; more get 429
    #[arg(long, value_name = "COUNT", value_parser = parse_count, help_heading = LIMITS)]
    per_address: Option<usize>,

    /// Cut a client that takes less, or sends less, while the run waits for it
    ///
    /// Judged over the last --min-rate-grace, again and again. A slow source is not counted against the client.
    #[arg(long, value_name = "RATE", value_parser = parse_min_rate, help_heading = LIMITS)]
    min_rate: Option<u64>,

    /// How long --min-rate is averaged over, and how long a client has before it counts
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_limit, requires = "min_rate", help_heading = LIMITS)]
    min_rate_grace: Duration,

    /// End a run in which no byte moves for so long
    ///
    /// A client that sends all before it reads stops both directions, and is ended so.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_limit, help_heading = LIMITS)]
    stall_timeout: Duration,

    /// End a run that takes longer
    #[arg(long, value_name = "DURATION", value_parser = parse_limit, help_heading = LIMITS)]
    timeout: Option<Duration>,

    /// How long runs may go on after the first SIGTERM or Ctrl-C; the second cuts them
    ///
    /// The same signal within half a second counts as one.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_drain, help_heading = LIMITS)]
    drain: Duration,

    /// Append a line of JSON for each request to a file; - is standard output
    #[arg(long, value_name = "FILE", help_heading = VIEW)]
    access_log: Option<PathBuf>,

    /// Serve the numbers to Prometheus at http://HOST:PORT/metrics
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address, help_heading = VIEW)]
    metrics: Option<Address>,

    /// On stderr: auto, live, plain or none [default: auto]
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true, help_heading = VIEW)]
    progress: Option<ProgressChoice>,

    /// Show nothing but errors
    #[arg(short, long, conflicts_with = "progress", help_heading = VIEW)]
    quiet: bool,

    /// How often plain reports; a bare number is seconds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval, help_heading = VIEW)]
    interval: Duration,

    /// When to use colour: auto, always, never
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN", hide_possible_values = true, help_heading = VIEW)]
    color: Color,

    /// How much to log to standard error
    #[arg(long, value_enum, default_value = "warn", value_name = "LEVEL", help_heading = VIEW)]
    log: LogLevel,
}

const ROUTES: &str = "What is served";
const LIMITS: &str = "Limits";
const VIEW: &str = "What you see";

/// Serves, and returns the exit code.
pub fn run(options: &ServeOptions) -> ExitCode {
    log::start(options.log);
    let routes = match routes(options) {
        Ok(routes) => routes,
        Err(Refusal::Pipeline(error)) => {
            let colour = options.color.applies_to(std::io::stderr().is_terminal());
            let columns = terminal_size(std::io::stderr()).map(|(columns, _)| columns.into());
            say(&format!("{}\n", error.render(colour, columns)));
            return ExitCode::from(USAGE);
        }
        Err(Refusal::Other(why)) => return refuse(&why),
    };
    match serve(options, routes) {
        Ok(signal) => end_as(signal),
        Err(failure) => fail(&failure),
    }
}

fn refuse(why: &str) -> ExitCode {
    say(&format!("highwater: serve: {why}\n"));
    ExitCode::from(USAGE)
}

/// The routes, checked.
fn routes(options: &ServeOptions) -> Result<Vec<Route>, Refusal> {
    let mut fields = Fields::default();
    for header in &options.header {
        let added = fields.add(header.as_bytes());
        added.map_err(|wrong| Refusal::Other(format!("--header: {}; {}", wrong.message, wrong.help)))?;
    }
    let headers = fields.read();
    let shared = RouteOptions {
        run_memory: options.run_memory,
        name: options.name.clone(),
        headers: headers.map_err(|failure| Refusal::Other(format!("--header: {failure}")))?,
        min_rate: options.min_rate,
    };
    let root = options.pipeline.as_deref().map(|pipeline| (OsStr::new("/"), pipeline));
    let pairs = options.route.chunks_exact(2).map(|pair| match pair {
        [path, pipeline] => (path.as_os_str(), pipeline.as_os_str()),
        _ => (OsStr::new(""), OsStr::new("")),
    });
    let mut routes: Vec<Route> = Vec::new();
    for (path, pipeline) in root.into_iter().chain(pairs) {
        let path = String::from_utf8_lossy(path.as_bytes());
        if routes.iter().any(|route| route.path == path) {
            return Err(Refusal::Other(format!(
                "{}: there are two pipelines",
                shown(path.as_bytes())
            )));
        }
        routes.push(Route::new(&path, pipeline.as_bytes(), &shared)?);
    }
    Ok(routes)
}

fn serve(options: &ServeOptions, routes: Vec<Route>) -> Result<i32, Failure> {
    let usage = |why: String| Failure::because(Kind::Usage, "serve", why);
    let files = TlsFiles {
        certificates: options.cert.clone(),
        key: options.key.clone(),
        ..TlsFiles::default()
    };
    let tls = options.cert.as_ref().map(|_| files.server()).transpose()?;
    let single = Limits {
        connections: 1,
        head: Duration::ZERO,
        unanswered: None,
    };
    let shares = Shares::new(&Wanted {
        memory: options.memory,
        runs: routes
            .iter()
            .map(|route| (route.path.as_str(), route.run_memory))
            .collect(),
        connection: single.memory(tls.is_some()) + REQUEST_MEMORY,
        max_clients: options.max_clients,
    });
    let shares = shares.map_err(|TooLittle(why)| usage(why))?;
    let route_clients = route_clients(options, &routes).map_err(usage)?;
    let log = options.access_log.as_deref().map(|path| {
        let of_route = |route: &Route| {
            let files = route.files.iter();
            let named = files.map(|(place, end)| (place.clone(), format!("{end} of {}", route.path)));
            named.collect::<Vec<_>>()
        };
        let files = routes.iter().flat_map(of_route);
        Taken::by(files.collect()).take("--access-log", path)?;
        log_target(path)
    });
    let log = log.transpose()?;
    let service = Service::bind(&options.address, tls.is_some())?;
    let metrics = options.metrics.as_ref().map(Listener::bind).transpose()?;
    say(&format!("highwater: listening on {}\n", service.url()));
    for (route, most) in routes.iter().zip(&route_clients).filter(|_| !options.quiet) {
        let fit = shares.fitting(route.run_memory);
        let most = most.map_or(fit, |most| most.min(fit));
        let share = human_size(route.run_memory);
        let (path, text) = (&route.path, &route.text);
        say(&format!(
            "highwater: {path}: at most {most} at once, {share} each: {text}\n"
        ));
    }
    if let Some(metrics) = &metrics {
        say(&format!("highwater: metrics on {}\n", metrics.url()));
    }
    let settings = Settings {
        memory: options.memory,
        shares,
        route_clients,
        hosts: options.host.clone(),
        per_address: options.per_address,
        queue_timeout: options.queue_timeout,
        run: engine::Settings {
            timeout: options.timeout,
            stall_timeout: Some(options.stall_timeout),
            ..engine::Settings::default()
        },
        min_rate: options.min_rate.map(|rate| MinRate {
            rate,
            grace: options.min_rate_grace,
        }),
        drain: options.drain,
        tls,
        log,
        metrics,
        shown: what_is_shown(options),
        has_summary: !options.quiet && options.progress != Some(ProgressChoice::None),
    };
    service.run(routes, settings)
}

/// The most runs of each route.
fn route_clients(options: &ServeOptions, routes: &[Route]) -> Result<Vec<Option<usize>>, String> {
    let mut most = vec![None; routes.len()];
    for (path, count) in &options.route_clients {
        match path {
            None => most.fill(Some(*count)),
            Some(path) => {
                let found = routes.iter().position(|route| route.path == *path);
                let at =
                    found.ok_or_else(|| format!("--route-clients: there is no route {}", shown(path.as_bytes())))?;
                most[at] = Some(*count);
            }
        }
    }
    Ok(most)
}

fn what_is_shown(options: &ServeOptions) -> Shown {
    let choice = options.progress.unwrap_or(ProgressChoice::Auto);
    match choice.shown() {
        _ if options.quiet => Shown::Nothing,
        Progress::Live => Shown::Live {
            style: style(options.color, std::io::stderr().is_terminal()),
            has_keys: !stdout_is_piped(),
        },
        Progress::Plain if choice == ProgressChoice::Auto => Shown::Nothing,
        Progress::Plain | Progress::Json => Shown::Plain(options.interval),
        Progress::None => Shown::Nothing,
    }
}

/// Opens the access log. Lines are added to what is there.
fn log_target(path: &Path) -> Result<LogTarget, Failure> {
    let name = shown(path.as_os_str().as_bytes());
    let failed = |error| Failure::io(Kind::Sink, format!("--access-log {name}: cannot open"), error);
    if path.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            return Ok(LogTarget::Terminal);
        }
        return files::duplicate(rustix::stdio::stdout())
            .map(LogTarget::File)
            .map_err(failed);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = files::open(path, flags, Mode::from_raw_mode(0o640)).map_err(failed)?;
    Ok(LogTarget::File(file))
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it is a whole number above 0".to_owned()),
        Ok(count) => Ok(count),
    }
}

fn parse_route_clients(text: &str) -> Result<(Option<String>, usize), String> {
    match text.rsplit_once('=') {
        Some((path, count)) => Ok((Some(path.to_owned()), parse_count(count)?)),
        None => Ok((None, parse_count(text)?)),
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') || text.chars().any(char::is_control) {
        return Err("it is a file name without a folder, such as export.csv".to_owned());
    }
    Ok(text.to_owned())
}
