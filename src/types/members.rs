//! The members of an ensemble as configuration text: `server.N`, `group.G`, `weight.N`, `version`.
//!
//! Role: parse once, print canonically. Host names stay names; whoever connects looks them up.
//!
//! Invariants: ids are unique; every participant belongs to exactly one group when there are groups; the text
//! of [`Members`] parses back to an equal value.
//!
//! Upstream counterpart: `QuorumPeer.QuorumServer`, `QuorumMaj`, `QuorumHierarchical` (text only; counting votes
//! is the business of `zab`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use super::{HostPort, ServerId, properties};

/// All servers of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// By server id.
    pub servers: BTreeMap<ServerId, Member>,
    /// `group.*` and `weight.*`; `None` when every voter counts the same.
    pub hierarchy: Option<Hierarchy>,
    /// The zxid at which this configuration became active; 0 for one from a static file.
    pub version: u64,
}

/// Groups of servers with weights: a quorum is a majority of weight in a majority of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// Group id by server id.
    pub group_of: BTreeMap<ServerId, i64>,
    /// Weight by server id; every participant has one (1 unless set).
    pub weight_of: BTreeMap<ServerId, i64>,
}

/// One `server.N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// At least one; more than one needs `multiAddress.enabled`.
    pub addresses: Vec<PeerAddress>,
    /// Whether it votes.
    pub role: Role,
    /// Where its clients connect, when the line says so.
    pub client: Option<HostPort>,
}

/// One address of a server among its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Host name or IP address; IPv6 without brackets.
    pub host: String,
    /// Port on which a leader accepts learners.
    pub quorum_port: u16,
    /// Port of leader election; never equal to `quorum_port`.
    pub election_port: u16,
}

/// Upstream: `LearnerType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Votes, may lead.
    Participant,
    /// Follows without a vote.
    Observer,
}

impl Role {
    /// Reads `participant` or `observer` in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "participant" => Some(Role::Participant),
            "observer" => Some(Role::Observer),
            _ => None,
        }
    }
}

/// Why member text is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MemberError {
    /// The key's number is not one.
    #[error("`{0}` must end in a number, as in server.1, group.1 or weight.1")]
    Id(String),
    /// The value has another shape.
    #[error(
        "expected host:quorumPort:electionPort, optionally with :participant or :observer, \
         optionally followed by ;clientPort or ;clientHost:clientPort (IPv6 addresses in brackets)"
    )]
    Shape,
    /// A port is not a number from 0 to 65535.
    #[error("`{0}` is not a port: expected a number from 0 to 65535 without blanks around it")]
    Port(String),
    /// Neither participant nor observer.
    #[error("role `{0}` is unknown: expected participant or observer")]
    Role(String),
    /// One host has both roles.
    #[error("all addresses of a server must have the same role")]
    MixedRoles,
    /// Both services on one port.
    #[error("quorum port and election port are both {0}: they must differ")]
    SamePorts(u16),
    /// Several addresses without the switch.
    #[error(
        "several addresses (separated by |) are given, but the property zookeeper.multiAddress.enabled is not true; \
         set it with -Dzookeeper.multiAddress.enabled=true (the key in zoo.cfg is not enough, as upstream)"
    )]
    MultiAddressOff,
    /// A number in `group.*` or `weight.*` is not one.
    #[error("`{0}` is not a number")]
    Number(String),
    /// A server belongs to two groups.
    #[error("server {} is in more than one group", .0.0)]
    TwoGroups(ServerId),
    /// A voter belongs to none.
    #[error("server {} is a participant but in no group: with groups every participant needs one", .0.0)]
    NoGroup(ServerId),
    /// A group names a server that does not exist.
    #[error("group.{group} names server {}, which is neither a participant nor given a weight", server.0)]
    Unknown {
        /// The group.
        group: i64,
        /// The server it names.
        server: ServerId,
    },
    /// A key that has no place in a dynamic file.
    #[error("only server.N, group.G and weight.N may stand in this file")]
    Key,
    /// The text is not properties syntax.
    #[error(transparent)]
    Syntax(#[from] properties::BadEscape),
    /// A configuration by which nobody decides.
    #[error("no server votes")]
    NoVoter,
}

