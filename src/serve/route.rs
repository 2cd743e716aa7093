//! A path and its pipeline.

use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use crate::catalog::Build;
use crate::endpoints::{RequestBody, ResponseBody, disposition, parse_path};
use crate::error::{ChainError, Failure, Kind, brief};
use crate::grammar::{self, Script};
use crate::plan::{Ends, Limits, Plan, catalog, share};
use crate::platform::FilePlace;
use crate::stage::Source;

use super::{RESERVED, media_type};

/// How a pipeline is served.
#[derive(Debug, Clone, Default)]
pub struct RouteOptions {
    /// The share of a run in bytes, if the user set it.
    pub run_memory: Option<u64>,
    /// The file name that clients are told, if the user set it.
    pub name: Option<String>,
    /// Headers of every response, which take precedence.
    pub headers: HeaderMap,
    /// The lowest rate of a client, in bytes per second.
    pub min_rate: Option<u64>,
}

/// A path, and the pipeline that runs for each request of it.
#[derive(Debug)]
pub struct Route {
    /// The path, as requests have it.
    pub path: String,
    /// The pipeline, normalised and safe to print.
    pub text: String,
    /// The most memory that one run uses, in bytes.
    pub run_memory: u64,
    /// The regular files that a run reads and writes, each with the text of its stage, as far as they can be examined at
    /// the start.
    pub files: Vec<(FilePlace, String)>,
    input: Input,
    has_output: bool,
    script: Script,
    limits: Limits,
    headers: HeaderMap,
}

/// Whether the body of a request is a run's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// The pipeline has a source of its own.
    None,
    /// A program comes first, which may read it.
    Optional,
    /// It is.
    Required,
}

/// Why a route cannot be served.
#[derive(Debug)]
pub enum Refusal {
    /// The pipeline is invalid.
    Pipeline(ChainError),
    /// Something else, in one line.
    Other(String),
}

impl Route {
    /// Plans a pipeline for a path.
    ///
    /// # Errors
    /// If the path or the pipeline is invalid, or a run does not fit its share.
    pub fn new(path: &str, text: &[u8], options: &RouteOptions) -> Result<Self, Refusal> {
        let other = |why: String| Refusal::Other(format!("{}: {why}", brief(path.as_bytes())));
        if !path.starts_with('/') {
            return Err(other("a path begins with /".to_owned()));
        }
        parse_path(path.as_bytes()).map_err(|wrong| other(format!("{}; {}", wrong.message, wrong.help)))?;
        if path.starts_with(RESERVED) {
            return Err(other(format!("paths below {RESERVED} are the service's own")));
        }
        let (script, problems) = grammar::parse(text);
        let mut limits = Limits {
            memory: options.run_memory,
            min_rate: options.min_rate,
            ..Limits::default()
        };
        let plan = Plan::between(planned(), &script, problems, limits).map_err(for_runs)?;
        if let Some(stage) = plan.standard_ends().next() {
            let why = "is that of the service; leave it out: a run reads the request's body and writes the response's";
            return Err(other(format!("{}: {why}", stage.text)));
        }
        let run_memory = options.run_memory.unwrap_or_else(|| {
            share(|memory| {
                let memory = Some(memory);
                Plan::between(planned(), &script, Vec::new(), Limits { memory, ..limits }).ok()
            })
        });
        limits.memory = Some(run_memory);
        let plan = Plan::between(planned(), &script, Vec::new(), limits).map_err(for_runs)?;
        let sink = plan.graph.sinks().find(|node| plan.stages[*node].is_implied);
        let media_type = sink.map(|sink| media_type::of(&plan, sink));
        Ok(Self {
            path: path.to_owned(),
            text: text_of(&plan).to_owned(),
            run_memory,
            // A run that cannot examine its files fails because of that.
            files: plan.files().unwrap_or_default(),
            input: input(&plan),
            has_output: sink.is_some(),
            script,
            limits,
            headers: headers(path, media_type, options),
        })
    }

    /// Plans one run.
    ///
    /// # Errors
    /// Never, as the same pipeline was planned before; a bug.
    pub fn plan(&self, ends: Ends) -> Result<Plan, Failure> {
        let planned = Plan::between(ends, &self.script, Vec::new(), self.limits);
        planned.map_err(|_| {
            Failure::because(
                Kind::Bug,
                "a bug in highwater",
                "a pipeline that was planned once was refused",
            )
        })
    }

    /// Whether a run reads the body of the request.
    #[must_use]
    pub fn reads_request(&self) -> bool {
        self.input != Input::None
    }

    /// Whether a run writes the body of the response.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.has_output
    }

    /// The methods that it answers, as a header has them.
    #[must_use]
    pub fn methods(&self) -> &'static str {
        match (self.input, self.has_output) {
            (Input::None, true) => "GET, HEAD",
            (Input::Optional, true) => "GET, HEAD, POST, PUT",
            (Input::Required, true) | (_, false) => "POST, PUT",
        }
    }

    /// Whether it answers this method.
    #[must_use]
    pub fn accepts(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|accepted| accepted == method.as_str())
    }

    /// The headers of a response.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The ends of a run that is only planned.
