//! The media type of what a pipeline gives, by its last stages.

use crate::graph::{NodeId, Port};
use crate::plan::{Plan, Planned, StagePlan};

/// The media type of what reaches `sink`, as far as the stages tell.
pub fn of(plan: &Plan, sink: NodeId) -> &'static str {
    let known = plan.graph.before(sink).find_map(|node| of_stage(&plan.stages[node]));
    known.unwrap_or_else(|| {
        let port = plan.graph.input(sink).map(|edge| plan.graph.edge(edge).port);
        match port {
            Some(Port::Json) => "application/x-ndjson",
            Some(Port::Lines) => "text/plain; charset=utf-8",
            Some(Port::Bytes | Port::Messages) | None => "application/octet-stream",
        }
    })
}

/// What a stage turns its input into; `None` if it passes on what it gets.
fn of_stage(stage: &Planned<StagePlan>) -> Option<&'static str> {
    Some(match stage.name {
        "to-csv" => "text/csv; charset=utf-8",
        "to-json" if stage.text.split_whitespace().any(|word| word == "array=true") => "application/json",
        "to-json" | "from-json" | "from-csv" | "from-sse" => "application/x-ndjson",
        "to-sse" => "text/event-stream",
        "lines" => "text/plain; charset=utf-8",
        "gzip" => "application/gzip",
        "zstd" => "application/zstd",
        "xz" => "application/x-xz",
        "bzip2" => "application/x-bzip2",
        "lz4" => "application/x-lz4",
        // Their output may be anything.
        "exec" | "sh" | "brotli" => "application/octet-stream",
        _ if stage.plan.as_transform()?.conversion()?.content().is_some() => "application/octet-stream",
        _ => return None,
    })
}
