//! A connection: its start, commands, and COPY in both directions.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::error::{Failure, Kind};
use crate::net::{Dial, Transport, unusable};
use crate::platform::sockets::{TcpPeer, UnixPeer};

use super::message::Report;
use super::target::{Encryption, Host, Target};

/// How much is read at once, and the longest message besides rows, in bytes.
const BUFFER: usize = 64 << 10;
/// The most memory that a connection holds, in bytes: its buffer, a message that is taken out of it, and TLS.
pub const MEMORY: u64 = 2 * BUFFER as u64 + crate::net::tls::MEMORY;
/// The head of a message: its tag and its length.
const HEAD: usize = 5;

/// A session with a server.
pub struct Connection {
    transport: Transport,
    /// What was received and not used.
    input: BytesMut,
    /// How many bytes of the current row of a COPY are still to come.
    row_left: usize,
    /// The head of the message of rows that is being sent, and how much of it was.
    head: ([u8; HEAD], usize),
    /// How many bytes of that message are still to be sent.
    owed: usize,
    /// The kind of its failures.
    place: Kind,
    /// What the failing operation is called.
    operation: &'static str,
    /// What may help if the server refuses the first line of a COPY.
    first_line_hint: Option<&'static str>,
}

impl Connection {
    /// Connects, and authenticates.
    ///
    /// # Errors
    /// [`Kind::Connect`] if the server cannot be reached or refuses.
    pub async fn open(target: &Target, dial: Dial, place: Kind) -> Result<Self, Failure> {
        let shown = target.to_string();
        let begin = async {
            let transport = connect(target, dial, &shown).await?;
            let mut connection = Self {
                transport,
                input: BytesMut::with_capacity(BUFFER),
                row_left: 0,
                head: ([0; HEAD], HEAD),
                owed: 0,
                place: Kind::Connect,
                operation: "cannot begin a session",
                first_line_hint: None,
            };
            connection.start(target).await?;
            Ok(connection)
        };
        let limit = dial.limit;
        let mut connection = tokio::time::timeout(limit, begin).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let why = format!("no answer within {limit} (connect-timeout)");
            Err(Failure::because(
                Kind::Connect,
                format!("cannot connect to {shown}"),
                why,
            ))
        })?;
        connection.place = place;
        Ok(connection)
    }

    /// The connection below.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    async fn start(&mut self, target: &Target) -> Result<(), Failure> {
        let mut parameters = vec![
            ("user", target.user.as_str()),
            ("database", &target.database),
            ("client_encoding", "UTF8"),
            ("application_name", "highwater"),
        ];
        parameters.extend(target.options.as_deref().map(|options| ("options", options)));
        self.send(|out| frontend::startup_message(parameters, out)).await?;
        loop {
            match self.message().await? {
                Message::AuthenticationOk => break,
                Message::AuthenticationCleartextPassword => {
                    let password = self.password(target)?;
                    self.send(|out| frontend::password_message(&password, out)).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let password = self.password(target)?;
                    let hash = md5_hash(target.user.as_bytes(), &password, body.salt());
                    self.send(|out| frontend::password_message(hash.as_bytes(), out))
                        .await?;
                }
                Message::AuthenticationSasl(body) => {
                    let password = self.password(target)?;
                    self.prove(&body, &password).await?;
                }
                _ => return Err(self.failed("the server asks for a way to authenticate that is not supported")),
            }
        }
        self.until_ready().await.map(drop)
    }

    fn password(&self, target: &Target) -> Result<Vec<u8>, Failure> {
        target.password()?.ok_or_else(|| {
            self.failed("the server asks for a password; PGPASSFILE, ~/.pgpass or PGPASSWORD may have it")
        })
    }

    /// SCRAM-SHA-256 (RFC 5802, RFC 7677).
    async fn prove(&mut self, offer: &AuthenticationSaslBody, password: &[u8]) -> Result<(), Failure> {
        let offers = offer
            .mechanisms()
            .any(|name| Ok(name == SCRAM_SHA_256))
            .map_err(|error| self.broken(error))?;
        if !offers {
            return Err(self.failed("the server asks for a way to authenticate that is not supported"));
        }
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out))
            .await?;
        let Message::AuthenticationSaslContinue(body) = self.message().await? else {
            return Err(self.unexpected());
        };
        scram.update(body.data()).map_err(|error| self.broken(error))?;
        self.send(|out| frontend::sasl_response(scram.message(), out)).await?;
        let Message::AuthenticationSaslFinal(body) = self.message().await? else {
            return Err(self.unexpected());
        };
        scram.finish(body.data()).map_err(|error| self.broken(error))
    }

    /// Runs a command that returns no rows, and returns its tag: `COMMIT`, `COPY 17`. `operation` names it in a
    /// failure.
    ///
    /// # Errors
    /// If the server refuses it, or the connection fails.
    pub async fn run(&mut self, operation: &'static str, command: &str) -> Result<String, Failure> {
        self.operation = operation;
        self.send(|out| frontend::query(command, out)).await?;
        self.until_ready().await
    }

    /// Begins a COPY to us.
    ///
    /// # Errors
    /// If the server refuses it, or the connection fails.
    pub async fn begin_reading(&mut self, command: &str) -> Result<(), Failure> {
        self.operation = "cannot read";
        self.send(|out| frontend::query(command, out)).await?;
        match self.message().await? {
            Message::CopyOutResponse(_) => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    /// Reads bytes of the rows; 0 once the server has finished the command.
    pub fn poll_rows(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Failure>> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.row_left == 0 {
                match self.row(filled)? {
                    Next::Row => continue,
                    Next::End => return Poll::Ready(Ok(filled)),
                    Next::Incomplete => {}
                }
            } else if !self.input.is_empty() {
                let count = self.row_left.min(self.input.len()).min(buffer.len() - filled);
                self.input.copy_to_slice(&mut buffer[filled..filled + count]);
                filled += count;
                self.row_left -= count;
                continue;
            }
            if filled > 0 {
                break;
            }
            if self.row_left < BUFFER {
                ready!(self.poll_fill(context))?;
                continue;
            }
            // A large row goes where it belongs without a copy.
            let length = self.row_left.min(buffer.len());
            let mut into = ReadBuf::new(&mut buffer[..length]);
            let read = ready!(Pin::new(&mut self.transport).poll_read(context, &mut into));
            read.map_err(|error| self.cut(error))?;
            filled = into.filled().len();
            self.row_left -= filled;
            if filled == 0 {
                return Poll::Ready(Err(self.cut(io::ErrorKind::UnexpectedEof.into())));
            }
        }
        Poll::Ready(Ok(filled))
    }

    /// The head of the next message, if it is a row; anything else is dealt with.
    fn row(&mut self, filled: usize) -> Result<Next, Failure> {
        if self.input.len() < HEAD {
            return Ok(Next::Incomplete);
        }
        if self.input[0] == b'd' {
            self.row_left = self.length()?;
            self.input.advance(HEAD);
            return Ok(Next::Row);
        }
        if filled > 0 {
            // The rows that were read are delivered before an error is.
            return Ok(Next::End);
        }
        match self.whole_message()? {
            None => Ok(Next::Incomplete),
            Some(Message::ReadyForQuery(_)) => Ok(Next::End),
            Some(Message::ErrorResponse(body)) => Err(self.report(body.fields())),
            Some(Message::CopyDone | Message::CommandComplete(_)) => Ok(Next::Row),
            Some(message) if Self::is_aside(&message) => Ok(Next::Row),
            Some(_) => Err(self.unexpected()),
        }
    }

    /// Begins a COPY from us. `first_line_hint` says what may help if its first line is refused.
    ///
    /// # Errors
    /// If the server refuses it, or the connection fails.
    pub async fn begin_writing(&mut self, command: &str, first_line_hint: Option<&'static str>) -> Result<(), Failure> {
        self.first_line_hint = first_line_hint;
        self.operation = "cannot write";
        self.send(|out| frontend::query(command, out)).await?;
        match self.message().await? {
            Message::CopyInResponse(_) => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    /// Sends bytes of rows; returns how many, at least one.
    pub fn poll_send(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Failure>> {
        self.listen(context)?;
        if self.owed == 0 {
            self.owed = slices.iter().map(|slice| slice.len()).sum::<usize>().min(1 << 20);
            let [.., a, b, c, d] = (self.owed + 4).to_be_bytes();
            self.head = ([b'd', a, b, c, d], 0);
        }
        loop {
            let unsent = &self.head.0[self.head.1..];
            let mut parts = Vec::with_capacity(slices.len() + 1);
            parts.push(IoSlice::new(unsent));
            let mut room = self.owed;
            for slice in slices {
                let length = slice.len().min(room);
                parts.push(IoSlice::new(&slice[..length]));
                room -= length;
            }
            let sent = ready!(Pin::new(&mut self.transport).poll_write_vectored(context, &parts));
            let sent = sent.map_err(|error| self.cut(error))?;
            let of_head = sent.min(unsent.len());
            self.head.1 += of_head;
            if sent > of_head {
                self.owed -= sent - of_head;
                return Poll::Ready(Ok(sent - of_head));
            }
        }
    }

    /// Looks whether the server has refused something; it says nothing else while it receives rows.
    fn listen(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        while let Poll::Ready(read) = self.poll_fill(context) {
            read?;
            while let Some(message) = self.whole_message()? {
                match message {
                    Message::ErrorResponse(body) => return Err(self.report(body.fields())),
                    message if Self::is_aside(&message) => {}
                    _ => return Err(self.unexpected()),
                }
            }
        }
        Ok(())
    }

    /// Ends the COPY from us; returns the command's tag.
    ///
    /// # Errors
    /// If the server refuses the rows, or the connection fails.
    pub async fn finish_writing(&mut self) -> Result<String, Failure> {
        self.send(|out| {
            frontend::copy_done(out);
            Ok(())
        })
        .await?;
        self.until_ready().await
    }

    /// Says goodbye; whether it arrives does not matter.
    pub async fn close(&mut self) {
        let said = self.send(|out| {
            frontend::terminate(out);
            Ok(())
        });
        let _ = said.await;
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        write(&mut out).map_err(|error| self.broken(error))?;
        self.transport.write_all(&out).await.map_err(|error| self.cut(error))?;
        self.transport.flush().await.map_err(|error| self.cut(error))
    }

    /// The tag of the command that has ended, once the server is ready for the next.
    async fn until_ready(&mut self) -> Result<String, Failure> {
        let mut tag = String::new();
        loop {
            match self.message().await? {
                Message::CommandComplete(body) => body.tag().map_err(|error| self.broken(error))?.clone_into(&mut tag),
                Message::BackendKeyData(_) | Message::EmptyQueryResponse => {}
                Message::ReadyForQuery(_) => return Ok(tag),
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// The next message that is neither a notice nor an error.
    async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            match self.whole_message()? {
                Some(Message::ErrorResponse(body)) => return Err(self.report(body.fields())),
                Some(message) if Self::is_aside(&message) => {}
                Some(message) => return Ok(message),
                None => poll_fn(|context| self.poll_fill(context)).await?,
            }
        }
    }

    /// Whether a message may come at any time; a notice is passed on.
    fn is_aside(message: &Message) -> bool {
        match message {
            Message::NoticeResponse(body) => {
                if let Ok(report) = Report::of(body.fields()) {
                    tracing::info!("the server says: {report}");
                }
                true
            }
            Message::ParameterStatus(_) | Message::NotificationResponse(_) => true,
            _ => false,
        }
    }

    /// A whole message, if there is one.
    fn whole_message(&mut self) -> Result<Option<Message>, Failure> {
        if self.input.len() < HEAD || self.input.len() < HEAD + self.length()? {
            return Ok(None);
        }
        let mut message = BytesMut::from(&self.input[..HEAD + self.length()?]);
        self.input.advance(message.len());
        Message::parse(&mut message).map_err(|error| self.broken(error))
    }

    /// The length of the message whose head is there, in bytes behind the head.
    fn length(&self) -> Result<usize, Failure> {
        let length = u32::from_be_bytes(self.input[1..HEAD].try_into().expect("four bytes"));
        let length = (length as usize).checked_sub(4).ok_or_else(|| self.unexpected())?;
        if self.input[0] != b'd' && length > BUFFER - HEAD {
            return Err(self.failed(&format!("the server sent a message of {length} bytes")));
        }
        Ok(length)
    }

    /// Receives more.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // The buffer is its own again as soon as it is used up, because messages are copied out of it.
        self.input.reserve(BUFFER - self.input.len());
        let length = self.input.len();
        self.input.resize(BUFFER, 0);
        let mut into = ReadBuf::new(&mut self.input[length..]);
        let read = Pin::new(&mut self.transport).poll_read(context, &mut into);
        let count = into.filled().len();
        self.input.truncate(length + count);
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.cut(error))),
            Poll::Ready(Ok(())) if count == 0 => Poll::Ready(Err(self.cut(io::ErrorKind::UnexpectedEof.into()))),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        }
    }

    fn report(&self, fields: postgres_protocol::message::backend::ErrorFields<'_>) -> Failure {
        match Report::of(fields) {
            Ok(report) => {
                let hint = self.first_line_hint.filter(|_| report.is_of_first_line());
                report.failure(self.place, self.operation, hint)
            }
            Err(error) => self.broken(error),
        }
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::because(self.place, self.operation, why)
    }

    fn unexpected(&self) -> Failure {
        self.failed("the server answered something else than it should")
    }

    fn broken(&self, error: io::Error) -> Failure {
        Failure::io(self.place, self.operation, error)
    }

    fn cut(&self, error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.failed("the server closed the connection");
        }
        self.broken(error)
    }
}