impl Members {
    /// Reads a whole configuration, as it comes over the wire or from a client: `server.N`, `group.G`, `weight.N` and
    /// `version`, in the syntax of properties. There may be no voters.
    ///
    /// Upstream counterpart: `QuorumPeerConfig.parseDynamicConfig`.
    ///
    /// # Errors
    /// Any [`MemberError`].
    pub fn read(text: &str, multi_address: bool) -> Result<Self, MemberError> {
        // Files are ISO-8859-1; text is whatever it is.
        let mut bytes = Vec::with_capacity(text.len());
        for c in text.chars() {
            match u8::try_from(c).ok().filter(u8::is_ascii) {
                Some(byte) => bytes.push(byte),
                None => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        bytes.extend(format!("\\u{unit:04x}").into_bytes());
                    }
                }
            }
        }
        // Later lines replace earlier ones.
        let by_key: BTreeMap<_, _> =
            properties::parse(&bytes)?.into_iter().map(|property| (property.key, property.value)).collect();
        let mut members = Self::default();
        for (key, value) in &by_key {
            let known = ["server.", "group", "weight"].iter().any(|start| key.starts_with(start));
            if !known && key != "version" {
                return Err(MemberError::Key);
            }
            members.add(key, value, multi_address)?;
        }
        members.finish()?;
        Ok(members)
    }

    /// Reads a configuration that a peer goes by.
    ///
    /// # Errors
    /// Any [`MemberError`]; there is a voter.
    pub fn read_active(text: &str) -> Result<Self, MemberError> {
        // Whether several addresses are allowed was decided where the configuration was made.
        let members = Self::read(text, true)?;
        if members.voters().next().is_none() {
            return Err(MemberError::NoVoter);
        }
        Ok(members)
    }

    /// The version in a configuration's text, without reading the rest: it stands in the last line.
    pub fn version_of_text(text: &str) -> Option<u64> {
        let (_, last) = text.rsplit_once('\n').unwrap_or(("", text));
        u64::from_str_radix(last.strip_prefix("version=")?, 16).ok()
    }

    /// The role of a server: one that is no member follows without a vote, as a participant does.
    ///
    /// Upstream counterpart: `QuorumPeer.updateLearnerType`.
    pub fn role_of(&self, id: ServerId) -> Role {
        self.servers.get(&id).map_or(Role::Participant, |member| member.role)
    }

    /// Whether the server votes here.
    pub fn votes(&self, id: ServerId) -> bool {
        self.servers.get(&id).is_some_and(|member| member.role == Role::Participant)
    }

    /// Whether these are the same servers, whatever the version.
    ///
    /// Upstream counterpart: `QuorumMaj.equals`.
    pub fn same_servers(&self, other: &Self) -> bool {
        self.servers == other.servers && self.hierarchy == other.hierarchy
    }

    /// Reads one property of a configuration; keys that say nothing about members are left alone.
    /// Call [`Members::finish`] after the last one.
    ///
    /// # Errors
    /// Any [`MemberError`] that concerns this property alone, and a server in two groups.
    pub fn add(&mut self, key: &str, value: &str, multi_address: bool) -> Result<(), MemberError> {
        if key.starts_with("server.") {
            let id = ServerId(id_of(key)?);
            self.servers.insert(id, Member::parse(value, multi_address)?);
        } else if key.starts_with("group") {
            let group = id_of(key)?;
            let hierarchy = self.hierarchy.get_or_insert_default();
            for server in value.trim_end_matches(':').split(':') {
                let server = ServerId(number(server)?);
                if hierarchy.group_of.insert(server, group).is_some() {
                    return Err(MemberError::TwoGroups(server));
                }
            }
        } else if key.starts_with("weight") {
            let server = ServerId(id_of(key)?);
            let weight = number(value)?;
            self.hierarchy.get_or_insert_default().weight_of.insert(server, weight);
        } else if key == "version" {
            self.version =
                u64::from_str_radix(value, 16).map_err(|_| MemberError::Number(value.to_owned()))?;
        }
        Ok(())
    }

    /// Completes weights and checks groups against servers.
    ///
    /// # Errors
    /// [`MemberError::NoGroup`], [`MemberError::Unknown`].
    pub fn finish(&mut self) -> Result<(), MemberError> {
        let Some(hierarchy) = &mut self.hierarchy else { return Ok(()) };
        for (&id, member) in &self.servers {
            if member.role == Role::Participant {
                if !hierarchy.group_of.contains_key(&id) {
                    return Err(MemberError::NoGroup(id));
                }
                hierarchy.weight_of.entry(id).or_insert(1);
            }
        }
        match hierarchy.group_of.iter().find(|(server, _)| !hierarchy.weight_of.contains_key(server)) {
            Some((&server, &group)) => Err(MemberError::Unknown { group, server }),
            None => Ok(()),
        }
    }

    /// Ids of the servers that vote, in order.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.with_role(Role::Participant)
    }

    /// Ids of the servers that only watch, in order.
    pub fn observers(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.with_role(Role::Observer)
    }

    fn with_role(&self, role: Role) -> impl Iterator<Item = ServerId> + '_ {
        self.servers.iter().filter(move |(_, member)| member.role == role).map(|(&id, _)| id)
    }
}

