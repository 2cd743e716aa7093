//! Determines what flows over each link, and whether the stage behind it accepts that.

use crate::error::Problem;
use crate::graph::{Graph, NodeMap, Port};
use crate::stage::Mismatch;

use super::budget::Demand;
use super::{Planned, StagePlan};

/// Determines what flows over each link. `demands` have the stages' places in the text.
///
/// Returns a problem for each stage that cannot accept its input, with the stage that would convert it.
pub fn check(graph: &mut Graph, stages: &NodeMap<Planned<StagePlan>>, demands: &NodeMap<Demand>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (node, stage) in stages.iter() {
        let input = graph.input(node).map_or(Port::Bytes, |edge| graph.edge(edge).port);
        let output = match &stage.plan {
            StagePlan::Source(source) => Ok(source.port()),
            StagePlan::Transform(transform) => match transform.conversion() {
                Some(conversion) => conversion.output_port(input),
                // A stage without a conversion keeps the kind of its input.
                None => Ok(input),
            },
            StagePlan::Branch(branch) => {
                problems.extend(branch.takes(input).err());
                Ok(input)
            }
            StagePlan::Sink(sink) => sink.takes(input).map(|()| input),
        };
        match output {
            Ok(port) => {
                graph.set_output_port(node, port);
                if let Some((_, span)) = demands[node].record_marks.clone().filter(|_| !port.has_records()) {
                    let message = format!("`{}` gives bytes, and `high-records` is for records", stage.name);
                    let problem = Problem::at(span, message).label("nothing to count");
                    problems.push(problem.help("use it behind `lines`, `from-json`, `from-csv` or `from-sse`"));
                }
            }
            Err(mismatch) => problems.push(problem(stage.name, input, &mismatch, demands[node].span.clone())),
        }
    }
    problems
}

fn problem(name: &str, input: Port, mismatch: &Mismatch, span: std::ops::Range<usize>) -> Problem {
    let message = format!(
        "`{name}` takes {}, and {} reach it",
        mismatch.takes.name(),
        input.name()
    );
    let problem = Problem::at(span, message).label(format!("needs {}", mismatch.takes.name()));
    match mismatch.through {
        [] => problem,
        through => {
            let stages: Vec<String> = through.iter().map(|stage| format!("`{stage}`")).collect();
            problem.help(format!("put {} before it", stages.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{Conversion, Stage, TransformPlan};

    /// Accepts one kind and sends another.
    struct Converter(Port, Port, &'static [&'static str]);

    impl TransformPlan for Converter {
        fn make(self: Box<Self>) -> Box<dyn Stage> {
            unreachable!("it is only planned")
        }

        fn conversion(&self) -> Option<&dyn Conversion> {
            Some(self)
        }
    }

    impl Conversion for Converter {
        fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
            if input == self.0 {
                return Ok(self.1);
            }
            Err(Mismatch {
                takes: self.0,
                through: self.2,
            })
        }
    }

    fn checked(converters: Vec<Converter>) -> (Graph, Vec<Problem>) {
        let mut stages = NodeMap::default();
        let mut demands = NodeMap::default();
        stages.push(Planned::new(
            "read",
            "",
            StagePlan::Source(crate::endpoints::read::standard_input()),
        ));
        demands.push(Demand::none(0..4));
        for (converter, at) in converters.into_iter().zip(1..) {
            stages.push(Planned::new("convert", "", StagePlan::Transform(Box::new(converter))));
            demands.push(Demand::none(at * 10..at * 10 + 7));
        }
        let mut graph = Graph::chain(stages.len());
        let problems = check(&mut graph, &stages, &demands);
        (graph, problems)
    }

    #[test]
    fn each_link_carries_what_its_producer_gives() {
        let (graph, problems) = checked(vec![
            Converter(Port::Bytes, Port::Lines, &[]),
            Converter(Port::Lines, Port::Json, &[]),
            Converter(Port::Json, Port::Bytes, &[]),
        ]);
        assert_eq!(problems, []);
        let ports: Vec<Port> = graph.edges().map(|edge| graph.edge(edge).port).collect();
        assert_eq!(ports, [Port::Bytes, Port::Lines, Port::Json]);
    }

    #[test]
    fn mismatch_names_a_converting_stage() {
        let (_, problems) = checked(vec![
            Converter(Port::Bytes, Port::Lines, &[]),
            Converter(Port::Json, Port::Json, &["from-json", "from-csv"]),
        ]);
        let [problem] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert_eq!(problem.span, 20..27);
        assert_eq!(problem.message, "`convert` takes JSON, and lines reach it");
        assert_eq!(problem.help.as_deref(), Some("put `from-json` or `from-csv` before it"));
    }
}
