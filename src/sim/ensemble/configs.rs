//! Configurations of members that may be reconfigured: their files, who asks for which change, and what an operator does.
//!
//! The files are those of a real server ([`crate::config::dynamic`]), written by the same steps on the fake disk: a
//! static one that names a dynamic one by its version, and one for what is proposed. A member starts with what they say.

use super::{
    ghost::Check,
    node::Running,
    properties::Seen,
    world::{Stop, World},
};
use crate::{
    member::{MemberConfig, Part, RoleOptions},
    ops::OpsConfig,
    pipeline::{LocalSessions, PipelineConfig, ReaperConfig},
    sim::{
        disk::FakeDisk,
        rng::Rng,
        write::{Change, Write},
    },
    storage::{Disk, OpenMode},
    tree::CONFIG_PATH,
    types::{
        HostPort, OwnerRules, Quorum, ServerId, SubTxn, TxnBody, TxnFormat, Zxid,
        members::{Hierarchy, Member, Members, PeerAddress, Role},
    },
};
use std::{io, path::Path};

const STATIC: &str = "/conf/zoo.cfg";
const NEXT: &str = "/conf/zoo.cfg.dynamic.next";
const NAMES: &str = "dynamicConfigFile=";

/// What a member goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Configs {
    pub active: Members,
    pub next: Option<Members>,
}

impl Configs {
    /// Whether the member has an address of this server.
    pub fn knows(&self, id: ServerId) -> bool {
        [&self.active].into_iter().chain(&self.next).any(|m| m.servers.contains_key(&id))
    }
}

/// The line of a server.
pub(super) fn line(id: ServerId, role: Role, client: bool) -> Member {
    let port = 2000 + id.0 as u16;
    let address = PeerAddress { host: "host".into(), quorum_port: port, election_port: port + 1000 };
    Member { addresses: vec![address], role, client: client.then(|| HostPort::any(port + 2000)) }
}

fn replace(disk: &FakeDisk, path: &str, text: &str) -> io::Result<()> {
    let (path, beside) = (Path::new(path), format!("{path}.tmp"));
    let file = disk.open(Path::new(&beside), OpenMode::Replace)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_all()?;
    disk.rename(Path::new(&beside), path)?;
    disk.sync_dir(Path::new("/conf"))
}

fn activate(disk: &FakeDisk, members: &Members) -> io::Result<()> {
    let dynamic = format!("{STATIC}.dynamic.{:x}", members.version);
    replace(disk, &dynamic, &lines(members))?;
    replace(disk, STATIC, &format!("{NAMES}{dynamic}"))
}

fn remove_next(disk: &FakeDisk) -> io::Result<()> {
    if disk.get(NEXT).is_none() {
        return Ok(());
    }
    disk.remove(Path::new(NEXT))?;
    disk.sync_dir(Path::new("/conf"))
}

/// A configuration without its version.
fn lines(members: &Members) -> String {
    let text = members.to_string();
    text.rsplit_once("version=").map_or(String::new(), |(lines, _)| lines.to_owned())
}

