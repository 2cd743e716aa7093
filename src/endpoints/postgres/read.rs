//! Rows out of a database.

use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Problem, Stop};
use crate::net::postgres::{Connection, MEMORY};
use crate::platform::Queued;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, Outside, Reach, StreamReader};

use super::json::Lines;
use super::{MAX_TIME, Planned, QUERY, TABLE};

/// A query that is planned.
struct Query {
    planned: Planned,
    /// What is copied: a table, or a query in parentheses.
    what: String,
    max_time: Option<Duration>,
}

pub fn named(rest: &[u8], args: &Args) -> Placed {
    let planned = Planned::of(rest, args)?;
    let what = match (args.text(QUERY.name), &planned.table) {
        (Some(_), Some(_)) => {
            let problem = Problem::at(args.span_of(QUERY.name), "`query` and `table` exclude each other");
            return Err(problem.help("give one of them"));
        }
        (Some(query), None) => format!("({})", query.trim().trim_end_matches(';')),
        // COPY of a table leaves out the rows of those that inherit from it, and of views.
        (None, Some(table)) => match table.split_once(" (") {
            Some((table, columns)) => format!("(SELECT {} FROM {table})", columns.trim_end_matches(')')),
            None => format!("(SELECT * FROM {table})"),
        },
        (None, None) => {
            let problem = Problem::at(args.span_of("path"), "there is neither a table nor a query");
            return Err(problem.help(format!("give {}=NAME, or {}='select …'", TABLE.name, QUERY.name)));
        }
    };
    Ok(Box::new(Query {
        planned,
        what,
        max_time: args.duration(MAX_TIME.name),
    }))
}

impl Query {
    fn command(&self) -> String {
        let what = match self.planned.format {
            "json" => format!("(SELECT to_json(\"row\") FROM {} AS \"row\")", self.what),
            _ => self.what.clone(),
        };
        format!("COPY {what} TO STDOUT {}", self.planned.copy_options(true))
    }
}

impl Endpoint for Query {
    fn shown(&self) -> String {
        self.planned.target.to_string()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        MEMORY
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let mut connection = self.planned.connect(Kind::Source).await?;
            connection.begin_reading(&self.command()).await?;
            let rows = Rows {
                connection,
                lines: (self.planned.format == "json").then(Lines::default),
                begun: Instant::now(),
                max_time: self.max_time,
            };
            Ok(OpenReader::Stream(Box::new(rows)))
        })
    }
}

/// The rows of a query that runs.
struct Rows {
    connection: Connection,
    /// Makes lines of rows of JSON.
    lines: Option<Lines>,
    begun: Instant,
    max_time: Option<Duration>,
}

impl StreamReader for Rows {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        loop {
            let count = ready!(self.connection.poll_rows(context, buffer))?;
            let kept = self
                .lines
                .as_mut()
                .map_or(count, |lines| lines.unquote(&mut buffer[..count]));
            if kept > 0 || count == 0 {
                return Poll::Ready(Ok(kept));
            }
        }
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.connection.transport().queue()
    }

    fn snapshot(&self) -> Option<Instant> {
        Some(self.begun)
    }

    fn expires(&self) -> Option<(tokio::time::Instant, Failure)> {
        let limit = self.max_time?;
        let end = tokio::time::Instant::from_std(self.begun + limit);
        let limit = humantime::format_duration(limit);
        let why = format!("it was not read to its end within {limit} (max-time)");
        Some((end, Failure::because(Kind::Timeout, "the query was ended", why)))
    }
}
