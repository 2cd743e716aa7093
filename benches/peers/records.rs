//! The rows of record stages, and their data: the input and what every program must make of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::compare::{Goal, Work};
use crate::contender::Contender;
use crate::data::Data;
use crate::run::Route;

/// One row of a made-up log. No text has a space behind a colon or a comma, which some programs add between tokens.
struct Row {
    id: u64,
    level: &'static str,
    user: String,
    service: &'static str,
    path: String,
    status: u64,
    quarters: u64,
    client: Option<String>,
    text: &'static str,
}

const SERVICES: [&str; 8] = [
    "billing", "search", "login", "mail", "gateway", "storage", "reports", "billing",
];
const TEXTS: [&str; 4] = [
    "the request was done and its answer has been written to the client",
    "retried once,then passed on to another host of the same zone",
    "the cache had no entry so the origin was asked for the whole object",
    "slow,for more than the usual time was spent while it waited for a lock",
];

/// Rows without end: Marsaglia's xorshift64.
fn rows() -> impl Iterator<Item = Row> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % below
    };
    let pick = |from: &[&'static str], random: u64| from[usize::try_from(random).unwrap_or(0)];
    (1..).map(move |id| {
        let service = pick(&SERVICES, random(8));
        Row {
            id,
            level: ["info", "fatal"][usize::from(random(64) == 0)],
            user: format!("user-{}", random(100_000)),
            service,
            path: format!("/{service}/{:05}", random(100_000)),
            status: 200 + random(4) * 100,
            quarters: random(8000) * 4 + 1 + random(3),
            client: (random(8) == 0).then(|| format!("10.{}.{}.{}", random(256), random(256), random(256))),
            text: pick(&TEXTS, random(4)),
        }
    })
}

impl Row {
    /// The names and values of its members. Values stand as in JSON.
    fn members(&self) -> [(&'static str, String); 9] {
        let quoted = |text: &str| format!("\"{text}\"");
        let hundredths = self.quarters * 25;
        let time = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        [
            ("id", self.id.to_string()),
            ("level", quoted(self.level)),
            ("user", quoted(&self.user)),
            ("service", quoted(self.service)),
            ("path", quoted(&self.path)),
            ("status", self.status.to_string()),
            ("ms", time.trim_end_matches('0').to_owned()),
            ("client", quoted(self.client.as_deref().unwrap_or("-"))),
            ("text", quoted(self.text)),
        ]
    }

    fn json(&self) -> String {
        object(&self.members())
    }

    fn csv(&self) -> String {
        let fields = self.members().map(|(_, value)| {
            if value.contains(',') {
                value
            } else {
                value.trim_matches('"').to_owned()
            }
        });
        fields.join(",") + "\n"
    }
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}\n", members.join(","))
}

/// A file with what `line` makes of each row of an input of `size` bytes.
fn file(
    data: &Data,
    name: &str,
    size: u64,
    measure: fn(&Row) -> String,
    head: &str,
    line: impl Fn(&Row) -> Option<String>,
) -> io::Result<PathBuf> {
    let write = |file: File| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(head.as_bytes())?;
        let mut length = 0;
        for row in rows() {
            length += measure(&row).len() as u64;
            if length > size {
                break;
            }
            if let Some(line) = line(&row) {
                file.write_all(line.as_bytes())?;
            }
        }
        file.flush()
    };
    data.once(&format!("rows-{size}.{name}"), write)
}

const HEADER: &str = "id,level,user,service,path,status,ms,client,text\n";
const LEVEL: &str = r#""level":"fatal""#;
const ADDRESS: &str = r"10\.[0-9]+\.[0-9]+\.[0-9]+";
const PATH: &str = r#"/[a-z]+/[0-9]{3}77""#;
const USER: &str = r#"[a-z]{4}-[0-9]{3}[67]{2}""#;

