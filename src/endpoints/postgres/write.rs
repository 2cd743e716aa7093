//! Rows into a table, in one transaction or in several.

use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Problem, Stop};
use crate::flow::Position;
use crate::net::postgres::{Connection, MEMORY};
use crate::platform::Queued;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenWriter, Outcome, Outside, Phase, Reach, Rollback, StreamWriter};

use super::super::revocable::{Revocable, Revoke};
use super::batches::Batches;
use super::{COMMIT_EVERY, Planned, TABLE};

/// Where the rows of JSON wait until all of them are there. It belongs to the session, and ends with the transaction.
const WAITING: &str = "pg_temp.highwater_rows";

/// A table that is written to.
struct Table {
    planned: Planned,
    /// Its name and its columns, as they stand in a command.
    name: String,
    /// Rows of each transaction; `None` for one of all.
    commit_every: Option<u64>,
    /// Whether its first line may have the names of the columns, although `header=` was not given.
    may_have_header: bool,
}

pub fn named(rest: &[u8], args: &Args) -> Placed {
    let planned = Planned::of(rest, args)?;
    let Some(name) = planned.table.clone() else {
        let problem = Problem::at(args.span_of("path"), "the table is missing");
        return Err(problem.help(format!("give {}=NAME", TABLE.name)));
    };
    let commit_every = args.integer(COMMIT_EVERY.name).map(i64::unsigned_abs);
    if commit_every.is_some() && planned.format == "binary" {
        let problem = Problem::at(
            args.span_of(COMMIT_EVERY.name),
            "rows of the binary format are not counted",
        );
        return Err(problem.help("use csv, json or text, or leave it out"));
    }
    Ok(Box::new(Table {
        may_have_header: planned.format == "csv" && !args.is_given("header"),
        planned,
        name,
        commit_every,
    }))
}

impl Table {
    fn is_json(&self) -> bool {
        self.planned.format == "json"
    }

    fn commands(&self) -> Commands {
        let into = if self.is_json() { WAITING } else { &self.name };
        let copy = |is_first| format!("COPY {into} FROM STDIN {}", self.planned.copy_options(is_first));
        Commands {
            first_copy: copy(true),
            first_line_hint: self
                .may_have_header
                .then_some("if that line has the names of the columns, give header=true"),
            next_copy: copy(false),
            insertion: self.is_json().then(|| self.insertion()),
        }
    }

    /// What makes rows of the table of the rows of JSON.
    fn insertion(&self) -> String {
        let (table, columns) = match self.name.split_once(" (") {
            Some((table, columns)) => (table, columns.trim_end_matches(')')),
            None => (self.name.as_str(), "*"),
        };
        let list: Vec<String> = columns.split(", ").map(|column| format!("r.{column}")).collect();
        format!(
            "INSERT INTO {} SELECT {} FROM {WAITING} w, json_populate_record(NULL::{table}, w.j) r",
            self.name,
            list.join(", ")
        )
    }
}

/// What is asked of the server.
struct Commands {
    first_copy: String,
    /// What may help if its first line is refused.
    first_line_hint: Option<&'static str>,
    next_copy: String,
    /// What makes rows of the table of those of JSON.
    insertion: Option<String>,
}

impl Commands {
    /// Begins a transaction and a COPY in it.
    async fn begin(&self, connection: &mut Connection, is_first: bool) -> Result<(), Failure> {
        connection.run("cannot begin a transaction", "BEGIN").await?;
        if self.insertion.is_some() {
            let create = "CREATE TEMPORARY TABLE highwater_rows (j json) ON COMMIT DROP";
            connection.run("cannot make a temporary table", create).await?;
        }
        let (copy, hint) = if is_first {
            (&self.first_copy, self.first_line_hint)
        } else {
            (&self.next_copy, None)
        };
        connection.begin_writing(copy, hint).await
    }

    /// Ends the COPY; the rows are in the table then, unless the transaction fails.
    async fn finish(&self, connection: &mut Connection) -> Result<(), Failure> {
        connection.finish_writing().await?;
        if let Some(insertion) = &self.insertion {
            connection.run("cannot insert the rows", insertion).await?;
        }
        Ok(())
    }

    async fn commit(connection: &mut Connection) -> Result<(), Failure> {
        let tag = connection.run("cannot commit", "COMMIT").await;
        // Whether it has committed is not known then.
        let tag = tag.map_err(Failure::lasting)?;
        if tag == "COMMIT" {
            return Ok(());
        }
        let why = format!("the server answered {tag}");
        Err(Failure::because(Kind::Sink, "cannot commit", why))
    }

