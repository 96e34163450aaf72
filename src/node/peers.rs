//! The other members, as the core reaches them.

use super::{NodeError, options};
use crate::{
    config::{
        EnsembleConfig, ServerConfig,
        members::{Member, Members, PeerAddress},
    },
    member::{Input, LearnerPort, Part},
    net::{Shared, ToCore},
    peer::{
        Adopter, ElectionSettings, Elections, Event, LeaderConn, LeaderSettings, LinkSettings, Links, Sink,
    },
    tree::TreeOptions,
    types::{LinkId, ServerId},
    zab::Packet,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tracing::{info, warn};

/// Pause between two attempts to take a port for peers, ms. Upstream's.
const BIND_RETRY_MS: u64 = 1000;

/// Attempts to reach the leader. Upstream's.
const CONNECT_TRIES: u32 = 5;

/// Numbers of connections that each port has for itself.
const LINKS_PER_PORT: u64 = 1 << 32;

/// A host name or address, and a port.
type Address = (String, u16);

/// Everything that is connected to other members.
pub(super) struct Peers {
    pub elections: Elections,
    /// Lets what these say through.
    elections_gate: Arc<Gate>,
    links: Links,
    /// Of a port that was given up while this member leads: its learners have not heard all of it yet.
    old_links: Vec<Links>,
    /// The number of the first connection at the next port: none comes twice.
    next_link: LinkId,
    /// Whether this member leads or is about to.
    leads: bool,
    /// When it is tried again to take the ports of the active configuration, monotonic ms.
    ports_due_ms: Option<i64>,
    /// The connection to the leader and the number of its attempt.
    leader: Option<(u64, LeaderConn)>,
    me: ServerId,
    /// The active configuration.
    active: Members,
    /// One that is proposed.
    next: Option<Members>,
    listen_on_all: bool,
    election_settings: ElectionSettings,
    link_settings: LinkSettings,
    /// `observerMasterPort`: a follower has it for observers, and an observer goes to it instead of to its leader.
    master_port: Option<u16>,
    /// The port, while this member follows.
    masters: Option<Links>,
    /// The number of the next connection there: none comes twice.
    next_master_link: LinkId,
    leader_settings: LeaderSettings,
    tree_options: TreeOptions,
    sink: Arc<dyn Sink>,
}

impl Peers {
    /// Takes the ports for peers and begins to reach them.
    pub fn start(
        shared: &Arc<Shared>,
        config: &ServerConfig,
        ensemble: &EnsembleConfig,
        adopter: Adopter,
    ) -> Result<Self, NodeError> {
        let sink: Arc<dyn Sink> = Arc::new(ToInbox(shared.clone()));
        let tick_ms = u64::from(config.session.tick_time_ms);
        let init_ms = u64::from(ensemble.init_limit_ticks) * tick_ms;
        let me = ensemble.server_id;
        let own = ensemble.members.servers.get(&me).ok_or(NodeError::NotAMember { me: me.0 })?;
        let limits = options::limits(config);
        let election_settings = ElectionSettings {
            bind: bind(own, ensemble.listen_on_all, |a| a.election_port),
            peers: reach(&ensemble.members, ensemble.next.as_ref(), |a| a.election_port),
            advertised: addresses(own, |a| a.election_port),
            multi_address: ensemble.multi_address,
            connect_ms: u64::from(ensemble.election_connect_ms),
            handshake_ms: u64::from(ensemble.election_handshake_ms),
            bind_tries: ensemble.bind_tries,
            bind_retry_ms: BIND_RETRY_MS,
            keep_alive: ensemble.tcp_keep_alive,
            ..ElectionSettings::new(me)
        };
        let link_settings = LinkSettings {
            bind: bind(own, ensemble.listen_on_all, |a| a.quorum_port),
            bind_tries: ensemble.bind_tries,
            bind_retry_ms: BIND_RETRY_MS,
            first_packet_ms: init_ms,
            send_stall_ms: init_ms,
            limits,
            keep_alive: ensemble.tcp_keep_alive,
            adopter: Some(adopter.clone()),
            ..LinkSettings::default()
        };
        let leader_settings = LeaderSettings {
            connect_ms: u64::from(ensemble.connect_limit_ticks) * tick_ms,
            tries: CONNECT_TRIES,
            retry_delay_ms: u64::from(ensemble.connect_retry_ms),
            read_timeout_ms: init_ms,
            send_stall_ms: init_ms,
            limits,
            keep_alive: ensemble.tcp_keep_alive,
            adopter: Some(adopter),
            ..LeaderSettings::default()
        };
        let gate = Gate::before(&sink);
        Ok(Self {
            elections: Elections::start(election_settings.clone(), gate.clone()).map_err(NodeError::Peers)?,
            elections_gate: gate,
            links: Links::start(link_settings.clone(), sink.clone()).map_err(NodeError::Peers)?,
            old_links: Vec::new(),
            next_link: LinkId(link_settings.first.0 + LINKS_PER_PORT),
            leads: false,
            ports_due_ms: None,
            leader: None,
            me,
            active: ensemble.members.clone(),
            next: ensemble.next.clone(),
            listen_on_all: ensemble.listen_on_all,
            election_settings,
            link_settings,
            master_port: ensemble.observer_master_port,
            masters: None,
            next_master_link: LinkId::MASTER,
            leader_settings,
            tree_options: options::tree(config),
            sink,
        })
    }

    /// The active configuration.
    pub fn active(&self) -> &Members {
        &self.active
    }

    /// One that is proposed.
    pub fn next(&self) -> Option<&Members> {
        self.next.as_ref()
    }

    /// A configuration is proposed, or of no account any more: its servers are to be reached, too.
    pub fn see(&mut self, next: Option<Members>) {
        self.next = next;
        self.set_peers();
    }

    /// Another configuration is active. If it has other ports for this server, these are taken and the old ones given
    /// up.
    pub fn adopt(&mut self, active: Members) {
        self.next.take_if(|next| next.version <= active.version);
        self.active = active;
        self.set_peers();
        self.ports_due_ms = Some(0);
        self.take_ports(0);
    }

    /// Takes the ports of the active configuration, if they are others and it is time. One that cannot be had is tried
    /// for again and again: until then this member does without.
    ///
    /// Upstream counterpart: `QuorumPeer.restartLeaderElection`; its quorum port is taken only to lead.
    pub fn take_ports(&mut self, now_ms: i64) {
        if self.ports_due_ms.take_if(|at_ms| *at_ms <= now_ms).is_none() {
            return;
        }
        let Some(own) = self.active.servers.get(&self.me) else { return };
        let election = bind(own, self.listen_on_all, |a| a.election_port);
        let quorum = bind(own, self.listen_on_all, |a| a.quorum_port);
        let advertised = addresses(own, |a| a.election_port);
        let other_election = election != self.election_settings.bind;
        let other_quorum = quorum != self.link_settings.bind;
        // First of all: the one port may be what the other was.
        if other_election {
            self.elections.stop_listening();
            self.election_settings.bind.clear();
        }
        if other_quorum {
            self.links.stop_listening();
            self.link_settings.bind.clear();
        }
        let mut failed = Vec::new();
        if other_election {
            let peers = self.reached(|a| a.election_port);
            let settings = ElectionSettings {
                bind: election,
                advertised,
                peers,
                bind_tries: 1,
                ..self.election_settings.clone()
            };
            let gate = Gate::before(&self.sink);
            match Elections::start(settings.clone(), gate.clone()) {
                Ok(new) => {
                    info!("elections take place at {:?} now", new.addresses());
                    self.election_settings = settings;
                    // What ends there is no news of the peers.
                    std::mem::replace(&mut self.elections_gate, gate).close();
                    let old = std::mem::replace(&mut self.elections, new);
                    in_background(move || old.shutdown());
                }
                Err(error) => failed.push(error),
            }
        }
        if other_quorum {
            let settings = LinkSettings {
                bind: quorum,
                first: self.next_link,
                bind_tries: 1,
                ..self.link_settings.clone()
            };
            match Links::start(settings.clone(), self.sink.clone()) {
                Ok(new) => {
                    info!("learners are listened to at {:?} now", new.addresses());
                    self.link_settings = settings;
                    self.next_link = LinkId(self.next_link.0 + LINKS_PER_PORT);
                    self.old_links.push(std::mem::replace(&mut self.links, new));
                    self.drop_old_links();
                }
                Err(error) => failed.push(error),
            }
        }
        for error in failed {
            warn!("a port of the new configuration is not there yet, and is tried for again: {error}");
            self.ports_due_ms = Some(now_ms + BIND_RETRY_MS as i64);
        }
    }

    /// Learners at a port that was given up stay for as long as there is something to tell them.
    fn drop_old_links(&mut self) {
        if !self.leads {
            for old in self.old_links.drain(..) {
                in_background(move || old.shutdown());
            }
        }
    }

    /// This member does something else.
    pub fn set_part(&mut self, part: Part) {
        self.leads = match part {
            Part::Leading | Part::LeadingOnly => true,
            Part::Joining { leader } => leader == self.me,
            _ => false,
        };
        self.drop_old_links();
        self.set_following(matches!(part, Part::Following { .. }));
    }

    fn set_peers(&self) {
        self.elections.set_peers(self.reached(|a| a.election_port));
    }

    fn reached(&self, port: impl Fn(&PeerAddress) -> u16) -> BTreeMap<ServerId, Vec<Address>> {
        reach(&self.active, self.next.as_ref(), port)
    }

    pub fn connect_leader(&mut self, attempt: u64, leader: ServerId, port: LearnerPort) {
        let master_port = self.master_port.filter(|_| port == LearnerPort::ObserverMaster);
        let reached = self.reached(|a| master_port.unwrap_or(a.quorum_port));
        let addresses = reached.get(&leader).cloned().unwrap_or_default();
        let (settings, sink) = (self.leader_settings.clone(), self.sink.clone());
        let conn = LeaderConn::connect(attempt, addresses, settings, self.tree_options, sink);
        self.leader = Some((attempt, conn));
    }

    /// The port at which a learner has connected.
    pub fn links_of(&self, link: LinkId) -> Option<&Links> {
        if link.is_at_master() {
            return self.masters.as_ref();
        }
        self.old_links.iter().chain([&self.links]).find(|links| {
            let first = links.first().0;
            (first..first + LINKS_PER_PORT).contains(&link.0)
        })
    }

    /// Sends whole packets to a learner.
    pub fn send(&self, link: LinkId, bytes: Bytes) {
        if let Some(links) = self.links_of(link) {
            links.send(link, bytes);
        }
    }

    /// Observers may come, or not any more: only a follower has something for them.
    fn set_following(&mut self, follows: bool) {
        if !follows {
            if let Some(old) = self.masters.take() {
                in_background(move || old.shutdown());
            }
            return;
        }
        let (Some(port), Some(own), None) =
            (self.master_port, self.active.servers.get(&self.me), &self.masters)
        else {
            return;
        };
        let (bind, first) = (bind(own, self.listen_on_all, |_| port), self.next_master_link);
        self.next_master_link = LinkId(first.0 + LINKS_PER_PORT);
        let settings = LinkSettings { bind, first, bind_tries: 1, ..self.link_settings.clone() };
        match Links::start(settings, self.sink.clone()) {
            Ok(links) => {
                info!("observers are served on {:?}", links.addresses());
                self.masters = Some(links);
            }
            Err(error) => warn!("observers cannot be served here: {error}"),
        }
    }

    pub fn disconnect_leader(&mut self, attempt: u64) {
        self.leader.take_if(|(current, _)| *current == attempt);
    }

    pub fn send_to_leader(&self, attempt: u64, bytes: Bytes) {
        if let Some((current, conn)) = &self.leader
            && *current == attempt
        {
            conn.send(bytes);
        }
    }

    /// Whether this is the attempt that counts.
    pub fn is_current(&self, attempt: u64) -> bool {
        self.leader.as_ref().is_some_and(|(current, _)| *current == attempt)
    }

    /// Closes everything.
    pub fn shutdown(mut self) {
        self.leader = None;
        drop(self.masters.take());
        self.old_links.clear();
        self.links.shutdown();
        self.elections.shutdown();
    }
}

/// Where the servers of both configurations are reached.
fn reach(
    active: &Members,
    next: Option<&Members>,
    port: impl Fn(&PeerAddress) -> u16,
) -> BTreeMap<ServerId, Vec<Address>> {
    let mut all = BTreeMap::<ServerId, Vec<Address>>::new();
    for (id, member) in [active].into_iter().chain(next).flat_map(|members| &members.servers) {
        let known = all.entry(*id).or_default();
        for address in addresses(member, &port) {
            if !known.contains(&address) {
                known.push(address);
            }
        }
    }
    all
}

/// Closing waits for threads, and the core must not.
fn in_background(close: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name("close".into()).spawn(close) {
        warn!("an old port stays open: {error}");
    }
}

/// Where a member is reached.
fn addresses(member: &Member, port: impl Fn(&PeerAddress) -> u16) -> Vec<Address> {
    member.addresses.iter().map(|a| (a.host.clone(), port(a))).collect()
}

/// Where this member listens.
fn bind(member: &Member, everywhere: bool, port: impl Fn(&PeerAddress) -> u16) -> Vec<Address> {
    let mut all: Vec<Address> = addresses(member, port);
    if everywhere {
        all.iter_mut().for_each(|(host, _)| *host = "0.0.0.0".into());
        all.dedup();
    }
    all
}

/// In front of a sink: what comes behind its end is dropped.
struct Gate {
    sink: Arc<dyn Sink>,
    open: AtomicBool,
}

impl Gate {
    fn before(sink: &Arc<dyn Sink>) -> Arc<Self> {
        Arc::new(Self { sink: sink.clone(), open: AtomicBool::new(true) })
    }

    fn close(&self) {
        self.open.store(false, Ordering::Release);
    }
}

impl Sink for Gate {
    fn put(&self, events: &mut Vec<Event>) {
        if self.open.load(Ordering::Acquire) {
            self.sink.put(events);
        } else {
            events.clear();
        }
    }
}

/// Puts what comes from other members into the core's inbox.
struct ToInbox(Arc<Shared>);

impl Sink for ToInbox {
    fn put(&self, events: &mut Vec<Event>) {
        let mut messages = Vec::with_capacity(events.len());
        add_messages(events, &mut messages);
        self.0.core.put_all(&mut messages);
    }
}

/// What `events` are to the core; they are gone afterwards, their memory stays.
pub(super) fn add_messages(events: &mut Vec<Event>, messages: &mut Vec<ToCore>) {
    let mut events = events.drain(..).peekable();
    while let Some(event) = events.next() {
        if !events.peek().is_some_and(|next| says_it_too(&event, next)) {
            messages.push(message(event));
        }
    }
}

/// Whether the second of two acknowledgements covers the first: a follower acknowledges in order, one packet for each
/// txn. That of an epoch, whose counter is 0, stands for itself.
fn says_it_too(event: &Event, next: &Event) -> bool {
    match (event, next) {
        (
            Event::LinkPacket { link: a, packet: Packet::Ack { zxid: first } },
            Event::LinkPacket { link: b, packet: Packet::Ack { zxid: second } },
        ) => a == b && first.counter() != 0 && second > first,
        _ => false,
    }
}

fn message(event: Event) -> ToCore {
    ToCore::Member(match event {
        Event::Heard { from, notification } => Input::Heard { from, notification },
        Event::LinkUp { link, .. } => Input::LinkUp { link },
        Event::LinkPacket { link, packet } => Input::LinkPacket { link, packet },
        Event::LinkDown { link, why } => Input::LinkDown { link, why },
        Event::LeaderUp { attempt } => Input::LeaderUp { attempt },
        Event::LeaderPacket { attempt, packet } => Input::LeaderPacket { attempt, packet },
        Event::LeaderDown { attempt, why } => Input::LeaderDown { attempt, why },
        Event::Snapshot { attempt, zxid, tree, sessions } => {
            return ToCore::Tree { attempt, zxid, tree, sessions };
        }
        Event::ElectionUp { peer } => Input::Reachable { peer, up: true },
        Event::ElectionDown { peer, .. } => Input::Reachable { peer, up: false },
    })
}
