//! The socket through which `highwater ctl` controls a run from another terminal.
//!
//! Every run that lasts has one, even with `-q`: the need to control a run arises later than its start. It is made when
//! a run has lasted for a while, so short ones pay nothing, and by a thread that no byte of the stream passes. If it
//! cannot be made, the run continues without it. Only the same user may connect, who could stop and end the process
//! anyway.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::endpoints::OwnSocket;
use crate::engine::{Sampler, Watch, Which};
use crate::error::shown;
use crate::platform::fault::aside;
use crate::platform::sockets::{accept_unix_blocking, limit_waits, peer_user};
use crate::platform::{files, spawn};
use crate::view::json;

pub mod message;
pub mod place;

use message::{Reply, Request};

/// How long a client may take for its one line.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// A run's control socket, removed when this is dropped.
pub struct Control {
    /// `Some` until it is dropped.
    socket: Option<OwnSocket>,
}

impl Drop for Control {
    fn drop(&mut self) {
        aside(|| drop(self.socket.take()));
    }
}

impl Control {
    /// Listens, if there is a suitable folder.
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

/// Binds the socket in the first suitable folder. Sockets of killed runs are removed there.
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

/// Removes the sockets of processes that have ended.
fn sweep(folder: &std::path::Path) {
    for path in files::entries(folder).unwrap_or_default() {
        let pid = place::process_of(&path).and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?));
        if pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH)) {
            OwnSocket::forget(&path);
        }
    }
}

/// Serves one client after the other, until the process ends.
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
    /// What the shares of the next sample are relative to; made at the first request.
    sampler: Option<Sampler>,
}

impl ControlServer {
    fn serve(&mut self, stream: &UnixStream) -> io::Result<()> {
        // On systems without this check, the modes of the folder and the socket protect it.
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
                let throttle = match controls.throttle(&which) {
                    Ok(throttle) => throttle,
                    Err(error) => return Reply::Refused(error.to_string()),
                };
                let (name, stage) = (throttle.name, throttle.stage);
                match throttle.set(rate) {
                    Ok(before) => {
                        tracing::info!("stage {stage} {name}: {rate}, was {before}");
                        Reply::Done(format!("stage {stage} {name}: {rate}, was {before}"))
                    }
                    Err(now) => Reply::Refused(format!(
                        "stage {stage} {name} keeps a rate of {now}, and {rate} counts something else"
                    )),
                }
            }
            Request::Pause => {
                controls.pause();
                tracing::info!("the sink is paused");
                Reply::Done("paused".to_owned())
            }
            Request::Resume => {
                controls.resume();
                tracing::info!("the sink is resumed");
                Reply::Done("running".to_owned())
            }
            Request::Stats => {
                let sampler = self.sampler.get_or_insert_with(|| Sampler::new(self.watch.clone()));
                Reply::Done(json::sample(&sampler.sample()).trim_end().to_owned())
            }
        }
    }
}