    /// Ends a transaction, and begins the next.
    async fn turn(self: Arc<Self>, mut connection: Connection) -> Result<Connection, Failure> {
        self.finish(&mut connection).await?;
        Self::commit(&mut connection).await?;
        self.begin(&mut connection, false).await?;
        Ok(connection)
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

    fn keeps_parts(&self) -> bool {
        self.commit_every.is_some()
    }

    fn effect(&self) -> String {
        let through = if self.is_json() {
            ", through a temporary table"
        } else {
            ""
        };
        let how = match self.commit_every {
            None => "in one transaction".to_owned(),
            Some(rows) => format!("in transactions of {rows} rows, which stay if a later one fails"),
        };
        format!("copies into {} of {} {how}{through}", self.name, self.shown())
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let mut connection = self.planned.connect(Kind::Sink).await?;
            let commands = Arc::new(self.commands());
            commands.begin(&mut connection, true).await?;
            let head = u64::from(self.planned.format == "csv" && self.planned.header);
            let is_csv = self.planned.format == "csv";
            Ok(OpenWriter::Stream(Box::new(Rows {
                queue: connection.transport().queue(),
                state: State::Copying(connection),
                commands,
                batches: self.commit_every.map(|rows| Batches::new(rows, head, is_csv)),
                transaction: Arc::default(),
                reached: None,
                ending: None,
                durable: None,
            })))
        })
    }
}

/// The last transaction, which ends with the connection unless it is committed.
#[derive(Debug, Default)]
struct Transaction {
    /// Rows of those before it, which are committed.
    committed: AtomicU64,
}

impl Revoke for Transaction {
    fn revoke(&self) -> Result<(), Failure> {
        match self.committed.load(Ordering::Relaxed) {
            0 => Ok(()),
            rows => {
                let why = "they were committed (commit-every)";
                Err(Failure::because(Kind::Sink, format!("the first {rows} rows stay"), why))
            }
        }
    }

    fn name(&self) -> String {
        "the transaction".to_owned()
    }
}

enum State {
    /// Rows are taken.
    Copying(Connection),
    /// A transaction ends, and the next begins.
    Turning(BoxFuture<'static, Result<Connection, Failure>>),
    /// The connection has failed.
    Lost,
}

/// The rows of a COPY, or of one after the other.
struct Rows {
    state: State,
    queue: Option<Weak<dyn Queued>>,
    commands: Arc<Commands>,
    batches: Option<Batches>,
    transaction: Arc<Revocable<Transaction>>,
    /// The last position of the source whose rows were all sent; that of the transaction that ends; and that of those that
    /// are committed.
    reached: Option<Position>,
    ending: Option<Position>,
    durable: Option<Position>,
}

impl Rows {
    /// The connection, once it takes rows.
    fn poll_copying(&mut self, context: &mut Context<'_>) -> Poll<Result<&mut Connection, Failure>> {
        if let Some(batches) = &mut self.batches
            && batches.is_full()
            && let State::Copying(connection) = std::mem::replace(&mut self.state, State::Lost)
        {
            batches.begin();
            self.ending = self.reached;
            self.state = State::Turning(Box::pin(self.commands.clone().turn(connection)));
        }
        if let State::Turning(turn) = &mut self.state {
            let turned = ready!(Pin::new(turn).poll(context));
            self.state = State::Copying(turned?);
            let rows = self.batches.as_ref().map_or(0, Batches::rows);
            self.transaction.committed.fetch_add(rows, Ordering::Relaxed);
            self.durable = self.ending;
        }
        match &mut self.state {
            State::Copying(connection) => Poll::Ready(Ok(connection)),
            _ => Poll::Ready(Err(Failure::because(
                Kind::Sink,
                "cannot write",
                "the connection was lost",
            ))),
        }
    }
}

impl StreamWriter for Rows {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        ready!(self.poll_copying(context))?;
        let State::Copying(connection) = &mut self.state else {
            return Poll::Pending;
        };
        let Some(batches) = &mut self.batches else {
            return connection.poll_send(context, slices).map_err(Stop::from);
        };
        let first = slices.iter().find(|slice| !slice.is_empty());
        let first = first.map_or(&[][..], |slice| slice);
        let part = &first[..batches.fitting(first)];
        let count = ready!(connection.poll_send(context, &[IoSlice::new(part)]))?;
        batches.pass(&part[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        // A transaction that has all its rows ends also if no more come.
        match self.poll_copying(context) {
            Poll::Ready(Err(failure)) => Poll::Ready(failure.into()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    fn reach(&mut self, position: Position) {
        self.reached = Some(position);
    }

    fn durable(&self) -> Option<Position> {
        self.durable
    }

    fn limit_unsent(&mut self, bytes: u32) -> Result<(), Failure> {
        match &self.state {
            State::Copying(connection) => connection.transport().limit_unsent(bytes),
            _ => Ok(()),
        }
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.queue.clone()
    }

    fn phase(&self) -> Phase {
        Phase::Remote
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            let commands = self.commands.clone();
            poll_fn(|context| self.poll_copying(context).map_ok(|_| ())).await?;
            if let State::Copying(connection) = &mut self.state {
                commands.finish(connection).await?;
            }
            Ok(())
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            if let State::Copying(connection) = &mut self.state {
                Commands::commit(connection).await?;
                self.transaction.commit(|_| Ok(()))?;
                connection.close().await;
            }
            Ok(())
        })
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.transaction.clone())
    }
}
