//! A file that is read for as long as others write to it, across rotation and truncation.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::catalog::{Args, Param, Placed};
use crate::error::{Failure, Kind, Problem, Stop, shown};
use crate::flow::Position;
use crate::platform::{FilePlace, files};
use crate::stage::{Acknowledged, BoxFuture, Endpoint, Facts, OpenReader, Outside, Settle};

mod backlog;
mod neighbours;
mod options;
mod reader;
mod state;

pub use options::{FOLLOW, FROM, PARAMS, STATE};

use reader::Reader;
use state::{Keeper, StateFile};

const IS_STATE: &str = "the state cannot be the file that is followed";

/// The file at `path`, if it is to be followed.
pub fn followed(path: &Path, args: &Args) -> Option<Placed> {
    if !args.flag(FOLLOW.name) {
        let given = PARAMS
            .iter()
            .find(|param: &&Param| args.is_given(param.name) && param.name != FOLLOW.name);
        return given.map(|param| {
            let problem = Problem::at(args.span_of(param.name), format!("`{}` is for follow=true", param.name));
            Err(problem.help("give follow=true as well, or leave it out"))
        });
    }
    let state = args
        .words(STATE.name)
        .first()
        .map(|state| PathBuf::from(std::ffi::OsStr::from_bytes(state)));
    let wrong = match state.as_deref() {
        Some(state) if state == path => Some(IS_STATE),
        Some(state) if state.as_os_str().is_empty() => Some("the state's file has no name"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let help = "name another file, as in state=app.state";
        return Some(Err(Problem::at(args.span_of(STATE.name), wrong).help(help)));
    }
    Some(Ok(Box::new(Followed {
        path: path.to_owned(),
        from_end: args.choice(FROM.name) == Some(options::END),
        state,
    })))
}

struct Followed {
    path: PathBuf,
    from_end: bool,
    state: Option<PathBuf>,
}

impl Endpoint for Followed {
    fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        let mut found = Vec::new();
        for path in [Some(&self.path), self.state.as_ref()].into_iter().flatten() {
            match files::stat(path) {
                Ok(found) if !FileType::from_raw_mode(found.st_mode).is_file() => {
                    let why = format!("{} is not a regular file", shown(path.as_os_str().as_bytes()));
                    return Err(Failure::because(Kind::Usage, "cannot follow", why));
                }
                _ => found.extend(FilePlace::find(path).ok().flatten()),
            }
        }
        let places = [Some(&self.path), self.state.as_ref()].map(|path| path.and_then(|path| files::stat(path).ok()));
        if let [Some(followed), Some(state)] = places
            && (followed.st_dev, followed.st_ino) == (state.st_dev, state.st_ino)
        {
            return Err(Failure::because(Kind::Usage, "cannot follow", IS_STATE));
        }
        Ok(Facts {
            files: found,
            outside: Some(Outside::Disk),
            ..Facts::default()
        })
    }

    fn reading(&self) -> String {
        let state = match &self.state {
            Some(state) => format!(
                "\n    what is durable is noted in {}, and the next run goes on there",
                shown(state.as_os_str().as_bytes())
            ),
            None => String::new(),
        };
        format!("follows the file until a signal, by its name{state}")
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        Err("a file that is followed; its state= notes where to go on")
    }

    fn settles(&self) -> bool {
        self.state.is_some()
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        self.state.as_ref().map(|_| Acknowledged {
            parameter: STATE.name,
            is_optional: true,
        })
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let state = self.state.clone().map(StateFile::open).transpose()?;
            let kept = state.as_ref().map(StateFile::read).transpose()?.flatten();
            let mut reader = Reader::new(self.path.clone(), kept.as_ref().map_or(0, |kept| kept.position));
            let failed = |error| Failure::io(Kind::Source, "cannot open", error);
            let written = state.as_ref().map(StateFile::changed).transpose().map_err(failed)?;
            let earlier = kept.as_ref().zip(written);
            reader.begin(earlier, self.from_end).map_err(failed)?;
            if let Some(state) = state {
                let keeper = Keeper::start(state, reader.boundary(), kept.as_ref())?;
                reader.note_with(keeper.clone());
                // So that a later run knows the file, whatever happens before the first batch.
                keeper.tell(Position(reader.boundary().into()), keeper.earlier_end());
                if let Err(Stop::Failed(failure)) = keeper.noted().await {
                    return Err(failure);
                }
            }
            Ok(OpenReader::Stream(Box::new(reader)))
        })
    }
}
