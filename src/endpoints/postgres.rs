//! `postgres://`: rows out of a PostgreSQL database and into it, with COPY.

mod batches;
mod json;
mod read;
mod write;

use postgres_protocol::escape::escape_identifier;

use crate::catalog::{Access, Args, Kind as Value, Param, Scheme};
use crate::error::{Failure, Kind, Problem};
use crate::net::postgres::{Connection, Target};
use crate::net::retry::{self, Backoff};

use super::connecting::{CONNECT_TIMEOUT, ConnectOptions, RETRY, USER_TIMEOUT};

const TABLE: Param = Param::named("table", Value::Text, None, "the table, as NAME or SCHEMA.NAME");
const COLUMNS: Param = Param::named(
    "columns",
    Value::Text,
    None,
    "its columns, separated by commas; all unless given",
);
const QUERY: Param = Param::named(
    "query",
    Value::Text,
    None,
    "what to read instead of a table: select …, or values …",
);
const FORMAT: Param = Param::named(
    "format",
    Value::Choice(&["csv", "json", "text", "binary"]),
    Some("csv"),
    "how rows are written: CSV, one JSON object a line, or PostgreSQL's own text or binary form",
);
const COMMIT_EVERY: Param = Param::named(
    "commit-every",
    Value::Integer { min: 1, max: i64::MAX },
    None,
    "commit after so many rows, which stay if a later one fails, and acknowledge them to a source that goes on there: rows \
     behind the last acknowledged position may then come again; unless given, all are one transaction",
);
const MAX_TIME: Param = Param::named(
    "max-time",
    Value::Duration,
    None,
    "end the query with exit code 8 once it has been open for so long, however slow what follows is",
);

/// `postgres://[USER@]HOST[:PORT]/DATABASE`
pub static SCHEME: Scheme = Scheme {
    form: "postgres://[USER@]HOST[:PORT]/DATABASE",
    prefix: "postgres://",
    summary: "a table or a query of a PostgreSQL database",
    read: Some(Access {
        params: &[
            TABLE,
            COLUMNS,
            QUERY,
            FORMAT,
            Param::named(
                "header",
                Value::Flag,
                Some("true"),
                "whether CSV begins with the names of the columns",
            ),
            MAX_TIME,
            CONNECT_TIMEOUT,
            RETRY,
            USER_TIMEOUT,
        ],
        place: read::named,
    }),
    write: Some(Access {
        params: &[
            TABLE,
            COLUMNS,
            FORMAT,
            Param::named(
                "header",
                Value::Flag,
                Some("false"),
                "whether the first line of CSV is a header, which is skipped",
            ),
            COMMIT_EVERY,
            CONNECT_TIMEOUT,
            RETRY,
            USER_TIMEOUT,
        ],
        place: write::named,
    }),
};

/// A database that is asked, and how.
struct Planned {
    target: Target,
    options: ConnectOptions,
    format: &'static str,
    header: bool,
    /// The table and its columns, as they stand in a command.
    table: Option<String>,
}

impl Planned {
    fn of(rest: &[u8], args: &Args) -> Result<Self, Problem> {
        let target = Target::parse(rest).map_err(|wrong| wrong.of(args))?;
        let format = args.choice(FORMAT.name).unwrap_or("csv");
        if args.is_given("header") && format != "csv" {
            let problem = Problem::at(
                args.span_of("header"),
                format!("`header` is for CSV, and the format is {format}"),
            );
            return Err(problem.help("leave it out"));
        }
        let table = args.text(TABLE.name).map(|name| {
            let parts = name.split('.').map(escape_identifier);
            parts
                .map(|part| part.trim_start().to_owned())
                .collect::<Vec<_>>()
                .join(".")
        });
        let columns = args.text(COLUMNS.name).map(|names| {
            let names = names.split(',').map(|name| escape_identifier(name.trim()));
            format!(" ({})", names.collect::<Vec<_>>().join(", "))
        });
        if columns.is_some() && table.is_none() {
            let problem = Problem::at(args.span_of(COLUMNS.name), "`columns` is for a table");
            return Err(problem.help("name the columns in the query"));
        }
        Ok(Self {
            target,
            options: ConnectOptions::of(args),
            format,
            header: args.flag("header"),
            table: table.map(|table| table + columns.as_deref().unwrap_or_default()),
        })
    }

    /// The options of a COPY, of the first or of one that goes on.
    fn copy_options(&self, is_first: bool) -> String {
        match self.format {
            "csv" => format!("(FORMAT csv, HEADER {})", self.header && is_first),
            "json" => json::OPTIONS.to_owned(),
            format => format!("(FORMAT {format})"),
        }
    }

    async fn connect(&self, place: Kind) -> Result<Connection, Failure> {
        let dial = self.options.dial(place == Kind::Sink);
        retry::connect(self.options.retries, Backoff::default(), || {
            Connection::open(&self.target, dial, place)
        })
        .await
    }
}