/// What comes next in a COPY to us.
enum Next {
    /// Something that was dealt with, or a row.
    Row,
    /// Nothing.
    End,
    /// More has to be received to tell.
    Incomplete,
}

async fn connect(target: &Target, dial: Dial, shown: &str) -> Result<Transport, Failure> {
    let address = match &target.host {
        Host::Socket(path) => {
            let peer = UnixPeer::connect(path).await;
            let failed = |error| Failure::io(Kind::Connect, format!("cannot connect to {shown}"), error);
            return peer.map(Transport::Local).map_err(failed);
        }
        Host::Tcp(address) => address,
    };
    let mut stream = TcpPeer::of(dial.connect(address, shown).await?).map_err(unusable)?;
    if target.encryption == Encryption::Disable {
        return Ok(Transport::Plain(stream));
    }
    let mut ask = BytesMut::new();
    frontend::ssl_request(&mut ask);
    stream.write_all(&ask).await.map_err(unusable)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await.map_err(unusable)?;
    match (&answer, target.encryption) {
        (b"S", _) => {
            let tls = target.files.client(&[])?;
            tls.connect(stream, address).await
        }
        (b"N", Encryption::Prefer) => Ok(Transport::Plain(stream)),
        (b"N", _) => {
            let why = "the server does not encrypt, and sslmode asks for it";
            Err(Failure::because(
                Kind::Connect,
                format!("cannot connect to {shown}"),
                why,
            ))
        }
        _ => {
            let why = "it is no PostgreSQL server";
            Err(Failure::because(
                Kind::Connect,
                format!("cannot connect to {shown}"),
                why,
            ))
        }
    }
}
