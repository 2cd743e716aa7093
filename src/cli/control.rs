//! The socket through which `highwater ctl` steers a run from another terminal.
//!
//! Every run that lasts has one, also a quiet one: a run is steered when somebody finds that it should be, not when it is
//! started. It is made when a run has lasted long enough to be looked at, so short ones pay nothing, and by a thread that
//! no byte of the stream passes. Where it cannot be made, the run goes on without. Only the same user may connect: he may
//! stop and end the process anyway, so nothing is given away.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::endpoints::OwnSocket;
use crate::engine::{Sampler, Watch, Which};
use crate::error::shown;
use crate::grammar::readable_rate;
use crate::platform::fault::aside;
use crate::platform::sockets::{accept_unix_blocking, limit_waits, peer_user};
use crate::platform::{files, spawn};
use crate::view::json;

pub mod message;
pub mod place;

use message::{Reply, Request};

/// How long a peer may take for its one line.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// A run's control socket; its name goes when this is dropped.
pub struct Control {
    /// `Some` until then.
    socket: Option<OwnSocket>,
}

impl Drop for Control {
    fn drop(&mut self) {
        aside(|| drop(self.socket.take()));
    }
}

impl Control {
    /// Listens, if there is a place where that can be.
    pub fn start(watch: &Arc<Watch>) -> Option<Self> {
        match aside(|| Self::listen(watch.clone())) {
            Ok(control) => Some(control),
            Err(why) => {
                tracing::debug!("no control socket: {why}");
                None
            }
        }
    }

    fn listen(watch: Arc<Watch>) -> Result<Self, String> {
        let socket = bind()?;
        let listener = socket.listener().map_err(|error| error.to_string())?;
        let desk = ControlServer { watch, sampler: None };
        let spawned = spawn("control", 128 << 10, move || aside(|| serve(&listener, desk)));
        spawned.map_err(|error| error.to_string())?;
        Ok(Self { socket: Some(socket) })
    }
}

/// The socket in the first folder that will do. What runs that were killed have left there is removed.
fn bind() -> Result<OwnSocket, String> {
    let mut why = String::new();
    for folder in place::folders() {
        let bound = place::prepare(&folder).and_then(|()| {
            sweep(&folder);
            let path = place::socket(&folder, std::process::id());
            let socket = OwnSocket::at(&path)?;
            tracing::debug!("control socket: {}", shown(path.as_os_str().as_bytes()));
            Ok(socket)
        });
        match bound {
            Ok(socket) => return Ok(socket),
            Err(problem) => why = problem,
        }
    }
    Err(why)
}

/// Removes the sockets of processes that are no more.
fn sweep(folder: &std::path::Path) {
    for path in files::entries(folder).unwrap_or_default() {
        let pid = place::process_of(&path).and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?));
        if pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH)) {
            OwnSocket::forget(&path);
        }
    }
}

/// Serves one peer after the other, until the process ends.
fn serve(listener: &UnixListener, mut desk: ControlServer) {
    loop {
        match accept_unix_blocking(listener) {
            Ok(stream) => {
                if let Err(error) = desk.serve(&stream) {
                    tracing::debug!("control socket: {error}");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::debug!("control socket: {error}");
                return;
            }
        }
    }
}

/// Answers requests.
struct ControlServer {
    watch: Arc<Watch>,
    /// What the shares of the next sample are relative to; made when the first is asked for.
    sampler: Option<Sampler>,
}

impl ControlServer {
    fn serve(&mut self, stream: &UnixStream) -> io::Result<()> {
        // What a system does not say, the modes of the folder and the socket have seen to.
        if peer_user(stream).is_some_and(|user| user != rustix::process::geteuid().as_raw()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        limit_waits(stream, CLIENT_TIMEOUT)?;
        let reply = self.answer(message::receive(files::Stream(stream))?);
        message::send(files::Stream(stream), &reply)
    }

    fn answer(&mut self, request: Request) -> Reply {
        let controls = self.watch.controls();
        match request {
            Request::Set { stage, rate } => {
                let which = stage.parse().map_or(Which::Name(stage), Which::Index);
                match controls.throttle(&which) {
                    Ok(throttle) => {
                        let before = throttle.rate_control.set(rate);
                        let (name, stage) = (throttle.name, throttle.stage);
                        let (now, before) = (readable_rate(rate), readable_rate(before));
                        tracing::info!("stage {stage} {name}: {now}, was {before}");
                        Reply::Done(format!("stage {stage} {name}: {now}, was {before}"))
                    }
                    Err(error) => Reply::Refused(error.to_string()),
                }
            }
            Request::Pause => {
                controls.pause();
                tracing::info!("the sink is paused");
                Reply::Done("paused".to_owned())
            }
            Request::Resume => {
                controls.resume();
                tracing::info!("the sink goes on");
                Reply::Done("running".to_owned())
            }
            Request::Stats => {
                let sampler = self.sampler.get_or_insert_with(|| Sampler::new(self.watch.clone()));
                Reply::Done(json::sample(&sampler.sample()).trim_end().to_owned())
            }
        }
    }
}
