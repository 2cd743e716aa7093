//! A snapshot in the text format 0.0.4 of Prometheus.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::{Snapshot, StageSample};
use crate::graph::NodeMap;

use super::families::{Family, Field, Kind, LINK, RUN, STAGE};

/// What the media type of the page is.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const BUILD: Family = info("highwater_build_info", "The program that runs, always 1.");
const LANE: Family = info(
    "highwater_lane_info",
    "How the bytes move: linked, or the direct path's name; always 1.",
);
const STAGES: Family = info("highwater_stage_info", "The stages with their text, always 1.");
const BOTTLENECK: Family = info(
    "highwater_stage_bottleneck",
    "Whether everything waits for this stage, by its share of the last seconds: 1 or 0.",
);

const fn info(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Gauge;
    Family { name, kind, help }
}

/// A label and its value, not escaped yet.
type Label<'a> = (&'a str, &'a str);

/// All that is known of a run; before its stages are started that is only which program it is.
#[must_use]
pub fn page(snapshot: Option<&Snapshot>) -> String {
    let mut page = Page::default();
    page.head(&BUILD);
    page.sample(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))], &Value::from(1));
    let Some(snapshot) = snapshot else {
        return page.0;
    };
    page.head(&LANE);
    page.sample(&LANE, &[("lane", snapshot.lane)], &Value::from(1));
    page.table(RUN, &[(numbers(&snapshot.run), Vec::new())]);

    let places = snapshot.stages.map(|node, _| node.to_string());
    let stages: NodeMap<Vec<Label>> = snapshot
        .stages
        .map(|node, stage| vec![("stage", places[node].as_str()), ("name", stage.name.as_ref())]);
    page.head(&STAGES);
    for (node, stage) in snapshot.stages.iter() {
        let labels = [stages[node].as_slice(), &[("text", stage.text.as_str())]].concat();
        page.sample(&STAGES, &labels, &Value::from(1));
    }
    page.head(&BOTTLENECK);
    for (node, labels) in stages.iter() {
        page.sample(&BOTTLENECK, labels, &Value::from(snapshot.bottleneck == Some(node)));
    }
    let rows = snapshot
        .stages
        .iter()
        .map(|(node, stage)| (times(stage), stages[node].clone()));
    page.table(STAGE, &rows.collect::<Vec<_>>());

    let rows = snapshot.links.iter().map(|(edge, link)| {
        let edge = snapshot.graph.edge(edge);
        let labels = vec![("from", places[edge.from].as_str()), ("to", places[edge.to].as_str())];
        (numbers(link), labels)
    });
    page.table(LINK, &rows.collect::<Vec<_>>());
    page.0
}

/// Numbers by their keys in the stats object.
type Numbers = Map<String, Value>;

fn numbers(sample: &impl Serialize) -> Numbers {
    match serde_json::to_value(sample) {
        Ok(Value::Object(numbers)) => numbers,
        _ => Numbers::new(),
    }
}

/// A stage's numbers, with times in the place of shares: a share of an interval cannot be summed.
fn times(stage: &StageSample) -> Numbers {
    let mut all = numbers(stage);
    if stage.share.is_some() {
        all.extend(numbers(&stage.spent.map(|time| time.as_secs_f64())));
    }
    all
}

/// A page that is being written.
#[derive(Default)]
struct Page(String);

impl Page {
    /// The numbers of a table at every place, family by family; a family of which nothing is known is left out.
    fn table(&mut self, fields: &[Field], places: &[(Numbers, Vec<Label>)]) {
        for family in fields.chunk_by(|one, next| one.family == next.family) {
            let mut has_head = false;
            for (numbers, labels) in places {
                for field in family {
                    let Some(number) = numbers.get(field.key).filter(|number| !number.is_null()) else {
                        continue;
                    };
                    if !std::mem::replace(&mut has_head, true) {
                        self.head(&field.family);
                    }
                    let own: Vec<Label> = field.label.into_iter().collect();
                    self.sample(&field.family, &[labels.as_slice(), &own].concat(), number);
                }
            }
        }
    }

    fn head(&mut self, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let Family { name, help, .. } = family;
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, family: &Family, labels: &[Label], number: &Value) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let name = family.name;
        match (number.as_bool(), number.as_f64()) {
            (Some(flag), _) => self.line(format_args!("{name}{labels} {}", u8::from(flag))),
            (None, Some(real)) if number.is_f64() => self.line(format_args!("{name}{labels} {real}")),
            (None, _) => self.line(format_args!("{name}{labels} {number}")),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::view::live::sample;

    #[test]
    fn label_values_are_escaped() {
        let mut snapshot = sample::throttled();
        snapshot.stages.values_mut()[0].text = "read 'a\"b\\c\nd'".to_owned();
        let page = page(Some(&snapshot));
        let line = r#"highwater_stage_info{stage="0",name="read",text="read 'a\"b\\c\nd'"} 1"#;
        assert!(page.lines().any(|shown| shown == line), "{page}");
    }

    #[test]
    fn one_name_is_one_family() {
        let tables = [RUN, STAGE, LINK].map(|table| table.chunk_by(|one, next| one.family == next.family));
        let families: Vec<&[Field]> = tables.into_iter().flatten().collect();
        let names: BTreeSet<&str> = families.iter().map(|family| family[0].family.name).collect();
        assert_eq!(names.len(), families.len());
        for family in families {
            let labels: BTreeSet<_> = family.iter().map(|field| field.label).collect();
            assert_eq!(labels.len(), family.len(), "{}", family[0].family.name);
        }
    }

    #[test]
    fn what_nobody_knows_is_left_out() {
        let mut snapshot = sample::throttled();
        let has = |snapshot: &Snapshot, name: &str| page(Some(snapshot)).contains(name);
        assert!(has(&snapshot, "highwater_expected_bytes") && !has(&snapshot, "kernel_queue"));
        snapshot.run.expected = None;
        snapshot.stages.values_mut()[3].kernel_queue = Some(7);
        assert!(!has(&snapshot, "highwater_expected_bytes") && !has(&snapshot, "queue_capacity"));
        assert!(has(
            &snapshot,
            "highwater_stage_kernel_queue_bytes{stage=\"3\",name=\"write\"} 7\n"
        ));
        assert!(has(&snapshot, "highwater_stage_seconds_total"));
        assert!(
            !has(&sample::direct(), "highwater_stage_seconds_total"),
            "one call does both"
        );
    }

    #[test]
    fn before_the_start_there_is_only_the_program() {
        assert_eq!(page(None).lines().filter(|line| !line.starts_with('#')).count(), 1);
    }
}