/// The text used on the wire, in files and as data of `/zookeeper/config`; no newline at the end.
impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, member) in &self.servers {
            writeln!(f, "server.{}={member}", id.0)?;
        }
        if let Some(hierarchy) = &self.hierarchy {
            let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
            for (server, group) in &hierarchy.group_of {
                groups.entry(*group).or_default().push(server.0.to_string());
            }
            for (group, servers) in groups {
                writeln!(f, "group.{group}={}", servers.join(":"))?;
            }
            for (server, weight) in &hierarchy.weight_of {
                writeln!(f, "weight.{}={weight}", server.0)?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}

impl Member {
    /// Whether learners reach it at the same addresses in both. Names are compared, not what they stand for: a name
    /// that nobody knows today must not keep a leader from leading.
    pub fn same_quorum_addresses(&self, other: &Self) -> bool {
        let all = |member: &Self| -> BTreeSet<(String, u16)> {
            member.addresses.iter().map(|a| (a.host.clone(), a.quorum_port)).collect()
        };
        all(self) == all(other)
    }

    /// Reads the value of a `server.N`.
    ///
    /// # Errors
    /// Any [`MemberError`] about addresses, ports and roles.
    pub fn parse(text: &str, multi_address: bool) -> Result<Self, MemberError> {
        // Java's split: empty pieces at the end do not count.
        let mut parts = text.trim_end_matches(';').split(';');
        let addresses_text = parts.next().unwrap_or_default();
        let client = parts.next().map(parse_client).transpose()?;
        if parts.next().is_some() {
            return Err(MemberError::Shape);
        }
        let mut addresses = Vec::new();
        let mut role = None;
        for text in addresses_text.trim_end_matches('|').split('|') {
            if !addresses.is_empty() && !multi_address {
                return Err(MemberError::MultiAddressOff);
            }
            let (address, own_role) = parse_peer(text)?;
            addresses.push(address);
            if let Some(own_role) = own_role
                && *role.get_or_insert(own_role) != own_role
            {
                return Err(MemberError::MixedRoles);
            }
        }
        Ok(Member { addresses, role: role.unwrap_or(Role::Participant), client })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_by(|a, b| a.host.cmp(&b.host));
        for (i, address) in addresses.into_iter().enumerate() {
            write!(f, "{}{address}", if i == 0 { "" } else { "|" })?;
        }
        f.write_str(match self.role {
            Role::Participant => ":participant",
            Role::Observer => ":observer",
        })?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}:{}", self.host, self.quorum_port, self.election_port)
        } else {
            write!(f, "{}:{}:{}", self.host, self.quorum_port, self.election_port)
        }
    }
}

fn id_of(key: &str) -> Result<i64, MemberError> {
    key.split_once('.').and_then(|(_, id)| id.parse().ok()).ok_or_else(|| MemberError::Id(key.to_owned()))
}

fn number(text: &str) -> Result<i64, MemberError> {
    text.parse().map_err(|_| MemberError::Number(text.to_owned()))
}

fn port(text: &str) -> Result<u16, MemberError> {
    text.parse().map_err(|_| MemberError::Port(text.to_owned()))
}

/// Host and what follows it, split at colons; the host may be an IPv6 address in brackets.
fn host_and_rest(text: &str) -> Result<Vec<&str>, MemberError> {
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(MemberError::Shape)?;
        let rest = rest.strip_prefix(':').ok_or(MemberError::Shape)?;
        return Ok(std::iter::once(host).chain(rest.trim_end_matches(':').split(':')).collect());
    }
    // Java's split: empty pieces at the end do not count.
    Ok(text.trim_end_matches(':').split(':').collect())
}

fn parse_client(text: &str) -> Result<HostPort, MemberError> {
    match host_and_rest(text)?[..] {
        [port_text] => Ok(HostPort::any(port(port_text)?)),
        [host, port_text] if !host.is_empty() => {
            Ok(HostPort { host: host.to_owned(), port: port(port_text)? })
        }
        _ => Err(MemberError::Shape),
    }
}