fn read(disk: &FakeDisk) -> Result<Configs, String> {
    let text = |path: &str| disk.get(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let parse = |text: &str| Members::read(text, false).map_err(|e| format!("{text:?}: {e}"));
    let named = text(STATIC).ok_or("there is no configuration")?;
    let active = match named.strip_prefix(NAMES) {
        None => parse(&named)?,
        Some(path) => {
            let version = path.rsplit('.').next().and_then(|v| u64::from_str_radix(v, 16).ok());
            let named = text(path).ok_or(format!("{path} is not there"))?;
            Members { version: version.ok_or(format!("{path} has no version"))?, ..parse(&named)? }
        }
    };
    let next = text(NEXT).map(|text| parse(&text)).transpose()?;
    Ok(Configs { next: next.filter(|next| next.version > active.version), active })
}

impl World {
    /// The configuration with which the ensemble begins.
    pub(super) fn founders(&self) -> Members {
        let dynamic = self.settings.reconfig;
        let founders = self.nodes.iter().take(self.settings.voters + self.settings.observers);
        let servers = founders.map(|node| {
            let role = if node.observer { Role::Observer } else { Role::Participant };
            (node.id, line(node.id, role, dynamic))
        });
        let voters = self.nodes.iter().take(self.settings.voters).map(|node| node.id);
        // Every group keeps somebody who weighs something.
        let weight = |id: ServerId| if self.settings.weightless && id.0 % 4 == 1 { 0 } else { 1 };
        let hierarchy = self.settings.groups.then(|| Hierarchy {
            group_of: voters.clone().map(|id| (id, id.0 % 3)).collect(),
            weight_of: voters.map(|id| (id, weight(id))).collect(),
        });
        Members { servers: servers.collect(), hierarchy, version: 0 }
    }

    /// The newest configuration that anybody has adopted, as an operator would read it.
    pub(super) fn newest_config(&self) -> Members {
        self.ghost.newest().clone()
    }

    /// A server starts only with a configuration that names it. Whoever is no member, or not any more, gets one from the
    /// operator: that of the ensemble, with itself as an observer. What it knows to be proposed it keeps.
    fn provision(&mut self, n: usize) -> Check {
        let mut members = self.newest_config();
        let id = self.nodes[n].id;
        members.servers.entry(id).or_insert_with(|| {
            members.version = 0;
            line(id, Role::Observer, true)
        });
        self.ghost.members[n].config.0 = members.version;
        let disk = &self.nodes[n].disk;
        if members.version == 0 {
            disk.put(STATIC, lines(&members));
        } else {
            let dynamic = format!("{STATIC}.dynamic.{:x}", members.version);
            disk.put(&dynamic, lines(&members));
            disk.put(STATIC, format!("{NAMES}{dynamic}"));
        }
        self.ghost.show(Seen::Provisioned { node: n })
    }

    /// A server that is no member any more may be the only one, of those whose votes it takes, that knows of the
    /// configuration without it: the others may still go by the one before. An operator must not make it forget that.
    fn keep_known(&self, n: usize, found: &Configs) {
        let known = found.next.as_ref().unwrap_or(&found.active);
        self.nodes[n].disk.put(NEXT, known.to_string());
    }

    /// Reads what a member goes by after a start.
    pub(super) fn load_configs(&mut self, n: usize) -> Check {
        if !self.settings.reconfig {
            self.nodes[n].configs = Configs { active: self.founders(), next: None };
            return Ok(());
        }
        if self.nodes[n].disk.get(STATIC).is_none() {
            self.provision(n)?;
        }
        let mut found = read(&self.nodes[n].disk)?;
        let (active, next) = self.ghost.members[n].config;
        let kept = next <= found.active.version || found.next.as_ref().is_some_and(|m| m.version == next);
        if found.active.version < active || !kept {
            let versions = (found.active.version, found.next.map(|m| m.version));
            return Err(format!(
                "Durability: node {n} starts with configurations {versions:x?}, it had {active:x} and {next:x}"
            ));
        }
        if found.active.version > active {
            // It died just when it had written it.
            self.ghost.members[n].config =
                (found.active.version, found.next.as_ref().map_or(0, |m| m.version));
            self.adopted(n, found.active.version)?;
        }
        if !found.active.servers.contains_key(&self.nodes[n].id) {
            self.say(|| format!("node {n}: is no member, and gets a configuration"));
            self.keep_known(n, &found);
            self.provision(n)?;
            found = read(&self.nodes[n].disk)?;
        }
        let next = found.next.as_ref().map_or(0, |m| m.version);
        self.ghost.members[n].config = (found.active.version, next);
        self.nodes[n].configs = found;
        Ok(())
    }

    /// The files of the configuration survive a new disk for the data.
    pub(super) fn keep_configs(&self, from: &FakeDisk, to: &FakeDisk) {
        for path in from.paths().into_iter().filter(|p| p.starts_with("/conf")) {
            let text = from.get(&path).unwrap_or_default();
            to.put(path, text);
        }
    }

    /// What a member and its pipeline are told of their configuration.
    pub(super) fn configs(&self, n: usize) -> (MemberConfig, PipelineConfig) {
        let Configs { active, next } = self.nodes[n].configs.clone();
        let tick_ms = self.settings.tick_ms;
        let rules = OwnerRules { extended_types: true, emulate_353: false };
        let member = MemberConfig {
            me: self.nodes[n].id,
            members: active,
            next,
            reconfig_enabled: self.settings.reconfig,
            standalone_enabled: true,
            multi_address: false,
            tick_ms,
            init_limit_ticks: self.settings.init_limit_ticks,
            sync_limit_ticks: self.settings.sync_limit_ticks,
            notification_interval_min_ms: 200,
            notification_interval_max_ms: 800,
            commit_log_count: self.settings.commit_log_count,
            force_snapshot: self.settings.force_snapshot,
            sync_from_log: self.size_factor >= 0.0,
            snapshot_syncs_max: 10,
            roles: RoleOptions {
                read_only_after_ms: self.settings.read_only_after_ms,
                seed: self.seed_of(n),
                observer_masters: self.settings.observer_masters,
                observer_master_bytes_max: 20_000,
                ..RoleOptions::default()
            },
        };
        let ops = OpsConfig {
            owner_rules: rules,
            reconfig_enabled: self.settings.reconfig,
            ..OpsConfig::default()
        };
        let pipeline = PipelineConfig {
            server: self.nodes[n].id,
            tick_ms,
            session_timeout_min_ms: 2 * tick_ms as i32,
            session_timeout_max_ms: 100 * tick_ms as i32,
            reaper: ReaperConfig::default(),
            ops,
            txn_format: TxnFormat::default(),
            local_sessions: if self.settings.local_sessions {
                LocalSessions::Upgrade
            } else {
                LocalSessions::Off
            },
            seed: self.seed_of(n),
            first_counter: self.settings.first_counter,
            eager_acl_check: false,
            throttled_op_wait_ms: 0,
        };
        (member, pipeline)
    }

    /// A configuration is proposed, or one that was is of no account.
    pub(super) fn see_config(&mut self, n: usize, run: &Running, next: Option<Members>) -> Result<(), Stop> {
        self.may_change(n)?;
        if let Some(next) = &next {
            self.ghost.hears_of(next)?;
            let zxid = Zxid(next.version as i64);
            let made = self.ghost.leaders.get(&zxid.epoch()) == Some(&n) && zxid.counter() > 0;
            let Configs { active, next: before } = &self.nodes[n].configs;
            if made
                && run.member.part() == Part::Leading
                && let Some(before) = before.as_ref().filter(|m| m.version > active.version)
            {
                let what =
                    format!("Reconfiguration: {zxid} is proposed while {:x} is not done", before.version);
                return Err(Stop::Violation(what));
            }
        }
        let version = next.as_ref().map_or(0, |next| next.version);
        self.say(|| {
            format!(
                "node {n}: sees configuration {version:x}: {}",
                next.as_ref().map_or(String::new(), words)
            )
        });
        // Until it is written the file may say either.
        self.ghost.members[n].config.1 = 0;
        let disk = &self.nodes[n].disk;
        let written = match &next {
            Some(next) => replace(disk, NEXT, &next.to_string()),
            None => remove_next(disk),
        };
        written.map_err(|e| Stop::Disk(e.to_string()))?;
        self.ghost.members[n].config.1 = version;
        self.nodes[n].configs.next = next;
        Ok(())
    }

    /// A configuration is committed.
    pub(super) fn adopt_config(&mut self, n: usize, active: Members) -> Result<(), Stop> {
        self.may_change(n)?;
        self.ghost.hears_of(&active)?;
        let version = active.version;
        self.say(|| format!("node {n}: goes by configuration {version:x}: {}", words(&active)));
        let newer = self.nodes[n].configs.next.as_ref().is_some_and(|next| next.version > version);
        let disk = &self.nodes[n].disk;
        let written = activate(disk, &active).and_then(|()| if newer { Ok(()) } else { remove_next(disk) });
        written.map_err(|e| Stop::Disk(e.to_string()))?;
        self.ghost.members[n].config.0 = version;
        if !newer {
            self.ghost.members[n].config.1 = 0;
        }
        self.nodes[n].configs.next.take_if(|_| !newer);
        self.nodes[n].configs.active = active;
        Ok(self.adopted(n, version)?)
    }

    fn adopted(&mut self, n: usize, version: u64) -> Check {
        self.reconfigurations += u64::from(version > self.ghost.adopted);
        self.ghost.show(Seen::Adopts { node: n, version })?;
        self.ghost.adopted = self.ghost.adopted.max(version);
        Ok(())
    }

    fn may_change(&self, n: usize) -> Check {
        match self.settings.reconfig {
            true => Ok(()),
            false => Err(format!("node {n} takes another configuration, and nobody may ask for one")),
        }
    }

    /// A leader has made a txn. If it is a reconfiguration, it has to be what was asked for, made of the active one, and on
    /// disk.
    pub(super) fn check_change(&mut self, n: usize, zxid: Zxid) -> Check {
        let Some(proposal) = self.ghost.proposals.get(&zxid) else {
            return Ok(());
        };
        if !matches!(proposal.txn.body, TxnBody::One(SubTxn::Reconfig { .. })) {
            return Ok(());
        }
        let Configs { active, next } = &self.nodes[n].configs;
        let Some(next) = next.as_ref().filter(|next| next.version == zxid.0 as u64) else {
            return Err(format!(
                "Reconfiguration: node {n} logs {zxid} and has no such configuration on disk"
            ));
        };
        let key = (proposal.txn.session, proposal.txn.cxid);
        let Some(Write::Reconfig { change, from }) = self.ghost.asked.get(&key) else {
            return Err(format!("Reconfiguration: nobody has asked for {zxid}"));
        };
        let wanted = Members { version: zxid.0 as u64, ..change.of(active) };
        if *next != wanted || *from != -1 && *from as u64 != active.version {
            return Err(format!(
                "Reconfiguration: {zxid} makes {next} of {active}, it should be {wanted}, from {from:x}"
            ));
        }
        // Those that have lost their data may not be missed yet. Without them there is no quorum, ever.
        self.hopeless |= !Quorum::of(next).agrees(|id| self.has_data(id));
        Ok(())
    }

    /// A configuration is proposed whose quorum needs a server that may vote only when it is active, and that server's log
    /// is ahead of all that may vote now. Whoever these elect is behind one it needs, and that one they may not elect. It
    /// is a limit of upstream's rules as well, named in `docs/testing.md`.
    ///
    /// What is active is what somebody goes by: a leader that a configuration removes may be the only one to see it
    /// committed, and knows it as proposed when it is started again with other files.
    pub(super) fn needs_who_may_not_lead(&self) -> bool {
        let active = self.nodes.iter().map(|node| &node.configs.active);
        let now = active.max_by_key(|members| members.version).cloned().unwrap_or_default();
        let last = |id: ServerId| {
            let known = self.index_of(id).map(|n| &self.ghost.members[n]);
            known.map(|member| (member.current, member.logged))
        };
        let quorum = Quorum::of(&now);
        let best = now.voters().filter(|id| quorum.may_lead(*id)).map(last).max().flatten();
        let is_led = |id: ServerId| self.has_data(id) && (quorum.may_lead(id) || last(id) <= best);
        let mut next = self.nodes.iter().filter_map(|node| node.configs.next.as_ref());
        next.any(|next| next.version > now.version && !Quorum::of(next).agrees(is_led))
    }

    fn has_data(&self, id: ServerId) -> bool {
        self.index_of(id).is_some_and(|n| self.ghost.members[n].has_data)
    }

    /// What a client wants changed.
    pub(super) fn some_change(&mut self) -> Write {
        let now = self.newest_config();
        let count = self.nodes.len() as u64;
        let any = |rng: &mut Rng| ServerId(1 + rng.below(count) as i64);
        let role = |rng: &mut Rng| {
            if rng.chance(70) { Role::Participant } else { Role::Observer }
        };
        let leader = self.nodes.iter().find(|node| node.part() == Some(Part::Leading)).map(|node| node.id);
        let rng = &mut self.extra;
        let whole = rng.chance(if now.hierarchy.is_some() { 70 } else { 25 });
        let change = if whole {
            let mut members = Members::default();
            for node in &self.nodes {
                if rng.chance(75) {
                    members.servers.insert(node.id, line(node.id, role(rng), true));
                }
            }
            while members.voters().count() < 2 {
                let id = any(rng);
                members.servers.insert(id, line(id, Role::Participant, true));
            }
            if rng.chance(30) {
                let groups = 1 + rng.below(3) as i64;
                let voters: Vec<_> = members.voters().collect();
                members.hierarchy = Some(Hierarchy {
                    group_of: voters.iter().map(|id| (*id, id.0 % groups)).collect(),
                    weight_of: voters
                        .iter()
                        .map(|id| (*id, [0, 1, 1, 1, 2, 3][rng.below(6) as usize]))
                        .collect(),
                });
            }
            Change::Whole(members)
        } else {
            let (joins, leaves) = [(1, 0), (1, 0), (0, 1), (0, 1), (1, 1), (2, 1)][rng.below(6) as usize];
            let joining: Vec<_> = (0..joins)
                .map(|_| {
                    let id = any(rng);
                    (id, line(id, role(rng), true))
                })
                .collect();
            let leaving = (0..leaves).map(|_| match leader {
                Some(leader) if rng.chance(40) => leader,
                _ => any(rng),
            });
            Change::Part { leaving: leaving.collect(), joining }
        };
        let from = if rng.chance(10) { now.version as i64 } else { -1 };
        Write::Reconfig { change, from }
    }

    /// The leader's configuration, by which everybody has to go in the end.
    pub(super) fn final_config(&self) -> Option<&Members> {
        let leader = self.nodes.iter().find(|node| node.part() == Some(Part::Leading))?;
        Some(&leader.configs.active)
    }

    /// Whether what anybody goes by, or may soon, has a quorum without this member.
    pub(super) fn can_do_without(&self, n: usize) -> bool {
        let id = self.nodes[n].id;
        let mut all =
            self.nodes.iter().flat_map(|node| [&node.configs.active].into_iter().chain(&node.configs.next));
        !self.settings.reconfig || all.all(|members| Quorum::of(members).agrees(|other| other != id))
    }

    /// Whether a member has to serve in the end. Who was removed may.
    pub(super) fn has_to_serve(&self, n: usize) -> bool {
        self.final_config().is_none_or(|members| members.servers.contains_key(&self.nodes[n].id))
    }

    /// Whether all members go by the same configuration, in memory, on disk and in the tree.
    pub(super) fn agree_on_config(&self) -> Check {
        let Some(members) = self.final_config() else { return Err("nobody leads".into()) };
        let text = members.to_string();
        for (n, node) in self.nodes.iter().enumerate().filter(|(n, _)| self.has_to_serve(*n)) {
            let Configs { active, next } = &node.configs;
            if *active != *members || next.is_some() {
                return Err(format!(
                    "node {n} goes by {active} and has seen {next:?}, the leader goes by {text}"
                ));
            }
            let there =
                node.run.as_ref().and_then(|run| run.tree.lookup(CONFIG_PATH)?.data().map(<[u8]>::to_vec));
            if there.as_deref() != Some(text.as_bytes()) {
                let there = String::from_utf8_lossy(&there.unwrap_or_default()).into_owned();
                return Err(format!("node {n} shows configuration {there}, the leader goes by {text}"));
            }
            if self.settings.reconfig && read(&node.disk)?.active != *members {
                return Err(format!("node {n} has another configuration in its files"));
            }
        }
        Ok(())
    }
}

fn words(members: &Members) -> String {
    let of = |ids: &mut dyn Iterator<Item = ServerId>| {
        ids.map(|id| id.0.to_string()).collect::<Vec<_>>().join(" ")
    };
    let (voters, observers) = (of(&mut members.voters()), of(&mut members.observers()));
    let groups = if members.hierarchy.is_some() { ", in groups" } else { "" };
    format!("{voters}, and {observers} without a vote{groups}")
}