/// Every row. Ours takes as many threads as it has stages.
#[allow(clippy::too_many_lines, reason = "a table of rows")]
pub fn all(data: &Data) -> io::Result<Vec<Work>> {
    let size = data.record_size;
    let from = |name: &str, line: &dyn Fn(&Row) -> Option<String>| file(data, name, size, Row::json, "", line);
    let json = from("jsonl", &|row| Some(row.json()))?;
    let fatal = from("fatal", &|row| (row.level == "fatal").then(|| row.json()))?;
    let selected = from("selected", &|row| {
        let [id, level, user, ..] = row.members();
        Some(object(&[id, level, user]))
    })?;
    let upper = from("upper", &|row| {
        let mut members = row.members();
        members[3].1 = members[3].1.to_uppercase();
        Some(object(&members))
    })?;
    let matching = from("matching", &|row| row.path.ends_with("77").then(|| row.json()))?;
    let users = from("users", &|row| {
        let digits = row.user.trim_start_matches("user-");
        let is_wanted = digits.len() == 5 && digits[3..].chars().all(|digit| "67".contains(digit));
        is_wanted.then(|| row.json())
    })?;
    let redacted = from("redacted", &|row| {
        let json = row.json();
        Some((row.client.as_ref()).map_or_else(|| json.clone(), |client| json.replace(client, "***")))
    })?;
    let table = file(data, "csv", size, Row::json, HEADER, |row| Some(row.csv()))?;
    let size = size / 3 * 2;
    let csv = file(data, "csv", size, Row::csv, HEADER, |row| Some(row.csv()))?;
    let typed = file(data, "typed", size, Row::csv, "", |row| Some(row.json()))?;

    let row = |name, input: &PathBuf, expected: PathBuf, stages: &str, peers: &[String]| Work {
        name,
        route: Route::File,
        input: input.clone(),
        expected,
        unpack: None,
        repeat: 1,
        ours: Contender::new(&format!(
            "highwater -q read {{in}} :: {stages} :: write {{out}} sync=false"
        )),
        peers: (peers.iter())
            .map(|line| {
                let peer = Contender::new(&format!("{line} {{in}} > {{out}}"));
                if line.contains("--ojsonl") { peer.spaced() } else { peer }
            })
            .collect(),
        must: Goal::NONE,
        aim: Goal::NONE,
    };
    let lines = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let literal = format!("mawk 'index($0,\"{}\")'", LEVEL.replace('"', "\\\""));
    let fixed = format!("rg -N -F '{LEVEL}'");
    let where_peers = lines(&[
        "jq -c 'select(.level == \"fatal\")'",
        "jaq -c 'select(.level == \"fatal\")'",
        "mlr --ijsonl --ojsonl filter '$level == \"fatal\"'",
        &literal,
        &fixed,
    ]);
    let select_peers = lines(&[
        "jq -c '{id,level,user}'",
        "jaq -c '{id,level,user}'",
        "mlr --ijsonl --ojsonl cut -f id,level,user",
    ]);
    let upper_peers = lines(&[
        "jq -c '.service|=ascii_upcase'",
        "jaq -c '.service|=ascii_upcase'",
        "mlr --ijsonl --ojsonl put '$service = toupper($service)'",
    ]);
    let jaq_aim = Goal::of("jaq", 0.05, "≤ 0.05 × jaq");
    let each = |name, input, expected, stages: &str, peers: &[String], must: Goal, aim| Work {
        must: Goal {
            megabytes: Some(14.0),
            ..must
        },
        aim,
        ..row(name, input, expected, stages, peers)
    };
    Ok(vec![
        each(
            "where FIELD == VALUE over JSON Lines",
            &json,
            fatal.clone(),
            "from-json :: where 'level == fatal'",
            &where_peers,
            Goal {
                others: &[("jq", 0.1), ("mawk", 1.0)],
                ..Goal::of("jaq", 0.1, "≤ 0.1 × jaq and jq, ≤ 1.0 × mawk's index(), ≤ 14 MB")
            },
            Goal::of("rg", 1.2, "≤ 1.2 × rg -F"),
        ),
        each(
            "select three fields of JSON Lines",
            &json,
            selected,
            "from-json :: select id level user",
            &select_peers,
            Goal {
                others: &[("mlr", 0.05)],
                ..Goal::of("jaq", 0.1, "≤ 0.1 × jaq, ≤ 0.05 × miller, ≤ 14 MB")
            },
            jaq_aim,
        ),
        each(
            "upper a field of JSON Lines",
            &json,
            upper,
            "from-json :: upper service",
            &upper_peers,
            Goal {
                others: &[("mlr", 0.05)],
                ..Goal::of("jaq", 0.1, "≤ 0.1 × jaq, ≤ 0.05 × miller, ≤ 14 MB")
            },
            jaq_aim,
        ),
        each(
            "from-csv, to JSON Lines",
            &csv,
            typed,
            "from-csv types=infer",
            &lines(&["mlr --icsv --ojsonl cat", "xan to ndjson"]),
            Goal {
                others: &[("mlr", 0.25)],
                ..Goal::of("xan", 0.8, "≤ 0.8 × xan, ≤ 0.25 × miller, ≤ 14 MB")
            },
            Goal::of("xan", 0.5, "≤ 0.5 × xan"),
        ),
        each(
            "to-csv, from JSON Lines",
            &json,
            table,
            "from-json :: to-csv",
            &lines(&["mlr --ijsonl --ocsv cat", "xan from -f ndjson"]),
            Goal {
                others: &[("mlr", 0.25)],
                ..Goal::of("xan", 0.8, "≤ 0.8 × xan, ≤ 0.25 × miller, ≤ 14 MB")
            },
            Goal::of("xan", 0.5, "≤ 0.5 × xan"),
        ),
        each(
            "grep of a fixed text",
            &json,
            fatal,
            &format!("lines :: grep '{LEVEL}' fixed=true"),
            &[fixed.clone(), literal.clone()],
            Goal::of("rg", 1.3, "≤ 1.3 × rg, ≤ 14 MB"),
            Goal::of("rg", 1.0, "≤ 1.0 × rg"),
        ),
        each(
            "grep of a regular expression with a rare literal",
            &json,
            matching,
            &format!("lines :: grep '{PATH}'"),
            &[format!("rg -N '{PATH}'")],
            Goal::of("rg", 0.5, "≤ 0.5 × rg, ≤ 14 MB"),
            Goal::NONE,
        ),
        each(
            "grep of a regular expression without one",
            &json,
            users,
            &format!("lines :: grep '{USER}'"),
            &[format!("rg -N '{USER}'")],
            Goal::of("rg", 0.5, "≤ 0.5 × rg, ≤ 14 MB"),
            Goal::NONE,
        ),
        each(
            "redact a pattern",
            &json,
            redacted,
            &format!("lines :: redact '{ADDRESS}'"),
            &[
                format!("rg -N --passthru -r *** '{ADDRESS}'"),
                format!("sed -E 's/{ADDRESS}/***/g'"),
            ],
            Goal::of("rg", 0.7, "≤ 0.7 × rg --passthru -r, ≤ 14 MB"),
            Goal::NONE,
        ),
    ])
}
