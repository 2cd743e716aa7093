//! The endpoints, one file per kind, and the stages that use them.
//!
//! An endpoint is named by a path or by a URL whose scheme selects the kind. A new kind is one file with one
//! [`Scheme`], which declares its parameters, and one line in [`SCHEMES`].

use std::os::fd::BorrowedFd;

use crate::catalog::{Definition, Scheme};
use crate::error::{Failure, Kind};
use crate::platform::{Descriptor, Shape, files};
use crate::stage::{Commit, Outcome};

pub mod batch;
mod connecting;
mod file;
mod follow;
#[cfg(feature = "http")]
mod http;
pub mod journal;
#[cfg(any(feature = "nats", feature = "ws"))]
mod messages;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
pub mod read;
mod revocable;
#[cfg(feature = "s3")]
mod s3;
mod side_file;
mod socket;
mod stdio;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod unix;
#[cfg(feature = "ws")]
mod websocket;
pub mod write;

pub use batch::BatchInput;
#[cfg(feature = "http")]
pub use http::listen::{disposition, parse_path, upload::is_cross_site};
#[cfg(feature = "http")]
pub use http::request::{RequestBody, Response, ResponseBody};
pub use side_file::{OpenSideFile, SideFile};
pub use unix::OwnSocket;

/// Every scheme, in the order in which they are listed.
pub static SCHEMES: &[&Scheme] = &[
    &file::SCHEME,
    &stdio::SCHEME,
    &tcp::CONNECT,
    &tcp::LISTEN,
    #[cfg(feature = "tls")]
    &tls::CONNECT,
    #[cfg(feature = "tls")]
    &tls::LISTEN,
    #[cfg(feature = "http")]
    &http::HTTP,
    #[cfg(feature = "http")]
    &http::HTTPS,
    #[cfg(feature = "http")]
    &http::listen::LISTEN,
    #[cfg(feature = "nats")]
    &nats::SCHEME,
    #[cfg(feature = "postgres")]
    &postgres::SCHEME,
    #[cfg(feature = "s3")]
    &s3::SCHEME,
    #[cfg(feature = "ws")]
    &websocket::WS,
    #[cfg(feature = "ws")]
    &websocket::WSS,
    #[cfg(feature = "ws")]
    &websocket::LISTEN,
    &unix::CONNECT,
    &unix::LISTEN,
];

/// The stages that use endpoints.
pub static STAGES: &[&Definition] = &[&read::READ, &batch::BATCH, &write::WRITE];

/// The commit of output that is final as it is written; a disk may not have it yet.
struct Kept {
    sync: bool,
}

impl Kept {
    /// Output that is written to `descriptor` as it is; only files have a disk behind them.
    fn new(descriptor: &Descriptor, sync: bool) -> Self {
        Self {
            sync: sync && descriptor.shape() == Shape::File,
        }
    }
}

impl Commit for Kept {
    fn commit(self: Box<Self>, descriptor: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        Ok(make_durable(descriptor, self.sync)?)
    }

    fn is_durable(&self) -> bool {
        self.sync
    }
}

/// Waits until the disk has everything.
fn sync_file(descriptor: &Descriptor) -> Result<(), Failure> {
    files::sync_if_possible(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))
}

