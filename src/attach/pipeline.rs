//! Orders joined processes into pipelines.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::error::brief;
use crate::graph::{EdgeMap, Graph, NodeId, NodeMap, Port};
use crate::platform::other_process::{HeldDescriptor, Target};

use super::census::{Carrier, Census, command, own_pid};

/// A pipeline of other programs.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// How the stages are joined.
    pub graph: Graph,
    /// The stages.
    pub stages: NodeMap<Stage>,
    /// What joins them.
    pub links: EdgeMap<Link>,
    /// Processes that feed a stage besides the one that is shown before it.
    pub others: Vec<i32>,
    /// Processes whose input or output is a pipe of which no other end is seen, each with whether it writes.
    pub loose: Vec<(i32, bool)>,
}

/// A process, and those of its descendants that hold only what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The process that the others descend from.
    pub pid: i32,
    /// All of them, in the order of their numbers.
    pub members: Vec<i32>,
    /// Whether it has started the others, so that only its own part in the pipeline is looked at.
    pub is_owner: bool,
}

/// What joins two stages, with the descriptor of each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The pipe or connection.
    pub carrier: Carrier,
    /// The process that writes, and its descriptor.
    pub writer: (i32, HeldDescriptor),
    /// The process that reads, and its descriptor.
    pub reader: (i32, HeldDescriptor),
}

impl Pipeline {
    /// The commands, joined as a shell does; long ones are cut.
    #[must_use]
    pub fn text(&self) -> String {
        let commands = self
            .stages
            .values()
            .iter()
            .map(|stage| brief(command(stage.pid).as_bytes()));
        commands.collect::<Vec<_>>().join(" | ")
    }
}

/// The ends of one pipe.
#[derive(Debug, Default)]
struct Ends {
    writers: Vec<(i32, HeldDescriptor)>,
    readers: Vec<(i32, HeldDescriptor)>,
}

/// Which process writes and reads what, without those that only hold a descriptor for their children.
struct Joints<'a> {
    census: &'a Census,
    /// The stage of each process that has one, by its first process.
    stage_of: HashMap<i32, i32>,
    stages: BTreeMap<i32, Vec<i32>>,
    pipes: BTreeMap<Carrier, Ends>,
    /// The processes that hold a socket.
    sockets: HashMap<u64, Vec<(i32, HeldDescriptor)>>,
    /// The pipes of which one end is seen.
    loose: HashSet<Carrier>,
}

impl<'a> Joints<'a> {
    fn new(census: &'a Census) -> Self {
        let mut pipes: BTreeMap<Carrier, Ends> = BTreeMap::new();
        let mut sockets: HashMap<u64, Vec<(i32, HeldDescriptor)>> = HashMap::new();
        let pids = census.pids();
        for pid in &pids {
            for held in census.ends(*pid) {
                if let Target::Socket(inode) = held.target {
                    sockets.entry(inode).or_default().push((*pid, held.clone()));
                }
                let Some(carrier) = Carrier::of(held) else { continue };
                let ends = pipes.entry(carrier).or_default();
                if held.writes {
                    ends.writers.push((*pid, held.clone()));
                }
                if held.reads {
                    ends.readers.push((*pid, held.clone()));
                }
            }
        }
        let is_loose = |(_, ends): &(&Carrier, &Ends)| ends.writers.is_empty() || ends.readers.is_empty();
        let loose = pipes.iter().filter(is_loose).map(|(carrier, _)| *carrier).collect();
        pipes.retain(|_, ends| {
            // Who holds both ends uses the pipe to wake itself, or keeps it for its children.
            let pids = |ends: &[(i32, HeldDescriptor)]| -> HashSet<i32> { ends.iter().map(|(pid, _)| *pid).collect() };
            let both: HashSet<i32> = &pids(&ends.writers) & &pids(&ends.readers);
            let (writers, readers) = (pids(&ends.writers), pids(&ends.readers));
            // What a shell was given by the one that has started it is shared by all its commands, whether or not they
            // use it.
            let is_shared = |(pid, held): &(i32, HeldDescriptor), others: &HashSet<i32>| {
                let mut ancestors = census.ancestors(*pid);
                census.is_inherited(*pid, held) && ancestors.any(|ancestor| others.contains(&ancestor))
            };
            ends.writers
                .retain(|end| !both.contains(&end.0) && !is_shared(end, &readers));
            ends.readers
                .retain(|end| !both.contains(&end.0) && !is_shared(end, &writers));
            !ends.writers.is_empty() && !ends.readers.is_empty()
        });
        let mut this = Self {
            census,
            stage_of: HashMap::new(),
            stages: BTreeMap::new(),
            pipes,
            sockets,
            loose,
        };
        this.merge(&pids);
        this
    }

