//! A snapshot in the text format 0.0.4 of Prometheus.

use std::fmt::Write as _;

use crate::engine::Snapshot;
use crate::graph::NodeMap;
use crate::view::fields::{Family, Field, Kind, LINK, Number, RUN, STAGE};

/// What the media type of the page is.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const BUILD: Family = info("highwater_build_info", "The program that runs, always 1.");
const LANE: Family = info(
    "highwater_lane_info",
    "How the bytes move: linked, or the direct lane's name; always 1.",
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
    page.sample(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))], Number::Whole(1));
    let Some(snapshot) = snapshot else {
        return page.0;
    };
    page.head(&LANE);
    page.sample(&LANE, &[("lane", snapshot.lane)], Number::Whole(1));
    page.table(RUN, snapshot, &[Vec::new()]);

    let numbers = snapshot.stages.map(|node, _| node.to_string());
    let stages: NodeMap<Vec<Label>> = snapshot
        .stages
        .map(|node, stage| vec![("stage", numbers[node].as_str()), ("name", stage.name)]);
    page.head(&STAGES);
    for (node, stage) in snapshot.stages.iter() {
        let labels = [stages[node].as_slice(), &[("text", stage.text.as_str())]].concat();
        page.sample(&STAGES, &labels, Number::Whole(1));
    }
    page.head(&BOTTLENECK);
    for (node, labels) in stages.iter() {
        page.sample(&BOTTLENECK, labels, Number::Flag(snapshot.bottleneck == Some(node)));
    }
    page.table(STAGE, snapshot, stages.values());

    let links = snapshot.links.map(|edge, _| {
        let edge = snapshot.graph.edge(edge);
        vec![("from", numbers[edge.from].as_str()), ("to", numbers[edge.to].as_str())]
    });
    page.table(LINK, snapshot, links.values());
    page.0
}

/// A page that is being written.
#[derive(Default)]
struct Page(String);

impl Page {
    /// The numbers of a table at every place, family by family; a family of which nothing is known is left out.
    fn table(&mut self, fields: &[Field], snapshot: &Snapshot, places: &[Vec<Label>]) {
        for (first, field) in fields.iter().enumerate() {
            let family = &field.family;
            if fields[..first].iter().any(|earlier| earlier.family.name == family.name) {
                continue;
            }
            let mut has_head = false;
            for (at, labels) in places.iter().enumerate() {
                for field in fields.iter().filter(|field| field.family.name == family.name) {
                    let number = field.metric.unwrap_or(field.get)(snapshot, at);
                    if number == Number::Unknown {
                        continue;
                    }
                    if !std::mem::replace(&mut has_head, true) {
                        self.head(family);
                    }
                    let own: Vec<Label> = field.label.into_iter().collect();
                    self.sample(family, &[labels.as_slice(), &own].concat(), number);
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

    fn sample(&mut self, family: &Family, labels: &[Label], number: Number) {
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
        match number {
            Number::Whole(number) => self.line(format_args!("{name}{labels} {number}")),
            Number::Real(number) => self.line(format_args!("{name}{labels} {number}")),
            Number::Flag(flag) => self.line(format_args!("{name}{labels} {}", u8::from(flag))),
            Number::Unknown => {}
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
    use super::*;
    use crate::platform::KernelQueue;
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
        let tables = [RUN, STAGE, LINK].map(|table| table.iter());
        let fields: Vec<&Field> = tables.into_iter().flatten().collect();
        for one in &fields {
            for other in fields.iter().filter(|other| other.family.name == one.family.name) {
                assert_eq!(one.family, other.family);
                assert!(
                    one.key == other.key || one.label != other.label,
                    "{} is there twice",
                    one.key
                );
            }
        }
    }

    #[test]
    fn what_nobody_knows_is_left_out() {
        let mut snapshot = sample::throttled();
        let has = |snapshot: &Snapshot, name: &str| page(Some(snapshot)).contains(name);
        assert!(has(&snapshot, "highwater_expected_bytes") && !has(&snapshot, "kernel_queue"));
        snapshot.expected = None;
        snapshot.stages.values_mut()[3].kernel_queue = Some(KernelQueue {
            bytes: 7,
            capacity: None,
        });
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