/// Waits until the disk has everything, if `sync` is set, and asks for an error that is reported only when a file is
/// closed.
fn make_durable(descriptor: &Descriptor, sync: bool) -> Result<(), Failure> {
    if sync {
        sync_file(descriptor)?;
    }
    (descriptor.close_error()).map_err(|error| Failure::io(Kind::Sink, "cannot finish the file", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::check;
    use crate::grammar::parse;
    use crate::stage::Endpoint;

    /// The endpoint of a call of `read` or `write`, or its problem.
    fn place(call: &str) -> Result<Box<dyn Endpoint>, (String, String)> {
        let (script, problems) = parse(call.as_bytes());
        assert_eq!(problems, []);
        let checked = check(&script.calls[0], STAGES);
        let args = checked.map(|(_, args)| args).map_err(|mut problems| problems.remove(0));
        let place = args.and_then(|args| Ok(args.places("path")?.remove(0)));
        place.map_err(|problem| (problem.message, problem.help.unwrap_or_default()))
    }

    #[test]
    fn the_scheme_picks_the_place() {
        for (name, shown) in [
            ("a.iso", "a.iso"),
            ("file:a.iso", "a.iso"),
            ("-", "-"),
            ("a:b", "a:b"),
            ("tcp://[::1]:9000", "tcp://[::1]:9000"),
            ("tcp-listen://:0", "tcp-listen://127.0.0.1:0"),
            #[cfg(feature = "http")]
            ("http://h:80/a?b#c", "http://h/a?b"),
            #[cfg(feature = "http")]
            ("https://[::1]:8443", "https://[::1]:8443/"),
            #[cfg(feature = "http")]
            ("http-listen://:0", "http-listen://127.0.0.1:0"),
            #[cfg(feature = "http")]
            ("http-listen://[::1]:80/a%20b", "http-listen://[::1]:80/a%20b"),
            #[cfg(feature = "ws")]
            ("ws://h:80/a?b", "ws://h/a"),
            #[cfg(feature = "ws")]
            ("wss://[::1]:8443", "wss://[::1]:8443/"),
            #[cfg(feature = "ws")]
            ("ws-listen://:0/a", "ws-listen://127.0.0.1:0/a"),
            #[cfg(feature = "s3")]
            ("s3://bucket/a%20b/c?d", "s3://bucket/a%20b/c?d"),
            ("unix:a.sock", "unix:a.sock"),
            ("unix-listen:/tmp/a", "unix-listen:/tmp/a"),
        ] {
            for stage in ["read", "write"] {
                let place = place(&format!("{stage} '{name}'")).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
                assert_eq!(place.shown(), shown);
            }
        }
    }

    #[test]
    fn foreign_scheme_is_not_a_typo() {
        for other in ["gopher", "ftp", "udp"] {
            let (_, help) = place(&format!("read {other}://host/x")).err().expect("unknown");
            assert!(help.starts_with("known endpoints: "), "{help}");
        }
    }

    #[test]
    fn an_unknown_scheme_lists_the_known_ones() {
        let (message, help) = place("read tpc://host:1").err().expect("unknown");
        assert_eq!(message, "unknown scheme `tpc`");
        assert!(help.starts_with("did you mean `tcp://`? known endpoints: "), "{help}");
    }

    #[cfg(not(feature = "nats"))]
    #[test]
    fn missing_feature_is_named() {
        let (message, help) = place("read nats://host/STREAM consumer=a").err().expect("not built");
        assert_eq!(message, "this build cannot use nats://");
        assert_eq!(help, "build it with --features nats");
    }

    #[cfg(feature = "nats")]
    #[test]
    fn queue_is_named_by_server_and_stream() {
        for (call, shown) in [
            ("read nats://h/S consumer=a", "nats://h:4222/S"),
            ("write nats://[::1]:1/S subject=a", "nats://[::1]:1/S"),
        ] {
            let place = place(call).unwrap_or_else(|wrong| panic!("{call}: {wrong:?}"));
            assert_eq!(place.shown(), shown);
        }
    }

    #[cfg(all(feature = "http", feature = "postgres"))]
    #[test]
    fn each_place_has_its_own_meaning_of_a_name() {
        for (call, verifies) in [
            ("write a", false),
            ("write tls://h:1", true),
            ("write tls://h:1 verify=no", false),
        ] {
            let (script, _) = parse(call.as_bytes());
            let (_, args) = check(&script.calls[0], STAGES).expect("valid");
            assert_eq!(args.flag("verify"), verifies, "{call}");
        }
    }

    #[test]
    fn each_place_takes_its_own_parameters() {
        for (call, foreign) in [
            ("write tcp://h:1 append=true", "append"),
            ("write tcp://h:1 in-place=true", "in-place"),
            ("write unix:a sparse=always", "sparse"),
            ("write unix-listen:a clobber=false", "clobber"),
            ("write tcp-listen://:0 sync=false", "sync"),
            ("write tcp-listen://:0 mode=600", "mode"),
            #[cfg(feature = "http")]
            ("write http-listen://:0 verify=false", "verify"),
            #[cfg(feature = "http")]
            ("read http-listen://:0 type=text/csv", "type"),
            #[cfg(feature = "ws")]
            ("write ws://h max-record=1", "max-record"),
            #[cfg(feature = "ws")]
            ("read ws://h origin=http://h", "origin"),
            #[cfg(feature = "ws")]
            ("write ws-listen://:0 retry=1", "retry"),
            #[cfg(feature = "nats")]
            ("write nats://h/S subject=a filter=b", "filter"),
            #[cfg(feature = "nats")]
            ("read nats://h/S consumer=a subject=b", "subject"),
            #[cfg(feature = "s3")]
            ("read s3://bucket/k if-absent=true", "if-absent"),
            #[cfg(feature = "s3")]
            ("write a part=5MiB", "part"),
            ("write - append=true", "append"),
            ("write /dev/fd/3 append=true", "append"),
            ("write a connect-timeout=1s", "connect-timeout"),
            ("write tcp-listen://:0 retry=1", "retry"),
            ("read a linger=1s", "linger"),
            ("read unix:a user-timeout=1s", "user-timeout"),
            ("read tcp://h:1 zero-copy=true", "zero-copy"),
            ("write tcp://h:1 verify=true", "verify"),
        ] {
            let (message, _) = place(call).err().unwrap_or_else(|| panic!("{call}"));
            assert!(message.contains(&format!("`{foreign}`")), "{call}: {message}");
        }
        for call in ["write a append=true", "write - sync=false", "read tcp://h:1 retry=3"] {
            assert!(place(call).is_ok(), "{call}");
        }
    }
}
