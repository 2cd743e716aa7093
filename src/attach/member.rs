//! One process of a stage, as it is looked at again and again.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::graph::EdgeId;
use crate::platform::GroupUse;
use crate::platform::other_process::{
    HeldDescriptor, ProcessFiles, Target, ThreadFiles, held_descriptor, held_descriptors, threads,
};

use super::activity::{State, Surroundings, judge};
use super::levels::Levels;

/// The descriptors of a process with more are listed less often.
const MANY_DESCRIPTORS: usize = 256;
/// How often: once in so many looks.
const SELDOM: u32 = 10;
/// More threads are looked at in turns.
const MOST_THREADS: usize = 64;

/// A process.
#[derive(Debug)]
pub struct Member {
    /// Its number.
    pub pid: i32,
    files: ProcessFiles,
    threads: Vec<(i32, ThreadFiles)>,
    /// Where the next look at many threads begins.
    turn: usize,
    held: RefCell<HashMap<i32, HeldDescriptor>>,
    /// For how many looks they have not been listed.
    unlisted: u32,
    /// The descriptors that are ends of links.
    inputs: Vec<(i32, EdgeId)>,
    outputs: Vec<(i32, EdgeId)>,
    /// What it had read and written when it was first seen.
    pub base: (u64, u64),
}

/// The descriptors of a process at one moment, with what is in the links.
struct Surrounded<'a> {
    member: &'a Member,
    links: &'a Levels<'a>,
}

impl Member {
    /// Begins to look at a process, with `link` to tell which links a descriptor is the reading or the writing end of.
    pub fn new(pid: i32, link: impl Fn(&HeldDescriptor) -> Ends) -> Self {
        let files = ProcessFiles::open(pid);
        let base = files.transferred().unwrap_or_default();
        let mut this = Self {
            pid,
            files,
            threads: Vec::new(),
            turn: 0,
            held: RefCell::default(),
            unlisted: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            base,
        };
        this.refresh(link);
        this
    }

    /// Looks again at what changes seldom: its threads and its descriptors. Returns whether it is still there.
    pub fn refresh(&mut self, link: impl Fn(&HeldDescriptor) -> Ends) -> bool {
        if self.is_gone() {
            return false;
        }
        let now = threads(self.pid);
        self.threads.retain(|(thread, _)| now.contains(thread));
        for thread in now {
            if self.threads.iter().all(|(known, _)| *known != thread)
                && let Ok(files) = ThreadFiles::open(self.pid, thread)
            {
                self.threads.push((thread, files));
            }
        }
        self.unlisted += 1;
        let is_due = self.held.get_mut().len() <= MANY_DESCRIPTORS || self.unlisted >= SELDOM;
        if is_due && let Ok(held) = held_descriptors(self.pid) {
            self.unlisted = 0;
            let mut ends: Vec<(i32, Ends)> = held.iter().map(|held| (held.fd, link(held))).collect();
            ends.sort_unstable_by_key(|(fd, _)| *fd);
            self.inputs = ends.iter().filter_map(|(fd, ends)| Some((*fd, ends.input?))).collect();
            self.outputs = ends.iter().filter_map(|(fd, ends)| Some((*fd, ends.output?))).collect();
            *self.held.get_mut() = held.into_iter().map(|held| (held.fd, held)).collect();
        }
        true
    }

    /// Whether it has ended and its parent has taken notice.
    pub fn is_gone(&self) -> bool {
        self.files.used().is_none()
    }

    /// Whether it holds an end of a link.
    pub fn is_joined(&self) -> bool {
        !self.inputs.is_empty() || !self.outputs.is_empty()
    }

    /// The descriptor that is an end of a link.
    pub fn end_of(&self, edge: EdgeId) -> Option<HeldDescriptor> {
        let mut ends = self.inputs.iter().chain(&self.outputs);
        let (fd, _) = ends.find(|(_, at)| *at == edge)?;
        self.held.borrow().get(fd).cloned()
    }

    /// What its threads do now; `None` if none is left.
    pub fn state(&mut self, links: &Levels<'_>) -> Option<State> {
        let skipped = if self.threads.len() > MOST_THREADS {
            self.turn
        } else {
            0
        };
        self.turn = (skipped + MOST_THREADS) % self.threads.len().max(1);
        let mut threads = std::mem::take(&mut self.threads);
        let around = Surrounded { member: self, links };
        let looked_at = threads.iter_mut().skip(skipped).take(MOST_THREADS);
        let activities = looked_at.filter_map(|(_, files)| files.activity());
        let state = activities.map(|activity| judge(activity, &around)).max();
        self.threads = threads;
        state
    }

    /// What it has read and written.
    pub fn transferred(&self) -> Option<(u64, u64)> {
        self.files.transferred()
    }

    /// Its memory and its processor time.
    pub fn used(&self) -> GroupUse {
        self.files.used().unwrap_or_default()
    }

    /// The descriptors that it holds, in order.
    pub fn held(&self) -> Vec<HeldDescriptor> {
        let mut held: Vec<HeldDescriptor> = self.held.borrow().values().cloned().collect();
        held.sort_unstable_by_key(|held| held.fd);
        held
    }
}

/// The links that a descriptor is an end of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends {
    /// The one it reads from.
    pub input: Option<EdgeId>,
    /// The one it writes to.
    pub output: Option<EdgeId>,
}

impl Surroundings for Surrounded<'_> {
    fn output(&self, fd: i32) -> Option<EdgeId> {
        let found = self.member.outputs.iter().find(|(at, _)| *at == fd);
        found.map(|(_, edge)| *edge)
    }

    fn is_input(&self, fd: i32) -> bool {
        self.member.inputs.iter().any(|(at, _)| *at == fd)
    }

    fn first_output(&self) -> Option<EdgeId> {
        self.member.outputs.first().map(|(_, edge)| *edge)
    }

    fn has_input(&self) -> bool {
        !self.member.inputs.is_empty()
    }

    fn full_output(&self) -> Option<EdgeId> {
        let mut outputs = self.member.outputs.iter().map(|(_, edge)| *edge);
        outputs.find(|edge| self.links.is_full(*edge))
    }

    fn has_empty_inputs(&self) -> bool {
        let is_empty = |edge| self.links.level(edge).is_some_and(|level| level.bytes == 0);
        self.member.inputs.iter().all(|(_, edge)| is_empty(*edge))
    }

    fn held(&self, fd: i32) -> Option<HeldDescriptor> {
        let mut held = self.member.held.borrow_mut();
        if let Some(known) = held.get(&fd) {
            return Some(known.clone());
        }
        // It was opened since the last look.
        let found = held_descriptor(self.member.pid, fd)?;
        held.insert(fd, found.clone());
        Some(found)
    }

    fn has_connection(&self) -> bool {
        let held = self.member.held.borrow();
        let is_link = |fd| self.is_input(fd) || self.output(fd).is_some();
        held.values()
            .any(|held| matches!(held.target, Target::Socket(_)) && !is_link(held.fd))
    }
}