    /// The ends of joined pipes that a process holds, each with whether it is the writer.
    fn held(&self) -> HashMap<i32, BTreeSet<(Carrier, bool)>> {
        let mut held: HashMap<i32, BTreeSet<(Carrier, bool)>> = HashMap::new();
        for (carrier, ends) in &self.pipes {
            let writers = ends.writers.iter().map(|(pid, _)| (*pid, true));
            for (pid, writes) in writers.chain(ends.readers.iter().map(|(pid, _)| (*pid, false))) {
                held.entry(pid).or_default().insert((*carrier, writes));
            }
        }
        held
    }

    /// A process that holds no more than an ancestor is part of the ancestor's stage, as the commands of a subshell are.
    /// An ancestor that holds less only passes on what it was given.
    fn merge(&mut self, pids: &[i32]) {
        let held = self.held();
        let mut passing: HashSet<i32> = HashSet::new();
        for pid in pids.iter().filter(|pid| held.contains_key(pid)) {
            let mut stage = *pid;
            for ancestor in self.census.ancestors(*pid) {
                let Some(above) = held.get(&ancestor) else { continue };
                if held[pid].is_subset(above) {
                    stage = ancestor;
                } else if above.is_subset(&held[pid]) {
                    passing.insert(ancestor);
                }
            }
            self.stage_of.insert(*pid, stage);
        }
        // Whatever holds no more than one that passes it on is a stage of its own.
        let stage_of: HashMap<i32, i32> = self
            .stage_of
            .iter()
            .filter(|(pid, _)| !passing.contains(pid))
            .map(|(pid, stage)| (*pid, if passing.contains(stage) { *pid } else { *stage }))
            .collect();
        self.stage_of = stage_of;
        for (pid, stage) in &self.stage_of {
            self.stages.entry(*stage).or_default().push(*pid);
        }
        self.stages.values_mut().for_each(|members| members.sort_unstable());
        let stage_of = &self.stage_of;
        self.pipes.retain(|_, ends| {
            ends.writers.retain(|(pid, _)| stage_of.contains_key(pid));
            ends.readers.retain(|(pid, _)| stage_of.contains_key(pid));
            !ends.writers.is_empty() && !ends.readers.is_empty()
        });
    }

    fn stage(&self, pid: i32) -> i32 {
        self.stage_of.get(&pid).copied().unwrap_or(pid)
    }

    fn members(&self, stage: i32) -> Vec<i32> {
        self.stages.get(&stage).cloned().unwrap_or_else(|| vec![stage])
    }

    /// The pipes into a stage from others, standard input first.
    fn inputs(&self, stage: i32) -> Vec<Link> {
        let mut links = self.links(|from, to| to == stage && from != stage);
        links.sort_by_key(|link| (link.reader.1.fd, link.writer.0));
        links
    }

    /// The pipes out of a stage to others, standard output last: there the stream continues.
    fn outputs(&self, stage: i32) -> Vec<Link> {
        let mut links = self.links(|from, to| from == stage && to != stage);
        links.sort_by_key(|link| (link.writer.1.fd == 1, link.writer.1.fd, link.reader.0));
        links
    }

    /// Whether a stage is joined only to those that have started it.
    fn is_only_owned(&self, stage: i32) -> bool {
        let owners: HashSet<i32> = self.census.ancestors(stage).map(|pid| self.stage(pid)).collect();
        self.neighbours(stage).all(|stage| owners.contains(&stage))
    }

    /// The stages that a stage is joined to.
    fn neighbours(&self, stage: i32) -> impl Iterator<Item = i32> {
        let above = self.inputs(stage).into_iter().map(|link| self.stage(link.writer.0));
        above.chain(self.outputs(stage).into_iter().map(|link| self.stage(link.reader.0)))
    }

    /// One link for each pair of processes whose stages, that of the writer first, are wanted.
    fn links(&self, wanted: impl Fn(i32, i32) -> bool) -> Vec<Link> {
        let mut links = Vec::new();
        for (carrier, ends) in &self.pipes {
            for reader in &ends.readers {
                let writers = ends.writers.iter();
                let writers = writers.filter(|writer| wanted(self.stage(writer.0), self.stage(reader.0)));
                links.extend(writers.map(|writer| Link {
                    carrier: *carrier,
                    writer: writer.clone(),
                    reader: reader.clone(),
                }));
            }
        }
        links
    }

