//! What a server says: errors and notices in words, and which kind of failure an error is.

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

use crate::error::{Failure, Kind};

/// A server's error, or its notice.
#[derive(Debug, Default)]
pub struct Report {
    /// Its code: five letters or digits, of which the first two are the class (PostgreSQL documentation, appendix A).
    code: String,
    message: String,
    detail: Option<String>,
    /// Where it happened: `COPY t, line 3, column id`.
    context: Option<String>,
}

impl Report {
    /// Reads the fields of an error or a notice.
    ///
    /// # Errors
    /// If it has another form.
    pub fn of(mut fields: ErrorFields<'_>) -> std::io::Result<Self> {
        let mut report = Self::default();
        while let Some(field) = fields.next()? {
            let text = String::from_utf8_lossy(field.value_bytes());
            // Several lines of context are the calls that led there; the first is the place.
            let line = text.lines().next().unwrap_or_default().to_owned();
            match field.type_() {
                b'C' => report.code = line,
                b'M' => report.message = line,
                b'D' => report.detail = Some(line),
                b'W' => report.context = Some(line),
                _ => {}
            }
        }
        Ok(report)
    }

    /// Whether it is about the first line of a COPY.
    pub fn is_of_first_line(&self) -> bool {
        let place = self
            .context
            .as_deref()
            .and_then(|context| context.split_once(", line 1"));
        place.is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_digit()))
    }

    /// The failure of what was tried; `place` unless the code tells more. `hint` says what may help.
    pub fn failure(&self, place: Kind, operation: impl Into<String>, hint: Option<&str>) -> Failure {
        let kind = match (self.code.get(..2), self.code.as_str()) {
            // No room on the server's disk.
            (_, "53100") => Kind::NoSpace,
            // Refused: wrong password or role, no such database, too many connections, starting up.
            (Some("28" | "08"), _) | (_, "3D000" | "53300" | "57P03") => Kind::Connect,
            // A time limit of the server: for a statement, a lock, an idle transaction, a transaction.
            (_, "57014" | "55P03" | "25P03" | "25P04") => Kind::Timeout,
            _ => place,
        };
        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
        Failure::because(kind, operation, format!("{self}{hint}"))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for more in [&self.detail, &self.context].into_iter().flatten() {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}