fn planned() -> Ends {
    Ends {
        source: Source::of(Box::new(RequestBody::new(None).0)),
        sink: Box::new(ResponseBody::planned()),
        feeds_programs: true,
    }
}

/// Names the option that sets a run's memory here.
fn for_runs(mut error: ChainError) -> Refusal {
    let renamed = |text: &str| text.replace("--memory", "--run-memory");
    for problem in &mut error.problems {
        problem.message = renamed(&problem.message);
        problem.help = problem.help.as_deref().map(renamed);
    }
    Refusal::Pipeline(error)
}

/// The pipeline's text without the ends that are not written in it.
fn text_of(plan: &Plan) -> &str {
    let is_implied = |node| plan.stages[node].is_implied;
    let text = plan.text.as_str();
    let text = text
        .strip_prefix("read - | ")
        .filter(|_| is_implied(plan.graph.root()))
        .unwrap_or(text);
    let ends = plan.graph.sinks().any(is_implied);
    text.strip_suffix(" | write -").filter(|_| ends).unwrap_or(text)
}

fn input(plan: &Plan) -> Input {
    let root = plan.graph.root();
    if !plan.stages[root].is_implied {
        return Input::None;
    }
    let first = plan.graph.downstream(root).next().map(|node| plan.stages[node].name);
    let catalog = catalog();
    let definition = catalog.iter().find(|definition| Some(definition.name) == first);
    match definition.map(|definition| definition.build) {
        Some(Build::Anywhere { .. }) => Input::Optional,
        _ => Input::Required,
    }
}

fn headers(path: &str, media_type: Option<&'static str>, options: &RouteOptions) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let Some(media_type) = media_type else {
        headers.extend(options.headers.clone());
        return headers;
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let last = path.rsplit('/').next().filter(|name| name.contains('.'));
    if let Some(name) = options.name.as_deref().or(last)
        && let Ok(value) = HeaderValue::from_str(&disposition(name))
    {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    for (name, value) in &options.headers {
        headers.remove(name);
        headers.append(name, value.clone());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, text: &str) -> Route {
        Route::new(path, text.as_bytes(), &RouteOptions::default()).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    fn refusal(path: &str, text: &str) -> String {
        match Route::new(path, text.as_bytes(), &RouteOptions::default()) {
            Err(Refusal::Other(why)) => why,
            Err(Refusal::Pipeline(error)) => error.problems[0].message.clone(),
            Ok(_) => panic!("{path} {text} is served"),
        }
    }

    #[test]
    fn methods_follow_from_the_pipeline() {
        for (text, methods) in [
            ("read a | gzip", "GET, HEAD"),
            ("gzip", "POST, PUT"),
            ("exec pg_dump | gzip", "GET, HEAD, POST, PUT"),
            ("gzip | write a.gz", "POST, PUT"),
            ("read a | tee (write b)", "POST, PUT"),
            ("read a | tee (write b) | gzip", "GET, HEAD"),
        ] {
            assert_eq!(route("/", text).methods(), methods, "{text}");
        }
    }

    #[test]
    fn media_type_is_that_of_last_stage() {
        for (text, media_type) in [
            ("read a", "application/octet-stream"),
            ("read a | from-csv | where 'x == 1' | to-csv", "text/csv; charset=utf-8"),
            (
                "read a | from-csv | to-json array=true | throttle 1MB/s",
                "application/json",
            ),
            ("read a | from-csv", "application/x-ndjson"),
            ("read a | from-csv | to-csv | gzip", "application/gzip"),
            ("read a | gunzip", "application/octet-stream"),
            ("read a | lines | grep x", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(route("/", text).headers()[CONTENT_TYPE], media_type, "{text}");
        }
    }

    #[test]
    fn file_name_is_that_of_the_path() {
        let name = |path: &str| {
            let route = route(path, "read a");
            route
                .headers()
                .get(CONTENT_DISPOSITION)
                .map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(
            name("/a/export.csv").as_deref(),
            Some("attachment; filename=\"export.csv\"")
        );
        assert_eq!(name("/a/export"), None);
    }

    #[test]
    fn unusable_routes_are_refused() {
        assert_eq!(refusal("a", "gzip"), "a: a path begins with /");
        assert_eq!(
            refusal("/-/health", "gzip"),
            "/-/health: paths below /-/ are the service's own"
        );
        assert_eq!(
            refusal("/a", "read - | gzip"),
            "/a: read -: is that of the service; leave it out: a run reads the request's body and writes the response's"
        );
        assert_eq!(refusal("/a", "gzp"), "unknown stage `gzp`");
        let little = RouteOptions {
            run_memory: Some(64 << 10),
            ..RouteOptions::default()
        };
        let Err(Refusal::Pipeline(error)) = Route::new("/", b"read a | gzip", &little) else {
            panic!("it does not fit");
        };
        assert_eq!(
            error.problems[0].message,
            "--run-memory 64KiB is too little for this pipeline"
        );
    }
}