    /// The connection of a stage to another process on this system.
    fn connection(&self, stage: i32, into: bool) -> Option<Link> {
        let members = self.members(stage);
        let mut own: Vec<(i32, HeldDescriptor)> = members
            .iter()
            .flat_map(|pid| self.census.ends(*pid).map(|held| (*pid, held.clone())))
            .collect();
        let standard = i32::from(!into);
        own.sort_by_key(|(_, held)| (held.fd != standard, held.fd));
        own.into_iter().find_map(|(pid, held)| {
            let Target::Socket(inode) = held.target else {
                return None;
            };
            let peer = self.census.peer(inode)?;
            let holders = self.sockets.get(&peer)?;
            let (other, theirs) = holders.first()?.clone();
            // Nothing comes from what is only the standard input of the other side, or goes to its standard output.
            let is_standard = |fd: i32| holders.iter().any(|(_, held)| held.fd == fd);
            let (same, opposite) = (i32::from(into), i32::from(!into));
            if is_standard(opposite) && !is_standard(same) {
                return None;
            }
            // A service talks to what has started it, which is no part of its pipeline.
            let is_started_by = || self.census.ancestors(pid).any(|ancestor| ancestor == other);
            if members.contains(&other) || held.fd != standard && is_started_by() {
                return None;
            }
            let side = |held: HeldDescriptor, writes: bool| HeldDescriptor {
                reads: !writes,
                writes,
                ..held
            };
            Some(if into {
                Link {
                    carrier: Carrier::Connection(peer, inode),
                    writer: (other, side(theirs, true)),
                    reader: (pid, side(held, false)),
                }
            } else {
                Link {
                    carrier: Carrier::Connection(inode, peer),
                    writer: (pid, side(held, true)),
                    reader: (other, side(theirs, false)),
                }
            })
        })
    }

    /// The pipeline that a stage is in.
    fn pipeline(&self, seed: i32) -> Pipeline {
        let owners: HashSet<i32> = self.census.ancestors(seed).map(|pid| self.stage(pid)).collect();
        let mut others = Vec::new();
        // The way to the first stage. A parent of the pipeline is an end of it: what else it does is another matter.
        let mut path: Vec<Link> = Vec::new();
        let mut root = seed;
        let mut passed = HashSet::from([seed]);
        let mut has_crossed = false;
        while !owners.contains(&root) {
            let mut inputs = self.inputs(root);
            if inputs.is_empty() && !has_crossed && self.takes_from_socket(root) {
                inputs.extend(self.connection(root, true));
                has_crossed = !inputs.is_empty();
            }
            let stages = inputs.iter().map(|link| self.stage(link.writer.0));
            others.extend(stages.skip(1).filter(|stage| !passed.contains(stage)));
            let Some(link) = inputs.into_iter().next() else { break };
            let above = self.stage(link.writer.0);
            if !passed.insert(above) {
                break;
            }
            root = above;
            path.push(link);
        }
        // From an owner only the way to this pipeline is followed.
        let first = path.last().filter(|_| owners.contains(&root)).cloned();
        let mut tree = Tree {
            joints: self,
            owners,
            path,
            below: HashMap::new(),
            placed: HashSet::from([root]),
        };
        tree.grow(root, first.as_ref());
        others.retain(|stage| !tree.placed.contains(stage));
        others.sort_unstable();
        others.dedup();
        let mut pipeline = Pipeline {
            graph: Graph::new(),
            stages: NodeMap::default(),
            links: EdgeMap::default(),
            others,
            loose: Vec::new(),
        };
        let node = pipeline.graph.root();
        tree.place(&mut pipeline, node, root);
        let ends = pipeline
            .graph
            .nodes()
            .map(|node| (pipeline.stages[node].pid, pipeline.graph.is_sink(node)));
        let ends = ends.filter(|(pid, writes)| (*writes || *pid == root) && !tree.owners.contains(pid));
        pipeline.loose = ends.filter(|(pid, writes)| self.is_loose(*pid, *writes)).collect();
        pipeline
    }

    /// Whether nothing is seen at the other end of a process's standard input or output.
    fn is_loose(&self, pid: i32, writes: bool) -> bool {
        let mut held = self.census.ends(pid).filter(|held| held.fd == i32::from(writes));
        held.any(|held| Carrier::of(held).is_some_and(|carrier| self.loose.contains(&carrier)))
    }

    /// Whether a stage without a pipe on its input reads from its connection: not if it reads a file or a terminal and
    /// has nowhere else to write to.
    fn takes_from_socket(&self, stage: i32) -> bool {
        let has_output = !self.outputs(stage).is_empty();
        let members = self.members(stage);
        let mut held = members.iter().flat_map(|pid| self.census.ends(*pid));
        has_output || held.any(|held| held.fd == 1 && matches!(held.target, Target::File(_)))
    }
}