fn parse_peer(text: &str) -> Result<(PeerAddress, Option<Role>), MemberError> {
    let parts = host_and_rest(text)?;
    let (host, quorum, election, role) = match parts[..] {
        [host, quorum, election] => (host, quorum, election, None),
        [host, quorum, election, role] => (host, quorum, election, Some(role)),
        _ => return Err(MemberError::Shape),
    };
    if host.is_empty() {
        return Err(MemberError::Shape);
    }
    let role = role
        .map(|text| Role::parse(text).ok_or_else(|| MemberError::Role(text.trim().to_owned())))
        .transpose()?;
    let address =
        PeerAddress { host: host.to_owned(), quorum_port: port(quorum)?, election_port: port(election)? };
    if address.quorum_port == address.election_port {
        return Err(MemberError::SamePorts(address.quorum_port));
    }
    Ok((address, role))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(lines: &[(&str, &str)]) -> Result<Members, MemberError> {
        let mut members = Members::default();
        for (key, value) in lines {
            members.add(key, value, true)?;
        }
        members.finish()?;
        Ok(members)
    }

    #[test]
    fn a_server_line_is_printed_canonically() {
        for (text, canonical) in [
            ("zoo1:2888:3888", "zoo1:2888:3888:participant"),
            ("zoo1:2888:3888;2181", "zoo1:2888:3888:participant;0.0.0.0:2181"),
            ("zoo1:2888:3888:OBSERVER;127.0.0.1:2181", "zoo1:2888:3888:observer;127.0.0.1:2181"),
            ("[::1]:2888:3888;[::]:2181", "[::1]:2888:3888:participant;[::]:2181"),
            ("b:1:2|a:3:4", "a:3:4|b:1:2:participant"),
        ] {
            assert_eq!(Member::parse(text, true).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn several_addresses_need_the_switch() {
        let text = "a:1:2|b:1:2";
        assert_eq!(Member::parse(text, false), Err(MemberError::MultiAddressOff));
        assert_eq!(Member::parse(text, true).unwrap().addresses.len(), 2);
    }

    #[test]
    fn a_malformed_server_line_is_refused_with_its_reason() {
        use MemberError::{MixedRoles, Port, SamePorts, Shape};
        for (text, error) in [
            ("", Shape),
            ("a", Shape),
            ("a:1", Shape),
            (":1:2", Shape),
            ("a:1:2:participant:x", Shape),
            ("a:1:2;3;4", Shape),
            ("a:1:2;b:c:3", Shape),
            ("[::1:2:3", Shape),
            ("[::1]2:3", Shape),
            ("a:1:2 ", Port("2 ".into())),
            ("a:x:2", Port("x".into())),
            ("a:1:65536", Port("65536".into())),
            ("a:1:2;x", Port("x".into())),
            ("a:1:1", SamePorts(1)),
            ("a:1:2:voter", MemberError::Role("voter".into())),
            ("a:1:2:observer|b:1:2:participant", MixedRoles),
        ] {
            assert_eq!(Member::parse(text, true), Err(error), "{text:?}");
        }
    }

    #[test]
    fn groups_must_hold_every_voter_exactly_once() {
        let servers = [("server.1", "a:1:2"), ("server.2", "b:1:2"), ("server.3", "c:1:2:observer")];
        let with = |more: &[(&str, &str)]| members(&[&servers[..], more].concat());
        assert!(with(&[("group.1", "1:2")]).is_ok());
        assert_eq!(with(&[("group.1", "1:2"), ("group.2", "2")]), Err(MemberError::TwoGroups(ServerId(2))));
        assert_eq!(with(&[("group.1", "1")]), Err(MemberError::NoGroup(ServerId(2))));
        assert_eq!(with(&[("weight.1", "1")]), Err(MemberError::NoGroup(ServerId(1))));
        assert_eq!(
            with(&[("group.1", "1:2:9")]),
            Err(MemberError::Unknown { group: 1, server: ServerId(9) })
        );
        assert_eq!(with(&[("group.1", "1:x")]), Err(MemberError::Number("x".into())));
        assert_eq!(with(&[("groups", "1")]), Err(MemberError::Id("groups".into())));
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(text in "[a1:;|\\[\\]. ]{0,40}", multi in any::<bool>()) {
            let _ = Member::parse(&text, multi);
        }

        #[test]
        fn printed_members_parse_back(
            servers in prop::collection::btree_map(
                any::<u8>(),
                ("[a-z]{1,5}|::1|10\\.0\\.0\\.[1-9]", 1u16..2000, 2000u16..4000, any::<bool>(), any::<Option<u16>>()),
                0..6,
            ),
            grouped in any::<bool>(),
            version in any::<u64>(),
        ) {
            let mut wanted = Members { version, ..Members::default() };
            for (id, (host, quorum, election, votes, client)) in servers {
                let role = if votes { Role::Participant } else { Role::Observer };
                let address = PeerAddress { host, quorum_port: quorum, election_port: election };
                let client = client.map(HostPort::any);
                let id = ServerId(id.into());
                wanted.servers.insert(id, Member { addresses: vec![address], role, client });
                if grouped && votes {
                    let hierarchy = wanted.hierarchy.get_or_insert_default();
                    hierarchy.group_of.insert(id, id.0 % 3);
                    hierarchy.weight_of.insert(id, id.0);
                }
            }
            let text = wanted.to_string();
            let mut read = Members::default();
            for property in properties::parse(text.as_bytes()).unwrap() {
                read.add(&property.key, &property.value, false).unwrap();
            }
            read.finish().unwrap();
            prop_assert_eq!(&read, &wanted);
            prop_assert_eq!(Members::version_of_text(&text), Some(version));
            prop_assert_eq!(Members::read(&text, false).unwrap(), wanted);
        }
    }
}
