//! What the member lines make of a server: a standalone one, or one of an ensemble.

use std::path::{Path, PathBuf};

use super::{EnsembleConfig, Values, is_member_key, read_properties};
use crate::config::members::{MemberError, Members, Role};
use crate::config::properties::Property;
use crate::config::{ConfigError, HostPort, Level, Origin, ServerConfig};
use crate::types::ServerId;

/// The members, from the file itself or from its `dynamicConfigFile`.
pub(super) fn read_members(
    path: &Path,
    values: &mut Values,
    mut lines: Vec<(Property, Origin)>,
) -> Result<(Members, Origin), ConfigError> {
    let mut members = Members::default();
    let mut origin = Origin::File(path.to_owned());
    if let Some(dynamic) = values.text("dynamicConfigFile") {
        let dynamic = PathBuf::from(dynamic);
        lines = read_properties(&dynamic, &mut values.notices)?
            .into_iter()
            .map(|property| {
                let origin = Origin::Line(dynamic.clone(), property.line);
                (property, origin)
            })
            .collect();
        for (property, origin) in &lines {
            if !is_member_key(&property.key) {
                return Err(member_error(property, origin, MemberError::Key));
            }
        }
        members.version = version_of_file_name(&dynamic);
        origin = Origin::File(dynamic);
    }
    // The parser of member lines looks at the property alone, as upstream.
    let multi_address = values.multi_address_property;
    for (property, origin) in &lines {
        members
            .add(&property.key, &property.value, multi_address)
            .map_err(|source| member_error(property, origin, source))?;
    }
    members.finish().map_err(|source| ConfigError::Members { origin: origin.clone(), source })?;
    Ok((members, origin))
}

fn member_error(property: &Property, origin: &Origin, source: MemberError) -> ConfigError {
    ConfigError::Member {
        key: property.key.clone(),
        value: property.value.clone(),
        origin: origin.clone(),
        source,
    }
}

/// `zoo.cfg.dynamic.100000000` is version 0x100000000; any other ending is version 0.
pub(super) fn version_of_file_name(path: &Path) -> u64 {
    let name = path.to_string_lossy();
    name.rsplit_once('.').and_then(|(_, version)| u64::from_str_radix(version, 16).ok()).unwrap_or(0)
}