/// What is behind the first stage.
struct Tree<'a> {
    joints: &'a Joints<'a>,
    /// Stages that have started the pipeline: what else they do is another matter.
    owners: HashSet<i32>,
    /// The links from the first stage to the one that was asked for.
    path: Vec<Link>,
    /// The links out of each stage.
    below: HashMap<i32, Vec<Link>>,
    placed: HashSet<i32>,
}

impl Tree<'_> {
    /// Finds everything behind the first stage, the nearest stages first: where several write to one pipe, it belongs to
    /// the one that the others were started for. Only `first` leads away from the first stage, if it is given.
    fn grow(&mut self, root: i32, first: Option<&Link>) {
        let mut has_crossed = self.path.iter().any(Link::is_connection);
        let mut next = VecDeque::from([root]);
        while let Some(stage) = next.pop_front() {
            if stage != root && self.owners.contains(&stage) {
                continue;
            }
            let mut outputs = match first {
                Some(link) if stage == root => vec![link.clone()],
                _ => self.joints.outputs(stage),
            };
            let mut path = self.path.iter();
            outputs.extend(
                path.find(|link| link.is_connection() && self.joints.stage(link.writer.0) == stage)
                    .cloned(),
            );
            if outputs.is_empty() && !has_crossed {
                outputs.extend(self.joints.connection(stage, false));
                has_crossed = !outputs.is_empty();
            }
            for link in outputs {
                let reader = self.joints.stage(link.reader.0);
                if self.placed.insert(reader) {
                    self.below.entry(stage).or_default().push(link);
                    next.push_back(reader);
                }
            }
        }
    }

    /// Adds a stage and all behind it.
    fn place(&mut self, pipeline: &mut Pipeline, node: NodeId, stage: i32) {
        pipeline.stages.push(Stage {
            pid: stage,
            members: self.joints.members(stage),
            is_owner: self.owners.contains(&stage),
        });
        for link in self.below.remove(&stage).unwrap_or_default() {
            let reader = self.joints.stage(link.reader.0);
            let below = pipeline.graph.append(node, Port::Bytes);
            pipeline.links.push(link);
            self.place(pipeline, below, reader);
        }
    }
}

impl Link {
    fn is_connection(&self) -> bool {
        matches!(self.carrier, Carrier::Connection(..))
    }
}

impl Census {
    /// The pipelines that these processes are in, or, of one that is in none, those of its descendants. Those that this
    /// process is part of are left out.
    #[must_use]
    pub fn pipelines_of(&self, pids: &[i32]) -> Vec<Pipeline> {
        let joints = Joints::new(self);
        let own = joints.stage(own_pid());
        let mut seeds: Vec<i32> = Vec::new();
        for pid in pids {
            let stage = joints.stage_of.get(pid);
            if let Some(stage) = stage.filter(|stage| **stage != own && !joints.is_only_owned(**stage)) {
                seeds.push(*stage);
                continue;
            }
            let below = joints.stages.keys().copied();
            let before = seeds.len();
            seeds.extend(below.filter(|stage| self.ancestors(*stage).any(|ancestor| ancestor == *pid)));
            // It may be joined by connections alone, or to the one that has started it.
            seeds.extend((seeds.len() == before).then(|| joints.stage(*pid)));
        }
        let mut found: Vec<Pipeline> = Vec::new();
        for seed in seeds {
            let is_known = |pipeline: &Pipeline| pipeline.stages.values().iter().any(|stage| stage.pid == seed);
            if !found.iter().any(is_known) {
                found.push(joints.pipeline(seed));
            }
        }
        let has_own = |pipeline: &Pipeline| pipeline.stages.values().iter().any(|stage| stage.pid == own);
        found.retain(|pipeline| pipeline.stages.len() > 1 && !has_own(pipeline));
        for pipeline in &mut found {
            pipeline.others.retain(|stage| *stage != own);
        }
        found
    }

    /// All pipelines that can be seen.
    #[must_use]
    pub fn pipelines(&self) -> Vec<Pipeline> {
        let joints = Joints::new(self);
        let descends = |pid: i32, from: i32| self.ancestors(pid).any(|ancestor| ancestor == from);
        let starters: HashSet<i32> = joints.stages.keys().flat_map(|stage| self.ancestors(*stage)).collect();
        // What starts pipelines is no pipeline itself, though it holds an end of each.
        let only_starts = |stage: i32| {
            let is_kin = |other| descends(other, stage) || descends(stage, other);
            starters.contains(&stage) && joints.neighbours(stage).all(is_kin)
        };
        let piped = joints.stages.keys().copied().filter(|stage| !only_starts(*stage));
        let piped: Vec<i32> = piped.collect();
        self.pipelines_of(&piped)
    }
}
