//! What is compared.

use std::io;

use crate::consumer::Consumer;
use crate::data::{Data, Input};
use crate::run::{Checked, Program, Took, Verdict};

/// One pipeline in its three forms.
pub struct Scenario {
    /// What it does.
    pub name: &'static str,
    /// The pipeline of ours, behind `read -` and before `write`.
    ours: &'static str,
    /// The programs of tests/articles: as it should be, and as it often is.
    node: [&'static str; 2],
    input: Input,
    consumer: Consumer,
    /// How `highwater check` judges the programs.
    checked: Checked,
}

/// Bytes per second of a consumer that is slower than its producer.
const SLOW: u64 = 16_000_000;
/// Those of a client on a mobile network.
const MOBILE: u64 = 100_000;

const fn filter(
    name: &'static str,
    ours: &'static str,
    node: [&'static str; 2],
    input: Input,
    consumer: Consumer,
) -> Scenario {
    Scenario {
        name,
        ours,
        node,
        input,
        consumer,
        checked: Checked::Json,
    }
}

/// Every pipeline, in the order of the table.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        checked: Checked::Lines,
        ..filter(
            "a file to a slow sink",
            "",
            ["copy_pipe", "copy_write"],
            Input::Bytes,
            Consumer::Slow(SLOW),
        )
    },
    Scenario {
        checked: Checked::Lines,
        ..filter(
            "gzip a file",
            "gzip",
            ["gzip_stream", "gzip_whole"],
            Input::Bytes,
            Consumer::Fast,
        )
    },
    filter(
        "JSON Lines in upper case",
        "from-json | upper name",
        ["upper_stream", "upper_all"],
        Input::Records,
        Consumer::Fast,
    ),
    Scenario {
        checked: Checked::Served,
        ..filter(
            "a query as compressed CSV to three mobile clients",
            "gzip threads=1",
            ["export_stream", "export_collect"],
            Input::Database,
            Consumer::Clients(MOBILE),
        )
    },
    Scenario {
        checked: Checked::Input,
        ..filter(
            "tokens of a model, redacted, to a slow client",
            "from-sse | redact email | to-sse",
            ["tokens_stream", "tokens_write"],
            Input::Tokens,
            Consumer::Slow(SLOW / 4),
        )
    },
    filter(
        "rows as CSV, many small writes",
        "from-json | select id name | to-csv",
        ["csv_cork", "csv_write"],
        Input::Records,
        Consumer::Slow(SLOW / 4),
    ),
    Scenario {
        checked: Checked::Not,
        ..filter(
            "a large file to a slow store",
            "",
            ["upload_stream", "upload_whole"],
            Input::Bytes,
            Consumer::Store(SLOW * 2),
        )
    },
    filter(
        "a log that is counted",
        "from-json | select level | exec sort | exec uniq -c",
        ["count_stream", "count_all"],
        Input::Records,
        Consumer::Fast,
    ),
    filter(
        "four rows on one side, 4 KiB on the other",
        "from-json high-records=4 | select id name high-records=4 | to-csv high=4KiB",
        ["rows_marked", "rows_early"],
        Input::Records,
        Consumer::Slow(SLOW / 4),
    ),
    Scenario {
        checked: Checked::Lines,
        ..filter(
            "a mark of 64 bytes, and work that takes a while",
            "throttle 2MB/s high=4KiB",
            ["delay_marked", "delay_early"],
            Input::Few,
            Consumer::Fast,
        )
    },
];

/// The figures of one pipeline: ours, Node as it should be, Node as it often is.
pub struct Measured {
    pub took: [Took; 3],
    /// What `highwater check` says of the two programs.
    pub verdicts: [Option<Verdict>; 2],
}

impl Scenario {
    /// Runs all three forms, in turns.
    pub fn measure(&self, data: &Data) -> io::Result<Measured> {
        let input = data.path(self.input);
        let programs = [
            Program::ours(self.ours, self.consumer, &input)?,
            Program::node(self.node[0], self.consumer, &input),
            Program::node(self.node[1], self.consumer, &input),
        ];
        let mut runs: [Vec<Took>; 3] = [const { Vec::new() }; 3];
        for _ in 0..3 {
            for (runs, program) in runs.iter_mut().zip(&programs) {
                runs.push(self.consumer.run(program, &input)?);
            }
        }
        let verdict = |name| self.checked.verdict(name, self.consumer, &input);
        let verdicts = [verdict(self.node[0])?, verdict(self.node[1])?];
        Ok(Measured {
            took: runs.map(|runs| Took::median(&runs)),
            verdicts,
        })
    }
}
