//! Another configuration, while the server runs: files, peers, ports.

use super::{core::Core, fatal, host::Live};
use crate::{
    config::{HostPort, dynamic::ConfigFileError, dynamic::ConfigFiles, members::Members},
    types::ServerId,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info};

/// What the core needs for another configuration.
pub(super) struct Reconfiguration {
    pub me: ServerId,
    /// The files; none when the configuration came from no file, or must not change.
    pub files: Option<ConfigFiles>,
    /// Where clients connect now.
    pub client: Option<HostPort>,
    /// Takes the address at which clients are to connect from now on.
    pub rebind: UnboundedSender<HostPort>,
    /// What words show.
    pub live: Arc<Mutex<Live>>,
}

impl Core {
    /// A configuration is proposed.
    pub(super) fn see_config(&mut self, next: Option<Members>) {
        let Some(peers) = &mut self.peers else { return };
        if let Some(files) = &self.reconfiguration.files {
            let (written, harmless) = match &next {
                Some(next) => (files.write_next(next), next.same_servers(peers.active())),
                None => (files.remove_next(), false),
            };
            if let Err(error) = written {
                not_written(&error, harmless);
            }
        }
        peers.see(next);
    }

    /// A configuration is committed.
    pub(super) fn adopt_config(&mut self, active: Members) {
        let Some(peers) = &mut self.peers else { return };
        let me = self.reconfiguration.me;
        info!("the configuration is now {:x}: {}", active.version, summary(&active));
        if let Some(files) = &self.reconfiguration.files {
            let newer = peers.next().is_some_and(|next| next.version > active.version);
            let remove = || if newer { Ok(()) } else { files.remove_next() };
            let written = files.activate(&active, me).and_then(|()| remove());
            if let Err(error) = written {
                not_written(&error, active.same_servers(peers.active()));
            }
        }
        let client = active.servers.get(&me).and_then(|member| member.client.clone());
        self.reconfiguration.live.lock().adopt(&active, me);
        peers.adopt(active);
        if let Some(client) = client
            && self.reconfiguration.client.as_ref() != Some(&client)
        {
            self.reconfiguration.client = Some(client.clone());
            // Who stops takes no other port any more.
            let _ = self.reconfiguration.rebind.send(client);
        }
    }
}

/// The members in one line.
fn summary(members: &Members) -> String {
    let all = members.servers.iter().map(|(id, member)| format!("server.{}={member}", id.0));
    all.collect::<Vec<_>>().join(", ")
}

/// With another set of servers than that of its files a member would vote in the wrong ensemble after a restart. The
/// same servers under another version do no harm: a read-only directory is no reason to stop, as upstream.
fn not_written(error: &ConfigFileError, harmless: bool) {
    if harmless {
        error!("the configuration's new version is not kept for the next start: {error}");
    } else {
        fatal::stop(
            fatal::Exit::Unexpected,
            &format!(
                "a reconfiguration cannot be kept, so the server stops before it promises anything: {error}"
            ),
        );
    }
}
