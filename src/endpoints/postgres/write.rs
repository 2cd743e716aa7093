//! Rows into a table, in one transaction.

use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Problem, Stop};
use crate::net::postgres::{Connection, MEMORY};
use crate::platform::Queued;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenWriter, Outcome, Outside, Phase, Reach, Rollback, StreamWriter};

use super::super::revocable::{Revocable, Revoke};
use super::{Planned, TABLE};

/// Where the rows of JSON wait until all of them are there. It belongs to the session, and ends with the transaction.
const WAITING: &str = "pg_temp.highwater_rows";

/// A table that is written to.
struct Table {
    planned: Planned,
    /// Its name and its columns, as they stand in a command.
    table: String,
}

pub fn named(rest: &[u8], args: &Args) -> Placed {
    let planned = Planned::of(rest, args)?;
    let Some(table) = planned.table.clone() else {
        let problem = Problem::at(args.span_of("path"), "the table is missing");
        return Err(problem.help(format!("give {}=NAME", TABLE.name)));
    };
    Ok(Box::new(Table { planned, table }))
}

impl Table {
    fn is_json(&self) -> bool {
        self.planned.format == "json"
    }

    /// What makes rows of the table of the rows of JSON.
    fn insertion(&self) -> String {
        let (table, columns) = match self.table.split_once(" (") {
            Some((table, columns)) => (table, columns.trim_end_matches(')')),
            None => (self.table.as_str(), "*"),
        };
        let list: Vec<String> = columns.split(", ").map(|column| format!("r.{column}")).collect();
        format!(
            "INSERT INTO {} SELECT {} FROM {WAITING} w, json_populate_record(NULL::{table}, w.j) r",
            self.table,
            list.join(", ")
        )
    }
}

impl Endpoint for Table {
    fn shown(&self) -> String {
        self.planned.target.to_string()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        MEMORY
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn effect(&self) -> String {
        let through = if self.is_json() {
            ", through a temporary table"
        } else {
            ""
        };
        format!(
            "copies into {} of {} in one transaction{through}",
            self.table,
            self.shown()
        )
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let mut connection = self.planned.connect(Kind::Sink).await?;
            connection.run("cannot begin a transaction", "BEGIN").await?;
            let into = if self.is_json() {
                let create = "CREATE TEMPORARY TABLE highwater_rows (j json) ON COMMIT DROP";
                connection.run("cannot make a temporary table", create).await?;
                WAITING
            } else {
                &self.table
            };
            let command = format!("COPY {into} FROM STDIN {}", self.planned.copy_options());
            connection.begin_writing(&command).await?;
            Ok(OpenWriter::Stream(Box::new(Rows {
                connection,
                insertion: self.is_json().then(|| self.insertion()),
                transaction: Arc::default(),
            })))
        })
    }
}

/// The transaction, which ends with the connection unless it is committed.
#[derive(Debug, Default)]
struct Transaction;

impl Revoke for Transaction {
    fn name(&self) -> String {
        "the transaction".to_owned()
    }
}

/// The rows of a COPY.
struct Rows {
    connection: Connection,
    /// What makes rows of the table of them.
    insertion: Option<String>,
    transaction: Arc<Revocable<Transaction>>,
}

impl StreamWriter for Rows {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        self.connection.poll_send(context, slices).map_err(Stop::from)
    }

    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        self.connection.transport().limit_unsent(bytes)
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.connection.transport().queue()
    }

    fn phase(&self) -> Phase {
        Phase::Remote
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            self.connection.finish_writing().await?;
            if let Some(insertion) = &self.insertion {
                self.connection.run("cannot insert the rows", insertion).await?;
            }
            Ok(())
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            let tag = self.connection.run("cannot commit", "COMMIT").await?;
            if tag != "COMMIT" {
                let why = format!("the server answered {tag}");
                return Err(Failure::because(Kind::Sink, "cannot commit", why).into());
            }
            self.transaction.commit(|_| Ok(()))?;
            self.connection.close().await;
            Ok(())
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.transaction.clone())
    }
}