impl Values {
    /// What the member lines make of this server.
    pub(super) fn ensemble(
        &mut self,
        server: &mut ServerConfig,
        members: Members,
        origin: Origin,
    ) -> Result<Option<EnsembleConfig>, ConfigError> {
        self.check_peer_sasl()?;
        let standalone_enabled = self.flag("standaloneEnabled");
        let (voters, observers) = (members.voters().count(), members.observers().count());
        let conflict = |problem: &str| {
            Err(ConfigError::Conflict { origin: origin.clone(), problem: problem.to_owned() })
        };
        match voters {
            0 if !standalone_enabled => {
                return conflict("standaloneEnabled=false needs at least one server.N line that votes");
            }
            0 if observers > 0 => return conflict("there are observers but no server that votes"),
            1 if standalone_enabled && observers > 0 => {
                return conflict(
                    "a standalone server cannot have observers: set standaloneEnabled=false or give more voters",
                );
            }
            1 if standalone_enabled => {
                let text = "there is a single server.N line: running as a standalone server";
                self.say(Level::Info, &origin, text);
            }
            _ => {}
        }
        let server_id = read_my_id(&server.storage.data_dir)?;
        let member = server_id.and_then(|id| members.servers.get(&id));
        if let Some(client) = member.and_then(|member| member.client.clone()) {
            if let Some(fixed) = &server.connection.client_address
                && !same_client_address(fixed, &client)
            {
                let problem = format!(
                    "clients connect to {fixed} by clientPort and to {client} by this server's own line (myid is \
                     {}): leave one of them out",
                    server_id.unwrap_or_default().0
                );
                return Err(ConfigError::Conflict { origin: self.origin("clientPort"), problem });
            }
            server.connection.client_address = Some(client);
        }
        if voters == 0 || (voters == 1 && standalone_enabled) {
            return Ok(None);
        }
        let limit = |name: &'static str| match self.count(name) {
            0 => Err(ConfigError::Missing {
                key: name,
                origin: origin.clone(),
                reason: "an ensemble needs it, at least 1 tick".to_owned(),
            }),
            ticks => Ok(ticks),
        };
        let init_limit_ticks = limit("initLimit")?;
        let sync_limit_ticks = limit("syncLimit")?;
        let server_id = server_id.ok_or_else(|| ConfigError::Missing {
            key: "myid",
            origin: origin.clone(),
            reason: format!(
                "an ensemble needs the file {} with the number of this server",
                server.storage.data_dir.join("myid").display()
            ),
        })?;
        let role = members.servers.get(&server_id).map_or(Role::Participant, |member| member.role);
        if self.text("peerType").and_then(Role::parse) != Some(role) && self.by_name.contains_key("peerType")
        {
            let text = "peerType differs from this server's own line; the line counts";
            self.say(Level::Warn, &self.origin("peerType"), text);
        }
        let tick_ms = server.session.tick_time_ms;
        let config = EnsembleConfig {
            members,
            next: None,
            dynamic: self.text("dynamicConfigFile").is_some(),
            standalone_enabled,
            server_id,
            role,
            init_limit_ticks,
            sync_limit_ticks,
            connect_limit_ticks: match self.count("connectToLearnerMasterLimit") {
                0 => init_limit_ticks,
                ticks => ticks,
            },
            multi_address: self.flag("multiAddress.enabled"),
            listen_on_all: self.flag("quorumListenOnAllIPs"),
            election_connect_ms: self.count("cnxTimeout"),
            election_handshake_ms: match self.int("quorumCnxnTimeoutMs") {
                ..=0 => sync_limit_ticks.saturating_mul(tick_ms),
                ms => u32::try_from(ms).unwrap_or(u32::MAX),
            },
            bind_tries: self.count("electionPortBindRetry"),
            notification_interval_min_ms: self.count("fastleader.minNotificationInterval"),
            notification_interval_max_ms: self.count("fastleader.maxNotificationInterval"),
            connect_retry_ms: self.count("leaderConnectDelayDuringRetryMs"),
            snapshot_syncs_max: Some(self.count("leader.maxConcurrentSnapSyncs")).filter(|n| *n > 0),
            local_sessions: self.flag("localSessionsEnabled"),
            local_session_upgrades: self.flag("localSessionsUpgradingEnabled"),
            diff_syncs_max: Some(self.count("leader.maxConcurrentDiffSyncs")).filter(|n| *n > 0),
            epoch_wait_max_ms: u32::try_from(self.int("leader.maxTimeToWaitForEpoch")).ok(),
            observer_logs: match self.string("observer.syncEnabled") {
                Some(_) => self.flag("observer.syncEnabled"),
                None => self.flag("syncEnabled"),
            },
            observer_election_delay_ms: self.count("observer.election.DelayMs"),
            observer_reconnect_delay_ms: self.count("observer.reconnectDelayMs"),
            observer_master_port: u16::try_from(self.int("observerMasterPort")).ok().filter(|port| *port > 0),
            observer_master_bytes_max: self.count("observerMaster.sizeLimit"),
            leader_serves: self.flag("leaderServes"),
            tcp_keep_alive: self.flag("tcpKeepAlive"),
            first_counter: self.count("testingonly.initialZxid"),
            force_snapshot: self.flag("forceSnapshotSync"),
            protection: self.protection(),
            origin,
        };
        Ok(Some(config))
    }

    /// The first key by which connections between servers are to be protected.
    fn protection(&self) -> Option<&'static str> {
        ["sslQuorum", "quorum.auth.enableSasl"].into_iter().find(|name| self.flag(name))
    }

    /// Two of the switches of SASL between servers need others.
    fn check_peer_sasl(&self) -> Result<(), ConfigError> {
        let (enable, learner, leader) =
            ("quorum.auth.enableSasl", "quorum.auth.learnerRequireSasl", "quorum.auth.serverRequireSasl");
        for (needing, needed) in [(leader, enable), (learner, enable), (leader, learner)] {
            if self.flag(needing) && !self.flag(needed) {
                let problem = format!("{needing}=true needs {needed}=true");
                return Err(ConfigError::Conflict { origin: self.origin(needing), problem });
            }
        }
        Ok(())
    }
}

/// Whether an address from `clientPort` is the same as that of a member line; a wildcard goes with any host.
fn same_client_address(fixed: &HostPort, line: &HostPort) -> bool {
    let any = fixed.socket_addr().is_some_and(|address| address.ip().is_unspecified());
    // Names may stand for the same address; only addresses can be told apart here.
    let both_literal = fixed.socket_addr().is_some() && line.socket_addr().is_some();
    fixed.port == line.port && (any || fixed.host == line.host || !both_literal)
}

/// The number in `<dataDir>/myid`; `None` when there is no such file.
fn read_my_id(data_dir: &Path) -> Result<Option<ServerId>, ConfigError> {
    let path = data_dir.join("myid");
    if !path.is_file() {
        return Ok(None);
    }
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    match line.parse() {
        Ok(id) => Ok(Some(ServerId(id))),
        Err(_) => Err(ConfigError::MyId { path, text: line.chars().take(40).collect() }),
    }
}
