//! What is to be run, and how.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::Group;
use crate::platform::find_program;

/// A program, with all that its process is given but its standard streams.
#[derive(Debug)]
pub struct Program {
    /// Its name, as the user has it.
    pub name: OsString,
    pub arguments: Vec<OsString>,
    /// Variables that are added to our environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The folder in which it is run; `None` for ours.
    pub folder: Option<PathBuf>,
    /// How long it may take to end when it is asked to.
    pub grace: Duration,
    /// Whether it stays in our process group, so that it may use the terminal.
    pub uses_terminal: bool,
    /// Whose words its lines are: `exec tar`.
    pub speaker: String,
}

impl Program {
    /// Where it is.
    ///
    /// # Errors
    /// `ENOENT` if it is nowhere, `EACCES` if it may not be executed.
    pub fn find(&self) -> io::Result<PathBuf> {
        let given = self.variables.iter().rev().find(|(name, _)| name == "PATH");
        let search = given
            .map(|(_, value)| value.clone())
            .or_else(|| std::env::var_os("PATH"));
        find_program(
            &self.name,
            self.folder.as_deref(),
            search.as_deref().unwrap_or(OsStr::new("/bin:/usr/bin")),
        )
    }

    /// Starts it on the calling thread, which must outlive it.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> io::Result<Group> {
        let mut command = Command::new(self.find()?);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if self.uses_terminal {
            Group::spawn_in_ours(&mut command, self.grace)
        } else {
            Group::spawn(&mut command, self.grace)
        }
    }
}
