//! The other members, as the core reaches them.

use super::{NodeError, options};
use crate::{
    config::{EnsembleConfig, ServerConfig, members::Member},
    member::Input,
    net::{Shared, ToCore},
    peer::{ElectionSettings, Elections, Event, LeaderConn, LeaderSettings, LinkSettings, Links, Sink},
    tree::TreeOptions,
    types::ServerId,
    zab::Packet,
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// Pause between two attempts to take a port for peers, ms. Upstream's.
const BIND_RETRY_MS: u64 = 1000;

/// Attempts to reach the leader. Upstream's.
const CONNECT_TRIES: u32 = 5;

/// A host name or address, and a port.
type Address = (String, u16);

/// Everything that is connected to other members.
pub(super) struct Peers {
    pub elections: Elections,
    pub links: Links,
    /// The connection to the leader and the number of its attempt.
    leader: Option<(u64, LeaderConn)>,
    quorum_addresses: BTreeMap<ServerId, Vec<Address>>,
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
    ) -> Result<Self, NodeError> {
        let sink: Arc<dyn Sink> = Arc::new(ToInbox(shared.clone()));
        let tick_ms = u64::from(config.session.tick_time_ms);
        let init_ms = u64::from(ensemble.init_limit_ticks) * tick_ms;
        let members = &ensemble.members.servers;
        let me =
            members.get(&ensemble.server_id).ok_or(NodeError::NotAMember { me: ensemble.server_id.0 })?;
        let limits = options::limits(config);
        let elections = Elections::start(
            ElectionSettings {
                bind: bind(me, ensemble.listen_on_all, |a| a.election_port),
                peers: members.iter().map(|(id, m)| (*id, addresses(m, |a| a.election_port))).collect(),
                advertised: addresses(me, |a| a.election_port),
                multi_address: ensemble.multi_address,
                connect_ms: u64::from(ensemble.election_connect_ms),
                handshake_ms: u64::from(ensemble.election_handshake_ms),
                bind_tries: ensemble.bind_tries,
                bind_retry_ms: BIND_RETRY_MS,
                keep_alive: ensemble.tcp_keep_alive,
                ..ElectionSettings::new(ensemble.server_id)
            },
            sink.clone(),
        )
        .map_err(NodeError::Peers)?;
        let links = Links::start(
            LinkSettings {
                bind: bind(me, ensemble.listen_on_all, |a| a.quorum_port),
                bind_tries: ensemble.bind_tries,
                bind_retry_ms: BIND_RETRY_MS,
                first_packet_ms: init_ms,
                send_stall_ms: init_ms,
                limits,
                keep_alive: ensemble.tcp_keep_alive,
                ..LinkSettings::default()
            },
            sink.clone(),
        )
        .map_err(NodeError::Peers)?;
        let leader_settings = LeaderSettings {
            connect_ms: u64::from(ensemble.connect_limit_ticks) * tick_ms,
            tries: CONNECT_TRIES,
            retry_delay_ms: u64::from(ensemble.connect_retry_ms),
            read_timeout_ms: init_ms,
            send_stall_ms: init_ms,
            limits,
            keep_alive: ensemble.tcp_keep_alive,
            ..LeaderSettings::default()
        };
        Ok(Self {
            elections,
            links,
            leader: None,
            quorum_addresses: members.iter().map(|(id, m)| (*id, addresses(m, |a| a.quorum_port))).collect(),
            leader_settings,
            tree_options: options::tree(config),
            sink,
        })
    }

    pub fn connect_leader(&mut self, attempt: u64, leader: ServerId) {
        let addresses = self.quorum_addresses.get(&leader).cloned().unwrap_or_default();
        let (settings, sink) = (self.leader_settings.clone(), self.sink.clone());
        let conn = LeaderConn::connect(attempt, addresses, settings, self.tree_options, sink);
        self.leader = Some((attempt, conn));
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
        self.links.shutdown();
        self.elections.shutdown();
    }
}

/// Where a member is reached.
fn addresses(member: &Member, port: impl Fn(&crate::config::members::PeerAddress) -> u16) -> Vec<Address> {
    member.addresses.iter().map(|a| (a.host.clone(), port(a))).collect()
}

/// Where this member listens.
fn bind(
    member: &Member,
    everywhere: bool,
    port: impl Fn(&crate::config::members::PeerAddress) -> u16,
) -> Vec<Address> {
    let mut all: Vec<Address> = addresses(member, port);
    if everywhere {
        all.iter_mut().for_each(|(host, _)| *host = "0.0.0.0".into());
        all.dedup();
    }
    all
}

/// Puts what comes from other members into the core's inbox.
struct ToInbox(Arc<Shared>);

impl Sink for ToInbox {
    fn put(&self, events: &mut Vec<Event>) {
        let mut messages = Vec::with_capacity(events.len());
        let mut events = events.drain(..).peekable();
        while let Some(event) = events.next() {
            if !events.peek().is_some_and(|next| says_it_too(&event, next)) {
                messages.extend(message(event));
            }
        }
        self.0.core.put_all(&mut messages);
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

fn message(event: Event) -> Option<ToCore> {
    Some(ToCore::Member(match event {
        Event::Heard { from, notification } => Input::Heard { from, notification },
        Event::LinkUp { link, .. } => Input::LinkUp { link },
        Event::LinkPacket { link, packet } => Input::LinkPacket { link, packet },
        Event::LinkDown { link, why } => Input::LinkDown { link, why },
        Event::LeaderUp { attempt } => Input::LeaderUp { attempt },
        Event::LeaderPacket { attempt, packet } => Input::LeaderPacket { attempt, packet },
        Event::LeaderDown { attempt, why } => Input::LeaderDown { attempt, why },
        Event::Snapshot { attempt, zxid, tree, sessions } => {
            return Some(ToCore::Tree { attempt, zxid, tree, sessions });
        }
        Event::ElectionUp { peer } => Input::Reachable { peer, up: true },
        Event::ElectionDown { peer, .. } => Input::Reachable { peer, up: false },
    }))
}
