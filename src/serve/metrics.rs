//! The service's numbers for Prometheus, in the text format 0.0.4.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::platform::ResidentMemory;

use super::counters::{BOUNDS, Histogram, RouteCounters};
use super::entry::Outcome;
use super::handler::Shared;

/// A number of a route, and its times.
type Number = fn(&RouteCounters) -> u64;
type Times = fn(&RouteCounters) -> &Histogram;

/// The page. The paths of routes have no character that would have to be escaped.
pub fn page(shared: &Shared) -> String {
    let mut page = Page(String::new());
    page.head("highwater_build_info", "gauge", "The program that runs, always 1.");
    page.line(&format!(
        "highwater_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    ));
    let running = shared.live.by_route(shared.routes.len());
    let memory = ResidentMemory::open();
    for (name, help, value) in [
        (
            "highwater_resident_memory_bytes",
            "Resident memory of the process.",
            memory.now(),
        ),
        (
            "highwater_serve_memory_limit_bytes",
            "The ceiling over all runs.",
            shared.memory,
        ),
        (
            "highwater_serve_held_bytes",
            "What buffers and stages of all runs hold.",
            shared.live.held_bytes(),
        ),
        (
            "highwater_serve_waiting_requests",
            "Requests that wait for a run.",
            shared.admission.waiting() as u64,
        ),
        (
            "highwater_serve_clients_limit",
            "The most runs at once.",
            shared.clients as u64,
        ),
    ] {
        page.head(name, "gauge", help);
        page.line(&format!("{name} {value}"));
    }
    let counters = &shared.journal.counters;
    page.head("highwater_serve_runs", "gauge", "Runs of a route now.");
    for (route, count) in shared.routes.iter().zip(running) {
        page.line(&format!("highwater_serve_runs{{route=\"{}\"}} {count}", route.path));
    }
    page.head(
        "highwater_serve_requests_total",
        "counter",
        "Requests of a route, by how they ended.",
    );
    for (route, counters) in shared.routes.iter().zip(&counters.routes) {
        for outcome in Outcome::EVERY {
            let (path, name, count) = (&route.path, outcome.name(), counters.count(outcome));
            page.line(&format!(
                "highwater_serve_requests_total{{route=\"{path}\",outcome=\"{name}\"}} {count}"
            ));
        }
    }
    let name = "highwater_serve_unrouted_requests_total";
    page.head(name, "counter", "Requests of no route, health checks included.");
    page.line(&format!("{name} {}", counters.others.load(Ordering::Relaxed)));
    let sizes: [(&str, &str, Number); 2] = [
        (
            "highwater_serve_received_bytes_total",
            "Bytes of requests' bodies.",
            |route| route.received.load(Ordering::Relaxed),
        ),
        (
            "highwater_serve_sent_bytes_total",
            "Bytes of responses' bodies.",
            |route| route.sent.load(Ordering::Relaxed),
        ),
    ];
    for (name, help, value) in sizes {
        page.head(name, "counter", help);
        for (route, counters) in shared.routes.iter().zip(&counters.routes) {
            page.line(&format!("{name}{{route=\"{}\"}} {}", route.path, value(counters)));
        }
    }
    let times: [(&str, &str, Times); 2] = [
        (
            "highwater_serve_duration_seconds",
            "From the head of a request to the end of its run.",
            |route| &route.durations,
        ),
        (
            "highwater_serve_wait_seconds",
            "Time of a request in the line.",
            |route| &route.waits,
        ),
    ];
    for (name, help, histogram) in times {
        page.head(name, "histogram", help);
        for (route, counters) in shared.routes.iter().zip(&counters.routes) {
            page.histogram(name, &route.path, histogram(counters));
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(&format!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn histogram(&mut self, name: &str, route: &str, histogram: &Histogram) {
        let counts = histogram.cumulative();
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            self.line(&format!("{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {count}"));
        }
        self.line(&format!(
            "{name}_sum{{route=\"{route}\"}} {}",
            histogram.sum().as_secs_f64()
        ));
        let all = counts.last().copied().unwrap_or(0);
        self.line(&format!("{name}_count{{route=\"{route}\"}} {all}"));
    }
}
